"""The limit: a step's own matrix products and nothing else, through ``np.dot(..., out=)``."""

from __future__ import annotations

from itertools import cycle

import numpy as np

from benchmarks import problem
from benchmarks.contenders.base import Contender
from benchmarks.problem import MLP
from benchmarks.timing import Run


class Bare(Contender):
    """Forward, weight gradient, input gradient (not the first layer's); no biases, no ReLU."""

    def step(self, mlp: MLP) -> Run:
        """Do the products of one step."""
        step = _Products(mlp)
        inputs = cycle([x for x, _ in problem.batches(mlp)])
        return Run(lambda: step(next(inputs)))

    def predict(self, mlp: MLP) -> Run:
        """Do the forward products."""
        products = _Products(mlp)
        x, _ = problem.batches(mlp)[0]
        return Run(lambda: products.forward(x))

    def epoch(self, mlp: MLP, images: int | None) -> Run:
        """Do the products of all steps, without shuffling."""
        (x, _), _ = problem.mnist(images)
        parts = [x[i : i + mlp.batch] for i in range(0, len(x), mlp.batch)]
        steps = {len(part): _Products(MLP(mlp.sizes, len(part))) for part in parts}

        def epoch() -> None:
            for part in parts:
                steps[len(part)](part)

        return Run(epoch)


class _Products:
    """The products of one step, each into an array of its own."""

    def __init__(self, mlp: MLP) -> None:
        self.weights = [weight for weight, _ in problem.initial(mlp)]
        self.weight_grads = [np.empty_like(weight) for weight in self.weights]
        self.outputs = [np.empty((mlp.batch, size), np.float32) for size in mlp.sizes[1:]]
        self.grads = [np.empty_like(y) for y in self.outputs]
        self.grads[-1][...] = np.random.default_rng(0).standard_normal(self.grads[-1].shape)

    def forward(self, x: np.ndarray) -> None:
        for weight, output in zip(self.weights, self.outputs, strict=True):
            np.dot(x, weight.T, out=output)
            x = output

    def __call__(self, x: np.ndarray) -> None:
        self.forward(x)
        inputs = [x, *self.outputs]
        for i in range(len(self.weights) - 1, -1, -1):
            np.dot(self.grads[i].T, inputs[i], out=self.weight_grads[i])
            if i:
                np.dot(self.grads[i], self.weights[i], out=self.grads[i - 1])


make = Bare
