"""LBFGS against PyTorch in float64, its state, its mistakes."""

import copy
import itertools
import math

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, StateError, TapeError
from npnet.optim.line_search import Point, minimum_of_cubic, strong_wolfe

SHAPES = [(3, 2), (4,)]


def quadratic(v):
    root = np.random.default_rng(1).normal(size=(10, 10))
    curvature, b = root @ root.T + 0.1 * np.eye(10), np.linspace(-1, 1, 10)
    value = 0.5 * v @ curvature @ v - b @ v + 0.1 * np.sin(v).sum()
    return value, curvature @ v - b + 0.1 * np.cos(v)


def rosenbrock(v):
    x, y = v[:-1], v[1:]
    g = np.zeros_like(v)
    g[1:] += 200 * (y - x * x)
    g[:-1] -= 400 * x * (y - x * x) + 2 * (1 - x)
    return float((100 * (y - x * x) ** 2 + (1 - x) ** 2).sum()), g


def many_minima(v):
    return float((np.sin(3 * v) + 0.1 * v**2).sum()), 3 * np.cos(3 * v) + 0.2 * v


class Fit:
    """A problem, parameters and an optimizer; ``step`` does one step."""

    def __init__(self, problem, **options):
        self.problem, self.calls = problem, 0
        rng = np.random.default_rng(2)
        self.parameters = [npnet.Parameter(rng.normal(size=s)) for s in SHAPES]
        self.optimizer = npnet.optim.LBFGS(self.parameters, **options)

    def closure(self):
        self.calls += 1
        value, g = self.problem(np.concatenate([p.data.ravel() for p in self.parameters]))
        p, q = self.parameters
        p.grad, q.grad = g[:6].reshape(3, 2), g[6:]
        return value

    def step(self):
        return self.optimizer.step(self.closure)


class TorchFit(Fit):
    def __init__(self, torch, problem, **options):
        super().__init__(problem)
        self.torch = torch
        self.parameters = [torch.nn.Parameter(torch.tensor(p.data)) for p in self.parameters]
        self.optimizer = torch.optim.LBFGS(self.parameters, **options)

    def closure(self):
        self.calls += 1
        flat = np.concatenate([p.detach().numpy().ravel() for p in self.parameters])
        value, g = self.problem(flat)
        for p, part in zip(self.parameters, (g[:6].reshape(3, 2), g[6:]), strict=True):
            p.grad = self.torch.tensor(part)
        return self.torch.tensor(value)


def agree(ours, theirs, rtol=1e-10):
    assert ours.calls == theirs.calls
    for p, t in zip(ours.parameters, theirs.parameters, strict=True):
        np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=rtol, atol=1e-12)


SEARCHED = [
    {"line_search_fn": how, "lr": lr, "max_iter": most}
    for how, lr, most in itertools.product((None, "strong_wolfe"), (1.0, 0.01), (1, 4))
]
SEARCHED += [{"line_search_fn": "strong_wolfe", "lr": 3.0, "max_iter": 4}]


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("options", SEARCHED)
@pytest.mark.parametrize("history", [2, 100])
@pytest.mark.parametrize("problem", [quadratic, rosenbrock, many_minima])
def test_like_pytorch(torch, problem, history, options):
    if problem is many_minima and options["lr"] == 1 and not options["line_search_fn"]:
        pytest.skip("it jumps about")
    ours = Fit(problem, history_size=history, **options)
    theirs = TorchFit(torch, problem, history_size=history, **options)
    # The others amplify roundings: PyTorch from a start that differs by 1e-15 parts from itself.
    steps = (20, 5) if problem is quadratic else (8, 3)
    for step in range(steps[options["max_iter"] > 1]):
        assert ours.step() == pytest.approx(float(theirs.step()), rel=1e-9)
        agree(ours, theirs)
        if step == 2:
            saved = ours.optimizer.state_dict()
            ours.optimizer = npnet.optim.LBFGS(ours.parameters)
            ours.optimizer.load_state_dict(saved)
            assert ours.optimizer.step_count == 3


@pytest.mark.parametrize("options", [
    {}, {"lr": 0.01}, {"lr": 0.001}, {"tolerance_grad": 1e-6}, {"line_search_fn": "strong_wolfe"},
])  # fmt: skip
def test_cases_of_pytorch(torch, options):
    ours, theirs = Fit(quadratic, **options), TorchFit(torch, quadratic, **options)
    for _ in range(50):
        ours.step()
        theirs.step()
    agree(ours, theirs)


def test_a_history_that_was_full_forgets_the_oldest(torch):
    ours = Fit(quadratic, lr=0.01, history_size=100)
    theirs = TorchFit(torch, quadratic, lr=0.01, history_size=100)
    for _ in range(7):
        ours.step()
        theirs.step()
    assert len(ours.optimizer.state_dict()["state"][0]["ro"]) == 100
    agree(ours, theirs, rtol=1e-9)


def test_a_state_of_pytorch_continues(torch):
    theirs = TorchFit(torch, quadratic, max_iter=3)
    theirs.step()
    ours = Fit(quadratic, max_iter=3)
    state = ours.optimizer.state_dict()
    entry = {k: v for k, v in theirs.optimizer.state_dict()["state"][0].items() if k != "al"}
    for k, v in entry.items():
        if torch.is_tensor(v):
            entry[k] = v.numpy()
        elif isinstance(v, list):
            entry[k] = [x.numpy() for x in v]
    ours.optimizer.load_state_dict(state | {"state": {0: entry}})
    for p, t in zip(ours.parameters, theirs.parameters, strict=True):
        p.data = t.detach().numpy()
    ours.calls = theirs.calls
    for _ in range(3):
        ours.step()
        theirs.step()
    agree(ours, theirs)


def test_what_is_no_state_is_refused_and_changes_nothing():
    fit = Fit(quadratic, max_iter=3)
    fit.step()
    good = fit.optimizer.state_dict()
    bad = [
        ("d", None), ("d", np.ones(3)), ("d", np.full(10, np.nan)), ("t", "1"), ("t", math.inf),
        ("old_dirs", []), ("old_dirs", None), ("ro", [0.0, 1.0]), ("ro", 3), ("n_iter", -1),
        ("func_evals", None), ("H_diag", None), ("something", 1), ("old_stps", [np.ones(3)] * 2),
    ]  # fmt: skip
    for key, value in bad:
        state = copy.deepcopy(good)
        state["state"][0][key] = value
        with pytest.raises(StateError):
            fit.optimizer.load_state_dict(state)
        np.testing.assert_equal(fit.optimizer.state_dict(), good)
    for value in (None, 3, {1: {}}, {0: None}):
        with pytest.raises(StateError):
            fit.optimizer.load_state_dict({**good, "state": value})
    with pytest.raises(StateError):
        fit.optimizer.load_state_dict({**good, "step_count": -1})
    np.testing.assert_equal(fit.optimizer.state_dict(), good)


def test_parameters_that_are_frozen_or_unused():
    a, b = npnet.Parameter(np.zeros(2)), npnet.Parameter(np.zeros(3))
    optimizer = npnet.optim.LBFGS([a, b], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        a.grad = 2 * (a.data - 1)
        if b.requires_grad and with_b:
            b.grad = 2 * (b.data - 2)
        return float(((a.data - 1) ** 2).sum() + with_b * ((b.data - 2) ** 2).sum())

    with_b = False
    optimizer.step(closure)
    np.testing.assert_allclose(a.data, 1)
    assert not b.data.any()
    with_b = True
    b.requires_grad_(False)
    a.data[:] = 5
    optimizer.step(closure)
    np.testing.assert_allclose(a.data, 1)
    b.requires_grad_(True)
    optimizer.step(closure)
    np.testing.assert_allclose(b.data, 2)


def test_mistakes():
    fit = Fit(quadratic)
    p, q = fit.parameters
    with pytest.raises(ArgumentError, match=r"optimizer\.step\(closure\).*minimize"):
        fit.optimizer.step()
    for bad in ("1.0", np.ones(1), [1.0]):
        with pytest.raises(ArgumentError, match="closure to return the loss, got"):
            fit.optimizer.step(lambda bad=bad: bad)
    with pytest.raises(ArgumentError, match="closure to return the loss, got None"):
        fit.optimizer.step(lambda: None)
    fit.optimizer.zero_grad()
    with pytest.raises(TapeError, match="no gradient"):
        fit.optimizer.step(lambda: 1.0)
    with pytest.raises(ArgumentError, match="one parameter group"):
        npnet.optim.LBFGS([{"params": [p]}, {"params": [q]}])
    with pytest.raises(ArgumentError, match="one parameter group"):
        fit.optimizer.add_param_group({"params": [npnet.Parameter([1.0])]})
    with pytest.raises(ArgumentError, match="strong_wolfe"):
        npnet.optim.LBFGS([p], line_search_fn="wolfe")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_search_into_numbers_that_are_not_finite_comes_back(bad):
    p = npnet.Parameter([2.0])
    optimizer = npnet.optim.LBFGS([p], lr=100.0, line_search_fn="strong_wolfe")

    def closure():
        x = float(p.data[0])
        p.grad = [1.0 if x <= 0 else 1 - 1 / x]
        return bad if x <= 0 else x - math.log(x)

    for _ in range(5):
        optimizer.step(closure)
    assert p.data[0] == pytest.approx(1, abs=1e-3)


def test_clipping_and_constraints():
    p = npnet.Parameter(np.array([1.0, 1.0]))
    constraint = npnet.constraints.NonNegative()
    optimizer = npnet.optim.LBFGS([p], max_iter=1, clip_norm=0.5, constraints=constraint)

    def closure():
        p.grad = np.array([30.0, 40.0])
        return 1.0

    optimizer.step(closure)
    np.testing.assert_allclose(p.grad, [0.3, 0.4])
    np.testing.assert_allclose(p.data, [0.7, 0.6])
    for _ in range(3):
        optimizer.step(closure)
    assert (p.data >= 0).all()


@pytest.mark.parametrize("turned", [False, True])
def test_the_lowest_place_of_a_cubic(turned):
    def point(t):  # (t - 2)^2 (t + 1), lowest at 2
        return Point(t, (t - 2) ** 2 * (t + 1), np.zeros(1), 3 * t * (t - 2))

    ends = [point(0.5), point(3.0)][:: -1 if turned else 1]
    assert minimum_of_cubic(*ends, 0.5, 3.0) == pytest.approx(2)
    assert minimum_of_cubic(*ends, 0.5, 1.5) == 1.5
    assert minimum_of_cubic(ends[0], ends[0], 0.0, 3.0) == 1.5
    nowhere = Point(1.0, math.nan, np.zeros(1), 1.0)
    assert minimum_of_cubic(ends[0], nowhere, 0.0, 3.0) == 1.5


def test_the_search_is_that_of_pytorch(torch):
    from torch.optim.lbfgs import _strong_wolfe

    for seed in range(300):
        rng = np.random.default_rng(seed)
        a, b, c, scale = rng.normal(size=4) * [3, 3, 1, 10]

        def f(t, a=a, b=b, c=c):
            return a * np.sin(b * t) + c * t + 0.05 * t**4

        def slope(t, a=a, b=b, c=c):
            return a * b * np.cos(b * t) + c + 0.2 * t**3

        if slope(0.0) >= -1e-3:
            continue
        start = Point(0.0, f(0.0), np.array([slope(0.0)]), slope(0.0))
        first, limit = abs(scale) + 1e-3, int(rng.integers(1, 25))
        got, evaluations = strong_wolfe(
            lambda t: Point(t, f(t), np.array([slope(t)]), slope(t)), start, first, 1.0, limit
        )
        one = torch.ones(1)
        value, g, t, calls = _strong_wolfe(
            lambda x, t, d: (f(float(t)), torch.tensor([slope(float(t))])),
            None, first, one, f(0.0), torch.tensor([slope(0.0)]), torch.tensor(slope(0.0)),
            max_ls=limit,
        )  # fmt: skip
        assert evaluations == calls
        np.testing.assert_allclose([got.t, got.f, got.g[0]], [float(t), value, float(g)], rtol=1e-8)


def test_a_search_never_ends_at_nan():
    for seed in range(300):
        rng = np.random.default_rng(seed)
        low, high = np.sort(rng.uniform(0.1, 5, 2))

        def point(t, low=low, high=high):
            f = np.nan if low < t < high else np.cos(3 * t) - t / 3
            return Point(t, f, np.zeros(1), -3 * np.sin(3 * t) - 1 / 3)

        end, _ = strong_wolfe(point, point(0.0), rng.uniform(0.1, 5), 1.0, 10)
        assert end.f <= 1
