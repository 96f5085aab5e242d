"""npnet as its README tells users to write it; with the NumPy kernels, and with Numba's."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from typing import Any

from benchmarks.contenders.base import Contender
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
)


class Npnet(Contender):
    """The explicit loop. ``npnet`` computes with NumPy alone, ``npnet-fast`` with Numba."""

    module = "npnet"
    distribution = "npnet-framework"

    @property
    def fast(self) -> bool:
        """Whether the kernels are Numba's."""
        return self.name == "npnet-fast"

    def missing(self) -> str | None:
        """Return why it cannot take part, or None."""
        if self.fast and importlib.util.find_spec("numba") is None:
            return "numba is not installed"
        return super().missing()

    def version(self) -> str:
        """Return what is installed."""
        import npnet

        numba = f", numba {metadata.version('numba')}" if self.fast else ""
        return f"npnet {npnet.__version__}{numba}"

    def predict(self, workload: Inference) -> Run:
        """Call the model."""
        model = self.model(workload.network)
        ((x,),) = workload.batches()
        return Run(lambda: model(x), self._kernels, result=lambda: [model(x)])

    def activate(self, workload: Activation) -> Run:
        """Call the layer, or record a pass and run it backward."""
        import npnet

        layer = getattr(npnet, workload.formula.layer)(*workload.formula.arguments)
        ((x, grad),) = workload.batches()

        def both() -> Any:
            _y, tape = layer.record(x)
            return tape.backward(grad, input_grad=True)

        call = both if workload.backward else lambda: layer(x)
        return Run(call, self._kernels, result=lambda: [call()])

    def convolve(self, workload: Convolution) -> Run:
        """Record a pass and run it backward."""
        import npnet

        layer = npnet.Conv2d(**workload.conv.arguments)
        layer.weight.data, layer.bias.data = workload.initial()
        ((x, grad),) = workload.batches()

        def call() -> Any:
            layer.zero_grad()
            y, tape = layer.record(x)
            dx = tape.backward(grad, input_grad=True)
            return [y, dx, layer.weight.grad, layer.bias.grad]

        return Run(call, self._kernels, result=call)

    def layer(self, workload: LayerPass) -> Run:
        """Record a pass and run it backward."""
        import npnet

        name, arguments, *_ = LAYERS[workload.name]
        layer = getattr(npnet, name)(**arguments)
        for parameter, value in zip(layer.parameters(), workload.initial(), strict=True):
            parameter.data = value
        ((x, grad),) = workload.batches()

        def call() -> Any:
            layer.zero_grad()
            y, tape = layer.record(x)
            grads = (grad, *(None,) * (len(y) - 1)) if isinstance(y, tuple) else (grad,)
            tape.backward(*grads, input_grad=True)
            return [y[0] if isinstance(y, tuple) else y]

        return Run(call, self._kernels, result=call)

    def optimize(self, workload: Updates) -> Run:
        """Step with the gradients that are there."""
        import npnet

        params = [npnet.Parameter(value) for value in workload.initial()]
        name, options, _ = OPTIMIZERS[workload.method]
        optimizer = getattr(npnet.optim, name)(params, lr=workload.lr, **options)
        for parameter, grad in zip(params, *workload.batches(), strict=True):
            parameter.grad = grad
        return self._run(optimizer.step, lambda: params)

    def epoch(self, workload: Epochs) -> Run:
        """Loop over a shuffling `DataLoader`."""
        import npnet

        network, (train,) = workload.network, workload.batches()
        run = self.training(network, workload.lr)
        step = run.call
        loader = npnet.data.DataLoader(train, batch_size=network.batch, shuffle=True, rng=0)

        def epoch() -> None:
            for x, y in loader:
                step(x, y)

        return replace(run, call=epoch)

    def model(self, network: Network) -> Any:
        """Make a model with the network's initial values."""
        model = super().model(network)
        for parameter, value in zip(model.parameters(), network.initial(), strict=True):
            parameter.data = value
        return model

    def mlp(self, network: MLP) -> Any:
        """Make a `Sequential`."""
        from npnet import Linear, ReLU, Sequential

        layers = [layer for n, m in network.layers for layer in (Linear(n, m), ReLU())]
        return Sequential(*layers[:-1])

    def cnn(self, network: CNN) -> Any:
        """Make a `Sequential` of the named layers."""
        import npnet

        layers = [getattr(npnet, name)(**arguments) for name, arguments in network.layers]
        return npnet.Sequential(*layers)

    def training(self, network: Network, lr: float) -> Run:
        """Record, loss, backward, update."""
        import npnet

        model = self.model(network)
        loss_fn = npnet.CrossEntropyLoss()
        name, options, _ = OPTIMIZERS[network.method]
        optimizer = getattr(npnet.optim, name)(model.parameters(), lr=lr, **options)

        def step(x: Any, y: Any) -> None:
            logits, tape = model.record(x)
            _loss, grad = loss_fn.value_and_grad(logits, y)
            tape.backward(grad)
            optimizer.step()
            optimizer.zero_grad()

        return self._run(step, model.parameters)

    def _run(self, call: Callable[..., Any], params: Callable[[], Any]) -> Run:
        return Run(call, self._kernels, result=lambda: [p.data.copy() for p in params()])

    @contextlib.contextmanager
    def _kernels(self) -> Iterator[None]:
        from npnet import ops

        before, wanted = ops.active(), "numba" if self.fast else "numpy"
        ops.use(wanted)
        ops.prepare(None)  # so that no round is the first one to need a kernel
        try:
            if ops.active() != wanted:  # npnet goes on with NumPy where Numba does not work
                raise RuntimeError(f"npnet computes with {ops.active()}, not {wanted}")
            yield
        finally:
            ops.use(before)


make = Npnet
