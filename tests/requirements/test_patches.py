"""Which markers and which Requires-Python answer otherwise under another patch version."""

import pytest

from terrastore.requirements.patches import dependent_lines, extras_asked_for, is_dependent

SERIES = (3, 11)

LINES = {
    "no marker": ("one==1.0", False),
    "the series": ("one; python_version < '3.11'", False),
    "the platform": ("one; sys_platform == 'linux' and platform_machine != 'arm'", False),
    "a patch version": ("async-timeout>=4.0.3; python_full_version < '3.11.3'", True),
    "a patch version of another series": ("one; python_full_version < '3.10.3'", False),
    "before the first release": ("tomli; python_full_version <= '3.11.0a6'", False),
    "but one": ("one; python_full_version != '3.11.4'", True),
    "the implementation's version": ("one; implementation_version >= '3.11.5'", True),
    "never so": ("one; python_full_version < '3.11.3' and sys_platform == 'win32'", False),
    "with its options": ("one==1.0 ; python_full_version < '3.11.3' --hash=sha256:aa", True),
    "an extra that counts": ("one; python_full_version < '3.11.3' and extra == 'fast'", True),
    "an extra that does not": ("one; python_full_version < '3.11.3' and extra == 'docs'", False),
    "a path": ("./one.whl", False),
    "no requirement": ("one one; python_full_version < '3.11.3'", False),
}


@pytest.mark.parametrize(("line", "expected"), LINES.values(), ids=LINES)
def test_a_marker(line: str, expected: bool) -> None:
    """It depends on the patch version when some final release of the series answers otherwise than another."""
    assert expected is bool(list(dependent_lines([line], SERIES, {"fast"})))


SPECIFIERS = {
    ">=3.9": False,
    ">=3.9,!=3.9.7": False,
    ">=3.11.0": False,
    ">=3.11.4": True,
    "!=3.11.4": True,
    "<3.11.99": True,
    ">=3.11,<3.12": False,
    "~=3.11.2": True,
    "==3.11.*": False,
    "three": False,
}


@pytest.mark.parametrize(("specifiers", "expected"), SPECIFIERS.items())
def test_requires_python(specifiers: str, expected: bool) -> None:
    """It depends on the patch version when it admits some of the series and not all."""
    assert expected is is_dependent(specifiers, SERIES)


def test_extras_are_collected_by_name() -> None:
    """All extras that any line asks for, whatever the spelling of the name."""
    lines = ["One_Two[a]>=1", "one.two[b]; python_version > '3'", "three", "./path", "-e ."]
    assert {"one-two": {"a", "b"}, "three": set()} == extras_asked_for(lines)
