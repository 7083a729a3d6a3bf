"""What pip is told holds all that the user's files say, and what pip would not take is refused with file and line."""

from __future__ import annotations

import pytest

from terrastore.errors import RequirementsError
from terrastore.requirements import read_requirements
from terrastore.requirements.lines import LineError, index_identity
from terrastore.requirements.pip_lines import ForPip, links_identity
from tests.requirements.shelf import Shelf, target


def said(text: str, constraints: str = "", settings: tuple[tuple[str, str], ...] = ()) -> ForPip:
    """Return what pip is told of a file."""
    shelf = Shelf({"a.txt": text, "c.txt": constraints})
    pip = ForPip(shelf, settings)
    read_requirements(["a.txt"], ["c.txt"], reader=shelf, target=target(), variables={}, hear=pip.hear)
    return pip


def test_lines_as_they_are_written() -> None:
    """Requirements and constraints go into files of their own, false markers too, and options into neither."""
    pip = said("One == 1.0  # why\n--pre\ntwo ; os_name == 'nt'\n-c c.txt\n", "three<3\n-i https://a.example/s\n")
    assert ["One == 1.0", "two ; os_name == 'nt'"] == pip.requirements
    assert ["three<3", "three<3"] == pip.constraints
    assert ["--index-url https://a.example/s", "--pre"] == pip.options()


def test_where_a_line_was_said() -> None:
    """Each line that pip gets is known by the file and line that said it."""
    origins = said("--pre\none\n\ntwo\n", "three\n").origins
    assert {
        (False, "one"): "a.txt, line 2",
        (False, "two"): "a.txt, line 4",
        (True, "three"): "c.txt, line 1",
    } == origins


@pytest.mark.parametrize(
    ("text", "constraints", "settings", "expected"),
    [
        pytest.param("one==1\n", "", (), False, id="no hash"),
        pytest.param("one==1 --hash=sha256:aa\n", "", (), True, id="a hash"),
        pytest.param("one==1 ; os_name == 'nt' --hash=sha256:aa\ntwo\n", "", (), True, id="behind a false marker"),
        pytest.param("one==1\n", "one==1 --hash=sha256:aa\n", (), True, id="of a constraint"),
        pytest.param("--require-hashes\n", "", (), True, id="said so"),
        pytest.param("one==1 --hash=sha256:aa\n--no-require-hashes\n", "", (), False, id="said otherwise"),
        pytest.param("one==1\n", "", (("require-hashes", "1"),), True, id="said by the machine"),
        pytest.param("one --hash=sha256:aa\n", "", (("no-require-hashes", "1"),), False, id="otherwise by the machine"),
        pytest.param("--hash=sha256:aa\none\n", "", (), False, id="a hash of nothing"),
    ],
)
def test_hashes_are_demanded(
    text: str, constraints: str, settings: tuple[tuple[str, str], ...], expected: bool
) -> None:
    """One hash demands all, unless that is said otherwise; then the places do not count."""
    pip = said(f"-i https://a.example/s\n{text}", constraints, settings)
    assert expected is pip.demands_hashes
    assert expected is ("index-url" not in pip.canonical(index_identity))


@pytest.mark.parametrize("digest", ["md5:aa", "sha1:aa", "sha256", "nonsense"])
def test_a_hash_that_pip_does_not_take(digest: str) -> None:
    """A hash of a weak kind, or of none, is refused where it stands."""
    with pytest.raises(RequirementsError, match=rf"^a\.txt, line 1: .*pip takes no --hash={digest}$") as raised:
        said(f"one==1 --hash={digest}\n")
    assert "sha256" in raised.value.hint


class Unreadable(Shelf):
    def links(self, path: str) -> str:
        raise PermissionError(13, "Permission denied")


def test_links() -> None:
    """A folder counts by its content, a page by its URL, what is not there as that; what cannot be read is named."""
    shelf = Shelf({"/srv/wheels": "wheels"})
    content = f"sha256:{shelf.links('/srv/wheels')}"
    for place in ("/srv/wheels", "file:///srv/wheels"):
        assert content == links_identity(shelf, place, index_identity)
    assert "https://a.example/links" == links_identity(shelf, "https://u:secret@a.example/links", index_identity)
    assert "absent" == links_identity(shelf, "/srv/nowhere", index_identity)
    with pytest.raises(LineError, match=r"^/srv/wheels: permission denied$"):
        links_identity(Unreadable({"/srv/wheels": ""}), "/srv/wheels", index_identity)
