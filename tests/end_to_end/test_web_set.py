"""Django and friends, seventy real packages: released, and served from; tests of the sets are in test_sets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CommandLine, command_line, make_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.network

REQUIREMENTS = Path(__file__).parents[1] / "data" / "web.txt"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[CommandLine]:
    """Return a command line whose project asks for the set, which the store has."""
    with command_line(tmp_path_factory.mktemp("web") / "home", wheels) as command:
        del command.env["PIP_NO_INDEX"], command.env["PIP_FIND_LINKS"]
        command.write("requirements.txt", REQUIREMENTS.read_text())
        command.ok("build")
        yield command


def test_releases(web: CommandLine) -> None:
    """A release is fetched beside the current one, switched to, and switched back from."""
    arguments = ("--link", "current", "--releases", "releases")
    web.write("small.txt", "django==5.2.19\n")
    assert "fetched" == web.ok("ensure", *arguments, "--json").json["outcome"]
    web.ok("ensure", *arguments, "-r", "small.txt")
    assert not list(web.cwd.glob("current/lib/*/site-packages/celery"))
    web.ok("rollback", *arguments)
    assert list(web.cwd.glob("current/lib/*/site-packages/celery"))


def test_collectstatic_copies_what_an_upgrade_changed(web: CommandLine, tmp_path: Path) -> None:
    """Django compares times: after an upgrade it copies a changed asset, though its size is the same."""
    for version in ("1.0", "2.0"):
        files = {"assets/__init__.py": "", "assets/static/site.css": f"/* version {version} */\n"}
        make_wheel(tmp_path, "assets", version, files)
    (tmp_path / "settings.py").write_text(
        f"SECRET_KEY = 'x'\nINSTALLED_APPS = ['django.contrib.staticfiles', 'assets']\n"
        f"STATIC_URL = '/static/'\nSTATIC_ROOT = {str(tmp_path / 'root')!r}\n"
    )
    for version in ("1.0", "2.0"):
        web.write("site.txt", f"django==5.2.19\nassets=={version}\n")
        web.ok("ensure", "-r", "site.txt", "-f", str(tmp_path), "--target", "site")
        done = subprocess.run(
            [web.cwd / "site/bin/django-admin", "collectstatic", "--no-input"],
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "1 static file copied" in done.stdout
        assert f"/* version {version} */\n" == (tmp_path / "root/site.css").read_text()
