"""Random norms, recurrences, attentions, images, embeddings, layers with state, and models."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import npnet
from zoo import (
    honest,
    honest_functions,
    honest_images,
    honest_norms,
    honest_sequences,
    honest_state,
)
from zoo.anything_simple import LINES, SMOOTH, given_by, scales, sizes, values
from zoo.honest import Honest, elementwise


def _norm(size, kind, eps):
    return {
        "group": lambda: honest_norms.GroupNorm(2 if size % 2 == 0 else 1, size),
        "rms": lambda: honest_norms.RMSNorm(gain=size),
        "centred": honest_norms.standardise(-1, eps),
        "batch": lambda: honest_norms.FullBatchNorm(size),
        "weight": lambda: honest_norms.WeightNorm(v=(2, size), g=(2, 1)),
        "standard": lambda: honest_norms.StandardWeight(w=(2, size)),
        "layer": lambda: honest.LayerNorm(size),
    }[kind]


_NORMS = st.sampled_from(["group", "rms", "centred", "batch", "weight", "standard", "layer"])


@st.composite
def norms(draw):
    n, size, eps = (
        draw(st.integers(2, 4)),
        draw(st.integers(2, 5)),
        10.0 ** draw(st.integers(-5, 0)),
    )
    make = _norm(size, draw(_NORMS), eps)
    return Honest(make, (draw(given_by((n, size), draw(st.sampled_from([1e-3, 1, 1e3])))),))


@st.composite
def lengths(draw):
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    make = honest_norms.row_norm(draw(st.sampled_from([2, 3, 4])))
    return Honest(make, (draw(given_by(shape, draw(scales()))),))


@st.composite
def sequences(draw):
    n, t, size, hidden = draw(sizes), draw(st.integers(1, 4)), draw(sizes), draw(sizes)
    scale = draw(st.sampled_from([0.1, 1.0, 20.0]))
    x, h = draw(values((n, t, size), scale)), draw(values((n, hidden)))
    steps = np.array(draw(st.lists(st.integers(0, t), min_size=n, max_size=n)))
    s = honest_sequences
    return draw(
        st.sampled_from(
            [
                Honest(lambda: s.RNN(size, hidden), ((n, t, size),)),
                Honest(lambda: s.RNN(size, hidden), (x,)),
                Honest(lambda: s.RNN(size, hidden), (x, h)),
                Honest(lambda: s.LSTM(size, hidden), (x,)),
                Honest(lambda: s.GRU(size, hidden), (x, h)),
                Honest(lambda: s.GRU(size, hidden), (x, h, steps)),
                Honest(lambda: s.Smoothing(rate=size), ((n, t, size),)),
                Honest(
                    lambda: s.Unrolled(hidden, s.Cell(w=(size, hidden), u=(hidden, hidden))), (x,)
                ),
                Honest(lambda: s.BothWays(size, hidden), (x,)),
                Honest(lambda: s.Pooled(query=size), (x,)),
            ]
        )
    )


@st.composite
def attentions(draw):
    n, t, k, heads = draw(sizes), draw(sizes), draw(sizes), draw(st.integers(1, 2))
    size = heads * draw(st.integers(1, 2))
    x, y = (draw(values((n, m, size), draw(st.sampled_from([1.0, 5.0])))) for m in (t, k))
    seen = np.array(draw(st.lists(st.booleans(), min_size=n * k, max_size=n * k))).reshape(n, k)
    seen[:, 0] = True
    causal, inputs = draw(
        st.sampled_from([(False, (x,)), (True, (x,)), (False, (x, y)), (False, (x, y, seen))])
    )
    return Honest(lambda: honest_sequences.MultiHead(size, heads, causal), inputs)


@st.composite
def images(draw):
    n, groups, size = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    c, out, stride = groups * draw(st.integers(1, 2)), groups, draw(st.integers(1, 2))
    padding, dilation = draw(st.integers(0, 1)), draw(st.integers(1, 2))
    h, w = draw(st.integers(3, 4)), draw(st.integers(3, 4))
    share, parts = draw(st.booleans()), draw(st.integers(1, 3))
    f = honest_images

    def conv():
        return f.Conv2d(c, out, size, stride, padding, dilation, groups)

    image, signal = (n, c, h, w), (n, c, h)
    make, shape = draw(
        st.sampled_from(
            [
                (conv, image),
                (lambda: npnet.Sequential(conv(), npnet.ReLU(), f.MaxPool2d(1, 1)), image),
                (lambda: npnet.Sequential(f.MaxPool2d(2, 1, share), npnet.ReLU()), image),
                (lambda: f.MaxPool2d(2, stride, share), image),
                (lambda: f.AveragePool2d(2, stride, padding), image),
                (lambda: f.Transposed2d(c, out, size, stride), image),
                (lambda: f.CausalConv1d(c, out, size, dilation), signal),
                (lambda: f.AdaptiveAverage(parts), signal),
                (f.CASES["global maximum with ties"].make, image),
                (lambda: honest_norms.GroupNorm(groups, c), image),
                (lambda: honest_norms.FullBatchNorm(c), image),
            ]
        )
    )
    return Honest(make, (draw(given_by(shape)),))


@st.composite
def embeddings(draw):
    rows, width, n, t = draw(sizes), draw(sizes), draw(sizes), draw(sizes)
    index = np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, rows, (n, t))
    s = honest_state
    return draw(
        st.sampled_from(
            [
                Honest(lambda: s.PaddedEmbedding(table=(rows, width)), (index,)),
                Honest(lambda: s.PaddedEmbedding(table=(rows, width)), ((n, t),)),
                Honest(lambda: s.TiedEmbedding(table=(rows, width)), (index,)),
                Honest(lambda: s.Bag(table=(rows, width)), (index, draw(values((n, t))))),
                Honest(lambda: s.Switch(a=t, b=t), (draw(values((n, t))), index[:, 0] > 0)),
                Honest(lambda: s.Positions(table=(t + 1, width)), ((n, t, width),)),
            ]
        )
    )


@st.composite
def states(draw):
    """Noise, buffers and step counters, alone or above a linear layer."""
    n, size, seed = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(0, 1000))
    s = honest_state
    make = draw(
        st.sampled_from(
            [
                lambda: s.DropConnect(w=(size, 2)),
                s.RandomSlope,
                s.WarmUp,
                lambda: s.RunningCenter(size),
                s.LargestSeen,
                s.CASES["dropped rows"].make,
                s.CASES["multiplied noise"].make,
                lambda: s.StochasticDepth(npnet.Linear(size, size, rng=seed)),
                lambda: npnet.Dropout(0.5),
            ]
        )
    )
    above = draw(st.booleans())

    def both():
        return npnet.Sequential(npnet.Linear(size, size, rng=seed), make())

    return Honest(both if above else make, (draw(given_by((n, size))),))


@st.composite
def models(draw):
    """Layers of all kinds in a row, of rows."""
    n, width, seed = draw(st.integers(2, 4)), draw(st.integers(2, 4)), draw(st.integers(0, 1000))
    kinds = ["linear", "smooth", "norm", "dropout", "sort", "line", "glu", "swish"]
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=2, max_size=5))
    smooth, norm = draw(st.sampled_from(SMOOTH)), draw(st.sampled_from(["group", "rms", "layer"]))
    line = draw(st.sampled_from(LINES))

    def part(kind, k):
        return {
            "linear": lambda: npnet.Linear(width, width, rng=seed + k),
            "smooth": smooth,
            "norm": _norm(width, norm, 1e-5),
            "dropout": lambda: npnet.Dropout(0.3),
            "sort": honest.Sort,
            "line": elementwise(*line),
            "glu": lambda: honest_functions.SwiGLU(w=(width, 2), v=(width, 2), u=(2, width)),
            "swish": lambda: honest_functions.Swish(beta=width),
        }[kind]()

    return Honest(
        lambda: npnet.Sequential(*(part(kind, k) for k, kind in enumerate(chosen))),
        (draw(values((n, width))),),
    )
