"""Lamb and Lion, which PyTorch does not have, number by number from the papers."""

import math

import numpy as np
import pytest

import npnet

SHAPES = [(3, 4), (5,), (), (4, 2)]


def naive_lion(x, grads, lr, b1, b2, decay):
    """Follow algorithm 2 of arXiv:2302.06675."""
    m = np.zeros_like(x)
    for g in grads:
        for i in np.ndindex(x.shape):
            c = b1 * m[i] + (1 - b1) * g[i]
            m[i] = b2 * m[i] + (1 - b2) * g[i]
            x[i] -= lr * (math.copysign(1, c) * (c != 0) + decay * x[i])
    return x


def naive_lamb(x, grads, lr, b1, b2, eps, decay):
    """Follow algorithm 2 of arXiv:1904.00962."""
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(grads, 1):
        u = np.empty_like(x)
        for i in np.ndindex(x.shape):
            m[i] = b1 * m[i] + (1 - b1) * g[i]
            v[i] = b2 * v[i] + (1 - b2) * g[i] ** 2
            u[i] = m[i] / (1 - b1**t) / (math.sqrt(v[i] / (1 - b2**t)) + eps) + decay * x[i]
        size = math.sqrt(sum(x[i] ** 2 for i in np.ndindex(x.shape)))
        length = math.sqrt(sum(u[i] ** 2 for i in np.ndindex(x.shape)))
        for i in np.ndindex(x.shape):
            x[i] -= lr * (size / length if size and length else 1.0) * u[i]
    return x


def compare(make, naive, maximize, rng):
    start = [rng.normal(size=s) for s in SHAPES]
    start[1][:] = 0  # a norm of 0
    grads = [[rng.normal(size=s) * (step % 3) for s in SHAPES] for step in range(50)]
    ours = [npnet.Parameter(a) for a in start]
    optimizer = make(ours)
    for row in grads:
        for p, g in zip(ours, row, strict=True):
            p.grad = -g if maximize else g
        optimizer.step()
    for p, x, column in zip(ours, start, zip(*grads, strict=True), strict=True):
        np.testing.assert_allclose(p.data, naive(x.copy(), column), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("betas", [(0.9, 0.99), (0.0, 0.5)])
def test_lion(betas, decay, maximize, rng):
    options = {"lr": 0.05, "betas": betas, "weight_decay": decay, "maximize": maximize}
    compare(
        lambda ps: npnet.optim.Lion(ps, **options),
        lambda x, grads: naive_lion(x, grads, 0.05, *betas, decay),
        maximize,
        rng,
    )


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5)])
def test_lamb(betas, decay, maximize, rng):
    options = {"lr": 0.05, "betas": betas, "weight_decay": decay, "eps": 1e-6}
    compare(
        lambda ps: npnet.optim.Lamb(ps, maximize=maximize, **options),
        lambda x, grads: naive_lamb(x, grads, 0.05, *betas, 1e-6, decay),
        maximize,
        rng,
    )
