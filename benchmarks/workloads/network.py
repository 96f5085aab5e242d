"""What is done with networks that classify: training steps, inference, epochs over MNIST."""

from __future__ import annotations

import functools
import os
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any, ClassVar

import numpy as np

from benchmarks.results import Skip
from benchmarks.timing import reason
from benchmarks.workloads.base import Arrays, Workload
from benchmarks.workloads.updates import descend


class Network(Workload):
    """A network's training step: forward, softmax cross-entropy, backward, Adam.

    Attributes
    ----------
    model : str
        The contenders' method that makes it.
    batch : int
        Rows in a batch.
    """

    kind = "step"
    trains = True
    method = "adam"
    model: ClassVar[str]
    batch: int

    @abstractmethod
    def forward(self, params: Arrays, x: np.ndarray) -> tuple[np.ndarray, Callable[..., Arrays]]:
        """Return the logits, and what makes the parameters' gradients of the logits' gradient."""

    @abstractmethod
    def matmuls(self, rows: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return what does the products of an inference, and of a step, with an input's rows."""

    def reference(self, params: Arrays, calls: int) -> Arrays:
        """Return the parameters after `calls` steps."""
        batches = cycle(self.batches())

        def gradients() -> Arrays:
            x, y = next(batches)
            logits, backward = self.forward(params, x.astype(float))
            e = np.exp(logits - logits.max(axis=1, keepdims=True))
            return backward((e / e.sum(axis=1, keepdims=True) - np.eye(e.shape[1])[y]) / len(y))

        return descend(params, gradients, self.method, self.lr, calls)

    def products(self) -> Callable[[], Any]:
        """Return a step's."""
        (_, step), batches = self.matmuls(self.batch), cycle(self.batches())
        return lambda: step(next(batches)[0])


@dataclass(frozen=True)
class Inference(Workload):
    """The logits of one batch."""

    network: Network
    kind = "predict"

    def __str__(self) -> str:
        return str(self.network)

    def initial(self) -> Arrays:
        """Return the network's parameters."""
        return self.network.initial()

    def batches(self) -> list[tuple[np.ndarray, ...]]:
        """Return one batch of inputs."""
        return [self.network.batches()[0][:1]]

    def reference(self, params: Arrays, calls: int) -> Arrays:
        """Return the logits."""
        ((x,),) = self.batches()
        return [self.network.forward(params, x.astype(float))[0]]

    def products(self) -> Callable[[], Any]:
        """Return the forward ones."""
        (forward, _), ((x,),) = self.network.matmuls(self.network.batch), self.batches()
        return lambda: forward(x)


@dataclass(frozen=True)
class Epochs(Workload):
    """Epochs over MNIST, or over its first images; they really learn, and have no reference."""

    network: Network
    images: int | None = None
    kind = "epoch"
    trains = True
    lr = 1e-3

    def __str__(self) -> str:
        return f"mnist-{self.network}" + (f"-first-{self.images}" if self.images else "")

    def initial(self) -> Arrays:
        """Return the network's parameters."""
        return self.network.initial()

    @property
    def needed(self) -> int:
        """What a step needs."""
        return self.network.needed

    def batches(self) -> list[tuple[np.ndarray, ...]]:
        """Return all images and labels: one call goes through them."""
        return [mnist(self.images)[0]]

    def reference(self, params: Arrays, calls: int) -> None:
        """Return None."""

    def products(self) -> Callable[[], Any]:
        """Return those of all steps, without shuffling."""
        ((x, _),), batch = self.batches(), self.network.batch
        parts = np.split(x, range(batch, len(x), batch))
        steps = {rows: self.network.matmuls(rows)[1] for rows in {len(part) for part in parts}}
        return lambda: [steps[len(part)](part) for part in parts]

    def remark(self, result: Callable[[], Arrays] | None) -> str:
        """Return the accuracy on the test images."""
        return f"test accuracy {self.accuracy(result()):.3f} in the end" if result else ""

    def accuracy(self, params: Arrays) -> float:
        """Return the share of the test images that a network with these parameters gets right."""
        x, y = mnist(self.images)[1]
        return float((self.network.forward(params, x)[0].argmax(axis=1) == y).mean())


@functools.lru_cache(maxsize=2)
def mnist(images: int | None = None) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return MNIST's two parts, flat pixels in [0, 1] and labels; only the first `images` to train.

    Raises
    ------
    Skip
        If ``NPNET_DATA`` does not lead to it.
    """
    import npnet

    try:
        if not os.environ.get("NPNET_DATA"):
            raise FileNotFoundError("set NPNET_DATA to the folder that holds mnist/")
        (x, y), (x_test, y_test) = npnet.datasets.mnist(download=False)
    except Exception as error:  # without data there is nothing to measure
        raise Skip(f"no MNIST: {reason(error)}") from error
    return (x.reshape(-1, 784)[:images], y[:images]), (x_test.reshape(-1, 784), y_test)
