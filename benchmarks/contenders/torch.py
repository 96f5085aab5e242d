"""PyTorch: eager with plain Adam, eager with the fused one, and compiled."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.contenders.base import Contender
from benchmarks.results import Skip
from benchmarks.timing import Run
from benchmarks.workloads import (
    CNN,
    LAYERS,
    MLP,
    OPTIMIZERS,
    Activation,
    Convolution,
    Epochs,
    Inference,
    LayerPass,
    Network,
    Updates,
    Workload,
)


class Torch(Contender):
    """``torch`` with defaults, ``torch-fused`` with fused optimizers, ``torch-compile`` on top."""

    module = distribution = pool = "torch"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.compiled = name == "torch-compile"
        # Compiled code brings an OpenMP pool of its own, and a compiler that takes its time.
        self.isolated = self.slow = self.compiled
        self.fused: dict[str, Any] = {} if name == "torch" else {"fused": True}

    def build(self, workload: Workload) -> Run:
        """Prepare a run."""
        if self.compiled:
            os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no idle workers about
        import torch

        torch.set_num_threads(machine.threads())
        if self.compiled:
            torch._dynamo.reset()  # every case compiles anew, none runs into the limit
        return super().build(workload)

    def tensor(self, array: np.ndarray) -> Any:
        """Return a tensor."""
        import torch

        return torch.from_numpy(array)

    def predict(self, workload: Inference) -> Run:
        """Call the model in inference mode."""
        import torch

        model = self.model(workload.network)
        x = self.tensor(workload.batches()[0][0])
        return Run(lambda: model(x), torch.inference_mode, result=lambda: [model(x).numpy()])

    def activate(self, workload: Activation) -> Run:
        """Call the module in inference mode, or with the gradient of its input."""
        import torch

        module = getattr(torch.nn, workload.formula.layer)(*workload.formula.arguments)
        x, grad = map(self.tensor, *workload.batches())
        if not workload.backward:
            module.eval()
            return Run(lambda: module(x), torch.inference_mode, result=lambda: [module(x).numpy()])
        x = x.clone().requires_grad_()

        def both() -> Any:
            x.grad = None
            module(x).backward(grad)
            return x.grad

        return Run(both, result=lambda: [both().numpy()])

    def convolve(self, workload: Convolution) -> Run:
        """Call the module and go backward."""
        import torch

        module = torch.nn.Conv2d(**workload.conv.arguments)
        with torch.no_grad():
            for parameter, value in zip(module.parameters(), workload.initial(), strict=True):
                parameter.copy_(self.tensor(value))
        x, grad = map(self.tensor, *workload.batches())
        x = x.clone().requires_grad_()

        def call() -> Any:
            module.zero_grad()
            x.grad = None
            y = module(x)
            y.backward(grad)
            return y, x.grad, *(parameter.grad for parameter in module.parameters())

        return Run(call, result=lambda: [array.detach().numpy() for array in call()])

    def layer(self, workload: LayerPass) -> Run:
        """Call the module and go backward."""
        import torch

        name, arguments, *_ = LAYERS[workload.name]
        module = getattr(torch.nn, name)(**arguments)
        with torch.no_grad():
            for parameter, value in zip(module.parameters(), workload.initial(), strict=True):
                parameter.copy_(self.tensor(value))
        x, grad = map(self.tensor, *workload.batches())
        x = x.clone().requires_grad_()

        def call() -> Any:
            module.zero_grad()
            x.grad = None
            y = module(x)
            y = y[0] if isinstance(y, tuple) else y
            y.backward(grad)
            return y

        return Run(call, result=lambda: [call().detach().numpy()])

    def optimize(self, workload: Updates) -> Run:
        """Step with the gradients that are there."""
        if self.compiled:
            raise Skip("its optimizer is torch-fused's")
        import torch

        params = [torch.nn.Parameter(torch.tensor(value)) for value in workload.initial()]
        name, options, _ = OPTIMIZERS[workload.method]
        optimizer = getattr(torch.optim, name)(params, lr=workload.lr, **options, **self.fused)
        for parameter, grad in zip(params, *workload.batches(), strict=True):
            parameter.grad = self.tensor(grad)
        return _run(optimizer.step, lambda: params)

    def epoch(self, workload: Epochs) -> Run:
        """Loop over rows of a permutation: several times faster than torch's own DataLoader."""
        import torch

        run = self.training(workload.network, workload.lr)
        step = run.call
        x, y = map(self.tensor, *workload.batches())

        def epoch() -> None:
            for rows in torch.randperm(len(x)).split(workload.network.batch):
                step(x[rows], y[rows])

        return replace(run, call=epoch)

    def model(self, network: Network) -> Any:
        """Make a module with the network's initial values."""
        import torch

        model = super().model(network)
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), network.initial(), strict=True):
                parameter.copy_(self.tensor(value))
        return torch.compile(model) if self.compiled else model

    def mlp(self, network: MLP) -> Any:
        """Make a `Sequential`."""
        from torch.nn import Linear, ReLU, Sequential

        layers = [layer for n, m in network.layers for layer in (Linear(n, m), ReLU())]
        return Sequential(*layers[:-1])

    def cnn(self, network: CNN) -> Any:
        """Make a `Sequential` of the named layers."""
        import torch.nn

        layers = [getattr(torch.nn, name)(**arguments) for name, arguments in network.layers]
        return torch.nn.Sequential(*layers)

    def training(self, network: Network, lr: float) -> Run:
        """Forward, loss, backward, update."""
        import torch

        model = self.model(network)
        name, options, _ = OPTIMIZERS[network.method]
        optimizer = getattr(torch.optim, name)(model.parameters(), lr=lr, **options, **self.fused)
        cross_entropy = torch.nn.functional.cross_entropy

        def step(x: Any, y: Any) -> None:
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()

        return _run(step, model.parameters)


def _run(call: Callable[..., Any], params: Callable[[], Any]) -> Run:
    return Run(call, result=lambda: [p.detach().numpy().copy() for p in params()])


make = Torch
