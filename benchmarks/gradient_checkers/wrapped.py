"""A layer or loss of npnet as a plain function with a gradient, for the tools of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import npnet
from npnet.state import buffers, restore_buffers
from npnet.typing import Array


class Subject(NamedTuple):
    """What is checked: a function that makes a layer or loss, its inputs, `check_layer`'s options.

    An input is an array or, given by a tuple, the shape of a random one.
    """

    make: Callable[[], Any]
    inputs: tuple[Any, ...]
    options: dict[str, Any]


class Wrapped:
    """A layer or loss as a function of `variables`, its floating inputs and its parameters.

    They are float64. Every pass draws the same random numbers and begins with the first buffers, so
    that a layer whose passes are meant to differ is a function.
    """

    def __init__(self, subject: Subject) -> None:
        self.layer = subject.make()
        self.inputs = filled(self.layer, subject.inputs)
        self.parameters, self.buffers = [], {}
        if isinstance(self.layer, npnet.Loss):
            names = enumerate(self.layer.arguments)
            self.moved = [i for i, name in names if name in self.layer.predictions]
        else:
            self.layer.astype(np.float64)
            self.moved = [i for i, x in enumerate(self.inputs) if x.dtype.kind == "f"]
            self.parameters = [p for p in self.layer.parameters() if p.requires_grad]
            self.buffers = buffers(self.layer)
        self.variables = [self.inputs[i] for i in self.moved]
        self.variables += [p.data.copy() for p in self.parameters]

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the outputs' shapes."""
        return [y.shape for y in self.outputs(self.variables)]

    def outputs(self, variables: Sequence[Array]) -> list[Array]:
        """Compute the outputs; of a loss its value, the sum where it has several."""
        inputs = self._put(variables)
        if isinstance(self.layer, npnet.Loss):
            arrays, weight = self._split(inputs)
            return [np.sum(self.layer(*arrays, **weight))]
        found = self.layer.record(*inputs, rng=0)[0]
        return list(found) if isinstance(found, tuple) else [found]

    def gradients(self, variables: Sequence[Array], upstream: Sequence[Array]) -> list[Array]:
        """Run forward and backward; return the gradient of each variable."""
        inputs = self._put(variables)
        if isinstance(self.layer, npnet.Loss):
            arrays, weight = self._split(inputs)
            grad = self.layer.value_and_grad(*arrays, **weight)[1]
            return [upstream[0] * g for g in (grad if isinstance(grad, tuple) else (grad,))]
        for p in self.parameters:
            p.zero_grad()
        _, tape = self.layer.record(*inputs, rng=0)
        found = tape.backward(*upstream, input_grad=True)
        every = found if isinstance(found, tuple) else (found,)
        grads = [every[i] for i in self.moved] + [p.grad for p in self.parameters]
        pairs = zip(grads, self.variables, strict=True)
        return [np.zeros_like(x) if g is None else np.asarray(g) for g, x in pairs]

    def _put(self, variables: Sequence[Array]) -> list[Array]:
        """Set parameters and buffers; return the inputs."""
        npnet.manual_seed(0)
        if not isinstance(self.layer, npnet.Loss):
            restore_buffers(self.layer, self.buffers)
        inputs, count = list(self.inputs), len(self.moved)
        for i, x in zip(self.moved, variables[:count], strict=True):
            inputs[i] = x
        for p, value in zip(self.parameters, variables[count:], strict=True):
            p.data[...] = value
        return inputs

    def _split(self, inputs: list[Array]) -> tuple[list[Array], dict[str, Array]]:
        """Tell a loss's sample weight from its other arguments."""
        count = len(self.layer.arguments)
        return inputs[:count], dict(zip(["sample_weight"], inputs[count:], strict=False))


def filled(layer: Any, inputs: Sequence[Any]) -> list[Array]:
    """Draw the inputs that are given by their shapes, away from a kink at zero."""
    rng = np.random.default_rng(0)
    found = []
    takes = getattr(layer, "takes_integers", False)
    for i, x in enumerate(inputs):
        if not isinstance(x, tuple):
            array = np.array(x)
            found.append(array.astype(np.float64) if array.dtype.kind == "f" else array)
        elif takes is True or (takes and takes[i : i + 1] == (True,)):
            rows = [len(p.data) for p in layer.parameters() if p.data.ndim]
            found.append(rng.integers(0, rows[0] if rows else 2, x))
        else:
            found.append(rng.uniform(0.2, 1.5, x) * rng.choice([-1.0, 1.0], x))
    return found
