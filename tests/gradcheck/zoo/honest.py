"""Honest layers that tempt a checker into a false alarm."""

from __future__ import annotations

import numpy as np

import npnet
from zoo import (
    honest_functions,
    honest_images,
    honest_losses,
    honest_norms,
    honest_rows,
    honest_sequences,
    honest_state,
)
from zoo.honest_base import COUPLED, KINKS, TIES, Honest, elementwise, normal
from zoo.honest_containers import (
    BatchNorm,
    Branches,
    CachesMasks,
    Center,
    Concat,
    Constant,
    DropsByFloat64,
    Gate,
    Noise,
    NoisyGain,
    ReadOnlyOutput,
    Residual,
)
from zoo.honest_parameters import (
    Again,
    Attention,
    Conv1d,
    Embedding,
    LayerNorm,
    PReLU,
    Quadratic,
    Recurrent,
    Scale,
    Tied,
    WeightedRows,
    WeightTwice,
)
from zoo.honest_simple import (
    GLU,
    AbsoluteSum,
    Bilinear,
    FirstOnly,
    Halves,
    LogSumExp,
    MatMul,
    Maxout,
    Mean,
    Norm1,
    Outer,
    Pool2,
    Product,
    QuadraticForm,
    RowMax,
    SharedMax,
    SinCos,
    Sort,
)

_KNOTS = np.arange(-5.0, 6.0)
_FADING = np.array([[1.0, 1e-30, 1e-52, 0.0], [1e-160, 1.0, 1e-20, 1e-60]])
_POSITIVE = np.array([[0.3, 1e-3, 2.5], [7.0, 0.9, 40.0]])


def _linear(scale):
    layer = npnet.Linear(3, 2, dtype=np.float64, rng=8)
    for p in layer.parameters():
        p.data *= scale
    return layer


HONEST: dict[str, Honest] = {
    # kinks hit exactly, ties
    "relu at zero": Honest(npnet.ReLU, (KINKS,)),
    "relu of zeros": Honest(npnet.ReLU, (np.zeros((3, 4)),)),
    "leaky relu at zero": Honest(npnet.LeakyReLU, (KINKS,)),
    "elu at zero": Honest(lambda: npnet.ELU(2.0), (KINKS,)),
    "softsign at zero": Honest(npnet.Softsign, (KINKS,)),
    "abs": Honest(elementwise(np.abs, np.sign), (KINKS,)),
    "clip at its ends": Honest(
        elementwise(lambda x: np.clip(x, -1, 1), lambda x: (np.abs(x) <= 1) * 1.0), (KINKS,)
    ),
    "hard sigmoid": Honest(
        elementwise(
            lambda x: np.clip(x / 6 + 0.5, 0, 1), lambda x: np.where(np.abs(x) < 3, 1 / 6, 0)
        ),
        (np.array([[3.0, -3.0, 0.0, 5.0]]),),
    ),
    "row max with ties": Honest(RowMax, (TIES,)),
    "shared max with ties": Honest(SharedMax, (TIES,)),
    "maxout with ties": Honest(Maxout, (TIES, TIES[:, ::-1].copy())),
    "pool with ties": Honest(Pool2, (TIES,)),
    "sort": Honest(Sort, (normal(3, 5),)),
    "sum of absolutes at zero": Honest(Norm1, (KINKS,)),
    "relu network at zero": Honest(
        lambda: npnet.Sequential(npnet.Linear(4, 3, bias=False, rng=1), npnet.ReLU()), (KINKS,)
    ),
    # steep, flat and rough functions
    "steep exponential": Honest(
        elementwise(lambda x: np.exp(30 * x), lambda x: 30 * np.exp(30 * x)), (normal(3, 4),)
    ),
    "steep sigmoid": Honest(
        lambda: npnet.Sequential(Scale(1e4), npnet.Sigmoid()), (normal(3, 4, scale=1e-4),)
    ),
    "steep tanh": Honest(
        lambda: npnet.Sequential(Scale(1e6), npnet.Tanh()), (normal(3, 4, scale=1e-6),)
    ),
    "saturated sigmoid": Honest(npnet.Sigmoid, (normal(3, 4, scale=30.0),)),
    "saturated tanh": Honest(npnet.Tanh, (normal(3, 4, scale=15.0),)),
    "saturated softmax": Honest(npnet.Softmax, (normal(3, 4, scale=30.0),)),
    "saturated log-softmax": Honest(npnet.LogSoftmax, (normal(3, 4, scale=100.0),)),
    "fast sine": Honest(
        elementwise(lambda x: np.sin(1000 * x), lambda x: 1000 * np.cos(1000 * x)), (normal(3, 4),)
    ),
    "fifth power": Honest(elementwise(lambda x: x**5, lambda x: 5 * x**4), (normal(3, 4),)),
    "high power": Honest(elementwise(lambda x: x**20, lambda x: 20 * x**19), (normal(3, 4),)),
    "reciprocal": Honest(elementwise(lambda x: 1 / x, lambda x: -1 / (x * x)), (_POSITIVE,)),
    "logarithm": Honest(elementwise(np.log, lambda x: 1 / x), (_POSITIVE,)),
    "square root": Honest(elementwise(np.sqrt, lambda x: 0.5 / np.sqrt(x)), (_POSITIVE,)),
    "arc sine": Honest(
        elementwise(np.arcsin, lambda x: 1 / np.sqrt(1 - x * x)), (np.tanh(normal(3, 4)),)
    ),
    "gelu": Honest(npnet.GELU, (normal(3, 4, scale=3.0),)),
    "gelu tanh": Honest(lambda: npnet.GELU("tanh"), (normal(3, 4, scale=3.0),)),
    "silu": Honest(npnet.SiLU, (normal(3, 4, scale=3.0),)),
    "softplus": Honest(lambda: npnet.Softplus(3.0, 5.0), (normal(3, 4, scale=3.0),)),
    "cosine minus one": Honest(
        elementwise(lambda x: 1 - np.cos(x), np.sin), (normal(3, 4, scale=1e-2),)
    ),
    "softplus without cancelling": Honest(
        elementwise(lambda x: np.log1p(np.exp(x)), lambda x: 1 / (1 + np.exp(-x))), (normal(3, 4),)
    ),
    "square with a sign": Honest(elementwise(lambda x: x * abs(x), lambda x: 2 * abs(x)), (KINKS,)),
    "ninth power at zero": Honest(elementwise(lambda x: x**9, lambda x: 9 * x**8), (KINKS,)),
    "seventh power of one zero": Honest(
        elementwise(lambda x: x**7, lambda x: 7 * x**6), (np.zeros((1, 1)),)
    ),
    "logarithm of one plus": Honest(
        elementwise(lambda x: np.log(1 + x), lambda x: 1 / (1 + x)), (normal(3, 4, scale=1e-10),)
    ),
    "elu that cancels at zero": Honest(
        elementwise(
            lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
            lambda x: np.exp(np.minimum(x, 0)),
        ),
        (KINKS,),
    ),
    "gelu tanh, far out": Honest(
        lambda: npnet.GELU("tanh"), (np.array([[1.2573, 6.4042, -5.35669373, -7.03735236]]),)
    ),
    "sine far above zero": Honest(
        elementwise(lambda x: 1e9 + np.sin(x), np.cos), (normal(3, 4),), {"mode": "directional"}
    ),
    "sum of rows that are almost zero": Honest(
        AbsoluteSum,
        (np.array([[1.0, -1.0, 0.0], [0.1, 0.2, -0.3]]),),
    ),
    "logarithm, clipped": Honest(
        elementwise(
            lambda x: np.log(np.maximum(x, 1e-7)), lambda x: (x >= 1e-7) / np.maximum(x, 1e-7)
        ),
        (np.array([[1e-7, 0.5, 0.0, 1e-12, 1.0]]),),
        {"mode": "directional"},
    ),
    "polygon at its corners": Honest(
        elementwise(
            lambda x: np.interp(x, _KNOTS, np.sin(3 * _KNOTS)).astype(x.dtype),
            lambda x: np.sin(3 * np.floor(x) + 3) - np.sin(3 * np.floor(x)),
        ),
        (np.array([[0.0, 1.0, 2.5, -1.0]]),),
    ),
    "values far from attention": Honest(MatMul, (_FADING, normal(4, 2))),
    # scales
    "inputs of 1e9": Honest(lambda: _linear(1.0), (normal(4, 3, scale=1e9),)),
    "inputs of 1e-9": Honest(lambda: _linear(1.0), (normal(4, 3, scale=1e-9),)),
    "weights of 1e9": Honest(lambda: _linear(1e9), (normal(4, 3),)),
    "weights of 1e-9": Honest(lambda: _linear(1e-9), (normal(4, 3),)),
    "weights of 1e9, inputs of 1e-9": Honest(lambda: _linear(1e9), (normal(4, 3, scale=1e-9),)),
    "square of 1e9": Honest(
        elementwise(lambda x: x * x, lambda x: 2 * x), (normal(3, 4, scale=1e9),)
    ),
    "square of 1e-9": Honest(
        elementwise(lambda x: x * x, lambda x: 2 * x), (normal(3, 4, scale=1e-9),)
    ),
    "sine of 1e-9": Honest(elementwise(np.sin, np.cos), (normal(3, 4, scale=1e-9),)),
    "tanh of a small factor": Honest(
        lambda: npnet.Sequential(Scale(1e-9), npnet.Tanh()), (normal(3, 4, scale=1e9),)
    ),
    "mixed scales": Honest(
        elementwise(lambda x: x * x * x, lambda x: 3 * x * x),
        (np.array([[1e-9, 1.0, 1e9], [-1e-6, 0.0, -1e6]]),),
    ),
    "tiny factor": Honest(lambda: Scale(1e-9), (normal(3, 4),)),
    "huge factor": Honest(lambda: Scale(1e9), (normal(3, 4),)),
    "softplus of 1e9": Honest(npnet.Softplus, (normal(3, 4, scale=1e9),)),
    # several inputs and outputs, scalar outputs
    "product": Honest(Product, (normal(3, 4), normal(3, 4) + 1)),
    "product of 1e9 and 1e-9": Honest(Product, (normal(3, 4, scale=1e9), normal(3, 4, scale=1e-9))),
    "unused input": Honest(FirstOnly, (normal(3, 4), normal(3, 2))),
    "bilinear": Honest(Bilinear, (normal(5, 3), normal(5, 4))),
    "batched matrix product": Honest(MatMul, (normal(2, 3, 4), normal(2, 4, 2))),
    "matrix product": Honest(MatMul, (normal(3, 4), normal(4, 2))),
    "square matrix product": Honest(MatMul, (normal(4, 4), normal(4, 4) + 1)),
    "outer product": Honest(Outer, (normal(3), normal(4))),
    "sine and cosine": Honest(SinCos, (normal(3, 4),)),
    "halves": Honest(Halves, (normal(3, 4),)),
    "gated linear unit": Honest(GLU, (normal(3, 4),)),
    "mean": Honest(Mean, (normal(3, 4),)),
    "log-sum-exp": Honest(LogSumExp, (normal(3, 4),)),
    "log-sum-exp with a tie": Honest(LogSumExp, (TIES,)),
    "quadratic form": Honest(QuadraticForm, (normal(5),)),
    "scalar input": Honest(Scale, (np.array(0.7),)),
    "one element": Honest(npnet.Tanh, (np.array([[0.3]]),)),
    # parameters
    "quadratic": Honest(Quadratic, (normal(6, 1),)),
    "quadratic of a vector": Honest(Quadratic, (normal(6),)),
    "prelu at zero": Honest(PReLU, (np.array([[0.0, 1.0, -1.0], [-2.0, 0.0, 0.5]]),)),
    "weight twice": Honest(WeightTwice, (normal(5, 4),)),
    "tied weights": Honest(Tied, (normal(5, 4),)),
    "one child three times": Honest(
        lambda: Again(npnet.Sequential(npnet.Linear(3, 3, rng=1), npnet.Tanh())), (normal(4, 3),)
    ),
    "convolution": Honest(Conv1d, (normal(2, 6, 2),)),
    "embedding": Honest(Embedding, (np.array([[0, 5, 0], [2, 2, 1]]),)),
    "embedding of a vector": Honest(Embedding, (np.array([3, 3, 0, 1]),)),
    "embedding in a chain": Honest(
        lambda: npnet.Sequential(Embedding(), npnet.Linear(3, 2, rng=1)), (np.array([0, 5, 0]),)
    ),
    "indices and numbers": Honest(WeightedRows, (np.array([0, 5, 0, 2]), normal(4, 1))),
    "layer norm": Honest(lambda: LayerNorm(5), (normal(4, 5),)),
    "attention": Honest(Attention, (normal(2, 4, 3),)),
    "recurrent": Honest(Recurrent, (normal(3, 4, 2),)),
    # containers
    "residual tanh": Honest(lambda: Residual(npnet.Tanh()), (normal(3, 4),)),
    "residual relu at zero": Honest(lambda: Residual(npnet.ReLU()), (KINKS,)),
    "residual identity": Honest(lambda: Residual(npnet.Identity()), (normal(3, 4),)),
    "branches that keep outputs": Honest(
        lambda: Branches(npnet.Tanh(), npnet.Sigmoid(), npnet.Softmax(), npnet.Identity()),
        (normal(3, 4),),
    ),
    "branches of one layer": Honest(
        lambda: (lambda f: Branches(f, npnet.ReLU(), f))(npnet.Tanh()), (normal(3, 4),)
    ),
    "gate": Honest(
        lambda: Gate(
            npnet.Sequential(npnet.Linear(4, 3, rng=1), npnet.Tanh()),
            npnet.Sequential(npnet.Linear(4, 3, rng=2), npnet.Sigmoid()),
        ),
        (normal(3, 4),),
    ),
    "concatenation": Honest(
        lambda: Concat(npnet.Linear(4, 2, rng=1), npnet.Tanh(), npnet.ReLU()), (normal(3, 4),)
    ),
    "deep residual network": Honest(
        lambda: npnet.Sequential(
            npnet.Linear(4, 5, rng=1),
            Residual(npnet.Sequential(npnet.Linear(5, 5, rng=2), npnet.Tanh())),
            Residual(npnet.Sequential(npnet.Linear(5, 5, rng=3), npnet.ReLU())),
            npnet.Linear(5, 2, rng=4),
        ),
        (normal(3, 4),),
    ),
    # randomness, buffers, coupling
    "dropout": Honest(lambda: npnet.Dropout(0.4), (normal(3, 4),)),
    "dropout of everything": Honest(lambda: npnet.Dropout(1.0), (normal(3, 4),)),
    "dropout network": Honest(
        lambda: npnet.Sequential(
            npnet.Linear(4, 6, rng=1), npnet.ReLU(), npnet.Dropout(0.5), npnet.Linear(6, 2, rng=2)
        ),
        (normal(3, 4),),
    ),
    "dropout from float64 numbers": Honest(DropsByFloat64, (normal(3, 4),), {"dtype": np.float32}),
    "zero row before relu, along a direction": Honest(
        lambda: npnet.Sequential(
            npnet.Linear(10, 10, bias=False, rng=1),
            npnet.ReLU(),
            npnet.Linear(10, 10, rng=2),
            npnet.ReLU(),
            npnet.Linear(10, 3, rng=3),
        ),
        (np.concatenate([normal(4, 10), np.zeros((1, 10))]),),
        {"mode": "directional"},
    ),
    "noise": Honest(Noise, (normal(3, 4),)),
    "noisy gain": Honest(NoisyGain, (normal(4, 3),)),
    "batch norm": Honest(lambda: BatchNorm(4), (normal(5, 4),)),
    "batch norm in a chain": Honest(
        lambda: npnet.Sequential(npnet.Linear(3, 4, rng=1), BatchNorm(4), npnet.ReLU()),
        (normal(5, 3),),
    ),
    "centred batch": Honest(Center, (normal(5, 4),), COUPLED),
    "softmax over the batch": Honest(lambda: npnet.Softmax(0), (normal(5, 4),), COUPLED),
    # odd but right
    "constants by length": Honest(CachesMasks, (normal(3, 4),)),
    "step function": Honest(Constant, (normal(3, 4),)),
    "read-only results": Honest(ReadOnlyOutput, (normal(3, 4),)),
    "flatten": Honest(npnet.Flatten, (normal(2, 3, 4),)),
    "identity": Honest(npnet.Identity, (normal(3, 4),)),
    "nothing inside": Honest(npnet.Sequential, (normal(3, 4),)),
    "second axis counts": Honest(npnet.Tanh, (normal(4, 3),), {"batch_axis": 1}),
}

for _family in (
    honest_norms.CASES,
    honest_sequences.CASES,
    honest_images.CASES,
    honest_rows.CASES,
    honest_functions.CASES,
    honest_state.CASES,
    honest_losses.CASES,
):
    assert not HONEST.keys() & _family.keys()
    HONEST |= _family
