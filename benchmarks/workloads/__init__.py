"""The workloads: what the contenders compute."""

from benchmarks.workloads.base import Arrays, Workload
from benchmarks.workloads.mlp import MIDDLE, MLP
from benchmarks.workloads.network import Epochs, Inference, Network
from benchmarks.workloads.updates import OPTIMIZERS, Updates

__all__ = [
    "MIDDLE", "MLP", "OPTIMIZERS", "Arrays", "Epochs", "Inference", "Network", "Updates",
    "Workload",
]  # fmt: skip
