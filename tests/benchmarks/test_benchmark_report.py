import copy
import json

import pytest

from benchmarks import compare, machine, pictures, run
from benchmarks.__main__ import main
from benchmarks.report import Report, figure_text, quantity, table
from benchmarks.results import Figure, Outcome, Result

ROUNDS = [1.00, 1.02, 0.98, 1.01, 0.99]
MACHINE = {
    "processor": "some processor",
    "cpus": 2,
    "memory_gib": 8.0,
    "system": "Linux",
    "python": "3.11.7",
    "numpy": "2.4.0",
    "blas": "openblas 0.3",
    "threads": 2,
    "load_before": 0.1,
    "used_by_others": 0.01,
    "thread_pools": ["openblas 2"],
}


def scaled(factor):
    return [factor * value for value in ROUNDS]


@pytest.fixture
def report():
    steps = Outcome(
        "steps",
        "64-64-10@64",
        "s",
        {
            "npnet": Result("ok", "", scaled(1.3e-4)),
            "npnet-fast": Result("missing", "numba is not installed"),
            "bare": Result("ok", "", [3e-5] * 5),
            "torch-fused": Result("ok", "", [5.2e-4] * 5),
            "sklearn": Result("ok", "", [2e-3] * 5, "is different"),
            "jax": Result("failed", "RuntimeError: out of order"),
        },
        [Figure("npnet/torch-fused", 0.25, 0.24, 0.26, 0.2), Figure("npnet/bare", 4.3, 4.2, 4.4)],
    )
    memory = Outcome(
        "footprint",
        "peak-rss-3-2@1",
        "B",
        {"npnet": Result("ok", "", [6.1e7]), "needed": Result("ok", "", [5e7])},
        [Figure("npnet/needed", 1.22, 1.22, 1.22, 1.3)],
    )
    settings = {"command": "python -m benchmarks", "taken": "2024-01-01", "rounds": 5}
    versions = {"npnet": "npnet 1.0", "npnet-fast": "missing: numba is not installed"}
    curve = [
        Outcome(
            "scaling",
            f"width={n}:256-w-w-10",
            "s",
            {"npnet": Result("ok", "", [n * 1e-6]), "bare": Result("ok", "", [n * 5e-7])},
            [Figure("npnet/bare", 2.0, 2.0, 2.0)],
        )
        for n in (16, 128)
    ]
    return Report(settings, dict(MACHINE), versions, [steps, memory, *curve])


def test_the_table(report):
    lines = report.markdown().splitlines()
    assert "| steps/64-64-10@64 | npnet/torch-fused | 0.25 (0.24 to 0.26) | 0.2 | misses |" in lines
    assert "| footprint/peak-rss-3-2@1 | npnet/needed | 1.22 | 1.3 | holds |" in lines
    assert "| median | npnet | npnet-fast | bare | torch-fused | sklearn | jax |" in lines
    assert "| 64-64-10@64 | 130 µs | missing | 30 µs | 520 µs | 2 ms | failed |" in lines
    assert "| 64-64-10@64 | 0.25 (0.24 to 0.26) | 4.3 (4.2 to 4.4) |" in lines
    assert "- npnet-fast missing: numba is not installed (steps/64-64-10@64)" in lines
    assert "- jax failed: RuntimeError: out of order (steps/64-64-10@64)" in lines
    assert "- sklearn: is different (steps/64-64-10@64)" in lines
    text = report.markdown()
    for fact in (
        "some processor",
        "2 threads in each pool",
        "openblas 0.3",
        "NumPy 2.4.0",
        "npnet 1.0",
    ):
        assert fact in text
    assert "busy" not in text
    report.machine |= {"load_before": 3.0, "used_by_others": 0.5}
    assert (
        "**The machine was busy**: others used 0.5 of its processors meanwhile."
        in report.markdown()
    )
    report.machine["used_by_others"] = None
    assert "busy**: its load average was 3.0 before the start." in report.markdown()
    report.machine["used_by_others"] = 0.0
    assert "busy" not in report.markdown()


def test_many_figures_stand_in_rows(report):
    outcome = report.outcomes[1]
    outcome.figures = [Figure(f"a{i}/needed", 1.5, 1.5, 1.5) for i in range(6)]
    assert "| a5/needed | 1.5 |" in report.markdown().splitlines()


def test_json_holds_everything(report, tmp_path):
    report.save(tmp_path / "r.json")
    again = Report.load(tmp_path / "r.json")
    assert again == report
    assert again.markdown() == report.markdown()
    plain = json.loads((tmp_path / "r.json").read_text())
    entry = plain["outcomes"][0]
    assert entry["results"]["npnet"]["median"] == pytest.approx(1.3e-4)
    assert entry["results"]["npnet"]["samples"] == scaled(1.3e-4)
    assert entry["figures"][0]["verdict"] == "misses"


_NULL = """{"format": 1, "settings": {}, "machine": {}, "contenders": {}, "outcomes": [
    {"group": "a", "name": "b", "unit": "s", "figures": [], "results": {"npnet": null}}]}"""
_NO_REPORTS = ["[]", "{}", "not JSON", '{"format": 0}', '{"format": 1}', _NULL]


@pytest.mark.parametrize("text", _NO_REPORTS)
def test_a_file_that_is_no_report(text, tmp_path):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ValueError, match=r"other.json is no report.json of this suite"):
        Report.load(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.34567, "s", "2.35 s"),
        (0.999e-3, "s", "999 µs"),
        (0.99999e-3, "s", "1 ms"),
        (123.4e-6, "s", "123 µs"),
        (4.5e-8, "s", "0.045 µs"),
        (5.29e7, "B", "52.9 MB"),
        (1.5e9, "B", "1.5 GB"),
    ],
)
def test_quantity(value, unit, text):
    assert quantity(value, unit) == text


def test_small_texts():
    assert figure_text(Figure("npnet", 0.0453, 0.04, 0.05), "s") == "45.3 ms (40 ms to 50 ms)"
    assert table(["a", "b"], [("x", "1")]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_verdicts():
    assert Figure("a/b", 0.9, 0.8, 0.95, 1.0).verdict == "holds"
    assert Figure("a/b", 0.9, 0.8, 1.1, 1.0).verdict == "holds?"
    assert Figure("a/b", 1.05, 0.9, 1.1, 1.0).verdict == "misses?"
    assert Figure("a/b", 1.2, 1.1, 1.3, 1.0).verdict == "misses"
    assert Figure("a/b", 1.0, 1.0, 1.0, 1.0).verdict == "holds"
    assert Figure("a/b", 1.0, 1.0, 1.0).verdict == ""


def test_pictures(report, tmp_path):
    pytest.importorskip("matplotlib")
    paths = pictures.draw(report.outcomes, tmp_path)
    assert [path.name for path in paths] == ["steps.png", "scaling-width.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_a_watch_sees_what_others_compute(monkeypatch):
    now, others = iter([0.0, 10.0]), iter([100.0, 115.0])
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(machine, "_others_seconds", lambda: next(others))
    assert machine.Watch().stop()["used_by_others"] == 1.5


def test_own_work_is_not_that_of_others(monkeypatch, tmp_path):
    (tmp_path / "stat").write_text("cpu  100 20 50 99999 777 1 2 3 0 0\ncpu0 100 20 50\n")
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path / "stat")
    monkeypatch.setattr(machine.os, "sysconf", lambda _: 100)
    monkeypatch.setattr(machine.os, "times", lambda: (0.4, 0.1, 0.2, 0.06, 12345.0))
    assert machine._others_seconds() == pytest.approx(1.76 - 0.76)
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path / "nothing")
    assert machine._others_seconds() is None
    assert machine.Watch().stop()["used_by_others"] is None
    assert machine.busy({"load_before": None, "used_by_others": None}) == ""


# --- comparison


def verdicts(old, new):
    return {change.label: change.verdict for change in compare.compare(old, new)}


STEP = "steps/64-64-10@64/npnet"
MEMORY = "footprint/peak-rss-3-2@1/npnet"


def test_the_same_is_no_regression(report):
    assert set(verdicts(report, copy.deepcopy(report)).values()) == {"within the spread"}
    assert verdicts(report, report)[STEP] == "within the spread"


def test_a_planted_regression_is_flagged(report):
    new = copy.deepcopy(report)
    new.outcomes[0].results["npnet"].samples = scaled(1.3e-4 * 1.2)
    new.outcomes[1].results["npnet"].samples = [6.1e7 * 1.1]
    found = verdicts(report, new)
    assert found[STEP] == found[MEMORY] == "regression"
    assert verdicts(new, report)[STEP] == "improvement"
    text = compare.describe(compare.compare(report, new))
    assert f"| {STEP} | regression | time / bare |" in text
    assert f"| {MEMORY} | regression | bytes |" in text


def test_a_slower_machine_is_no_regression(report):
    new = copy.deepcopy(report)
    for result in new.outcomes[0].results.values():
        result.samples = [3 * value for value in result.samples]
    assert verdicts(report, new)[STEP] == "within the spread"


def test_a_change_within_the_spread_is_no_regression(report):
    new = copy.deepcopy(report)
    report.outcomes[0].results["npnet"].samples = [1e-4, 1.2e-4, 1.4e-4, 1.1e-4, 1.3e-4]
    new.outcomes[0].results["npnet"].samples = [1.1e-4, 1.3e-4, 1.5e-4, 1.2e-4, 1.4e-4]
    assert verdicts(report, new)[STEP] == "within the spread"
    new.outcomes[0].results["npnet"].samples = [2e-4] * 5
    assert verdicts(report, new)[STEP] == "regression"


def test_a_time_without_a_rival_needs_a_larger_change(report):
    for name in ("bare", "torch-fused"):
        del report.outcomes[0].results[name]
    new = copy.deepcopy(report)
    new.outcomes[0].results["npnet"].samples = scaled(1.3e-4 * 1.15)
    assert verdicts(report, new)[STEP] == "within the spread"
    new.outcomes[0].results["npnet"].samples = scaled(1.3e-4 * 1.3)
    assert verdicts(report, new)[STEP] == "regression"


def test_a_regression_must_show_twice(report):
    new, again = copy.deepcopy(report), copy.deepcopy(report)
    new.outcomes[0].results["npnet"].samples = scaled(1.3e-4 * 1.2)
    new.outcomes[1].results["npnet"].samples = [7e7]
    again.outcomes[1].results["npnet"].samples = [7e7]
    changes = compare.confirm(compare.compare(report, new), compare.compare(report, again))
    found = {change.label: change.verdict for change in changes}
    assert (found[STEP], found[MEMORY]) == ("not confirmed", "regression")
    assert "looked slower once" in compare.describe(changes)


def test_what_failed_now_is_a_regression_but_what_is_absent_is_not(report):
    new = copy.deepcopy(report)
    new.outcomes[0].results["npnet"] = Result("failed", "ValueError: no")
    assert verdicts(report, new)[STEP] == "regression"
    new.outcomes[0].results["npnet"] = Result("skipped", "left out")
    assert verdicts(report, new)[STEP] == "within the spread"
    del new.outcomes[0].results["npnet"]
    assert STEP not in verdicts(report, new)
    assert not verdicts(Report({}, {}, {}, []), report)


def test_other_machines_and_versions_are_named(report):
    new = copy.deepcopy(report)
    new.machine["threads"] = 1
    new.contenders["npnet"] = "npnet 1.1"
    assert compare.differences(report, report) == []
    new.machine["used_by_others"] = 0.7
    new.settings["rounds"] = 3
    assert compare.differences(report, new) == [
        "threads: 2 -> 1",
        "npnet: npnet 1.0 -> npnet 1.1",
        "3 rounds in the new run are too few to know its spread",
        "the machine was busy in the new run: others used 0.7 of its processors meanwhile",
    ]


# --- the command


@pytest.fixture
def command(tmp_path):
    def call(*more, out="out", only="steps/*/npnet"):
        given = ["--rounds", "2", "--quick", "--mlp", "6-5-4", "--batch", "3", "--threads", "1"]
        return main([*given, "--filter", only, "--out", str(tmp_path / out), *more])

    return call


def test_the_command_writes_reports_and_flags_a_planted_regression(command, tmp_path, capsys):
    assert command() == 0
    out = tmp_path / "out"
    shown = capsys.readouterr().out
    assert (out / "report.md").read_text() in shown
    report = Report.load(out / "report.json")
    (outcome,) = report.outcomes
    assert (outcome.group, outcome.name) == ("steps", "6-5-4@3")
    assert set(outcome.results) == {"npnet", "npnet-fast"}
    assert outcome.results["npnet"].status == "ok"
    assert len(outcome.results["npnet"].samples) == 2
    assert report.machine["threads"] == 1
    assert report.settings["command"].startswith("python -m benchmarks --rounds 2 --quick --mlp")

    def multiply(factor, *names):
        for name in names:
            result = outcome.results[name]
            result.samples = [value * factor for value in result.samples]

    multiply(1e-3, "npnet")  # one is enough
    report.save(tmp_path / "fast.json")
    assert command("--compare", str(tmp_path / "fast.json"), out="new") == 1
    assert "| steps/6-5-4@3/npnet | regression | seconds |" in capsys.readouterr().out

    multiply(1e6, *outcome.results)
    report.save(tmp_path / "slow.json")
    assert command("--compare", str(tmp_path / "slow.json"), out="new") == 0
    assert "| steps/6-5-4@3/npnet | improvement | seconds |" in capsys.readouterr().out


def test_a_report_of_other_cases_is_refused(command, tmp_path, capsys):
    command()
    old = str(tmp_path / "out" / "report.json")
    with pytest.raises(SystemExit) as stop:
        command("--compare", old, only="inference/*/npnet")
    assert stop.value.code == 2
    assert "none of the cases" in capsys.readouterr().err


def test_a_regression_is_measured_again_before_it_counts(command, tmp_path, monkeypatch, capsys):
    assert command() == 0
    report = Report.load(tmp_path / "out" / "report.json")
    slow = copy.deepcopy(report)
    for result in slow.outcomes[0].results.values():
        result.samples = [10 * value for value in result.samples]
    answers = [slow.outcomes[0], report.outcomes[0]]
    monkeypatch.setattr(run, "run_case", lambda *_: answers.pop(0))
    assert command("--compare", str(tmp_path / "out" / "report.json"), out="new") == 0
    assert answers == []
    assert "| steps/6-5-4@3/npnet | not confirmed |" in capsys.readouterr().out


def test_list_runs_nothing(command, tmp_path, capsys):
    assert command("--list", only="TORCH") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("steps/6-5-4@3/torch-fused") for line in lines)
    assert all("torch" in line for line in lines)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filter", "nothing like this"], "matches nothing"),
        (["--mlp", "784"], "at least two"),
        (["--mlp", "7x8"], "like 784-256-10"),
        (["--mlp", "13-100-1"], "at least two outputs"),
        (["--batch", "0"], "--batch: expected a positive number, got '0'"),
        (["--batch", "64"], "--mlp, which is not given"),
        (["--rounds", "-1"], "--rounds: expected"),
        (["--rounds", "two"], "expected a positive number, got 'two'"),
        (["--out", __file__], "File exists"),
        (["--quik"], "unrecognized arguments"),
        (["--comp", __file__], "unrecognized arguments"),
        (["--compare", __file__], "is no report.json"),
        (["--compare", "no/such/file.json"], "No such file"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_an_interrupted_run_reports_what_it_has(command, tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_case", interrupt)
    assert command() == 130
    assert Report.load(tmp_path / "out" / "report.json").outcomes == []
    assert "interrupted" in capsys.readouterr().out
