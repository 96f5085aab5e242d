"""The workloads: what the contenders compute."""

from benchmarks.workloads.activations import ACTIVATIONS, Activation
from benchmarks.workloads.base import Arrays, Workload
from benchmarks.workloads.convolution import CNN, CONVOLUTIONS, NETWORKS, Convolution
from benchmarks.workloads.layers import LAYERS, LayerPass
from benchmarks.workloads.mlp import MIDDLE, MLP
from benchmarks.workloads.network import Epochs, Inference, Network
from benchmarks.workloads.updates import OPTIMIZERS, Updates

__all__ = [
    "ACTIVATIONS", "CNN", "CONVOLUTIONS", "LAYERS", "MIDDLE", "MLP", "NETWORKS", "OPTIMIZERS",
    "Activation", "Arrays", "Convolution", "Epochs", "Inference", "LayerPass", "Network", "Updates",
    "Workload",
]  # fmt: skip
