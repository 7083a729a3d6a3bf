"""scripts/bench: what is made of runs, and the server that stands for a bucket."""

from __future__ import annotations

import dataclasses
import json
import ssl
import urllib.error
import urllib.request
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.benchmark import scenarios, tables
from scripts.benchmark.buckets import Bucket
from scripts.benchmark.documents import BLOCK, filled
from scripts.benchmark.goals import BESIDE, GOALS, Goal, beside, exponents, judge_growth, judge_set, verdict
from scripts.benchmark.growth import at_once
from scripts.benchmark.measuring import FailedError, Launcher, Scenario, first_answer, measure, rounds_of
from scripts.benchmark.preparing import Prepared
from scripts.benchmark.results import Measured, Results, Run, Spread, Traffic
from scripts.benchmark.sets import NAMED, Requirements, of_bytes, of_files
from scripts.benchmark.shaped import Shaped
from scripts.benchmark.tools import Tools
from tests.loopback import certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

TRUE = Path("/bin/true")


def runs(*walls: float, start: int = 0, **more: float) -> list[Run]:
    """Return runs of rounds from ``start`` on."""
    kept = {"cpu": 1.0, "memory": 50_000_000} | more
    return [Run(round=start + number, wall=wall, **kept) for number, wall in enumerate(walls)]  # type: ignore[arg-type]


# ---- verdicts


@pytest.mark.parametrize(
    ("expected", "values"),
    [
        pytest.param("met beyond the spread", [0.7, 0.75, 0.8], id="all"),
        pytest.param("met beyond the spread", [0.7, 0.7, 0.7, 0.7, 9.0], id="one-outlier"),
        pytest.param("met within the spread", [0.7, 0.79, 0.9], id="half"),
        pytest.param("missed by 5%, within the spread", [0.7, 0.84, 0.9], id="less-than-half"),
        pytest.param("missed by 25%", [0.9, 1.0, 1.1], id="none"),
        pytest.param("met beyond the spread", [0.8], id="one-at-the-bound"),
        pytest.param("missed by 12%", [0.9], id="one-above"),
    ],
)
def test_a_goal_counts_as_met_only_beyond_the_spread(expected: str, values: list[float]) -> None:
    """The middle half of the ratios decides; what lies outside of it is no doubt."""
    assert expected == verdict(Spread.of(values), 0.8)


def test_ratios_are_of_runs_of_one_round() -> None:
    """A round in which one of them did not run does not count, and one is not compared with another's."""
    measured = Measured(runs={"ours": runs(2.0, 3.0, 8.0), "theirs": runs(1.0, 4.0, start=1)})
    assert [3.0, 2.0] == measured.ratios("ours", ["theirs"], "wall")
    assert [] == measured.ratios("ours", ["not measured"], "wall")


def test_of_several_rivals_the_larger_counts_in_each_round() -> None:
    """A goal of the larger of two takes whichever it is in that round."""
    measured = Measured(runs={"ours": runs(6.0, 6.0), "a": runs(1.0, 3.0), "b": runs(2.0, 2.0)})
    assert [3.0, 2.0] == measured.ratios("ours", ["a", "b"], "wall")
    assert "ours / the larger of a and b" == Goal(ours="ours", rivals=("a", "b"), bound=1).title


def test_what_was_not_measured_is_not_judged() -> None:
    """Of all goals those remain whose scenarios are there, and sizes that are known."""
    measured = Measured(
        facts={"archive": 103.0, "tar | zstd -6": 100.0},
        runs={"fetch, directory": runs(1.0, 1.0), "cp -r": runs(1.0, 0.5)},
    )
    judged = {each.title: each for each in judge_set(measured)}
    assert {"fetch, directory / cp -r", "archive / tar | zstd -6"} == judged.keys()
    assert 1.5 == judged["fetch, directory / cp -r"].spread.median
    assert "met beyond the spread" == judged["archive / tar | zstd -6"].verdict


def test_rivals_are_told_the_one_that_wins_first() -> None:
    """All that were measured, whether there is a goal or not."""
    measured = Measured(
        runs={"fetch, directory": runs(1.0, 1.0), "uv, warm": runs(0.1, 0.2), "pip, from a folder": runs(9.0, start=1)}
    )
    told = [(ours, rival, spread.median) for ours, rival, spread, _ in beside(measured)]
    assert [("fetch, directory", "uv, warm", 7.5), ("fetch, directory", "pip, from a folder", 1 / 9)] == told
    text = tables.ratios(measured)
    assert "| 7.5 | 6.25 to 8.75 | 7.5 times slower | 1 |" in text
    assert "| 0.111 | 0.111 to 0.111 | 9.0 times faster | 1 |" in text


def test_the_first_byte_is_its_own_quantity() -> None:
    """It is compared with a first byte, not with a whole run."""
    measured = Measured(
        runs={"fetch, shaped S3": runs(9.0, first_byte=0.3), "boto3, shaped S3": runs(1.0, first_byte=0.6)}
    )
    (judged,) = judge_set(measured)
    assert (0.5, "met beyond the spread") == (judged.spread.median, judged.verdict)


# ---- growth


def test_the_exponent_is_of_the_largest_tenfold() -> None:
    """What takes long to start looks flat; the exponent does not see that."""
    grown = {size: 5.0 if size < 1000 else (size / 1000) ** 1.5 for size in (1, 10, 100, 1000, 3000, 10_000)}
    points = {size: Measured(runs={"cp -r": runs(wall, 2 * wall)}) for size, wall in grown.items()}
    assert [1.5, 1.5] == pytest.approx(exponents(points, "cp -r"))
    assert [] == exponents(points, "fetch, directory")
    assert [] == exponents({}, "cp -r")


def test_growth_is_judged_by_exponent_memory_and_the_share_of_a_client() -> None:
    """Each has its bound, and none is asked of what was not measured."""
    fetch = "fetch, directory"
    growth = {
        "bytes": {
            100_000_000: Measured(runs={fetch: runs(1.0, memory=150_000_000)}),
            1_000_000_000: Measured(runs={fetch: runs(10.0)}),
            4_000_000_000: Measured(runs={fetch: runs(40.0, memory=250_000_000)}),
        },
        "clients": {1: Measured(runs={fetch: runs(1.0, cpu=1.0)}), 50: Measured(runs={fetch: runs(9.0, cpu=60.0)})},
    }
    judged = {each.title: (round(each.spread.median, 6), each.verdict) for each in judge_growth(growth)}
    assert {
        "exponent of the time of a fetch over bytes": (1.0, "met beyond the spread"),
        "peak memory of a fetch of 100 MB, in MB": (150.0, "met beyond the spread"),
        "peak memory of a fetch of 4000 MB, in MB": (250.0, "missed by 25%"),
        "CPU seconds of a client of 50 at once / alone": (1.2, "missed by 9%"),
    } == judged
    assert [] == judge_growth({})


def test_what_is_made_is_of_the_size_that_was_asked_for(tmp_path: Path) -> None:
    """Data by the byte, modules so many that with their bytecode it is the number; the same wheels every time."""
    texts = []
    for place in (tmp_path / "one", tmp_path / "two"):
        (place / "data").mkdir(parents=True)
        (place / "code").mkdir()
        texts.append((of_bytes(3_000_000, place / "data").text, of_files(10, place / "code").text))
    assert texts[0] == texts[1]
    (data,), (code,) = ((tmp_path / "one" / name).iterdir() for name in ("data", "code"))
    with zipfile.ZipFile(data) as wheel:
        assert 3_000_000 == sum(each.file_size for each in wheel.infolist() if each.filename.endswith(".bin"))
    with zipfile.ZipFile(code) as wheel:
        assert 5 == sum(each.filename.endswith(".py") for each in wheel.infolist())


def test_clients_at_once_each_have_a_place_and_all_must_succeed(tmp_path: Path) -> None:
    """One that fails is a failure of the whole."""
    fine = at_once(Scenario(name="fine", command="exec mkdir {new} {new}-cache"), 3)
    bad = at_once(Scenario(name="bad", command="mkdir {new} && test $client != 2"), 3)
    with Launcher(tmp_path, {"PATH": "/usr/bin:/bin"}) as launcher:
        launcher.run(fine.command.format(new=tmp_path / "new"))
        with pytest.raises(FailedError, match="exit code 1"):
            launcher.run(bad.command.format(new=tmp_path / "other"))
    assert ["1", "1-cache", "2", "2-cache", "3", "3-cache"] == sorted(
        path.name for path in (tmp_path / "new").iterdir()
    )


# ---- rounds


def test_every_other_round_goes_backwards() -> None:
    """Who comes first is not always the same, and what is slow takes part in few rounds."""
    first, second, slow = (
        Scenario(name=name, command=":", rounds=most) for name, most in (("a", 9), ("b", 9), ("c", 1))
    )
    order = [(number, scenario.name) for number, scenario in rounds_of([first, second, slow], 3)]
    assert [(0, "a"), (0, "b"), (0, "c"), (1, "b"), (1, "a"), (2, "a"), (2, "b")] == order


def test_a_run_is_a_whole_process_with_all_that_it_waits_for(tmp_path: Path) -> None:
    """Its processor time and memory are those of its children too, and not of who measures."""
    child = "import time; a = bytearray(100_000_000)\nwhile time.process_time() < 0.2: pass"
    with Launcher(tmp_path, {"PATH": "/usr/bin:/bin"}) as launcher:
        idle = launcher.measure(Scenario(name="idle", command="exec true"), 3)
        busy = launcher.measure(Scenario(name="busy", command=f"python3 -S -c '{child}'; true"), 4)
    assert (3, 4) == (idle.round, busy.round)
    assert idle.cpu < 0.2 <= busy.cpu
    assert idle.memory < 40_000_000
    assert busy.memory > 100_000_000


def test_a_scenario_that_fails_is_left_out_and_named(tmp_path: Path) -> None:
    """The others go on, and itself with another set; what it said last is told; what the right code is, it says."""
    results, measured = Results(path=tmp_path / "results.json"), Measured()
    both = [
        Scenario(name="bad", command="echo first >&2; echo last >&2; exit 3"),
        Scenario(name="four", command="exit 4", code=4),
    ]
    with Launcher(tmp_path, {"PATH": "/usr/bin:/bin"}) as launcher:
        measure(launcher, both, 2, measured, results)
        measure(launcher, [dataclasses.replace(both[0], command="true")], 1, again := Measured(), results)
        with pytest.raises(FailedError, match="exit code 0"):
            launcher.run("true", code=1)
    assert (0, 2) == (len(measured.runs["bad"]), len(measured.runs["four"]))
    assert 1 == len(again.runs["bad"])
    assert "exit code 3: last" == results.left_out["bad"].splitlines()[0]
    assert results.left_out.keys() == Results.load(tmp_path / "results.json").left_out.keys() == {"bad"}


def test_a_run_has_a_path_that_is_not_there_yet(tmp_path: Path) -> None:
    """Each has its own, what comes before is not timed, and the moment in between is told."""
    seen: list[list[str]] = []

    def ready() -> None:
        seen.append([path.name for path in tmp_path.glob("new-*")])

    making = Scenario(name="making", before="mkdir {new}-cache", command="mkdir {new} && test -d {new}-cache")
    with Launcher(tmp_path, {"PATH": "/usr/bin:/bin"}) as launcher:
        for number in range(2):
            launcher.measure(making, number, ready)
    assert ["new-1-cache"] == seen[0]
    assert "new-2-cache" in seen[1]
    assert "new-2" not in seen[1]


def test_the_first_answer_is_the_first_one_since(tmp_path: Path) -> None:
    """Answers to runs before do not count."""
    answers = tmp_path / "answers"
    answers.write_text("10.0 200 /a\n12.5 200 /b\n13.0 200 /c\n")
    assert 1.5 == first_answer(answers, 11.0)


# ---- showing


def example() -> Results:
    """Return results with something of each kind."""
    web = Measured(
        facts={"packages": 70, "files": 13_700, "bytes": 270e6, "archive": 65.4e6, "tar | zstd -6": 64e6},
        bytecode={"fetch, directory": True, "uv, cold": False, "kept": None},
        runs={"fetch, directory": runs(0.3, 0.4, 0.5), "uv, cold": runs(0.6, 0.8, 1.0), "kept": []},
        traffic={"fetch, S3": Traffic(requests={"GetObject": 10, "PutObject": 1}, received=65_400_000, sent=10_000)},
    )
    points = {size: Measured(runs={"fetch, directory": runs(size / 1e9)}) for size in (10**8, 10**9)}
    return Results(
        machine={"cores": "2"},
        tools={"uv": "0.8.13"},
        left_out={"pex": "cannot be installed\nmore"},
        sets={"web": web},
        growth={"bytes": points},
    )


def test_saved_results_are_the_same_when_they_are_read(tmp_path: Path) -> None:
    """Every field comes back, amounts as numbers; another schema is refused."""
    path = tmp_path / "results.json"
    results = dataclasses.replace(example(), path=path)
    results.save()
    assert results == Results.load(path)
    assert {"results.json"} == {each.name for each in tmp_path.iterdir()}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    with pytest.raises(ValueError, match="another version"):
        Results.load(path)


def test_the_tables_of_given_results() -> None:
    """Medians with their spread, bytecode, verdicts, traffic; nothing of what was not run."""
    blocks = tables.blocks(example())
    assert "Machine: cores: 2.\n\nTools: uv 0.8.13.\n\nLeft out: pex: cannot be installed.\n" == blocks["machine"]
    assert (
        "| fetch, directory / uv, cold | ≤ 1 | 0.5 | 0.5 to 0.5 | 3 | met beyond the spread |\n" in blocks["web goals"]
    )
    assert r"| archive / tar \| zstd -6 | ≤ 1.03 | 1.02 |" in blocks["web goals"]
    assert "70 packages, 13,700 files, 270 MB. archive 65.4 MB, tar | zstd -6 64.0 MB.\n" in blocks["web scenarios"]
    assert (
        "| fetch, directory | yes | 0.4 (0.3 to 0.5) | 1 (1 to 1) |  | 50 | 3 |\n"
        "| uv, cold | no | 0.8 (0.6 to 1) | 1 (1 to 1) |  | 50 | 3 |\n"
    ) in blocks["web scenarios"]
    assert "kept" not in blocks["web scenarios"]
    assert "| fetch, directory | uv, cold | 0.5 | 0.5 to 0.5 | 2.0 times faster | 1 |\n" in blocks["web beside"]
    assert "| fetch, S3 | 10 GetObject, 1 PutObject | 65.40 | 0.01 |\n" in blocks["web traffic"]
    assert "fetch, directory: 1.\n" in blocks["growth"]
    assert "" == tables.table(["head"], [])
    for title in ("machine", "web goals", "growth"):
        assert f"## {title}\n\n{blocks[title]}" in tables.whole(example())


def test_a_document_has_what_is_between_its_comments_made_anew() -> None:
    """All else stays, and doing it twice changes nothing."""
    before = (
        "# Title\n<!-- bench:begin web goals -->\nold\n<!-- bench:end -->\nprose\n"
        "<!-- bench:begin other -->\n<!-- bench:end -->\nend\n"
    )
    after = filled(before, {"web goals": "| a |\n", "unused": "-"})
    assert (
        "# Title\n<!-- bench:begin web goals -->\n| a |\n<!-- bench:end -->\nprose\n"
        "<!-- bench:begin other -->\nNot measured.\n<!-- bench:end -->\nend\n"
    ) == after
    assert after == filled(after, {"web goals": "| a |\n"})


def test_the_page_has_places_for_all_results() -> None:
    """Every block that results of all sets and curves have stands in it, and no other."""
    page = (Path(__file__).parents[1] / "docs/performance.md").read_text()
    known = tables.blocks(dataclasses.replace(example(), sets={name: example().sets["web"] for name in NAMED})).keys()
    assert known == {match["name"] for match in BLOCK.finditer(page)}
    assert page != filled(page, dict.fromkeys(known, "new\n"))


@pytest.mark.parametrize("broken", ["<!-- bench:begin a -->\n", "<!-- bench:end -->\n"], ids=["begin", "end"])
def test_a_comment_without_its_counterpart_is_refused(broken: str) -> None:
    """Nothing is swallowed up to the end of another block."""
    whole = "<!-- bench:begin b -->\n<!-- bench:end -->\n"
    with pytest.raises(ValueError, match="does not begin or does not end"):
        filled(broken + whole, {})


# ---- the shaped server


@contextmanager
def shaped(folder: Path, answers: Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Serve a folder with no delay to speak of."""
    shown = certificate(answers.parent)
    with Shaped(folder, latency=0.001, rate=10**9, answers=answers, shown=shown) as server:
        yield server.url, ssl.create_default_context(cafile=shown.crt)


def test_the_shaped_server_has_objects_ranges_and_notes(tmp_path: Path) -> None:
    """What is there is served, whole or a range; what is not is a miss as S3 says it; what is put is there."""
    (tmp_path / "objects/bucket").mkdir(parents=True)
    (tmp_path / "objects/bucket/key").write_bytes(b"0123456789")
    with shaped(tmp_path / "objects", tmp_path / "answers") as (url, trust):

        def ask(path: str, data: bytes | None = None, method: str | None = None, **headers: str) -> tuple[int, bytes]:
            request = urllib.request.Request(f"{url}/bucket/{path}", data, headers, method=method)
            try:
                with urllib.request.urlopen(request, context=trust) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read()

        assert (200, b"0123456789") == ask("key")
        assert (206, b"23456") == ask("key", Range="bytes=2-6")
        assert (412, b"") == ask("key", None, None, **{"If-Match": '"other"'})
        status, said = ask("nothing")
        assert (404, True) == (status, b"<Code>NoSuchKey</Code>" in said)
        assert (200, b"") == ask("new/one", b"put", "PUT")
        assert (412, b"") == ask("new/one", b"again", "PUT", **{"If-None-Match": "*"})
        assert (200, b"put") == ask("new/one")
        assert (501, b"") == ask("?list-type=2")
        assert (501, b"") == ask("key", None, "DELETE")
    lines = (tmp_path / "answers").read_text().splitlines()
    assert ["200", "206", "412", "404", "200", "412", "200", "501", "501"] == [line.split()[1] for line in lines]
    assert first_answer(tmp_path / "answers", 0) == float(lines[0].split()[0])


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """Return what a set is measured with, as far as scenarios look at it."""
    folder = tmp_path / "set"
    tools = Tools(TRUE, TRUE, TRUE, {"aws": TRUE, "s5cmd": TRUE, "pex": TRUE, "venv-pack": TRUE})
    for file, text in (
        ("tree/.terrastore/manifest.json", '{"key": "a-key"}'),
        ("store/v1/archives/a-key/one.tar.zst", ""),
        ("tree.pex", ""),
        ("venv-pack.tar.gz", ""),
    ):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    return Prepared(Requirements("a set", "six==1.17.0\n"), folder, tools)


def test_every_goal_is_of_scenarios_that_there_are(prepared: Prepared) -> None:
    """A goal whose scenario has another name would never be judged; no two scenarios have one name."""
    bucket = Bucket(name="bucket", endpoint="https://127.0.0.1:1", variables={}, certificate="tls.crt")
    found = [
        *(*scenarios.plain(prepared), *scenarios.directory(prepared)),
        *(*scenarios.from_s3(prepared, bucket, "S3"), *scenarios.startup(prepared, bucket)),
        *(*scenarios.from_s3(prepared, bucket, "shaped S3"), scenarios.ideal(prepared, bucket)),
        *scenarios.recreated(prepared, bucket, prepared.file, clones=True),
        *(*scenarios.nothing_to_do(prepared), *scenarios.missed(prepared)),
    ]
    names = [scenario.name for scenario in found] + [scenarios.IDEAL]
    assert len(names) == len(set(names))
    assert {name for goal in GOALS for name in (goal.ours, *goal.rivals)} <= set(names)
    assert {name for ours, rivals in BESIDE.items() for name in (ours, *rivals)} <= set(names)
    assert all("{new}" in each.command for each in found if each.bytecode is not None)
