"""Small convolutional networks, and convolutions alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from benchmarks.workloads.base import Arrays, Shapes, Workload, labelled, normal, uniform


class Conv(NamedTuple):
    """A convolution of square images, with the arguments of ``Conv2d``."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    groups: int = 1

    def out(self, size: int) -> int:
        """Return the size of the output for that of the input."""
        return (size + 2 * self.padding - self.kernel_size) // self.stride + 1

    @property
    def shapes(self) -> Shapes:
        """The shapes of weight and bias."""
        kernel = (self.kernel_size, self.kernel_size)
        channels = self.in_channels // self.groups
        return (self.out_channels, channels, *kernel), (self.out_channels,)

    @property
    def arguments(self) -> dict[str, int]:
        """What the layer is made with."""
        return self._asdict()

    def products(self, images: int, size: int, first: bool = False) -> Callable[[], None]:
        """Return the products of both passes, image by image; of a first layer without dx."""
        k, rows = self.out_channels // self.groups, math.prod(self.shapes[0][1:])
        w, columns = (
            np.ones((k, rows), np.float32),
            np.ones((rows, self.out(size) ** 2), np.float32),
        )
        y, dw, dx = w.dot(columns), np.empty_like(w), np.empty_like(columns)

        def run() -> None:
            for _ in range(images * self.groups):
                np.dot(w, columns, out=y)
                np.dot(y, columns.T, out=dw)
                if not first:
                    np.dot(w.T, y, out=dx)

        return run


CONVOLUTIONS: dict[str, tuple[Conv, int, int]] = {
    "3x3-16": (Conv(16, 16, 3, padding=1), 64, 32),
    "3x3-32": (Conv(32, 32, 3, padding=1), 64, 16),
    "3x3-64": (Conv(64, 64, 3, padding=1), 64, 16),
    "5x5": (Conv(16, 32, 5, padding=2), 64, 14),
    "1x1": (Conv(32, 64, 1), 64, 16),
    "stride-2": (Conv(16, 32, 3, stride=2, padding=1), 64, 32),
    "depthwise": (Conv(32, 32, 3, padding=1, groups=32), 64, 16),
}
"""Convolutions by their names in the tables, how many images, and their height and width."""


@dataclass(frozen=True)
class Convolution(Workload):
    """The gradients of input, weight and bias of one of `CONVOLUTIONS`, after its output."""

    name: str
    kind = "convolve"

    def __str__(self) -> str:
        return f"{self.name}:forward+backward"

    @property
    def conv(self) -> Conv:
        """The layer."""
        return CONVOLUTIONS[self.name][0]

    def initial(self) -> Arrays:
        """Return weight and bias."""
        return uniform(self.conv.shapes)

    def batches(self) -> list[tuple[np.ndarray, ...]]:
        """Return the input and the gradient with respect to the output."""
        conv, n, size = CONVOLUTIONS[self.name]
        out = conv.out(size)
        shapes = (n, conv.in_channels, size, size), (n, conv.out_channels, out, out)
        return [tuple(normal(shapes))]

    def reference(self, params: Arrays, calls: int) -> Arrays:
        """Return the output and the gradients, offset by offset."""
        conv, _, size = CONVOLUTIONS[self.name]
        ((x, grad),), (weight, bias) = self.batches(), params
        p, s, out, g = conv.padding, conv.stride, conv.out(size), conv.groups
        padded = np.pad(x.astype(float), ((0, 0), (0, 0), (p, p), (p, p)))
        padded = padded.reshape(len(x), g, -1, *padded.shape[2:])
        grads = grad.astype(float).reshape(len(x), g, -1, out, out)
        y, dx = np.zeros_like(grads), np.zeros_like(padded)
        w = weight.reshape(g, -1, *weight.shape[1:])
        dw = np.zeros_like(w)
        for i in range(conv.kernel_size):
            for j in range(conv.kernel_size):
                at = np.s_[..., i : i + s * out : s, j : j + s * out : s]
                y += np.einsum("gkc,ngchw->ngkhw", w[..., i, j], padded[at], optimize=True)
                dx[at] += np.einsum("gkc,ngkhw->ngchw", w[..., i, j], grads, optimize=True)
                dw[..., i, j] = np.einsum("ngkhw,ngchw->gkc", grads, padded[at], optimize=True)
        y += bias.reshape(g, -1, 1, 1)
        dx = dx[..., p : p + size, p : p + size]
        return [y.reshape(grad.shape), dx.reshape(x.shape), dw.reshape(weight.shape),
                grad.astype(float).sum(axis=(0, 2, 3))]  # fmt: skip

    def products(self) -> Callable[[], Any]:
        """Return the three products of each image."""
        conv, n, size = CONVOLUTIONS[self.name]
        return conv.products(n, size)


Layer = tuple[str, dict[str, Any]]


def _conv(*args: int, **kwargs: int) -> Layer:
    return "Conv2d", Conv(*args, **kwargs).arguments


def _linear(n: int, m: int) -> Layer:
    return "Linear", {"in_features": n, "out_features": m}


_RELU: Layer = ("ReLU", {})
_MAX: Layer = ("MaxPool2d", {"kernel_size": 2})
_FLATTEN: Layer = ("Flatten", {})

NETWORKS: dict[str, tuple[int, int, tuple[Layer, ...]]] = {
    "cnn-3x3": (128, 28, (
        _conv(1, 32, 3), _RELU, _conv(32, 64, 3), _RELU, _MAX, _FLATTEN,
        _linear(9216, 128), _RELU, _linear(128, 10),
    )),
    "cnn-5x5-batch-norm": (64, 28, (
        _conv(1, 16, 5, padding=2), ("BatchNorm2d", {"num_features": 16}), _RELU, _MAX,
        _conv(16, 32, 5, padding=2), ("BatchNorm2d", {"num_features": 32}), _RELU, _MAX,
        _FLATTEN, _linear(1568, 10),
    )),
    "cnn-strided": (64, 32, (
        _conv(3, 32, 3, stride=2, padding=1), _RELU, _conv(32, 64, 1), _RELU,
        _conv(64, 64, 3, stride=2, padding=1), _RELU, ("AvgPool2d", {"kernel_size": 2}),
        _FLATTEN, _linear(1024, 10),
    )),
}  # fmt: skip
"""Networks by their names in the tables: images in a batch, their size, and the layers."""


@dataclass(frozen=True)
class CNN(Workload):
    """A training step of one of `NETWORKS`: forward, cross-entropy, backward, plain SGD."""

    name: str
    kind = "step"
    model = "cnn"
    method = "sgd"
    trains = True

    def __str__(self) -> str:
        return f"{self.name}@{self.batch}"

    @property
    def batch(self) -> int:
        """How many images a batch has."""
        return NETWORKS[self.name][0]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The names and arguments of the layers."""
        return NETWORKS[self.name][2]

    def initial(self) -> Arrays:
        """Return the parameters of each layer."""
        found: list[np.ndarray] = []
        for name, arguments in self.layers:
            if name == "Conv2d":
                found += uniform(Conv(**arguments).shapes)
            elif name == "Linear":
                m = arguments["out_features"]
                found += uniform(((m, arguments["in_features"]), (m,)))
            elif name == "BatchNorm2d":
                ones = np.ones(arguments["num_features"], np.float32)
                found += [ones, 0 * ones]
        return found

    def batches(self) -> list[tuple[np.ndarray, ...]]:
        """Return images and labels."""
        n, size, layers = NETWORKS[self.name]
        return labelled((n, layers[0][1]["in_channels"], size, size), 10)

    def reference(self, params: Arrays, calls: int) -> None:
        """Return None; the layers have references of their own."""

    def products(self) -> Callable[[], Any]:
        """Return those of the convolutions and Linear layers."""
        n, size, layers = NETWORKS[self.name]
        runs: list[Callable[[], None]] = []
        for name, arguments in layers:
            if name == "Conv2d":
                conv = Conv(**arguments)
                runs.append(conv.products(n, size, first=not runs))
                size = conv.out(size)
            elif name.endswith("Pool2d"):
                size //= 2
            elif name == "Linear":
                channels = arguments["in_features"], arguments["out_features"]
                runs.append(Conv(channels[1], channels[0], 1).products(1, math.isqrt(n)))
        return lambda: [run() for run in runs]
