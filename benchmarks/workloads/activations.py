"""Activations alone: forward, and forward with backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from benchmarks.workloads.base import Arrays, Workload, labelled, normal

ROWS, COLUMNS = SHAPE = (128, 512)
_STEP = 1e-6


class Formula(NamedTuple):
    """A layer as npnet and PyTorch call it, its arguments, and its function in float64."""

    layer: str
    arguments: tuple[Any, ...]
    function: Callable[[np.ndarray], np.ndarray] | None  # None for one that is random


def _exponential(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


_erf = np.vectorize(math.erf)
_SCALE, _ALPHA = 1.0507009873554805, 1.6732632423543772

ACTIVATIONS = {
    "ReLU": Formula("ReLU", (), lambda x: np.maximum(x, 0)),
    "ReLU6": Formula("ReLU6", (), lambda x: np.clip(x, 0, 6)),
    "LeakyReLU": Formula("LeakyReLU", (), lambda x: np.where(x > 0, x, 0.01 * x)),
    "PReLU": Formula("PReLU", (), lambda x: np.where(x > 0, x, 0.25 * x)),
    "RReLU": Formula("RReLU", (), None),
    "ELU": Formula("ELU", (), lambda x: _exponential(x, 1)),
    "CELU": Formula("CELU", (), lambda x: _exponential(x, 1)),
    "SELU": Formula("SELU", (), lambda x: _SCALE * _exponential(x, _ALPHA)),
    "GELU": Formula("GELU", (), lambda x: x * (1 + _erf(x / math.sqrt(2))) / 2),
    "GELU-tanh": Formula(
        "GELU",
        ("tanh",),
        lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    "SiLU": Formula("SiLU", (), lambda x: x * _logistic(x)),
    "Mish": Formula("Mish", (), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    "Sigmoid": Formula("Sigmoid", (), _logistic),
    "LogSigmoid": Formula("LogSigmoid", (), lambda x: np.log(_logistic(x))),
    "Tanh": Formula("Tanh", (), np.tanh),
    "Tanhshrink": Formula("Tanhshrink", (), lambda x: x - np.tanh(x)),
    "Softplus": Formula("Softplus", (), lambda x: np.log1p(np.exp(x))),
    "Softsign": Formula("Softsign", (), lambda x: x / (1 + np.abs(x))),
    "Hardtanh": Formula("Hardtanh", (), lambda x: np.clip(x, -1, 1)),
    "Hardsigmoid": Formula("Hardsigmoid", (), lambda x: np.clip(x + 3, 0, 6) / 6),
    "Hardswish": Formula("Hardswish", (), lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "Hardshrink": Formula("Hardshrink", (), lambda x: np.where(np.abs(x) > 0.5, x, 0)),
    "Softshrink": Formula("Softshrink", (), lambda x: x - np.clip(x, -0.5, 0.5)),
    "Threshold": Formula("Threshold", (0.1, 20.0), lambda x: np.where(x > 0.1, x, 20)),
    "GLU": Formula("GLU", (), lambda x: x[:, : COLUMNS // 2] * _logistic(x[:, COLUMNS // 2 :])),
    "Softmax": Formula("Softmax", (1,), _softmax),
    "Softmin": Formula("Softmin", (1,), lambda x: _softmax(-x)),
}
"""The activations by the names in the tables."""

_COUPLED = ("GLU", "Softmax", "Softmin")  # whose outputs have several inputs


@dataclass(frozen=True)
class Activation(Workload):
    """The output of one of `ACTIVATIONS`, or with `backward` the gradient of its input."""

    name: str
    backward: bool
    kind = "activate"

    def __str__(self) -> str:
        return f"{self.name}:{'forward+backward' if self.backward else 'forward'}"

    @property
    def formula(self) -> Formula:
        """The layer."""
        return ACTIVATIONS[self.name]

    def batches(self) -> list[tuple[np.ndarray, ...]]:
        """Return the input and the gradient with respect to the output."""
        columns = COLUMNS // 2 if self.name == "GLU" else COLUMNS
        return [(labelled(SHAPE, 2)[0][0], *normal(((ROWS, columns),)))]

    def reference(self, params: Arrays, calls: int) -> Arrays | None:
        """Return the output, or the gradient by central differences."""
        function = self.formula.function
        if function is None or (self.backward and self.name in _COUPLED):
            return None
        x, grad = (array.astype(float) for array in self.batches()[0])
        if not self.backward:
            return [function(x)]
        slope = (function(x + _STEP) - function(x - _STEP)) / (2 * _STEP)
        jumps = np.abs(slope) > 1 / np.sqrt(_STEP)  # of Hardshrink and Threshold
        return [grad * np.where(jumps, 0, slope)]
