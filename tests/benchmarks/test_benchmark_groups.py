"""Every group runs, with hardly any time, and everything it promises is there."""

import numpy as np
import pytest

from benchmarks import footprint
from benchmarks.case import Options, figures, run_case
from benchmarks.contenders import NAMES, Contender, contender
from benchmarks.groups import all_cases
from benchmarks.groups.footprint import SMALL
from benchmarks.groups.steps import TARGETS
from benchmarks.isolate import Children
from benchmarks.results import Result
from benchmarks.timing import Pace, Run
from benchmarks.workloads import ACTIVATIONS, MLP, network

ALL = all_cases(Options())


def run(case, names, options):
    names = [name for name in case.contenders if name in names]
    with Children() as children:
        return run_case(case, [contender(name) for name in names], options, children)


def samples(outcome, name):
    result = outcome.results[name]
    assert result.status == "ok", result.reason
    assert all(value > 0 for value in result.samples)
    return len(result.samples)


@pytest.mark.parametrize("group", ["steps", "inference", "optimizers"])
def test_groups_of_times(group, hasty):
    cases = [case for case in all_cases(hasty) if case.group == group]
    assert cases
    for case in cases:
        outcome = run(case, ("npnet", "bare"), hasty)
        for name in outcome.results:
            assert samples(outcome, name) == 2
        if group != "optimizers":
            assert [f.name for f in outcome.figures] == ["npnet/bare"]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    options = Options(Pace(2, turn=0, least=1, settle=0, warm=0))
    cases = [case for case in all_cases(options) if case.name.startswith(f"{name}:")]
    assert [case.name for case in cases] == [f"{name}:forward", f"{name}:forward+backward"]
    for case in cases:
        outcome = run(case, ("npnet", "torch"), options)
        assert samples(outcome, "npnet") == 2
        assert outcome.results["torch"].status in ("ok", "missing")


def test_an_activation_is_checked(monkeypatch):
    wrong = ACTIVATIONS["Tanh"]._replace(function=np.arctan)
    monkeypatch.setitem(ACTIVATIONS, "Tanh", wrong)
    options = Options(Pace(2, turn=0, least=1, settle=0, warm=0))
    for case in all_cases(options):
        if case.name.startswith("Tanh:"):
            result = run(case, ("npnet",), options).results["npnet"]
            assert result.reason.startswith("WrongResult: after 2 calls its outputs are off by")


def test_scaling(hasty):
    cases = {case.name: case for case in all_cases(hasty) if case.group == "scaling"}
    assert [name for name in cases if name.startswith("batch=")] == [
        f"batch={rows}:6-5-4-3" for rows in (1, 32, 1024)
    ]
    assert {"width=1024:256-w-w-10", "depth=16:256-128*d-10"} < set(cases)
    for name in ("batch=1:6-5-4-3", "width=16:256-w-w-10"):
        outcome = run(cases[name], ("npnet", "bare"), hasty)
        assert samples(outcome, "npnet") == samples(outcome, "bare") == 2
        assert outcome.figures[0].target is None


def test_epochs(hasty, monkeypatch):
    rng = np.random.default_rng(0)
    part = rng.random((300, 784), np.float32), rng.integers(0, 10, 300)
    monkeypatch.setattr(network, "mnist", lambda images: (part, part))
    options = Options(Pace(9), quick=True, networks=(MLP((784, 8, 10), 128),))
    (case,) = (case for case in all_cases(options) if case.group == "epochs")
    outcome = run(case, ("npnet", "bare"), options)
    assert samples(outcome, "npnet") == samples(outcome, "bare") == 3  # epochs take their time
    assert outcome.results["npnet"].note.startswith("test accuracy 0.")
    assert not [case for case in all_cases(hasty) if case.group == "epochs"]  # it does not fit


def test_epochs_without_data(hasty, monkeypatch):
    monkeypatch.delenv("NPNET_DATA", raising=False)
    network.mnist.cache_clear()
    (case,) = (case for case in ALL if case.group == "epochs")
    result = run(case, ("npnet",), hasty).results["npnet"]
    assert result.status == "skipped"
    assert "set NPNET_DATA" in result.reason


def test_footprint(hasty):
    cases = {case.name: case for case in all_cases(hasty) if case.group == "footprint"}
    imports = run(cases["import-time"], ("npnet",), hasty)
    assert samples(imports, "npnet") == samples(imports, "numpy") == 2
    assert imports.figures[0].target == 0.03
    size = run(cases["installed-size"], ("npnet",), hasty)
    assert 30e6 < size.results["npnet"].median < 1e9  # NumPy and SciPy alone are more than 30 MB
    assert cases["installed-size"].unit == "B"


@pytest.mark.parametrize("way", ["peak-rss", "tracemalloc"])
def test_memory(way):
    mlp = MLP((256, 512, 512, 10), 256)
    options = Options(Pace(1, 0, 1, 0, 0), networks=(mlp,))
    (case,) = (case for case in all_cases(options) if case.name == f"{way}-{mlp}")
    outcome = run(case, ("npnet",), options)
    if outcome.results["npnet"].status == "skipped":
        pytest.skip(outcome.results["npnet"].reason)
    assert outcome.results["needed"].samples == [mlp.needed]
    (figure,) = outcome.figures
    assert (figure.name, figure.target) == ("npnet/needed", 1.3)
    assert 0.8 < figure.value < 4


def test_traced_memory_is_that_of_numpys_arrays():
    (case,) = (case for case in ALL if case.name.startswith("tracemalloc-784-1024"))
    assert case.contenders == ("npnet", "npnet-fast")
    mlp = MLP((256, 512, 10), 256)
    assert footprint.peak_traced(contender("npnet"), mlp, SMALL) > 0.8 * mlp.needed


def test_import_that_fails():
    with pytest.raises(RuntimeError, match="no_such_module"):
        footprint.import_seconds("no_such_module")


def test_requirements_of_npnet():
    plain = footprint.requirements_of_npnet()
    fast = footprint.requirements_of_npnet("fast")
    assert plain == ["numpy", "scipy", "tqdm"]
    assert fast[:3] == plain
    assert "numba" in fast


def test_what_a_size_leaves_out_is_said(hasty, monkeypatch):
    required = ["numpy", "no-such-distribution"]
    monkeypatch.setattr(footprint, "requirements_of_npnet", lambda extra: required)
    (case,) = (case for case in ALL if case.name == "installed-size")
    result = run(case, ("npnet",), hasty).results["npnet"]
    assert result.note == "without no-such-distribution, not installed here"


def test_the_rows_of_the_target_table_are_there():
    steps = {case.name: case for case in ALL if case.group == "steps"}
    assert list(steps) == list(TARGETS)
    assert len(steps) == 7
    middle = steps["784-256-128-10@128"]
    assert middle.contenders == NAMES
    assert middle.targets == {
        "npnet/torch-fused": 0.95, "npnet-fast/torch-fused": 0.55, "npnet-fast/bare": 1.25,
    }  # fmt: skip
    rows = [case.name for case in ALL if case.group == "inference"]
    assert rows == [f"784-256-128-10@{n}" for n in (1, 32, 1024)]
    assert "adamw@235146" in [case.name for case in ALL if case.group == "optimizers"]


def test_labels_are_unique():
    labels = [case.label(name) for case in ALL for name in case.contenders]
    assert len(labels) == len(set(labels))
    assert "steps/784-128-10@128/torch-fused" in labels


# --- whoever cannot take part


class Absent(Contender):
    def missing(self):
        return "not installed"


class Slow(Contender):
    slow = True


class Broken(Contender):
    def step(self, mlp):
        raise RuntimeError("out of order\nand more")


class Wrong(Contender):
    def step(self, mlp):
        return Run(lambda: None, result=mlp.initial)


def test_nobody_disappears_silently(hasty, tiny):
    case = next(case for case in all_cases(hasty) if case.name == str(tiny))
    entrants = [Absent("a"), Slow("b"), Broken("c"), Wrong("d"), contender("bare")]
    with Children() as children:
        outcome = run_case(case, entrants, hasty, children)
    assert [(name, r.status) for name, r in outcome.results.items()] == [
        ("a", "missing"), ("b", "skipped"), ("c", "failed"), ("d", "failed"), ("bare", "ok"),
    ]  # fmt: skip
    reasons = [result.reason for result in outcome.results.values()]
    assert reasons[0] == "not installed"
    assert "--quick" in reasons[1]
    assert reasons[2] == "RuntimeError: out of order"
    assert "off by 100%" in reasons[3]
    assert outcome.figures == []


def test_figures_and_verdicts():
    case = next(case for case in ALL if case.name == "784-128-10@128")
    results = {
        "npnet": Result("ok", "", [0.8, 0.9, 1.0]),
        "npnet-fast": Result("ok", "", [0.4, 0.4, 0.4]),
        "torch-fused": Result("ok", "", [1.0, 1.0, 1.0]),
        "bare": Result("failed", "why"),
    }
    ours, fast = figures(case, results)
    assert (ours.name, ours.value, ours.low, ours.high) == (
        "npnet/torch-fused", 0.9, pytest.approx(0.85), pytest.approx(0.95),
    )  # fmt: skip
    assert (ours.target, ours.verdict) == (0.85, "misses?" if ours.low <= 0.85 else "misses")
    assert (fast.name, fast.target, fast.verdict) == ("npnet-fast/torch-fused", 0.45, "holds")
