"""What is computed: an MLP with its batch size, the same data and initial values for everyone."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

import numpy as np

LEARNING_RATE = 1e-6
"""So small that nothing is learned: gradients that fade away would end in denormal numbers, which
processors are slow at. A step's cost does not depend on the rate."""

OPTIMIZERS: dict[str, tuple[str, dict[str, float]]] = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "adam": ("Adam", {}),
    "adamw": ("AdamW", {}),
}
"""What npnet and PyTorch call each method, and its arguments."""

Arrays = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class MLP:
    """A ReLU network with softmax cross-entropy.

    Parameters
    ----------
    sizes : tuple of int
        Inputs, hidden widths, classes.
    batch : int
        Rows in a batch.
    """

    sizes: tuple[int, ...]
    batch: int

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
        return f"{self.network}@{self.batch}"

    @property
    def network(self) -> str:
        """The sizes, joined by dashes."""
        return "-".join(map(str, self.sizes))

    @property
    def layers(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each affine layer."""
        return list(zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum((n + 1) * m for n, m in self.layers)

    @property
    def needed(self) -> int:
        """Bytes of float32 that a step with Adam cannot do without.

        Parameters, gradients and two moments, and what every layer put out. The input is not
        counted: it is the caller's.
        """
        return 4 * (4 * self.parameters + self.batch * sum(self.sizes[1:]))


@functools.lru_cache(maxsize=2)
def initial(mlp: MLP) -> Arrays:
    """Return the first weights (outputs, inputs) and biases of each layer, uniform as PyTorch's."""
    rng = np.random.default_rng(1)
    values = []
    for inputs, outputs in mlp.layers:
        k = inputs**-0.5
        weight = rng.uniform(-k, k, (outputs, inputs)).astype(np.float32)
        values.append((weight, rng.uniform(-k, k, outputs).astype(np.float32)))
    return values


@functools.lru_cache(maxsize=2)
def batches(mlp: MLP, count: int = 8) -> Arrays:
    """Return `count` batches of normal inputs and random labels, to be used in turn."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(count):
        x = _aligned(mlp.batch, mlp.sizes[0])
        rng.standard_normal(dtype=np.float32, out=x)
        found.append((x, rng.integers(0, mlp.sizes[-1], mlp.batch)))
    return found


def _aligned(rows: int, columns: int) -> np.ndarray:
    """Return an empty float32 array at a multiple of 64 bytes, which JAX takes without a copy."""
    memory = np.empty(4 * rows * columns + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + 4 * rows * columns].view(np.float32).reshape(rows, columns)


@functools.lru_cache(maxsize=2)
def gradients(mlp: MLP) -> Arrays:
    """Return normal gradients for each layer's weight and bias."""
    rng = np.random.default_rng(3)
    return [
        (rng.standard_normal(weight.shape, np.float32), rng.standard_normal(bias.shape, np.float32))
        for weight, bias in initial(mlp)
    ]


@functools.lru_cache(maxsize=2)
def mnist(images: int | None = None) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return MNIST's two parts, flat pixels in [0, 1] and labels; only the first `images` to train.

    Raises
    ------
    FileNotFoundError
        If ``NPNET_DATA`` does not lead to it.
    """
    import npnet

    if not os.environ.get("NPNET_DATA"):
        raise FileNotFoundError("set NPNET_DATA to the folder that holds mnist/")
    (x, y), (x_test, y_test) = npnet.datasets.mnist(download=False)
    return (x.reshape(-1, 784)[:images], y[:images]), (x_test.reshape(-1, 784), y_test)
