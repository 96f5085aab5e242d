"""Workload, the interface of what contenders compute, and the numbers that they are all given."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

Arrays = list[np.ndarray]
Shapes = tuple[tuple[int, ...], ...]


class Workload(ABC):
    """What contenders do again and again, side by side: a training step, an inference, an update.

    A subclass is a frozen dataclass, since it is hashed, and sent to other processes. Its `str` is
    its name in the tables.

    Attributes
    ----------
    kind : str
        The contenders' method that prepares it.
    trains : bool
        Whether a run's result is the list of the parameters; if not, it is the list of outputs.
    lr : float
        The learning rate. So small that nothing is learned: gradients that fade away would end in
        denormal numbers, which processors are slow at. A step's cost does not depend on the rate.
    """

    kind: ClassVar[str]
    trains: ClassVar[bool] = False
    lr: ClassVar[float] = 1e-6

    @abstractmethod
    def batches(self) -> list[tuple[np.ndarray, ...]]:
        """Return what the calls are given, in turn; the same arrays for everyone."""

    @abstractmethod
    def reference(self, params: Arrays, calls: int) -> Arrays | None:
        """Return the right result after `calls` calls, or None for no check.

        Parameters
        ----------
        params : list of ndarray
            The initial parameters in float64, to be changed in place.
        calls : int
        """

    @property
    def needed(self) -> int:
        """Bytes that a call cannot do without besides its batch; here the parameters."""
        return sum(array.nbytes for array in self.initial())

    def initial(self) -> Arrays:
        """Return the parameters before the first call, if any; the same arrays for everyone."""
        return []

    def products(self) -> Callable[[], Any] | None:
        """Return what does a call's matrix products and nothing else, if it has any."""
        return None

    def remark(self, result: Callable[[], Arrays] | None) -> str:
        """Return what a reader must know of a run's result after the race."""
        return ""


@functools.lru_cache(maxsize=2)
def uniform(shapes: Shapes) -> Arrays:
    """Return float32 weights (outputs, inputs, ...) and their biases, uniform as PyTorch's."""
    rng = np.random.default_rng(1)
    values, k = [], 1.0
    for shape in shapes:
        if len(shape) > 1:
            k = math.prod(shape[1:]) ** -0.5
        values.append(rng.uniform(-k, k, shape).astype(np.float32))
    return values


@functools.lru_cache(maxsize=2)
def normal(shapes: Shapes) -> Arrays:
    """Return normal float32 arrays."""
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


@functools.lru_cache(maxsize=2)
def labelled(shape: tuple[int, ...], classes: int) -> list[tuple[np.ndarray, ...]]:
    """Return eight batches of normal float32 inputs and random labels."""
    rng = np.random.default_rng(2)
    found: list[tuple[np.ndarray, ...]] = []
    for _ in range(8):
        memory = np.empty(4 * math.prod(shape) + 64, np.uint8)
        start = -memory.ctypes.data % 64  # JAX takes multiples of 64 bytes without a copy
        x = memory[start : start + 4 * math.prod(shape)].view(np.float32).reshape(shape)
        rng.standard_normal(dtype=np.float32, out=x)
        found.append((x, rng.integers(0, classes, shape[0])))
    return found
