"""Every optimizer against PyTorch in float64, over 50 steps."""

import itertools
import sys
import types
import unittest

import numpy as np
import pytest

import npnet

torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")


@pytest.fixture(autouse=True)
def numbers_in_float64(monkeypatch):
    """Let PyTorch keep NAdam's and ASGD's numbers in float64, and Muon's iteration as well."""
    monkeypatch.setattr(torch.optim._muon, "_zeropower_via_newtonschulz", published_iteration)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def published_iteration(grad, coefficients, steps, eps):
    """Follow https://kellerjordan.github.io/posts/muon/, in the dtype of the gradient."""
    a, b, c = coefficients
    x = grad.T if grad.shape[0] > grad.shape[1] else grad
    x = x / max(x.norm(), eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if grad.shape[0] > grad.shape[1] else x


def database():
    """Return what PyTorch tests its optimizers with, by name."""
    if "expecttest" not in sys.modules:  # PyTorch's file wants its TestCase, its data do not
        sys.modules["expecttest"] = types.ModuleType("expecttest")
        sys.modules["expecttest"].TestCase = unittest.TestCase
    try:
        from torch.testing._internal.common_optimizers import optim_db
    finally:
        if not hasattr(sys.modules["expecttest"], "__file__"):
            del sys.modules["expecttest"]
    for info in optim_db:
        for case in info.optim_inputs_func("cpu"):
            kwargs = {k: v.item() if torch.is_tensor(v) else v for k, v in case.kwargs.items()}
            yield info.optim_cls.__name__, kwargs


def options(**choices):
    return [dict(zip(choices, values, strict=True)) for values in
            itertools.product(*choices.values())]  # fmt: skip


SGD = options(lr=[0.1], momentum=[0, 0.9], dampening=[0, 0.3], weight_decay=[0, 0.1],
              maximize=[False, True])  # fmt: skip
SGD += options(lr=[0.1], momentum=[0.5], nesterov=[True], weight_decay=[0, 0.1],
               maximize=[False, True])  # fmt: skip
ADAM = options(lr=[0.05], betas=[(0.9, 0.999), (0.0, 0.5)], eps=[1e-8, 1e-3],
               weight_decay=[0, 0.1], amsgrad=[False, True], maximize=[False, True])  # fmt: skip
BETAS = options(lr=[0.05], betas=[(0.9, 0.999), (0.0, 0.5)], eps=[1e-8, 1e-3],
                weight_decay=[0, 0.1], maximize=[False, True])  # fmt: skip
SHARED = options(lr=[0.05], weight_decay=[0, 0.1], maximize=[False, True])
DECOUPLED = [o | {"decoupled_weight_decay": flag} for o in BETAS for flag in (False, True)]
MORE = {
    "SGD": SGD,
    "Adam": ADAM,
    "AdamW": ADAM,
    "NAdam": DECOUPLED + options(lr=[0.1], momentum_decay=[0, 0.5]),
    "RAdam": [*DECOUPLED, {"betas": (0.9, 0.7)}, {"eps": 0.0}],
    "Adamax": BETAS,
    "RMSprop": options(lr=[0.05], alpha=[0, 0.9], weight_decay=[0, 0.1], momentum=[0, 0.9],
                       maximize=[False, True])
    + options(lr=[0.05], alpha=[0.5, 0.99], centered=[True], momentum=[0, 0.9]),
    "Adagrad": [o | more for o in SHARED for more in
                ({}, {"lr_decay": 0.1}, {"initial_accumulator_value": 0.7, "eps": 1e-3})],
    "Adadelta": [o | more for o in SHARED for more in ({}, {"rho": 0.5, "eps": 1e-2}, {"rho": 1})],
    "Rprop": options(lr=[0.05], etas=[(0.5, 1.2), (0.3, 1.5)],
                     step_sizes=[(1e-6, 50), (0.04, 0.06)], maximize=[False, True]),
    "ASGD": [o | more for o in SHARED for more in
             ({}, {"lambd": 0.1, "alpha": 0.5}, {"t0": 10}, {"t0": 0, "lambd": 0.0})],
    "Adafactor": [o | more for o in SHARED for more in
                  ({}, {"beta2_decay": -0.5, "d": 1.5}, {"eps": (1e-3, 0.1)}, {"eps": (2.0, 0.1)})],
    "Muon": [{"ns_steps": 0}, *options(
        lr=[0.05], weight_decay=[0, 0.3], nesterov=[False, True], momentum=[0, 0.8],
        adjust_lr_fn=["original", "match_rms_adamw"])],
}  # fmt: skip
ALONE = ("LBFGS", "SparseAdam")  # which have tests of their own
CASES = [(name, kwargs) for name, kwargs in database() if name not in ALONE]
CASES += [(name, kwargs) for name, more in MORE.items() for kwargs in more]
NAMES = [*MORE]


def test_the_database_is_that_of_all_optimizers():
    names = {name for name, _ in CASES}
    ours = {n for n in npnet.optim.__all__ if hasattr(torch.optim, n)} - {"Optimizer", *ALONE}
    assert names == ours == set(MORE)


def gradient(rng, step, k, shape):
    """Gradients of changing size; the third parameter has none in some steps."""
    if k == 2 and step % 3 == 0:
        return None
    return rng.normal(size=shape) * (1 + step % 7)


SHAPES = [(3, 4), (5,), (2, 1, 2), (), (4, 2)]
MATRICES = [(3, 4), (5, 1), (2, 2), (4, 2)]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_fifty_steps(name, options, rng):
    start = [rng.normal(size=s) for s in (MATRICES if name == "Muon" else SHAPES)]
    ours = [npnet.Parameter(a) for a in start]
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in start]
    mine = getattr(npnet.optim, name)(ours, **options)
    reference = getattr(torch.optim, name)(theirs, **options)
    for step in range(50):
        for k, (p, t) in enumerate(zip(ours, theirs, strict=True)):
            g = gradient(rng, step, k, p.shape)
            p.grad, t.grad = g, None if g is None else torch.tensor(g)
        mine.step()
        reference.step()
        if step == 25:  # a rate changed in between, and a state that was saved
            state = mine.state_dict()
            ours = [npnet.Parameter(p.data) for p in ours]
            mine = getattr(npnet.optim, name)(ours)
            mine.load_state_dict(state)
            mine.lr = reference.param_groups[0]["lr"] = 0.02
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-10, atol=1e-12)
    expected, got = reference.state_dict()["state"], mine.state_dict()["state"]
    for k, entry in expected.items():  # PyTorch's SGD and Muon count no steps
        kept = {key: value for key, value in entry.items() if value is not None}
        assert kept.keys() - {"step"} == got[k].keys() - {"step"}
        for key, value in kept.items():
            np.testing.assert_allclose(got[k][key], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_groups_and_schedule(name, rng):
    start = [rng.normal(size=s) for s in [(3, 2), (4, 1) if name == "Muon" else (4,)]]
    ours = [npnet.Parameter(a) for a in start]
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in start]
    schedule = npnet.schedules.StepLR(0.1, step_size=10, gamma=0.5)
    other = {"lr": 0.01} if name == "Rprop" else {"lr": 0.01, "weight_decay": 0.2}
    mine = getattr(npnet.optim, name)(
        [{"params": ours[:1]}, {"params": ours[1:], **other}], lr=schedule
    )
    reference = getattr(torch.optim, name)(
        [{"params": theirs[:1], "lr": 0.1}, {"params": theirs[1:], **other}]
    )
    for step in range(50):
        reference.param_groups[0]["lr"] = 0.1 * 0.5 ** (step // 10)
        for p, t in zip(ours, theirs, strict=True):
            p.grad = rng.normal(size=p.shape)
            t.grad = torch.tensor(p.grad.copy())
        mine.step()
        reference.step()
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-10, atol=1e-12)
    assert mine.lr == pytest.approx(0.1 * 0.5**5)


MOMENTA = [
    ("SGD", {"momentum": 0.5}, {}),
    ("SGD", {"momentum": 0.5, "nesterov": True}, {}),
    ("RMSprop", {"momentum": 0.5}, {"centered": True}),
    ("Muon", {"momentum": 0.5}, {}),
    *((name, {"betas": (0.5, 0.99)}, {}) for name in
      ("Adam", "AdamW", "NAdam", "RAdam", "Adamax")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "start", "more"), MOMENTA)
def test_a_momentum_may_be_a_schedule(name, start, more, rng):
    def momentum(step):
        return 0.5 + 0.4 * np.cos(step / 5) ** 2

    values = [rng.normal(size=s) for s in [(3, 2), (4, 1)]]
    ours = [npnet.Parameter(a) for a in values]
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in values]
    (key, value), *_ = start.items()
    made = (momentum, value[1]) if key == "betas" else momentum
    mine = getattr(npnet.optim, name)(ours, lr=0.05, **{**start, **more, key: made})
    reference = getattr(torch.optim, name)(theirs, lr=0.05, **start, **more)
    for step in range(50):
        now = momentum(step)
        reference.param_groups[0][key] = (now, value[1]) if key == "betas" else now
        saved = mine.state_dict()
        assert saved["param_groups"][0][key] == reference.param_groups[0][key]
        if step == 20:
            mine.load_state_dict(saved)  # the schedule stays
        for p, t in zip(ours, theirs, strict=True):
            p.grad = rng.normal(size=p.shape)
            t.grad = torch.tensor(p.grad.copy())
        mine.step()
        reference.step()
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_adafactor_forgets_large_gradients(rng):
    ours = [npnet.Parameter(rng.normal(size=s)) for s in [(3, 4), (5,)]]
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in ours]
    mine = npnet.optim.Adafactor(ours, beta2_decay=0.0, d=100.0)
    reference = torch.optim.Adafactor(theirs, beta2_decay=0.0, d=100.0)
    for step in range(10):
        for p, t in zip(ours, theirs, strict=True):
            g = rng.normal(size=p.shape) * 10.0 ** (-4 if step % 2 else 4)
            p.grad, t.grad = g, torch.tensor(g)
        mine.step()
        reference.step()
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("maximize", [False, True])
def test_sparse_adam(maximize, rng):
    options = {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "maximize": maximize}
    start = rng.normal(size=(6, 3))
    p, t = npnet.Parameter(start), torch.nn.Parameter(torch.tensor(start))
    mine, reference = npnet.optim.SparseAdam([p], **options), torch.optim.SparseAdam([t], **options)
    assert npnet.optim.SparseAdam.takes_rows
    for _ in range(50):  # a gradient of all rows
        p.grad = rng.normal(size=p.shape)
        t.grad = torch.tensor(p.grad.copy()).to_sparse(1)
        mine.step()
        reference.step()
    np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.5, np.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e6])
def test_clip_grad_norm(norm_type, max_norm, rng):
    grads = [rng.normal(size=s) for s in [(3, 2), (4,), ()]]
    for stored in (False, True):
        ours = [npnet.Parameter(np.zeros_like(g)) for g in grads]
        theirs = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in grads]
        if stored:
            npnet.optim.SGD(ours)
        for p, t, g in zip(ours, theirs, grads, strict=True):
            p.grad, t.grad = g, torch.tensor(g)
        norm = npnet.optim.clip_grad_norm(ours, max_norm, norm_type)
        expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
        assert norm == pytest.approx(float(expected), rel=1e-12)
        for p, t in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.grad, t.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("clip_value", [0.0, 0.5, 1e6])
def test_clip_grad_value(clip_value, rng):
    grads = [rng.normal(size=s) for s in [(3, 2), (4,), ()]]
    for stored in (False, True):
        ours = [npnet.Parameter(np.zeros_like(g)) for g in grads]
        theirs = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in grads]
        if stored:
            npnet.optim.SGD(ours)
        for p, t, g in zip(ours, theirs, grads, strict=True):
            p.grad, t.grad = g, torch.tensor(g)
        assert npnet.optim.clip_grad_value(ours, clip_value) is None
        torch.nn.utils.clip_grad_value_(theirs, clip_value)
        for p, t in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(p.grad, t.grad.numpy())


@pytest.mark.parametrize("name", NAMES)
def test_clipping_in_each_step(name, rng):
    start = [rng.normal(size=s) for s in [(3, 2), (4, 1)]]
    ours = [npnet.Parameter(a) for a in start]
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in start]
    make = getattr(npnet.optim, name)
    groups = [{"params": ours[:1]}, {"params": ours[1:]}]  # with one norm
    mine = make(groups, lr=0.05, clip_norm=0.7, clip_value=0.5)
    reference = getattr(torch.optim, name)(theirs, lr=0.05)
    for step in range(50):
        for p, t in zip(ours, theirs, strict=True):
            p.grad = rng.normal(size=p.shape) * (0.1 if step % 3 else 1)
            t.grad = torch.tensor(p.grad.copy())
        mine.step()
        torch.nn.utils.clip_grad_value_(theirs, 0.5)
        torch.nn.utils.clip_grad_norm_(theirs, 0.7)
        reference.step()
        for p, t in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.grad, t.grad.numpy(), rtol=1e-12)
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("Adam", {"amsgrad": True}, {"amsgrad": False}),
        ("SGD", {"momentum": 0.9, "dampening": 0.5}, {"momentum": 0.0}),
        ("SGD", {"momentum": 0.9}, {"weight_decay": 0.1}),
    ],
)
def test_options_switched_in_between(name, before, after, rng):
    start = rng.normal(size=5)
    p, t = npnet.Parameter(start), torch.nn.Parameter(torch.tensor(start))
    mine = getattr(npnet.optim, name)([p], lr=0.1, **before)
    reference = getattr(torch.optim, name)([t], lr=0.1, **before)
    for step in range(8):
        if step == 4:
            mine.param_groups[0].update(after)
            reference.param_groups[0].update(after)
        g = rng.normal(size=5) / (1 + step)
        p.grad, t.grad = g, torch.tensor(g)
        mine.step()
        reference.step()
    np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-12)
