"""npnet as its README tells users to write it; with the NumPy kernels, and with Numba's."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from importlib import metadata
from itertools import cycle
from typing import Any

from benchmarks import problem
from benchmarks.contenders.base import Contender
from benchmarks.problem import LEARNING_RATE, MLP, Arrays
from benchmarks.timing import Run


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

    def step(self, mlp: MLP) -> Run:
        """Record, loss, backward, update."""
        model, step = _training(mlp, LEARNING_RATE)
        data = cycle(problem.batches(mlp))
        return Run(lambda: step(*next(data)), self._kernels, result=lambda: _weights(model))

    def predict(self, mlp: MLP) -> Run:
        """Call the model."""
        model = _model(mlp)
        x, _ = problem.batches(mlp)[0]
        return Run(lambda: model(x), self._kernels, result=lambda: model(x))

    def optimize(self, method: str, mlp: MLP) -> Run:
        """Step with the gradients that are there."""
        from npnet import optim

        model = _model(mlp)
        name, options = problem.OPTIMIZERS[method]
        optimizer = getattr(optim, name)(model.parameters(), lr=LEARNING_RATE, **options)
        values = [array for pair in problem.gradients(mlp) for array in pair]
        for parameter, grad in zip(model.parameters(), values, strict=True):
            parameter.grad = grad
        return Run(optimizer.step, self._kernels, result=lambda: _weights(model))

    def epoch(self, mlp: MLP, images: int | None) -> Run:
        """Loop over a shuffling `DataLoader`."""
        import npnet

        model, step = _training(mlp, 1e-3)
        train, _ = problem.mnist(images)
        loader = npnet.data.DataLoader(train, batch_size=mlp.batch, shuffle=True, rng=0)

        def epoch() -> None:
            for x, y in loader:
                step(x, y)

        return Run(epoch, self._kernels, result=lambda: _weights(model))

    @contextlib.contextmanager
    def _kernels(self) -> Iterator[None]:
        from npnet import ops

        before, wanted = ops.active(), "numba" if self.fast else "numpy"
        ops.use(wanted)
        try:
            if ops.active() != wanted:  # npnet goes on with NumPy where Numba does not work
                raise RuntimeError(f"npnet computes with {ops.active()}, not {wanted}")
            yield
        finally:
            ops.use(before)


def _model(mlp: MLP) -> Any:
    import npnet

    layers: list[Any] = []
    for values, (inputs, outputs) in zip(problem.initial(mlp), mlp.layers, strict=True):
        linear: Any = npnet.Linear(inputs, outputs)
        linear.weight.data, linear.bias.data = values
        layers += [linear, npnet.ReLU()]
    return npnet.Sequential(*layers[:-1])


def _training(mlp: MLP, lr: float) -> Any:
    import npnet

    model = _model(mlp)
    loss_fn = npnet.CrossEntropyLoss()
    optimizer = npnet.optim.Adam(model.parameters(), lr=lr)

    def step(x: Any, y: Any) -> None:
        logits, tape = model.record(x)
        _loss, grad = loss_fn.value_and_grad(logits, y)
        tape.backward(grad)
        optimizer.step()
        optimizer.zero_grad()

    return model, step


def _weights(model: Any) -> Arrays:
    linears = list(model)[::2]
    return [(linear.weight.data.copy(), linear.bias.data.copy()) for linear in linears]


make = Npnet
