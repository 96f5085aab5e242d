"""PyTorch: eager with plain Adam, eager with the fused one, and compiled."""

from __future__ import annotations

import os
from itertools import cycle
from typing import Any

from benchmarks import machine, problem
from benchmarks.contenders.base import Contender, Skip
from benchmarks.problem import LEARNING_RATE, MLP, Arrays
from benchmarks.timing import Run


class Torch(Contender):
    """``torch`` with defaults, ``torch-fused`` with fused optimizers, ``torch-compile`` on top."""

    module = distribution = pool = "torch"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.compiled = name == "torch-compile"
        # Compiled code brings an OpenMP pool of its own, and a compiler that takes its time.
        self.isolated = self.slow = self.compiled
        self.fused: dict[str, Any] = {} if name == "torch" else {"fused": True}

    def step(self, mlp: MLP) -> Run:
        """Forward, loss, backward, update."""
        torch = self._torch()
        model, step = self._training(mlp, LEARNING_RATE)
        data = cycle([tuple(map(torch.from_numpy, pair)) for pair in problem.batches(mlp)])
        return Run(lambda: step(*next(data)), result=lambda: _weights(model))

    def predict(self, mlp: MLP) -> Run:
        """Call the model in inference mode."""
        torch = self._torch()
        model = self._model(mlp)[1]
        x = torch.from_numpy(problem.batches(mlp)[0][0])
        return Run(lambda: model(x), torch.inference_mode, result=lambda: model(x).detach().numpy())

    def optimize(self, method: str, mlp: MLP) -> Run:
        """Step with the gradients that are there."""
        if self.compiled:
            raise Skip("its optimizer is torch-fused's")
        torch = self._torch()
        model = self._model(mlp)[0]
        name, options = problem.OPTIMIZERS[method]
        cls = getattr(torch.optim, name)
        optimizer = cls(model.parameters(), lr=LEARNING_RATE, **options, **self.fused)
        values = [array for pair in problem.gradients(mlp) for array in pair]
        for parameter, grad in zip(model.parameters(), values, strict=True):
            parameter.grad = torch.from_numpy(grad)
        return Run(optimizer.step, result=lambda: _weights(model))

    def epoch(self, mlp: MLP, images: int | None) -> Run:
        """Loop over rows of a permutation: several times faster than torch's own DataLoader."""
        torch = self._torch()
        model, step = self._training(mlp, 1e-3)
        x, y = map(torch.from_numpy, problem.mnist(images)[0])

        def epoch() -> None:
            for rows in torch.randperm(len(x)).split(mlp.batch):
                step(x[rows], y[rows])

        return Run(epoch, result=lambda: _weights(model))

    def _torch(self) -> Any:
        if self.compiled:
            os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no idle workers about
        import torch

        torch.set_num_threads(machine.threads())
        if self.compiled:
            torch._dynamo.reset()  # every case compiles anew, none runs into the limit
        return torch

    def _model(self, mlp: MLP) -> tuple[Any, Any]:
        """Return the model, and what computes its outputs."""
        import torch

        layers: list[Any] = []
        for (weight, bias), (inputs, outputs) in zip(problem.initial(mlp), mlp.layers, strict=True):
            linear = torch.nn.Linear(inputs, outputs)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight))
                linear.bias.copy_(torch.from_numpy(bias))
            layers += [linear, torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers[:-1])
        return model, torch.compile(model) if self.compiled else model

    def _training(self, mlp: MLP, lr: float) -> Any:
        import torch

        model, call = self._model(mlp)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr, **self.fused)
        cross_entropy = torch.nn.functional.cross_entropy

        def step(x: Any, y: Any) -> None:
            optimizer.zero_grad()
            cross_entropy(call(x), y).backward()
            optimizer.step()

        return model, step


def _weights(model: Any) -> Arrays:
    linears = list(model)[::2]
    return [
        (linear.weight.detach().numpy().copy(), linear.bias.detach().numpy().copy())
        for linear in linears
    ]


make = Torch
