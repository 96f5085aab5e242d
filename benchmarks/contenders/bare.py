"""The limit: a workload's own matrix products and nothing else, through ``np.dot(..., out=)``."""

from __future__ import annotations

from benchmarks.contenders.base import Contender
from benchmarks.results import Skip
from benchmarks.timing import Run
from benchmarks.workloads import Workload


class Bare(Contender):
    """No biases, no ReLU, no loss, no update."""

    def build(self, workload: Workload) -> Run:
        """Do the products."""
        products = workload.products()
        if products is None:
            raise Skip("there are no matrix products")
        return Run(products)


make = Bare
