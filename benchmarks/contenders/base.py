"""Contender, the interface that each framework's file fills in."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks.results import Skip
from benchmarks.timing import Run
from benchmarks.workloads import Network, Workload


class Contender:
    """One way to compute; a framework is imported when something is built, never before.

    A subclass has a method for each kind of workload that it can do: `step`, `predict`, `optimize`
    and `epoch` take a workload and return a `Run`. It has one for each model, too: `mlp` takes a
    network and makes it. What it has no method for, it skips.

    Parameters
    ----------
    name : str
        Its name in the tables.
    """

    module = "numpy"  # what must be importable
    distribution = "numpy"  # what is installed; versions and sizes are asked of it
    isolated = False  # whether it computes in its own process: its threads would disturb the others
    slow = False  # whether it takes long to get ready, too long for --quick
    pool = "NumPy"  # whose threads compute; those who share them need not wait for each other

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

    def build(self, workload: Workload) -> Run:
        """Prepare a run by the method for the workload's kind; raise `Skip` if there is none."""
        run: Run = self._method(workload.kind)(workload)
        run.pool = self.pool
        return run

    def model(self, network: Network) -> Any:
        """Make a network by the method for its model; raise `Skip` if there is none."""
        return self._method(network.model)(network)

    def step(self, network: Network) -> Run:
        """Prepare training steps on the batches in turn."""
        run: Run = self._method("training")(network, network.lr)
        step, data = run.call, cycle([[*map(self.tensor, batch)] for batch in network.batches()])
        return replace(run, call=lambda: step(*next(data)))

    def tensor(self, array: np.ndarray) -> Any:
        """Return an array as the framework has it."""
        return array

    def _method(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] | None = getattr(self, name, None)
        if method is None:
            raise Skip(f"has no {name!r}")
        return method
