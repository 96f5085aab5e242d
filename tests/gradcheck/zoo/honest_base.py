"""What all honest layers share: the case, a layer from two functions, a layer with weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

import npnet


class Honest(NamedTuple):
    make: Callable[[], Any]
    inputs: tuple[Any, ...]
    options: Mapping[str, Any] = MappingProxyType({})


class Elementwise(npnet.Layer):
    """y = f(x), from a value and a derivative."""

    def __init__(self, value, derivative):
        super().__init__()
        self.value, self.derivative = value, derivative

    def forward(self, ctx, x):
        ctx.save(x)
        return self.value(x)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad * self.derivative(x).astype(grad.dtype)


def elementwise(value, derivative):
    return lambda: Elementwise(value, derivative)


class Op(npnet.Layer):
    """A layer without parameters: y, *saved = value(*inputs); gradients = derivative(g, *saved)."""

    def __init__(self, value, derivative):
        super().__init__()
        self.value, self.derivative = value, derivative

    def forward(self, ctx, *inputs):
        y, *saved = self.value(*inputs)
        ctx.save(*saved)
        return y

    def backward(self, ctx, grad):
        return self.derivative(grad, *ctx.saved)


def op(value, derivative):
    return lambda: Op(value, derivative)


class Weighted(npnet.Layer):
    """The base of layers with normally distributed parameters of given shapes."""

    def __init__(self, **shapes):
        super().__init__()
        rng = np.random.default_rng(5)
        for name, shape in shapes.items():
            setattr(self, name, npnet.Parameter(rng.normal(size=shape)))


def normal(*shape, scale=1.0):
    return scale * np.random.default_rng(7).normal(size=shape)


COUPLED = {"batch_independence": False}
KINKS = np.array([[0.0, -1.0, 0.0, 2.0], [1.0, 1.0, -1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
TIES = np.array([[1.0, 1.0, 0.5, -2.0], [3.0, 3.0, 3.0, 3.0], [0.0, -1.0, 0.0, -1.0]])
