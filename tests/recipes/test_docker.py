"""scripts/docker/Dockerfile: parsed, and its command run on a bare machine, with Debian's Python for the image's."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from typing import TYPE_CHECKING, NamedTuple

from tests.recipes import pages
from tests.recipes.commands import SCRIPTS, require_understood

if TYPE_CHECKING:
    from tests.bare_machine import BareMachine, Equipped

PLACE = "/srv/app"


class Instruction(NamedTuple):
    """A line of a Dockerfile: its name, ``--flag=value`` words, and the rest."""

    name: str
    flags: tuple[str, ...]
    text: str


def stages() -> list[list[Instruction]]:
    """Return the instructions of each stage, the first of which is FROM, without comments and what stands before."""
    text = (SCRIPTS / "docker/Dockerfile").read_text()
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("#")]
    found: list[list[Instruction]] = []
    for line in "".join(lines).replace("\\\n", " ").splitlines():
        parts = re.fullmatch(r"([A-Z]+) +((?:--\S+ +)*)(.*)", line)
        assert parts is not None or not line, line
        if parts is None:
            continue
        instruction = Instruction(parts[1], tuple(parts[2].split()), parts[3])
        if instruction.name == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def named(stage: list[Instruction], name: str) -> list[Instruction]:
    return [each for each in stage if each.name == name]


def test_both_stages_are_alike() -> None:
    """An environment runs where its Python is and where it was made: the image, the directory and the copy agree."""
    first, last = stages()
    (made,), (runs) = named(first, "FROM"), named(last, "FROM")
    assert f"{runs[0].text} AS environment" == made.text
    assert [PLACE] == [each.text for each in named(first, "WORKDIR")] == [each.text for each in named(last, "WORKDIR")]
    copy = named(last, "COPY")[0]
    assert (("--from=environment",), f"{PLACE}/env env") == (copy.flags, copy.text)
    assert f"PATH={PLACE}/env/bin:$PATH" == named(last, "ENV")[0].text
    assert "python" == json.loads(named(last, "CMD")[0].text)[0]


def test_no_secret_is_in_a_layer() -> None:
    """Credentials are there while a line runs: neither arguments nor variables of the image have them."""
    for stage in stages():
        assert [] == [each for each in stage if each.name in {"ARG", "ENV"} and "AWS" in each.text]
    (run,) = named(stages()[0], "RUN")
    assert {"secret"} == {re.match(r"--mount=type=(\w+),", flag)[1] for flag in run.flags}  # type: ignore[index]


def test_the_command_is_understood() -> None:
    """bootstrap.sh hands its arguments to ensure, which has these options."""
    (run,) = named(stages()[0], "RUN")
    shell, script, *words = shlex.split(run.text)
    assert ["sh", "bootstrap.sh"] == [shell, script]
    require_understood(["ensure", *words])


def test_the_image(machine: BareMachine, offered: Equipped) -> None:
    """What the first stage runs makes the environment without an index; copied, it is all that the last stage needs."""
    offered.put_on(machine)
    first, last = stages()
    place = machine.folder / "app"
    place.mkdir()
    for word in named(first, "COPY")[0].text.split()[:-1]:
        shutil.copy(machine.folder / word, place)
    (run,) = named(first, "RUN")
    missed = machine("sh", "-c", f"cd {PLACE} && {run.text} --no-seed", writable=True, STORE="/srv/store")
    assert 4 == missed.code, missed.err
    said = re.sub(r"python any 3\.\d+ → 3\.\d+\.\d+", "python 3.12.7 → 3.12.8", pages.result(missed.err))
    pages.told("docker", "failure", said, {"/srv/store": pages.STORE})
    # The tests' Python need not be the machine's to the patch version.
    line = run.text.replace("--no-build", "--no-build --any-patch --no-seed")
    assert run.text != line
    done = machine("sh", "-c", f"cd {PLACE} && {line}", writable=True, STORE="/srv/store")
    assert 0 == done.code, done.err
    pages.told("docker", "hit", pages.result(done.out), {"/srv/store": pages.STORE})
    # /opt, where terrastore was, is gone with the first stage.
    for path in (*place.iterdir(), machine.folder / "store"):
        if path.name != "env":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    first_on_path = named(last, "ENV")[0].text
    done = machine(
        "sh", "-c", f"cd {PLACE} && export {first_on_path} && alpha && python -c 'import beta; print(beta.PREFIX)'"
    )
    assert f"alpha 1.0\n{PLACE}/env\n" == done.out, done.err
