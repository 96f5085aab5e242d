"""Single layers of small image and sequence models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.workloads.base import Arrays, Shapes, Workload, normal, uniform

Shape = tuple[int, ...]
IMAGES = 64, 32, 16, 16
SEQUENCES = 32, 32, 64  # sequences, steps, numbers of a step
HIDDEN = 64

LAYERS: dict[str, tuple[str, dict[str, Any], Shape, Shape]] = {
    "max-pool": ("MaxPool2d", {"kernel_size": 2}, IMAGES, (64, 32, 8, 8)),
    "average-pool": ("AvgPool2d", {"kernel_size": 2}, IMAGES, (64, 32, 8, 8)),
    "batch-norm": ("BatchNorm2d", {"num_features": 32}, IMAGES, IMAGES),
    "lstm": (
        "LSTM", {"input_size": 64, "hidden_size": HIDDEN, "batch_first": True},
        SEQUENCES, (32, 32, HIDDEN),
    ),
}  # fmt: skip
"""Layers by their names in the tables: class, arguments, shapes of the input and the output."""


@dataclass(frozen=True)
class LayerPass(Workload):
    """The output of one of `LAYERS`, and the gradients of its input and parameters."""

    name: str
    kind = "layer"

    def __str__(self) -> str:
        return f"{self.name}:forward+backward"

    def initial(self) -> Arrays:
        """Return the parameters, in the layer's order."""
        if self.name == "lstm":
            shapes: Shapes = (4 * HIDDEN, SEQUENCES[2]), (4 * HIDDEN, HIDDEN), (4 * HIDDEN,)
            return uniform((*shapes, shapes[2]))
        if self.name == "batch-norm":
            return [np.ones(IMAGES[1], np.float32), np.zeros(IMAGES[1], np.float32)]
        return []

    def batches(self) -> list[tuple[np.ndarray, ...]]:
        """Return the input and the gradient with respect to the output."""
        return [tuple(normal(LAYERS[self.name][2:]))]

    def reference(self, params: Arrays, calls: int) -> Arrays:
        """Return the output."""
        x = self.batches()[0][0].astype(float)
        if self.name == "lstm":
            return [_lstm(x, *params)]
        if self.name == "batch-norm":
            return [(x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)]
        n, c, height, width = x.shape
        windows = x.reshape(n, c, height // 2, 2, width // 2, 2)
        return [windows.max((3, 5)) if self.name == "max-pool" else windows.mean((3, 5))]

    def products(self) -> Callable[[], Any] | None:
        """Return those of the LSTM; the others have none."""
        if self.name != "lstm":
            return None
        n, steps, size = SEQUENCES
        x, gates = np.ones((n * steps, size), np.float32), np.ones((n * steps, 4 * HIDDEN), "f")
        h, step = np.ones((n, HIDDEN), np.float32), np.ones((n, 4 * HIDDEN), np.float32)
        w, u = np.ones((size, 4 * HIDDEN), np.float32), np.ones((HIDDEN, 4 * HIDDEN), np.float32)
        dw, du = np.empty_like(w), np.empty_like(u)
        all_h = np.ones((n * steps, HIDDEN), np.float32)

        def run() -> None:
            np.dot(x, w, out=gates)
            for _ in range(steps):
                np.dot(h, u, out=step)
            for _ in range(steps):
                np.dot(step, u.T, out=h)
            np.dot(x.T, gates, out=dw)
            np.dot(all_h.T, gates, out=du)
            np.dot(gates, w.T, out=x)

        return run


def _lstm(x: np.ndarray, w: np.ndarray, u: np.ndarray, b: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Return the hidden states of all steps; gates are input, forget, cell, output."""
    h, c, found = np.zeros((len(x), HIDDEN)), np.zeros((len(x), HIDDEN)), []
    for step in x.swapaxes(0, 1):
        i, f, g, o = np.split(step @ w.T + h @ u.T + b + d, 4, axis=1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        found.append(h)
    return np.stack(found, axis=1)
