"""The one table of all layers and losses; the contract and oracle tests run over it.

A new public layer or loss needs a line here and nothing else: in `LAYERS` if it has one floating
input, in `CALLS` otherwise. `torch` is the class's expression in PyTorch, evaluated by the oracle
tests only; losses that PyTorch lacks stand in `losses/torch_losses.py`. Losses of several
predictions, or of predictions that are not any real numbers, have a table of their own, which says
their arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import npnet


class LayerCase(NamedTuple):
    make: Callable[[], npnet.Layer]
    shapes: tuple[tuple[int, ...], ...]  # of inputs, the batch axis first
    torch: str | None
    random: bool = False  # whether a training pass draws random numbers

    @property
    def id(self) -> str:
        return f"{self.make()!r}".split("\n")[0].replace(" ", "")


def _mlp() -> npnet.Sequential:
    return npnet.Sequential(
        npnet.Flatten(), npnet.Linear(6, 5), npnet.Tanh(), npnet.Dropout(0.0), npnet.Linear(5, 3)
    )


_ANY = ((4, 3), (1, 3), (2, 3, 4), (5,))
_TORCH_MLP = """Sequential(Flatten(), Linear(6, 5), Tanh(), Dropout(0.0), Linear(5, 3))"""

LAYERS = [
    LayerCase(lambda: npnet.Linear(3, 2), ((4, 3), (1, 3), (2, 5, 3), (3,)), "Linear(3, 2)"),
    LayerCase(lambda: npnet.Linear(7, 1, bias=False), ((3, 7),), "Linear(7, 1, bias=False)"),
    LayerCase(lambda: npnet.Identity(), _ANY, "Identity()"),
    LayerCase(lambda: npnet.Flatten(), ((4, 3), (2, 3, 4), (1, 2, 3, 4)), "Flatten()"),
    LayerCase(lambda: npnet.Flatten(0, 1), ((2, 3, 4),), "Flatten(0, 1)"),
    LayerCase(lambda: npnet.Dropout(0.5), _ANY, None, random=True),
    LayerCase(lambda: npnet.Dropout(0.0), _ANY, "Dropout(0.0)"),
    LayerCase(lambda: npnet.Unflatten(1, (3, -1)), ((4, 6), (2, 3, 4)), "Unflatten(1, (3, -1))"),
    LayerCase(lambda: npnet.Unflatten(-1, (1, 3)), ((4, 3), (3,)), "Unflatten(-1, (1, 3))"),
    LayerCase(lambda: npnet.AlphaDropout(0.5), _ANY, None, random=True),
    LayerCase(lambda: npnet.AlphaDropout(0.0), _ANY, "AlphaDropout(0.0)"),
    LayerCase(lambda: npnet.AlphaDropout(1.0), _ANY, "AlphaDropout(1.0)", random=True),
    LayerCase(lambda: npnet.FeatureAlphaDropout(0.3), ((4, 3), (2, 3, 4)), None, random=True),
    LayerCase(lambda: npnet.FeatureAlphaDropout(1.0), ((4, 3), (2, 3, 4)),
              "FeatureAlphaDropout(1.0)", random=True),
    LayerCase(lambda: npnet.GaussianNoise(0.3), _ANY, None, random=True),
    LayerCase(lambda: npnet.ReLU(), _ANY, "ReLU()"),
    LayerCase(lambda: npnet.LeakyReLU(), _ANY, "LeakyReLU()"),
    LayerCase(lambda: npnet.LeakyReLU(-0.5), _ANY, "LeakyReLU(-0.5)"),
    LayerCase(lambda: npnet.ELU(), _ANY, "ELU()"),
    LayerCase(lambda: npnet.ELU(0.3), _ANY, "ELU(0.3)"),
    LayerCase(lambda: npnet.GELU(), _ANY, "GELU()"),
    LayerCase(lambda: npnet.GELU("tanh"), _ANY, "GELU('tanh')"),
    LayerCase(lambda: npnet.SiLU(), _ANY, "SiLU()"),
    LayerCase(lambda: npnet.Sigmoid(), _ANY, "Sigmoid()"),
    LayerCase(lambda: npnet.Tanh(), _ANY, "Tanh()"),
    LayerCase(lambda: npnet.Softplus(), _ANY, "Softplus()"),
    LayerCase(lambda: npnet.Softplus(3.0, 5.0), _ANY, "Softplus(3.0, 5.0)"),
    LayerCase(lambda: npnet.Softsign(), _ANY, "Softsign()"),
    LayerCase(lambda: npnet.Softmax(), _ANY, "Softmax(-1)"),
    LayerCase(lambda: npnet.Softmax(1), ((4, 3), (2, 3, 4)), "Softmax(1)"),
    LayerCase(lambda: npnet.LogSoftmax(), _ANY, "LogSoftmax(-1)"),
    LayerCase(lambda: npnet.LogSoftmax(1), ((4, 3), (2, 3, 4)), "LogSoftmax(1)"),
    LayerCase(lambda: npnet.ReLU6(), _ANY, "ReLU6()"),
    LayerCase(lambda: npnet.PReLU(), _ANY, "PReLU()"),
    LayerCase(lambda: npnet.PReLU(3, 0.1), ((4, 3), (2, 3, 4), (1, 3, 2, 2)), "PReLU(3, 0.1)"),
    LayerCase(lambda: npnet.RReLU(), _ANY, None, random=True),
    LayerCase(lambda: npnet.RReLU(0.3, 0.3), _ANY, "RReLU(0.3, 0.3)"),
    LayerCase(lambda: npnet.CELU(), _ANY, "CELU()"),
    LayerCase(lambda: npnet.CELU(2.0), _ANY, "CELU(2.0)"),
    LayerCase(lambda: npnet.SELU(), _ANY, "SELU()"),
    LayerCase(lambda: npnet.Mish(), _ANY, "Mish()"),
    LayerCase(lambda: npnet.LogSigmoid(), _ANY, "LogSigmoid()"),
    LayerCase(lambda: npnet.Tanhshrink(), _ANY, "Tanhshrink()"),
    LayerCase(lambda: npnet.Hardtanh(), _ANY, "Hardtanh()"),
    LayerCase(lambda: npnet.Hardtanh(-2.0, 0.5), _ANY, "Hardtanh(-2.0, 0.5)"),
    LayerCase(lambda: npnet.Hardsigmoid(), _ANY, None),
    LayerCase(lambda: npnet.Hardswish(), _ANY, "Hardswish()"),
    LayerCase(lambda: npnet.Hardshrink(), _ANY, "Hardshrink()"),
    LayerCase(lambda: npnet.Softshrink(0.7), _ANY, "Softshrink(0.7)"),
    LayerCase(lambda: npnet.Threshold(0.1, 20.0), _ANY, "Threshold(0.1, 20.0)"),
    LayerCase(lambda: npnet.Threshold(-0.5, 0.0), _ANY, "Threshold(-0.5, 0.0)"),
    LayerCase(lambda: npnet.GLU(), ((4, 6), (1, 2), (2, 3, 4), (8,)), "GLU()"),
    LayerCase(lambda: npnet.GLU(1), ((4, 6), (2, 4, 3)), "GLU(1)"),
    LayerCase(lambda: npnet.Maxout(2), ((4, 6), (1, 2), (2, 3, 4), (8,)), None),
    LayerCase(lambda: npnet.Maxout(3, 1), ((4, 6), (2, 3, 4)), None),
    LayerCase(lambda: npnet.Lambda(np.sin, np.cos), _ANY, None),
    LayerCase(lambda: npnet.Softmin(), _ANY, "Softmin(-1)"),
    LayerCase(lambda: npnet.Softmin(1), ((4, 3), (2, 3, 4)), "Softmin(1)"),
    LayerCase(lambda: npnet.Softmax2d(), ((2, 3, 4, 2), (1, 2, 1, 3)), "Softmax2d()"),
    LayerCase(lambda: npnet.Conv1d(2, 4, 3, 2, 1, groups=2), ((3, 2, 7), (2, 4)),
              "Conv1d(2, 4, 3, 2, 1, groups=2)"),
    LayerCase(lambda: npnet.Conv2d(2, 3, (3, 2), padding="same", dilation=(1, 2), exact=True),
              ((2, 2, 4, 3), (2, 3, 4)), "Conv2d(2, 3, (3, 2), padding='same', dilation=(1, 2))"),
    LayerCase(lambda: npnet.Conv2d(2, 2, 3, (1, 2), 2, padding_mode="reflect"), ((1, 2, 3, 4),),
              "Conv2d(2, 2, 3, (1, 2), 2, padding_mode='reflect')"),
    LayerCase(lambda: npnet.Conv3d(1, 2, 2, padding=1, bias=False), ((2, 1, 2, 1, 3),),
              "Conv3d(1, 2, 2, padding=1, bias=False)"),
    LayerCase(lambda: npnet.ConvTranspose1d(2, 4, 3, 2, 1, 1, 2), ((3, 2, 3), (2, 3)),
              "ConvTranspose1d(2, 4, 3, 2, 1, 1, 2)"),
    LayerCase(lambda: npnet.ConvTranspose2d(2, 3, (2, 3), (2, 1), 1, dilation=(1, 2)),
              ((2, 2, 2, 3), (2, 2, 3)),
              "ConvTranspose2d(2, 3, (2, 3), (2, 1), 1, dilation=(1, 2))"),
    LayerCase(lambda: npnet.ConvTranspose3d(1, 2, 2, 2, bias=False), ((1, 1, 2, 1, 2),),
              "ConvTranspose3d(1, 2, 2, 2, bias=False)"),
    LayerCase(lambda: npnet.Unfold(2, (1, 2), 1, (2, 1)), ((2, 2, 3, 2), (1, 2, 4)),
              "Unfold(2, (1, 2), 1, (2, 1))"),
    LayerCase(lambda: npnet.Fold((4, 3), 2, padding=1, stride=2), ((2, 8, 6), (4, 6)),
              "Fold((4, 3), 2, padding=1, stride=2)"),
    LayerCase(_mlp, ((4, 6), (2, 3, 2), (1, 6)), _TORCH_MLP),
    LayerCase(lambda: npnet.Sequential(_mlp(), npnet.ReLU()), ((4, 6),),
              f"Sequential({_TORCH_MLP}, ReLU())"),
]  # fmt: skip


class CallCase(NamedTuple):
    """A layer that takes several inputs, or indices."""

    make: Callable[[], npnet.Layer]
    inputs: tuple[Any, ...]  # shapes of floating inputs, and arrays of indices
    torch: str

    @property
    def id(self) -> str:
        given = [str(x if isinstance(x, tuple) else np.shape(x)) for x in self.inputs]
        return f"{self.make()!r}-{'-'.join(given)}".replace(" ", "")


_INDEX = np.array([[0, 2, 2], [5, 1, 0]])
_FLAT = np.array([0, 2, 2, 5, 1, 0])

CALLS = [
    *(CallCase(lambda: npnet.Bilinear(2, 3, 4), ((*s, 2), (*s, 3)), "Bilinear(2, 3, 4)")
      for s in ((5,), (1,), (2, 3), ())),
    CallCase(lambda: npnet.Bilinear(1, 2, 1, bias=False), ((5, 1), (5, 2)),
             "Bilinear(1, 2, 1, bias=False)"),
    *(CallCase(npnet.CosineSimilarity, shapes, "CosineSimilarity()")
      for shapes in (((4, 3), (4, 3)), ((2, 3, 4), (3, 1)), ((1, 3), (4, 3)))),
    CallCase(lambda: npnet.CosineSimilarity(-1, 1e-5), ((2, 3, 4), (2, 3, 4)),
             "CosineSimilarity(-1, 1e-5)"),
    *(CallCase(npnet.PairwiseDistance, shapes, "PairwiseDistance()")
      for shapes in (((4, 3), (4, 3)), ((2, 3, 4), (4,)), ((3,), (5, 3)))),
    *(CallCase(lambda p=p: npnet.PairwiseDistance(p, keepdim=True), ((4, 3), (4, 3)),
               f"PairwiseDistance({p}, keepdim=True)")
      for p in (1.0, 1.5, 3.0, -1.0)),
    CallCase(lambda: npnet.PairwiseDistance(float("inf"), 0.1), ((4, 3), (4, 3)),
             "PairwiseDistance(float('inf'), 0.1)"),
    *(CallCase(lambda: npnet.Embedding(6, 2), (x,), "Embedding(6, 2)")
      for x in (_INDEX, _FLAT, np.array(3), np.zeros((0, 2), int), _INDEX.astype(np.uint8))),
    CallCase(lambda: npnet.Embedding(6, 2, padding_idx=-2), (_INDEX,),
             "Embedding(6, 2, padding_idx=-2)"),
    CallCase(lambda: npnet.Embedding(6, 2, sparse=True), (_INDEX,), "Embedding(6, 2, sparse=True)"),
    CallCase(lambda: npnet.Embedding(6, 2, max_norm=50.0), (_INDEX,),
             "Embedding(6, 2, max_norm=50.0)"),
    *(CallCase(lambda mode=mode: npnet.EmbeddingBag(6, 2, mode=mode), inputs,
               f"EmbeddingBag(6, 2, mode={mode!r})")
      for mode in ("sum", "mean", "max")
      for inputs in ((_INDEX,), (_FLAT, np.array([0, 2, 2, 3])), (_FLAT[:0], np.array([0, 0])))),
    *(CallCase(lambda: npnet.EmbeddingBag(6, 2, mode="sum", padding_idx=4, sparse=True), inputs,
               "EmbeddingBag(6, 2, mode='sum', padding_idx=4, sparse=True)")
      for inputs in ((_INDEX,), (_FLAT, np.array([0, 2]), (6,)))),
    CallCase(lambda: npnet.EmbeddingBag(6, 2, include_last_offset=True),
             (_FLAT, np.array([0, 2, 6])), "EmbeddingBag(6, 2, include_last_offset=True)"),
]  # fmt: skip


class LossCase(NamedTuple):
    make: Callable[..., npnet.Loss]  # takes reduction=
    target: Callable[[np.random.Generator, tuple[int, ...]], Any]
    shapes: tuple[tuple[int, ...], ...]  # of predictions
    torch: str

    @property
    def id(self) -> str:
        return f"{self.make(reduction='mean')!r}-{self.target.__name__}".replace(" ", "")


def real(rng, shape):
    return rng.normal(size=shape)


def unit(rng, shape):
    return rng.uniform(size=shape)


def binary(rng, shape):
    return rng.integers(0, 2, shape).astype(float)


def labels(rng, shape):
    axis = min(1, len(shape) - 1)
    return rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])


def labels_some_ignored(rng, shape):
    found = np.array(labels(rng, shape))
    found.reshape(-1)[1::3] = -100
    return found


def probabilities(rng, shape):
    p = rng.uniform(size=shape)
    return p / p.sum(axis=min(1, len(shape) - 1), keepdims=True)


_ELEMENTS = ((4, 3), (1, 1), (2, 3, 4), (5,))
_CLASSES = ((4, 3), (1, 3), (2, 3, 4), (2, 3, 4, 2), (3,))
_W = "torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)"


def signs(rng, shape):
    return rng.choice([-1, 1], shape)


def counts(rng, shape):
    return rng.poisson(2.0, shape).astype(float)  # of integers PyTorch's logarithm is float32


def label_lists(rng, shape):
    """Some classes, then a negative number, then anything."""
    rows = rng.permuted(np.broadcast_to(np.arange(shape[-1]), shape), axis=-1)
    return np.where(np.arange(shape[-1]) == rng.integers(1, shape[-1], (*shape[:-1], 1)), -1, rows)


def one_for_all(rng, shape):
    return rng.normal(size=shape[:-1])


def _ce(**options):
    return lambda reduction: npnet.CrossEntropyLoss(reduction=reduction, **options)


LOSSES = [
    LossCase(npnet.MSELoss, real, _ELEMENTS, "MSELoss({r})"),
    LossCase(npnet.L1Loss, real, _ELEMENTS, "L1Loss({r})"),
    LossCase(_ce(), labels, _CLASSES, "CrossEntropyLoss({r})"),
    LossCase(_ce(), labels_some_ignored, ((4, 3), (2, 3, 4)), "CrossEntropyLoss({r})"),
    LossCase(_ce(), probabilities, _CLASSES, "CrossEntropyLoss({r})"),
    LossCase(_ce(weight=[0.5, 2.0, 1.0]), labels, _CLASSES, f"CrossEntropyLoss({_W}, {{r}})"),
    LossCase(_ce(weight=[0.5, 2.0, 1.0]), probabilities, _CLASSES,
             f"CrossEntropyLoss({_W}, {{r}})"),
    LossCase(_ce(label_smoothing=0.1), labels, _CLASSES,
             "CrossEntropyLoss(label_smoothing=0.1, {r})"),
    LossCase(_ce(label_smoothing=0.1), probabilities, _CLASSES,
             "CrossEntropyLoss(label_smoothing=0.1, {r})"),
    LossCase(_ce(weight=[0.5, 2.0, 1.0], label_smoothing=0.2, ignore_index=1), labels,
             ((7, 3), (4, 3, 5)),
             f"CrossEntropyLoss({_W}, label_smoothing=0.2, ignore_index=1, {{r}})"),
    LossCase(_ce(weight=[0.5, 2.0, 1.0], label_smoothing=0.2), labels_some_ignored,
             ((7, 3), (4, 3, 5)),
             f"CrossEntropyLoss({_W}, label_smoothing=0.2, {{r}})"),
    LossCase(npnet.NLLLoss, labels, _CLASSES, "NLLLoss({r})"),
    LossCase(lambda reduction: npnet.NLLLoss([0.5, 2.0, 1.0], 2, reduction), labels,
             ((7, 3), (2, 3, 4)), f"NLLLoss({_W}, ignore_index=2, {{r}})"),
    LossCase(npnet.BCEWithLogitsLoss, unit, _ELEMENTS, "BCEWithLogitsLoss({r})"),
    LossCase(npnet.BCEWithLogitsLoss, binary, _ELEMENTS, "BCEWithLogitsLoss({r})"),
    LossCase(lambda reduction: npnet.BCEWithLogitsLoss([0.5, 2.0, 1.0], reduction, [3.0]), unit,
             ((4, 3), (3,)),
             f"BCEWithLogitsLoss({_W}, {{r}}, pos_weight=torch.tensor([3.0]).double())"),
    LossCase(lambda reduction: npnet.BCEWithLogitsLoss([-0.5, 2.0, 1.0], reduction), unit,
             ((4, 3),), "BCEWithLogitsLoss(torch.tensor([-0.5, 2.0, 1.0]).double(), {r})"),
    LossCase(npnet.SmoothL1Loss, real, _ELEMENTS, "SmoothL1Loss({r})"),
    LossCase(lambda reduction: npnet.SmoothL1Loss(reduction, 0.3), real, _ELEMENTS,
             "SmoothL1Loss({r}, beta=0.3)"),
    LossCase(lambda reduction: npnet.SmoothL1Loss(reduction, 0), real, _ELEMENTS,
             "SmoothL1Loss({r}, beta=0)"),
    LossCase(npnet.HuberLoss, real, _ELEMENTS, "HuberLoss({r})"),
    LossCase(lambda reduction: npnet.HuberLoss(reduction, 0.3), real, _ELEMENTS,
             "HuberLoss({r}, delta=0.3)"),
    LossCase(npnet.PoissonNLLLoss, counts, _ELEMENTS, "PoissonNLLLoss({r})"),
    LossCase(lambda reduction: npnet.PoissonNLLLoss(full=True, reduction=reduction), counts,
             ((4, 3),), "PoissonNLLLoss(full=True, {r})"),
    LossCase(npnet.HingeEmbeddingLoss, signs, _ELEMENTS, "HingeEmbeddingLoss({r})"),
    LossCase(lambda reduction: npnet.HingeEmbeddingLoss(0.3, reduction), signs, ((4, 3),),
             "HingeEmbeddingLoss(0.3, {r})"),
    LossCase(npnet.MultiMarginLoss, labels, ((4, 3), (1, 3), (3,)), "MultiMarginLoss({r})"),
    LossCase(lambda reduction: npnet.MultiMarginLoss(2, 0.3, [0.5, -2.0, 1.0], reduction), labels,
             ((4, 3), (3,)),
             "MultiMarginLoss(2, 0.3, torch.tensor([0.5, -2.0, 1.0]).double(), {r})"),
    LossCase(npnet.MultiLabelMarginLoss, label_lists, ((4, 5), (1, 2), (4,)),
             "MultiLabelMarginLoss({r})"),
    LossCase(npnet.MultiLabelSoftMarginLoss, binary, ((4, 3), (1, 1), (2, 3, 4), (5,)),
             "MultiLabelSoftMarginLoss({r})"),
    LossCase(lambda reduction: npnet.MultiLabelSoftMarginLoss([0.5, -2.0, 1.0], reduction), unit,
             ((4, 3),),
             "MultiLabelSoftMarginLoss(torch.tensor([0.5, -2.0, 1.0]).double(), {r})"),
    LossCase(npnet.FocalLoss, binary, _ELEMENTS, "FocalLoss({r})"),
    LossCase(lambda reduction: npnet.FocalLoss(0.7, None, reduction), unit, _ELEMENTS,
             "FocalLoss(0.7, None, {r})"),
    LossCase(npnet.DiceLoss, binary, _ELEMENTS, "DiceLoss({r})"),
    LossCase(lambda reduction: npnet.DiceLoss(0.1, reduction), unit, ((4, 3), (2, 3, 4)),
             "DiceLoss(0.1, {r})"),
    LossCase(npnet.QuantileLoss, real, _ELEMENTS, "QuantileLoss(0.5, {r})"),
    LossCase(lambda reduction: npnet.QuantileLoss([0.1, 0.5, 0.8], reduction), one_for_all,
             ((4, 3), (2, 4, 3), (3,)), "QuantileLoss([0.1, 0.5, 0.8], {r})"),
    LossCase(npnet.ExpectileLoss, real, _ELEMENTS, "ExpectileLoss(0.5, {r})"),
    LossCase(lambda reduction: npnet.ExpectileLoss([0.1, 0.5, 0.8], reduction), one_for_all,
             ((4, 3), (2, 4, 3), (3,)), "ExpectileLoss([0.1, 0.5, 0.8], {r})"),
]  # fmt: skip


class LossOfArrays(NamedTuple):
    kind: type[npnet.Loss]
    options: dict[str, Any]
    arrays: Callable[[np.random.Generator], tuple[Any, ...]]  # of N samples, in the loss's order

    def make(self, reduction: str) -> npnet.Loss:
        return self.kind(**self.options, reduction=reduction)

    @property
    def id(self) -> str:
        return f"{self.make('mean')!r}".replace(" ", "")


N = 6


def _gaussian(*var_shape):
    return lambda rng: (
        rng.normal(size=(N, 3)), rng.normal(size=(N, 3)), rng.uniform(0.2, 2, var_shape),
    )  # fmt: skip


def _triplets(*shape):
    return lambda rng: tuple(rng.normal(size=shape) for _ in range(3))


def _pairs(*shape):
    return lambda rng: (*rng.normal(size=(2, *shape)), rng.choice([-1, 1], N))


def _distributions(log_target):
    def arrays(rng):
        pred, target = rng.normal(size=(2, N, 3, 2))
        target -= np.log(np.exp(target).sum(1, keepdims=True))
        return pred, target if log_target else np.exp(target)

    return arrays


def _probable(rng):
    return rng.uniform(0.05, 0.95, (N, 3)), rng.uniform(size=(N, 3))


def _rates(rng):
    return rng.uniform(0.1, 4, (N, 3)), counts(rng, (N, 3))


def _measured(*error_shape):
    return lambda rng: (*rng.normal(size=(2, N, 3)), rng.uniform(0.5, 2, error_shape))


LOSSES_OF_ARRAYS = [
    LossOfArrays(npnet.BCELoss, {}, _probable),
    LossOfArrays(npnet.BCELoss, {"weight": [0.5, -2.0, 1.0]}, _probable),
    LossOfArrays(npnet.KLDivLoss, {}, _distributions(False)),
    LossOfArrays(npnet.KLDivLoss, {"log_target": True}, _distributions(True)),
    LossOfArrays(npnet.SoftMarginLoss, {}, lambda rng: (rng.normal(size=(N, 3)),
                                                        rng.choice([-1.0, 1.0], (N, 3)))),
    LossOfArrays(npnet.PoissonNLLLoss, {"log_input": False}, _rates),
    LossOfArrays(npnet.PoissonNLLLoss, {"log_input": False, "full": True, "eps": 0.1}, _rates),
    LossOfArrays(npnet.ChiSquareLoss, {}, _measured(N, 3)),
    LossOfArrays(npnet.ChiSquareLoss, {}, _measured(N)),
    LossOfArrays(npnet.GaussianNLLLoss, {}, _gaussian(N, 3)),
    LossOfArrays(npnet.GaussianNLLLoss, {"full": True}, _gaussian(N, 1)),
    LossOfArrays(npnet.GaussianNLLLoss, {"eps": 0.1}, _gaussian(N)),
    LossOfArrays(npnet.TripletMarginLoss, {}, _triplets(N, 4)),
    LossOfArrays(npnet.TripletMarginLoss, {"margin": 0.3}, _triplets(N, 2, 4)),
    LossOfArrays(npnet.TripletMarginLoss, {"p": 1.0, "swap": True}, _triplets(N, 4)),
    LossOfArrays(npnet.TripletMarginLoss, {"p": 3.5, "eps": 0.01}, _triplets(N, 4)),
    LossOfArrays(npnet.TripletMarginLoss, {"p": 0.5, "swap": True}, _triplets(N, 4)),
    LossOfArrays(npnet.TripletMarginLoss, {"p": float("inf")}, _triplets(N, 4)),
    LossOfArrays(npnet.CosineEmbeddingLoss, {}, _pairs(N, 4)),
    LossOfArrays(npnet.CosineEmbeddingLoss, {"margin": 0.2}, _pairs(N, 4)),
    LossOfArrays(npnet.MarginRankingLoss, {}, _pairs(N)),
    LossOfArrays(npnet.MarginRankingLoss, {"margin": 0.1}, _pairs(N)),
]  # fmt: skip
