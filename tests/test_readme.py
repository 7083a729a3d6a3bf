"""What README and FORMAT.md state is what the code does."""

import re
from pathlib import Path

import pytest

from terrastore import errors
from terrastore.archive import frames, limits, relocate, ustar
from terrastore.boot import documents
from terrastore.pointer import PAYLOAD_LIMIT
from terrastore.trust.envelope import PAYLOAD_TYPE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FORMAT = (ROOT / "terrastore/archive/FORMAT.md").read_text()


def test_every_exit_code_is_documented() -> None:
    """The table of exit codes lists those of all errors, success and interruption, and no others."""
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    classes = errors.TerrastoreError.__subclasses__()
    assert listed == {0, 1, errors.INTERRUPTED, *(each.exit_code for each in classes)}


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_every_link_leads_somewhere(target: str) -> None:
    """Links in README lead to files of this repository."""
    assert (ROOT / target).exists()


@pytest.mark.parametrize("script", re.findall(r"`?(scripts/[a-z0-9-]+(?:\.sh)?)`?", README))
def test_every_script_named_is_there(script: str) -> None:
    """README names scripts that can be run."""
    assert (ROOT / script).stat().st_mode & 0o111


def test_the_specification_has_the_codes_figures() -> None:
    """Constants that FORMAT.md states are those of the code."""
    assert relocate.PLACEHOLDER.decode() in FORMAT
    assert PAYLOAD_TYPE in FORMAT
    assert documents.PAYLOAD_TYPE in FORMAT
    assert f"at most {PAYLOAD_LIMIT:,} bytes" in FORMAT
    assert f"({limits.FRAME_LIMIT:,})" in FORMAT
    assert f"at most {limits.SIZE_LIMIT // 2**20} MiB" in FORMAT
    assert f"`{ustar.MTIME:011o}`" in FORMAT
    assert f"at most\n{relocate.SHEBANG_LIMIT} bytes" in FORMAT or f"at most {relocate.SHEBANG_LIMIT} bytes" in FORMAT
    assert f"{frames.TRAILER_SIZE} bytes" in FORMAT


def test_every_kind_is_specified() -> None:
    """FORMAT.md says how each kind of relocation is written."""
    assert relocate.KINDS == set(
        re.findall(r"^\| `([a-z]+)` \| [^|]+ \| [^|]+ \|$", FORMAT.split("## 7.")[1], re.MULTILINE)
    )
