"""The archive in tests/vectors, written once, stays readable."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from terrastore.archive.reading import find_manifest, read_manifest
from terrastore.archive.unpack import unpack
from terrastore.pointer import Pointer
from terrastore.report import Report
from terrastore.trust import Trust
from tests.archive.memory import InMemory

FOLDER = Path(__file__).parents[1] / "vectors"
ARCHIVE = (FOLDER / "tiny.tar.zst").read_bytes()
KEY = "cp311-linux_x86_64-" + "0123456789" * 4
INFO = "lib/python3.11/site-packages/Tiny_Thing-1.0.dist-info"


def read(offset: int, size: int) -> bytes:
    return ARCHIVE[offset : offset + size]


@pytest.fixture
def pointer() -> Pointer:
    return Trust().judge((FOLDER / "tiny.json").read_bytes(), key=KEY).pointer


def test_pointer_and_trailer_lead_to_one_manifest(pointer: Pointer) -> None:
    """A reader with a pointer and one without find the same table."""
    assert find_manifest(read, len(ARCHIVE)) == read_manifest(read, pointer.manifest)


def test_the_pointer_describes_the_archive(pointer: Pointer) -> None:
    """Size and digest are those of the file."""
    assert (len(ARCHIVE), hashlib.sha256(ARCHIVE).hexdigest()) == (pointer.archive.size, pointer.archive.sha256)


def test_the_layers_are_these(pointer: Pointer) -> None:
    """The digests of the layers' raw bytes are part of the format: other machines fetch by them."""
    assert {
        "base": "ffca",
        "tiny-thing": "f758",
        "rest": "4780",
    } == {layer.name: layer.digest[:4] for layer in read_manifest(read, pointer.manifest).layers}


@pytest.mark.parametrize("workers", [1, 4])
def test_it_unpacks_to_these_files(pointer: Pointer, tmp_path: Path, workers: int) -> None:
    """Every kind of file comes out as it must be at a prefix that needs quoting."""
    staged, prefix = tmp_path / "staged", "/srv/it's here"
    staged.mkdir()
    manifest = read_manifest(read, pointer.manifest)
    unpack(InMemory(ARCHIVE), manifest, str(staged), prefix=prefix, workers=workers, report=Report())
    expected = {
        ".gitignore": "*\n",
        "bin/activate": "VIRTUAL_ENV='/srv/it'\"'\"'s here'\nexport VIRTUAL_ENV\n",
        "bin/activate.csh": "setenv VIRTUAL_ENV '/srv/it'\\''s here'\nset prompt = 'it'\\''s here'\n",
        "bin/tiny": "#!/bin/sh\n'''exec' '/srv/it'\"'\"'s here/bin/python' -s \"$0\" \"$@\"\n' '''\nprint('tiny')\n",
        "etc/tiny.conf": "root = /srv/it's here/share\n",
        f"{INFO}/direct_url.json": json.dumps({"dir_info": {}, "url": "file:///srv/it%27s%20here/src/tiny"}),
        f"{INFO}/REQUESTED": "",
        "lib/libtiny.a": f"!<arch>\n\0{prefix.rjust(96, '/')}/share\0:{prefix.rjust(96, '/')}:\0",
        "lib/python3.11/site-packages/umlaut-ä.txt": "names are UTF-8\n",
        "share/kernel.json": json.dumps({"argv": ["/srv/it's here/bin/python"]}),
    }
    assert expected == {path: (staged / path).read_text() for path in expected}
    assert os.readlink(staged / "lib64") == "lib"
    assert (staged / "include").is_dir()
    assert (staged / "bin/tiny").stat().st_mode & 0o777 == 0o755
    assert {entry.path for entry in manifest.relocations} <= {
        str(path.relative_to(staged)) for path in staged.rglob("*")
    }
