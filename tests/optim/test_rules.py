"""What an optimizer needs of groups and slices: late starts, pauses, options of a group."""

import copy
from typing import ClassVar

import numpy as np
import pytest

import npnet


@pytest.fixture
def torch():
    """PyTorch, which keeps the numbers of an optimizer in its default dtype."""
    torch = pytest.importorskip("torch")
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(torch.float32)


SHAPES = [(3, 4), (5,), (2, 1, 2), (), (4, 2)]


def gradient(rng, step, k, shape):
    """Gradients of changing size: the first parameter starts late, the third one pauses."""
    g = rng.normal(size=shape) * (1 + step % 7)
    return None if (k == 0 and step < 5) or (k == 2 and step % 3 == 0) else g


def run(make, start, rng, steps=60):
    """Train, and go on in a new optimizer with the state of the first one."""
    ours = [npnet.Parameter(a) for a in start]
    optimizer = make(ours)
    for step in range(steps):
        if step == 21:
            state = copy.deepcopy(optimizer.state_dict())
            ours = [npnet.Parameter(p.data) for p in ours]
            optimizer = make(ours)
            optimizer.load_state_dict(state)
        if step == 3:  # a parameter whose first step comes later starts from this rate
            optimizer.lr = 0.02
        for k, p in enumerate(ours):
            p.grad = gradient(rng, step, k, p.shape)
        optimizer.step()
    return [p.data for p in ours]


def run_torch(torch, make, start, rng, steps=60):
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in start]
    optimizer = make(theirs)
    for step in range(steps):
        if step == 3:
            for group in optimizer.param_groups:
                group["lr"] = 0.02
        for k, t in enumerate(theirs):
            g = gradient(rng, step, k, tuple(t.shape))
            t.grad = None if g is None else torch.tensor(g)
        optimizer.step()
    return [t.detach().numpy() for t in theirs]


@pytest.mark.parametrize(
    ("name", "options", "of_a_group"),
    [
        ("Adagrad", {"lr": 0.1}, {}),
        ("Adagrad", {"initial_accumulator_value": 0.7}, {"eps": 1e-3}),
        ("Rprop", {"lr": 0.05}, {"etas": (0.3, 1.5)}),
        ("Rprop", {"lr": 0.05, "step_sizes": (0.04, 0.06)}, {}),
        ("ASGD", {"lr": 0.05}, {"lambd": 0.1, "t0": 4}),
        ("Adafactor", {"lr": 0.05}, {"eps": (1e-3, 0.1)}),
        ("RMSprop", {"lr": 0.05, "momentum": 0.5}, {"centered": True}),
        ("RAdam", {"lr": 0.05}, {"betas": (0.5, 0.7)}),
        ("NAdam", {"lr": 0.05}, {"momentum_decay": 0.1, "lr": 0.01}),
        ("NAdam", {"betas": (0.5, 0.7), "eps": 1e-3}, {"betas": (0.8, 0.9)}),
    ],
)
def test_like_pytorch(torch, name, options, of_a_group):
    start = [np.random.default_rng(3).normal(size=s) for s in SHAPES]

    def groups(ps):
        return [{"params": ps[:2]}, {"params": ps[2:], **of_a_group}]

    mine = run(
        lambda ps: getattr(npnet.optim, name)(groups(ps), **options),
        start,
        np.random.default_rng(4),
    )
    reference = run_torch(
        torch,
        lambda ps: getattr(torch.optim, name)(groups(ps), **options),
        start,
        np.random.default_rng(4),
    )
    for a, b in zip(mine, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def naive_lamb(start, rng, steps, lr, b1, b2, eps, decay):
    """Apply You et al., arXiv:1904.00962, number by number, one parameter after the other."""
    xs = [a.copy() for a in start]
    state = [{"t": 0, "m": np.zeros_like(a), "v": np.zeros_like(a)} for a in start]
    for step in range(steps):
        rate = lr if step < 3 else 0.02
        for k, (x, s) in enumerate(zip(xs, state, strict=True)):
            g = gradient(rng, step, k, x.shape)
            if g is None:
                continue
            s["t"] += 1
            u = np.empty_like(x)
            for i in np.ndindex(x.shape):
                s["m"][i] = b1 * s["m"][i] + (1 - b1) * g[i]
                s["v"][i] = b2 * s["v"][i] + (1 - b2) * g[i] ** 2
                m, v = s["m"][i] / (1 - b1 ** s["t"]), s["v"][i] / (1 - b2 ** s["t"])
                u[i] = m / (v**0.5 + eps) + decay * x[i]
            size = sum(x[i] ** 2 for i in np.ndindex(x.shape)) ** 0.5
            length = sum(u[i] ** 2 for i in np.ndindex(x.shape)) ** 0.5
            for i in np.ndindex(x.shape):
                x[i] -= rate * size / length * u[i]
    return xs


def test_one_trust_ratio_per_parameter():
    start = [np.random.default_rng(5).normal(size=s) for s in SHAPES]
    options = {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}
    mine = run(
        lambda ps: npnet.optim.Lamb([{"params": ps[:2]}, {"params": ps[2:]}], lr=0.1, **options),
        start,
        np.random.default_rng(6),
    )
    reference = naive_lamb(start, np.random.default_rng(6), 60, 0.1, 0.8, 0.95, 1e-6, 0.1)
    for a, b in zip(mine, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_numbers_part_where_parameters_of_equal_step_have_a_different_past(torch):
    # NAdam's product depends on the options of the steps that were done.
    start = [np.ones(2), np.ones(3)]
    ours = [npnet.Parameter(a) for a in start]
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in start]
    mine, reference = npnet.optim.NAdam(ours, lr=0.1), torch.optim.NAdam(theirs, lr=0.1)
    rng = np.random.default_rng(8)
    for step in range(6):
        for group in (mine.param_groups[0], reference.param_groups[0]):
            group["betas"] = (0.5, 0.9) if step == 1 else (0.9, 0.999)
        for k, (p, t) in enumerate(zip(ours, theirs, strict=True)):
            g = rng.normal(size=p.shape)
            due = step != k
            p.grad, t.grad = (g, torch.tensor(g)) if due else (None, None)
        mine.step()
        reference.step()
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-12)


def test_a_slice_is_cut_at_the_parameters():
    seen = []

    class Watching(npnet.optim.Optimizer):
        state_spec: ClassVar = {
            "count": npnet.optim.StateSpec(),
            "n": npnet.optim.StateSpec(scalar=True),
        }

        def __init__(self, params):
            super().__init__(params, {"lr": 0.0})

        def update(self, at, options):
            at.state["count"] += 1
            at.scalars["n"] += 1
            seen.append((at.step, at.data.size, [v.shape for v in at.split(at.grad)]))
            assert sorted(at.fresh) == (["count", "n"] if at.step == 1 else [])
            assert (at.state["count"] == at.step).all()
            assert at.scalars["n"] == at.step
            for p, x, g in zip(at.parameters, at.split(at.data), at.split(at.grad), strict=True):
                assert np.shares_memory(x, p.data)
                assert np.shares_memory(g, p.grad)
                assert x.shape == g.shape == p.shape

    ps = [npnet.Parameter(np.ones(s)) for s in [(2, 3), (), (4,)]]
    optimizer = Watching(ps)

    def step(*due):
        for k, p in enumerate(ps):
            p.grad = np.ones(p.shape) if k in due else None
        seen.clear()
        optimizer.step()
        return list(seen)

    assert step(0, 1, 2) == [(1, 11, [(2, 3), (), (4,)])]
    assert step(0, 1, 2) == [(2, 11, [(2, 3), (), (4,)])]
    assert step(0, 2) == [(3, 6, [(2, 3)]), (3, 4, [(4,)])]
    assert step(0, 1, 2) == [(4, 6, [(2, 3)]), (3, 1, [()]), (4, 4, [(4,)])]


def test_a_step_that_fails_leaves_fresh_state_fresh():
    p, q = (npnet.Parameter(np.ones(1)) for _ in range(2))
    optimizer = npnet.optim.Rprop([{"params": [p]}, {"params": [q]}], lr=0.5)
    p.grad = q.grad = np.ones(1)
    optimizer.param_groups[1]["lr"] = -1
    with pytest.raises(npnet.errors.ArgumentError):
        optimizer.step()
    optimizer.lr = 0.25
    optimizer.step()
    assert (p.data, q.data) == (0.75, 0.75)


def test_state_of_a_step_that_failed_is_not_kept():
    seen = []

    class Watching(npnet.optim.Optimizer):
        state_spec: ClassVar = {
            "vector": npnet.optim.StateSpec(initial=1.0, when="on"),
            "number": npnet.optim.StateSpec(initial=1.0, when="on", scalar=True),
        }

        def __init__(self, params, lr=0.1, on=False):
            super().__init__(params, {"lr": lr, "on": on})

        def update(self, at, options):
            seen.append(sorted(at.fresh))

    p, q, r = (npnet.Parameter(np.ones(2)) for _ in range(3))
    optimizer = Watching([{"params": [p, q]}, {"params": [r]}])

    def step():
        for each in (p, q, r):
            each.grad = np.ones(2) if each.requires_grad else None
        optimizer.step()

    step()
    optimizer.param_groups[0]["on"] = True
    optimizer.param_groups[1]["lr"] = -1.0
    with pytest.raises(npnet.errors.ArgumentError):
        step()
    optimizer.param_groups[1]["lr"] = 0.1
    assert optimizer.state_dict()["state"][0] == {"step": 1}
    q.requires_grad_(False)  # everything is laid out anew
    step()
    assert seen == [[], [], ["number", "vector"], []]
