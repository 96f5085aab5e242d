"""Contender, the interface that each framework's file fills in."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from typing import Any

from benchmarks.problem import MLP
from benchmarks.timing import Run


class Skip(Exception):
    """Raised by a contender that does not offer what is asked, with the reason."""


class Contender:
    """One way to compute; a framework is imported when something is built, never before.

    A subclass overrides what it can do of `step`, `predict`, `optimize` and `epoch`; each returns
    a `Run`.

    Parameters
    ----------
    name : str
        Its name in the tables.

    Attributes
    ----------
    module : str
        What must be importable.
    distribution : str
        What is installed; versions and sizes are asked of it.
    isolated : bool
        Whether it computes in a process of its own, since its threads would disturb the others.
    slow : bool
        Whether it takes long to get ready, too long for ``--quick``.
    pool : str
        Whose threads compute; those who share them need not wait for each other.
    """

    module = "numpy"
    distribution = "numpy"
    isolated = False
    slow = False
    pool = "NumPy"

    def __init__(self, name: str) -> None:
        self.name = name

    def missing(self) -> str | None:
        """Return why it cannot take part, or None."""
        if importlib.util.find_spec(self.module) is None:
            return f"{self.module} is not installed"
        return None

    def version(self) -> str:
        """Return what is installed."""
        return f"{self.distribution} {metadata.version(self.distribution)}"

    def build(self, kind: str, *args: Any) -> Run:
        """Prepare a run by calling the method `kind`."""
        run: Run = getattr(self, kind)(*args)
        run.pool = self.pool
        return run

    def step(self, mlp: MLP) -> Run:
        """Prepare training steps with Adam on the batches in turn.

        The run's result is the list of each layer's weight (outputs, inputs) and bias.
        """
        raise Skip("has no training step")

    def predict(self, mlp: MLP) -> Run:
        """Prepare inference of one batch; the run's result is the array of outputs."""
        raise Skip("has no inference")

    def optimize(self, method: str, mlp: MLP) -> Run:
        """Prepare updates with fixed gradients by "sgd", "momentum", "adam" or "adamw".

        The run's result is like that of `step`.
        """
        raise Skip("its optimizer does not run alone")

    def epoch(self, mlp: MLP, images: int | None) -> Run:
        """Prepare epochs over MNIST with Adam at 1e-3; the run's result is like that of `step`."""
        raise Skip("has no training loop")
