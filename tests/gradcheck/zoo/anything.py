"""Honest layers by the thousand: a Hypothesis strategy over layers, shapes, values and scales."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

import npnet
from zoo import honest
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
_ROWS = [honest.RowMax, honest.SharedMax, honest.Sort, npnet.Softmax, npnet.LogSoftmax]
_SMOOTH = [npnet.Tanh, npnet.Sigmoid, npnet.SiLU, npnet.ReLU, npnet.Softsign, npnet.Identity]
_TWO_INPUTS = (honest.Maxout, honest.Product)


@st.composite
def values(draw, shape, scale=1.0):
    """Draw generic numbers, or whole ones that hit kinks and ties."""
    count = math.prod(shape)
    if draw(st.booleans()):
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        return scale * rng.normal(size=shape)
    few = st.lists(st.integers(-4, 4), min_size=count, max_size=count)
    return scale * 0.5 * np.array(draw(few), np.float64).reshape(shape)


@st.composite
def scales(draw):
    return 10.0 ** draw(st.integers(-9, 9))


_shapes = st.one_of(
    st.tuples(st.integers(1, 4), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
)


@st.composite
def of_elements(draw):
    make = draw(st.sampled_from(_ANY_SCALE))
    shape, scale = draw(_shapes), draw(scales())
    count = 2 if make in _TWO_INPUTS else 1
    return Honest(make, tuple(draw(values(shape, scale)) for _ in range(count)))


@st.composite
def moderate(draw):
    return Honest(draw(st.sampled_from(_MODERATE)), (draw(values(draw(_shapes))),))


@st.composite
def steep(draw):
    """A function of c x at x / c."""
    inner, scale = draw(st.sampled_from(_SMOOTH)), draw(scales())
    x = draw(values(draw(_shapes), 1 / scale))
    return Honest(lambda: npnet.Sequential(honest.Scale(scale), inner()), (x,))


@st.composite
def of_rows(draw):
    make = draw(st.sampled_from(_ROWS))
    shape = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    scale = draw(st.sampled_from([1e-3, 1.0, 20.0]))
    if make in (honest.RowMax, honest.SharedMax, honest.Sort):
        scale = draw(scales())
    x = draw(values(shape, scale))
    if make is honest.Sort:  # of three equal ones, the middle one's slope is between no others
        x += scale * np.linspace(0, 1e-3, x.size).reshape(shape)
    return Honest(make, (x,))


@st.composite
def linear(draw):
    n, i, o = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    seed, weight = draw(st.integers(0, 1000)), draw(scales())

    def make():
        layer = npnet.Linear(i, o, bias=seed % 2 == 0, rng=seed, dtype=np.float64)
        layer.weight.data *= weight
        return layer

    return Honest(make, (draw(values((n, i), draw(scales()))),))


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
    chosen = [draw(st.sampled_from(_SMOOTH)) for _ in range(3)]
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
def losses(draw):
    n, c = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    scale = draw(st.sampled_from([1e-6, 1.0, 30.0]))
    reduction = draw(st.sampled_from(["mean", "sum", "none"]))
    pred = draw(values((n, c), scale))
    kind = draw(
        st.sampled_from(["MSELoss", "L1Loss", "CrossEntropyLoss", "NLLLoss", "BCEWithLogitsLoss"])
    )
    if kind in ("CrossEntropyLoss", "NLLLoss"):
        target = np.array(draw(st.lists(st.integers(0, c - 1), min_size=n, max_size=n)))
    elif kind == "BCEWithLogitsLoss":
        target = draw(st.sampled_from([np.zeros, np.ones, lambda s: np.full(s, 0.3)]))((n, c))
    else:
        target = draw(values((n, c), scale))
    return Honest(lambda: getattr(npnet, kind)(reduction=reduction), (pred, target))


anything = st.one_of(of_elements(), moderate(), steep(), of_rows(), linear(), networks(), losses())
