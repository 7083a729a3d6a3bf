"""Sessions in environments from a store: nox makes none of its own, so nothing is installed for a run."""

from __future__ import annotations

import nox

PYTHONS = ("3.11", "3.12", "3.13")


def environment(session: nox.Session, requirements: str, python: str) -> str:
    """Make sure of the environment of a session; return where its programs are."""
    place = f".nox/terrastore-{requirements.removesuffix('.txt')}-{python}"
    session.run("terrastore", "ensure", "-r", requirements, "--python", python, "--target", place, external=True)
    return f"{place}/bin"


@nox.session(venv_backend="none")
@nox.parametrize("python_version", PYTHONS)
def tests(session: nox.Session, python_version: str) -> None:
    """Run the tests."""
    programs = environment(session, "requirements.txt", python_version)
    session.run(f"{programs}/python", "-m", "pytest", *session.posargs, external=True)
