"""MLP: affine layers with ReLU between them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.workloads.base import Arrays, Shapes, labelled, uniform
from benchmarks.workloads.network import Network


@dataclass(frozen=True)
class MLP(Network):
    """A ReLU network.

    Parameters
    ----------
    sizes : tuple of int
        Inputs, hidden widths, classes.
    batch : int
        Rows in a batch.
    """

    sizes: tuple[int, ...]
    batch: int
    model = "mlp"

    @classmethod
    def parse(cls, text: str, batch: int) -> MLP:
        """Read ``"784-256-128-10"``.

        Raises
        ------
        ValueError
            If it is not a list of at least two positive sizes, the last one at least 2.
        """
        parts = text.split("-")
        sizes = tuple(int(part) for part in parts if part.isdecimal())
        if len(sizes) < len(parts) or len(sizes) < 2 or min(*sizes, batch) < 1:
            raise ValueError(
                f"an MLP is at least two positive sizes, like 784-256-10, and rows; got {text!r}"
            )
        if sizes[-1] < 2:
            raise ValueError(f"a classifier has at least two outputs, {text!r} has one")
        return cls(sizes, batch)

    def __str__(self) -> str:
        return f"{self.name}@{self.batch}"

    @property
    def name(self) -> str:
        """The sizes, joined by dashes."""
        return "-".join(map(str, self.sizes))

    @property
    def layers(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each affine layer."""
        return list(itertools.pairwise(self.sizes))

    @property
    def shapes(self) -> Shapes:
        """The shapes of each layer's weight and bias."""
        return tuple(shape for n, m in self.layers for shape in ((m, n), (m,)))

    @property
    def needed(self) -> int:
        """Parameters, gradients and Adam's two moments, and what every layer put out."""
        return 4 * super().needed + 4 * self.batch * sum(self.sizes[1:])

    def initial(self) -> Arrays:
        """Return each layer's weight and bias."""
        return uniform(self.shapes)

    def batches(self) -> list[tuple[np.ndarray, ...]]:
        """Return inputs and labels."""
        return labelled((self.batch, self.sizes[0]), self.sizes[-1])

    def forward(self, params: Arrays, x: np.ndarray) -> tuple[np.ndarray, Callable[..., Arrays]]:
        """Return the logits, and what makes the parameters' gradients of the logits' gradient."""
        layers = list(zip(params[::2], params[1::2], strict=True))
        kept = [x]  # each layer's input, and the logits
        for weight, bias in layers:
            z = kept[-1] @ weight.T + bias
            kept.append(np.maximum(z, 0) if len(kept) < len(layers) else z)

        def backward(grad: np.ndarray) -> Arrays:
            grads: Arrays = []
            for (weight, _), a in zip(reversed(layers), kept[-2::-1], strict=True):
                grads += [grad.sum(axis=0), grad.T @ a]
                grad = (grad @ weight) * (a > 0)
            return grads[::-1]

        return kept[-1], backward

    def matmuls(self, rows: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return the products, each into an array of its own."""
        weights = self.initial()[::2]
        weight_grads = [np.empty_like(weight) for weight in weights]
        outputs = [np.empty((rows, size), np.float32) for size in self.sizes[1:]]
        grads = [np.empty_like(y) for y in outputs]
        grads[-1][...] = np.random.default_rng(0).standard_normal(grads[-1].shape)

        def forward(x: np.ndarray) -> None:
            for weight, output in zip(weights, outputs, strict=True):
                np.dot(x, weight.T, out=output)
                x = output

        def step(x: np.ndarray) -> None:
            forward(x)
            inputs = [x, *outputs]
            for i in range(len(weights) - 1, -1, -1):
                np.dot(grads[i].T, inputs[i], out=weight_grads[i])
                if i:
                    np.dot(grads[i], weights[i], out=grads[i - 1])

        return forward, step


MIDDLE = MLP((784, 256, 128, 10), 128)
"""What is measured where one network is enough."""
