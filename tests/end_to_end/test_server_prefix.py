"""A wheel such as mod_wsgi-httpd's or petsc's: programs that were built with the environment as their prefix.

The files are made here, with the syntax and the places that theirs have; neither package is built.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CommandLine, command_line, make_project
from tests.end_to_end.examine import examine, files_that_name

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKEND = r"""
import base64, hashlib, os, subprocess, sys, tempfile, zipfile
work = tempfile.mkdtemp()
code = '''
#include <stdio.h>
int x_module(void);
int main(void) { printf("%s %d\\n", HTTPD_ROOT "/conf/httpd.conf", x_module()); return 0; }
'''
open(work + '/httpd.c', 'w').write(code)
open(work + '/x.c', 'w').write('const char *home = HTTPD_ROOT; int x_module(void) { return home[0]; }')
gcc = ['gcc', '-DHTTPD_ROOT="%s"' % sys.prefix, '-L' + work, '-Wl,-rpath,' + sys.prefix + '/modules']
subprocess.run([*gcc, '-shared', '-fPIC', work + '/x.c', '-o', work + '/libmod_x.so'], check=True)
subprocess.run([*gcc, work + '/httpd.c', '-o', work + '/httpd', '-lmod_x'], check=True)
data = {
    'bin/httpd': open(work + '/httpd', 'rb').read(),
    'modules/libmod_x.so': open(work + '/libmod_x.so', 'rb').read(),
    'conf/httpd.conf': 'ServerRoot "<prefix>"\nLoadModule x_module modules/libmod_x.so\n',
    'bin/apxs': '#!/usr/bin/perl -w\nmy $prefix = "<prefix>";\nprint "$prefix\\n";\n',
    'bin/apachectl': '#!/bin/sh\nHTTPD=\'<prefix>/bin/httpd\'\nexec "$HTTPD"\n',
    'bin/envvars': 'LD_LIBRARY_PATH="<prefix>/lib:$LD_LIBRARY_PATH"\n',
    'build/config_vars.mk': 'prefix = <prefix>\nsbindir = ${prefix}/bin\nall: ; @echo $(sbindir)\n',
    'build/libtool': '#!/bin/sh\n# libtool - Provide generalized library-building support services.\n'
                     'sys_lib_search_path_spec="<prefix>/lib /usr/lib"\necho "$sys_lib_search_path_spec"\n',
    'lib/libapr-1.la': "libdir='<prefix>/lib'\n",
    'lib/petsc/conf/petscvariables': 'PETSC_DIR = <prefix>\n',
    'lib/petsc/conf/petscrules.py': 'PREFIX = "<prefix>"\n',
}
info, name = 'server-1.0.dist-info', 'server-1.0-py3-none-linux_x86_64.whl'
members = {'server-1.0.data/data/' + path: content for path, content in data.items()} | {
    info + '/METADATA': 'Metadata-Version: 2.1\nName: server\nVersion: 1.0\n',
    info + '/WHEEL': 'Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n',
}
rows = ''
with zipfile.ZipFile(folder + '/' + name, 'w') as wheel:
    for path, content in members.items():
        raw = content if isinstance(content, bytes) else content.replace('<prefix>', sys.prefix).encode()
        facts = zipfile.ZipInfo(path)
        facts.external_attr = (0o100755 if '/bin/' in path else 0o100644) << 16
        wheel.writestr(facts, raw)
        digest = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b'=').decode()
        rows += path + ',sha256=' + digest + ',' + str(len(raw)) + '\n'
    wheel.writestr(info + '/RECORD', rows + info + '/RECORD,,\n')
return name
"""
KINDS = {
    "bin/httpd": "binary",
    "modules/libmod_x.so": "binary",
    "conf/httpd.conf": "text",
    "bin/apxs": "text",
    "bin/apachectl": "sh",
    "bin/envvars": "text",
    "build/config_vars.mk": "text",
    "build/libtool": "sh",
    "lib/libapr-1.la": "text",
    "lib/petsc/conf/petscvariables": "text",
    "lib/petsc/conf/petscrules.py": "python",
}


def said(*command: str | Path) -> str:
    """Return what a command prints; it must end with 0."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", env={"PATH": os.defpath})
    return done.stdout.strip()


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[CommandLine]:
    """Return a command line whose store has such an environment; the first one still stands, with other content."""
    with command_line(tmp_path_factory.mktemp("server") / "home", wheels) as command:
        make_project(command.cwd / "server", BACKEND)
        command.write("requirements.txt", "./server\n")
        plain = sorted(path for path, kind in KINDS.items() if kind == "text")
        warnings = command.ok("build", "--json").json["warnings"]
        assert any(warning.endswith(f": {', '.join(plain)}") for warning in warnings), warnings
        assert any(
            warning.endswith("compiled files hold the path: bin/httpd, modules/libmod_x.so") for warning in warnings
        )
        yield command


@pytest.fixture(params=["first", "an oth'er pläce"])
def place(request: pytest.FixtureRequest, cli: CommandLine) -> Iterator[Path]:
    """Return an environment that was fetched; compiled files have room for its path, whatever pytest's own is."""
    place = Path("/tmp", f"ts-{os.getpid()}", request.param)
    cli.ok("ensure", "--no-build", "--target", str(place))
    yield place
    shutil.rmtree(place.parent)


def test_programs_find_their_prefix(place: Path) -> None:
    """What runs says where it is now: a program and its library, scripts for sh, perl and make, and a module."""
    padded = os.fsdecode(os.fsencode(place).rjust(96, b"/"))
    assert f"{padded}/conf/httpd.conf {ord('/')}" == said(place / "bin/httpd")
    assert f"{padded}/conf/httpd.conf {ord('/')}" == said(place / "bin/apachectl")
    assert f"{place}/lib /usr/lib" == said("sh", place / "build/libtool")
    assert f"{place}" == said(
        place / "bin/python",
        "-X",
        "utf8",
        "-c",
        f"import runpy; print(runpy.run_path({str(place / 'lib/petsc/conf/petscrules.py')!r})['PREFIX'])",
    )


def test_texts_name_the_place(place: Path) -> None:
    """Those of no known syntax are replaced as they are; with a plain path, perl and make read them so."""
    assert f'ServerRoot "{place}"\n' == (place / "conf/httpd.conf").read_text().splitlines(keepends=True)[0]
    assert f'LD_LIBRARY_PATH="{place}/lib:$LD_LIBRARY_PATH"\n' == (place / "bin/envvars").read_text()
    assert f"libdir='{place}/lib'\n" == (place / "lib/libapr-1.la").read_text()
    assert f"PETSC_DIR = {place}\n" == (place / "lib/petsc/conf/petscvariables").read_text()
    assert f'my $prefix = "{place}";' in (place / "bin/apxs").read_text()
    assert f"prefix = {place}\n" in (place / "build/config_vars.mk").read_text()
    if place.name == "first":
        assert f"{place}" == said(place / "bin/apxs")
        assert f"{place}/bin" == said("make", "-f", place / "build/config_vars.mk")


def test_nothing_else_is_named(cli: CommandLine, place: Path) -> None:
    """Neither the place that it was built at; every file is of the kind that its syntax demands, and RECORD is true."""
    manifest = json.loads((place / ".terrastore/manifest.json").read_text())
    kinds = {entry["path"]: entry["kind"] for entry in manifest["relocations"]}
    assert KINDS == {path: kinds.get(path) for path in KINDS}
    assert {".terrastore/manifest.json", ".terrastore/originals.tar"} == files_that_name(place, b"-staging-")
    assert [] == examine(place)["untrue"]
    cli.ok("verify", str(place))
