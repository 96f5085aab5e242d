"""Random honest layers of single elements and of rows, and networks of npnet's own layers."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import npnet
from zoo import honest, honest_rows
from zoo.honest import Honest, elementwise

_ANY_SCALE = [
    npnet.ReLU,
    npnet.LeakyReLU,
    npnet.ELU,
    npnet.Sigmoid,
    npnet.Tanh,
    npnet.Softsign,
    npnet.SiLU,
    npnet.GELU,
    npnet.Softplus,
    npnet.Identity,
    npnet.Flatten,
    lambda: npnet.GELU("tanh"),
    lambda: npnet.LeakyReLU(-0.5),
    lambda: npnet.ELU(3.0),
    lambda: npnet.Softplus(5.0),
    elementwise(np.abs, np.sign),
    honest.Norm1,
    elementwise(lambda x: x * x, lambda x: 2 * x),
    honest.Maxout,
    honest.Product,
]
_MODERATE = [
    elementwise(np.sin, np.cos),
    elementwise(np.exp, np.exp),
    honest.SinCos,
    honest.Mean,
    elementwise(lambda x: np.sin(50 * x), lambda x: 50 * np.cos(50 * x)),
    elementwise(lambda x: x**7, lambda x: 7 * x**6),
    elementwise(lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    elementwise(lambda x: np.clip(x, -1, 1), lambda x: (np.abs(x) < 1) * 1.0),
    honest.LogSumExp,
    honest.Noise,
    lambda: npnet.Dropout(0.3),
    honest.Quadratic,
]
_ROWS = [
    npnet.Softmax,
    npnet.LogSoftmax,
    *(honest_rows.CASES[f"{name}"].make for name in ("running sum", "log-sum-exp of rows")),
    *(honest_rows.CASES[f"{name}"].make for name in ("differences", "running log-sum-exp")),
    lambda: honest_rows.Temperature(log_t=()),
]
LINES = [
    (np.sin, np.cos),
    (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    (lambda x: np.float32(0.1) * x + np.float32(0.7), lambda x: np.full_like(x, np.float32(0.1))),
    (lambda x: 3 * x - 0.25, lambda x: np.full_like(x, 3)),
    (lambda x: 0.5 * x * x, lambda x: x),
    (lambda x: np.exp(-x * x), lambda x: -2 * x * np.exp(-x * x)),
    (np.abs, np.sign),
    (lambda x: np.maximum(x, 0), lambda x: x > 0),
    (lambda x: np.clip(x, -1, 1), lambda x: np.abs(x) < 1),
    (lambda x: np.log1p(np.abs(x)), lambda x: np.sign(x) / (1 + np.abs(x))),
    (lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2),
]
SMOOTH = [npnet.Tanh, npnet.Sigmoid, npnet.SiLU, npnet.ReLU, npnet.Softsign, npnet.Identity]
_TWO_INPUTS = (honest.Maxout, honest.Product)


@st.composite
def values(draw, shape, scale=1.0):
    """Draw generic numbers, or whole ones that hit kinks and ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        return scale * rng.normal(size=shape)
    return scale * 0.5 * rng.integers(-4, 5, shape)


@st.composite
def given_by(draw, shape, scale=1.0):
    """Draw the shape itself or values, so that the checker looks where it thinks fit."""
    return draw(st.one_of(st.just(shape), values(shape, scale)))


@st.composite
def scales(draw):
    return 10.0 ** draw(st.integers(-9, 9))


_shapes = st.one_of(
    st.tuples(st.integers(1, 4), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
)
sizes = st.integers(1, 3)


@st.composite
def of_elements(draw):
    make = draw(st.sampled_from(_ANY_SCALE))
    shape, scale = draw(_shapes), draw(scales())
    count = 2 if make in _TWO_INPUTS else 1
    return Honest(make, tuple(draw(given_by(shape, scale)) for _ in range(count)))


@st.composite
def moderate(draw):
    return Honest(draw(st.sampled_from(_MODERATE)), (draw(values(draw(_shapes))),))


@st.composite
def steep(draw):
    """A function of c x at x / c."""
    inner, scale = draw(st.sampled_from(SMOOTH)), draw(scales())
    x = draw(values(draw(_shapes), 1 / scale))
    return Honest(lambda: npnet.Sequential(honest.Scale(scale), inner()), (x,))


@st.composite
def of_rows(draw):
    make = draw(st.sampled_from(_ROWS))
    shape = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    return Honest(make, (draw(given_by(shape, draw(st.sampled_from([1e-3, 1.0, 20.0])))),))


@st.composite
def ordered(draw):
    """Sorts and the like of rows in which three and more may be equal."""
    n, m = draw(st.integers(1, 3)), draw(st.integers(2, 5))
    factors = draw(st.lists(st.sampled_from([-1, 0, 0.5, 1]), min_size=m, max_size=m))
    k = draw(st.integers(1, m))
    makes = [
        honest.RowMax,
        honest.SharedMax,
        honest.Sort,
        lambda: honest_rows.Rows(factors),
        lambda: honest_rows.TopK(k),
        lambda: npnet.Sequential(honest_rows.TopK(k), npnet.Tanh()),
        honest_rows.CASES["running maximum with ties"].make,
        honest_rows.CASES["sparsemax"].make,
    ]
    return Honest(draw(st.sampled_from(makes)), (draw(given_by((n, m), draw(scales()))),))


@st.composite
def linear(draw):
    n, i, o = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    seed, weight = draw(st.integers(0, 1000)), draw(scales())

    def make():
        layer = npnet.Linear(i, o, bias=seed % 2 == 0, rng=seed, dtype=np.float64)
        layer.weight.data *= weight
        return layer

    return Honest(make, (draw(given_by((n, i), draw(scales()))),))


@st.composite
def networks(draw):
    n, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    kinds = draw(
        st.lists(
            st.sampled_from(["linear", "activation", "residual", "branches", "gate"]),
            min_size=1,
            max_size=4,
        )
    )
    chosen = [draw(st.sampled_from(SMOOTH)) for _ in range(3)]
    seed = draw(st.integers(0, 1000))

    def part(k, kind):
        def dense(shift):
            return npnet.Linear(width, width, rng=seed + 10 * k + shift, dtype=np.float64)

        first, second, third = (f() for f in chosen)
        return {
            "linear": lambda: dense(0),
            "activation": lambda: first,
            "residual": lambda: honest.Residual(npnet.Sequential(dense(1), first)),
            "branches": lambda: honest.Branches(first, dense(2), second, third),
            "gate": lambda: honest.Gate(npnet.Sequential(dense(3), first), second),
        }[kind]()

    return Honest(
        lambda: npnet.Sequential(*(part(k, kind) for k, kind in enumerate(kinds))),
        (draw(values((n, width))),),
    )


@st.composite
def composed(draw):
    """A layer of some functions of one number in a row, as one writes them down."""
    parts = draw(st.lists(st.sampled_from(LINES), min_size=2, max_size=5))

    def value(x):
        for f, _ in parts:
            x = f(x)
        return x

    def slope(x):
        total = np.ones_like(x)
        for f, df in parts:
            x, total = f(x), total * df(x)
        return total

    return Honest(elementwise(value, slope), (draw(given_by(draw(_shapes))),))
