"""Every optimizer against PyTorch in float64, over 50 steps."""

import itertools

import numpy as np
import pytest

import npnet

torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")


def options(**choices):
    return [dict(zip(choices, values, strict=True)) for values in
            itertools.product(*choices.values())]  # fmt: skip


SGD = options(lr=[0.1], momentum=[0, 0.9], dampening=[0, 0.3], weight_decay=[0, 0.1],
              maximize=[False, True])  # fmt: skip
SGD += options(lr=[0.1], momentum=[0.5], nesterov=[True], weight_decay=[0, 0.1],
               maximize=[False, True])  # fmt: skip
ADAM = options(lr=[0.05], betas=[(0.9, 0.999), (0.0, 0.5)], eps=[1e-8, 1e-3],
               weight_decay=[0, 0.1], amsgrad=[False, True], maximize=[False, True])  # fmt: skip
CASES = [("SGD", o) for o in SGD] + [(n, o) for n in ("Adam", "AdamW") for o in ADAM]


def gradient(rng, step, k, shape):
    """Gradients of changing size; the third parameter has none in some steps."""
    if k == 2 and step % 3 == 0:
        return None
    return rng.normal(size=shape) * (1 + step % 7)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_fifty_steps(name, options, rng):
    shapes = [(3, 4), (5,), (2, 1, 2), ()]
    start = [rng.normal(size=s) for s in shapes]
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
        if step == 25:  # a rate changed in between
            mine.lr = 0.02
            reference.param_groups[0]["lr"] = 0.02
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_groups_and_schedule(name, rng):
    start = [rng.normal(size=s) for s in [(3, 2), (4,)]]
    ours = [npnet.Parameter(a) for a in start]
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in start]
    schedule = npnet.schedules.StepLR(0.1, step_size=10, gamma=0.5)
    mine = getattr(npnet.optim, name)(
        [{"params": ours[:1]}, {"params": ours[1:], "lr": 0.01, "weight_decay": 0.2}], lr=schedule
    )
    reference = getattr(torch.optim, name)(
        [{"params": theirs[:1], "lr": 0.1}, {"params": theirs[1:], "lr": 0.01,
                                             "weight_decay": 0.2}]
    )  # fmt: skip
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
