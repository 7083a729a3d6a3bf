"""Which loaders of editable installs are refused; tests/end_to_end has those of the real backends."""

from __future__ import annotations

import pytest

from terrastore.archive.editables import is_part, refusal

PACKAGES = "lib/python3.11/site-packages"
SCIKIT = "class ScikitBuildRedirectingFinder: ...\ndef install(*_): ...\n\n\n"
LOADERS = {
    "meson-python": ("_x_editable_loader.py", "class MesonpyMetaFinder: ...\n", "meson-python"),
    "scikit-build-core, rebuilt": ("_x_editable.py", SCIKIT + "install({}, {}, '/x', True, False, [], [])\n", "scikit"),
    "scikit-build-core, with more": ("_editable_skbc_x.py",
        SCIKIT + "install({}, {}, {'a': 'True'}, [], '/x', True, True, [])\n", "scikit",
    ),
    "scikit-build-core, in place": ("_editable_skbc_x.py",
        SCIKIT + "install_inplace(['x'], ['/x'], '/x', True, True)\n", "scikit",
    ),
    "scikit-build-core, as it is": ("_x_editable.py", SCIKIT + "install({}, {}, None, False, True, [], [])\n", ""),
    "setuptools": ("__editable___x_1_0_finder.py", "MAPPING = {'x': '/x'}\ninstall(True)\n", ""),
    "a package's own module": ("x_editable.py", "class MesonpyMetaFinder: ...\n", ""),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "expected"), LOADERS.values(), ids=LOADERS)
def test_loaders_that_build_on_import_are_refused(name: str, text: str, expected: str) -> None:
    """By what they do, not by who wrote them: one of scikit-build-core that builds nothing moves."""
    reason = refusal(f"{PACKAGES}/{name}", text.encode())
    assert (bool(expected), True) == (reason is not None, (reason or "").startswith(expected))
    assert refusal(f"share/{name}", text.encode()) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [("src/x/build/.ninja_deps", True), (f"{PACKAGES}/_x_editable_loader.py", True), (f"{PACKAGES}/src/x.db", False)],
)
def test_parts_of_editables_are_known(path: str, expected: bool) -> None:
    """What is refused there has a remedy of its own."""
    assert expected == is_part(path)
