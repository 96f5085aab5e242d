"""Workloads that the suite does not have go through all of it: an activation, a convolution."""

import importlib.util
from dataclasses import dataclass

import numpy as np
import pytest

from benchmarks import compare, footprint, pictures
from benchmarks.case import Case, run_case, timed
from benchmarks.contenders import contender
from benchmarks.contenders.npnet import Npnet
from benchmarks.contenders.torch import Torch
from benchmarks.groups.footprint import memory_cases
from benchmarks.isolate import Children
from benchmarks.report import Report
from benchmarks.timing import Run
from benchmarks.workloads import Inference, Network, Workload
from benchmarks.workloads.base import labelled, uniform


def outcome_of(workload, options, names, pairs=(), targets=None):
    case = Case("news", str(workload), names, timed(workload), pairs, targets or {})
    with Children() as children:
        return run_case(case, [contender(name) for name in names], options, children)


def statuses(outcome):
    return {name: result.status for name, result in outcome.results.items()}


# --- another kind of workload: what it is, and how two contenders do it


@dataclass(frozen=True)
class Softplus(Workload):
    rows: int
    kind = "softplus"

    def __str__(self):
        return f"softplus@{self.rows}"

    @property
    def needed(self):
        return 4 * self.rows * 64

    def batches(self):
        return [(x,) for x, _ in labelled((self.rows, 64), 2)[:1]]

    def reference(self, params, calls):
        ((x,),) = self.batches()
        return [np.log1p(np.exp(x.astype(float)))]


def by_npnet(contender, workload):
    ((x,),) = workload.batches()
    return Run(lambda: np.logaddexp(x, np.float32(0)), result=lambda: [np.logaddexp(x, x * 0)])


def by_torch(contender, workload):
    import torch

    x = contender.tensor(workload.batches()[0][0])
    return Run(
        lambda: torch.nn.functional.softplus(x),
        result=lambda: [torch.nn.functional.softplus(x).numpy()],
    )


def test_another_kind(hasty, monkeypatch, tmp_path):
    pytest.importorskip("torch")
    monkeypatch.setattr(Npnet, "softplus", by_npnet, raising=False)
    monkeypatch.setattr(Torch, "softplus", by_torch, raising=False)
    names = ("npnet", "torch", "bare", "sklearn")
    outcome = outcome_of(
        Softplus(30), hasty, names, ("npnet/torch", "npnet/bare"), {"npnet/torch": 1e9}
    )
    found = statuses(outcome)
    assert (found["npnet"], found["torch"], found["bare"]) == ("ok", "ok", "skipped")
    assert outcome.results["bare"].reason == "there are no matrix products"
    assert found["sklearn"] in ("missing", "skipped")
    assert len(outcome.results["npnet"].samples) == len(outcome.results["torch"].samples) == 2
    assert [(f.name, f.verdict) for f in outcome.figures] == [("npnet/torch", "holds")]

    facts = dict.fromkeys(["numpy", "blas", "threads", "processor", "cpus", "memory_gib", "system"])
    settings = {"command": "", "taken": "", "rounds": 2}
    report = Report(settings, facts | {"python": "3"}, {}, [outcome])
    lines = report.markdown().splitlines()
    assert any(line.startswith("| news/softplus@30 | npnet/torch |") for line in lines)
    assert any(line.startswith("| softplus@30 |") for line in lines)
    assert "- bare skipped: there are no matrix products (news/softplus@30)" in lines
    report.save(tmp_path / "r.json")
    again = Report.load(tmp_path / "r.json")
    assert again == report
    assert [c.verdict for c in compare.compare(report, again)] == ["within the spread"]
    drawn = ["news.png"] if importlib.util.find_spec("matplotlib") else []
    assert [path.name for path in pictures.draw([outcome], tmp_path)] == drawn


def test_another_kind_is_checked(hasty, monkeypatch):
    def inverted(contender, workload):
        run = by_npnet(contender, workload)
        return Run(run.call, result=lambda: [-array for array in run.result()])

    monkeypatch.setattr(Npnet, "softplus", inverted, raising=False)
    result = outcome_of(Softplus(30), hasty, ("npnet",)).results["npnet"]
    assert (result.status, result.samples) == ("failed", [])
    assert result.reason == "WrongResult: after 2 calls its outputs are off by 200%"


def test_another_kind_has_a_peak_of_memory(monkeypatch):
    monkeypatch.setattr(Npnet, "softplus", by_npnet, raising=False)
    large, small = Softplus(4000), Softplus(3)
    peak = footprint.peak_traced(contender("npnet"), large, small)
    assert large.needed <= peak < 2 * large.needed


def test_a_process_of_its_own_does_not_know_it_either(hasty):
    for case in memory_cases(Softplus(9), Softplus(3), quick=False):
        with Children() as children:
            outcome = run_case(case, [contender("npnet")], hasty, children)
        assert outcome.results["npnet"].status == "skipped"
        assert outcome.results["needed"].samples == [4 * 9 * 64]
        assert outcome.figures == []


# --- another network: its parameters, reference and products, and how a contender makes it


@dataclass(frozen=True)
class Convolution(Network):
    """Three filters of width 3 over rows of 8 numbers, ReLU, and an affine layer."""

    batch: int
    model = "toy_convolution"

    def __str__(self):
        return f"conv@{self.batch}"

    def initial(self):
        return uniform(((3, 1, 3), (3,), (4, 18), (4,)))

    def batches(self):
        return labelled((self.batch, 1, 8), 4)

    def forward(self, params, x):
        filters, offsets, weight, bias = params
        windows = np.lib.stride_tricks.sliding_window_view(x[:, 0], 3, axis=1)  # n, 6, 3
        z = np.einsum("nlk,ck->ncl", windows, filters[:, 0]) + offsets[:, None]
        a = np.maximum(z, 0).reshape(len(x), -1)

        def backward(grad):
            dz = (grad @ weight).reshape(z.shape) * (z > 0)
            dfilters = np.einsum("ncl,nlk->ck", dz, windows)[:, None]
            return [dfilters, dz.sum(axis=(0, 2)), grad.T @ a, grad.sum(axis=0)]

        return a @ weight.T + bias, backward

    def matmuls(self, rows):
        filters, _, weight, _ = self.initial()
        a = np.zeros((rows, 18), np.float32)

        def forward(x):
            windows = np.lib.stride_tricks.sliding_window_view(x[:, 0], 3, axis=1)
            return windows @ filters[:, 0].T, a @ weight.T

        return forward, forward


def made_by_torch(contender, network):
    from torch.nn import Conv1d, Flatten, Linear, ReLU, Sequential

    return Sequential(Conv1d(1, 3, 3), ReLU(), Flatten(), Linear(18, 4))


@pytest.mark.parametrize("workload", [Convolution(5), Inference(Convolution(5))])
def test_another_network(workload, hasty, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(Torch, "toy_convolution", made_by_torch, raising=False)
    outcome = outcome_of(workload, hasty, ("torch", "bare", "npnet"), ("torch/bare",))
    assert statuses(outcome) == {"torch": "ok", "bare": "ok", "npnet": "skipped"}
    assert outcome.results["npnet"].reason == "has no 'toy_convolution'"
    assert [figure.name for figure in outcome.figures] == ["torch/bare"]


def test_another_network_is_checked(hasty, monkeypatch):
    torch = pytest.importorskip("torch")

    def with_another_activation(contender, network):
        layers = [torch.nn.Conv1d(1, 3, 3), torch.nn.Tanh(), torch.nn.Flatten()]
        return torch.nn.Sequential(*layers, torch.nn.Linear(18, 4))

    monkeypatch.setattr(Torch, "toy_convolution", with_another_activation, raising=False)
    for workload in (Convolution(5), Inference(Convolution(5))):
        result = outcome_of(workload, hasty, ("torch",)).results["torch"]
        assert result.status == "failed"
        assert "off by" in result.reason


@pytest.mark.parametrize("name", ["npnet", "torch", "sklearn", "jax", "keras"])
@pytest.mark.parametrize("workload", [Softplus(3), Convolution(3), Inference(Convolution(3))])
def test_whoever_does_not_know_a_workload_says_so(name, workload, hasty):
    who = contender(name)
    if who.missing():
        pytest.skip(who.missing())
    who.isolated = False
    case = Case("news", str(workload), (name,), timed(workload))
    options = type(hasty)(hasty.pace)  # not quick: the slow ones take part
    with Children() as children:
        result = run_case(case, [who], options, children).results[name]
    assert result.status == "skipped", result.reason
    assert result.reason.startswith("has no '")
