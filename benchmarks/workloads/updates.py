"""Optimizers alone: updates with fixed gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.workloads.base import Arrays, Shapes, Workload, normal, uniform

OPTIMIZERS: dict[str, tuple[str, dict[str, float], int]] = {
    "sgd": ("SGD", {}, 0),
    "momentum": ("SGD", {"momentum": 0.9}, 1),
    "adam": ("Adam", {}, 2),
    "adamw": ("AdamW", {}, 2),
}
"""What npnet and PyTorch call each method, its arguments, and how many moments it keeps."""


@dataclass(frozen=True)
class Updates(Workload):
    """Updates by one of `OPTIMIZERS` of parameters with these shapes."""

    method: str
    shapes: Shapes
    kind = "optimize"
    trains = True

    def __str__(self) -> str:
        return f"{self.method}@{sum(map(math.prod, self.shapes))}"

    @property
    def needed(self) -> int:
        """Parameters and moments."""
        return super().needed * (1 + OPTIMIZERS[self.method][2])

    def initial(self) -> Arrays:
        """Return parameters as of a network."""
        return uniform(self.shapes)

    def batches(self) -> list[tuple[np.ndarray, ...]]:
        """Return the gradients."""
        return [tuple(normal(self.shapes))]

    def reference(self, params: Arrays, calls: int) -> Arrays:
        """Return the parameters after `calls` updates."""
        grads = [grad.astype(float) for grad in normal(self.shapes)]
        return descend(params, lambda: grads, self.method, self.lr, calls)


def descend(
    params: Arrays, gradients: Callable[[], Arrays], method: str, lr: float, steps: int
) -> Arrays:
    """Change parameters in place as the optimizers' papers have it, and return them."""
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in params]
    for t in range(1, steps + 1):
        for p, g, (m, v) in zip(params, gradients(), moments, strict=True):
            if method in ("sgd", "momentum"):
                m *= 0.9 if method == "momentum" else 0
                m += g
                p -= lr * m
                continue
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            if method == "adamw":
                p *= 1 - lr * 1e-2
            p -= lr * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return params
