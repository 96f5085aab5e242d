"""npnet: neural networks on NumPy, every backward pass written by hand and checked."""

from typing import TYPE_CHECKING

from npnet import (
    constraints,
    containers,
    data,
    datasets,
    errors,
    init,
    io,
    layers,
    losses,
    ops,
    optim,
    penalties,
    plot,
    random,
    schedules,
    training,
)
from npnet._version import __version__
from npnet.config import show_config
from npnet.context import Context
from npnet.errors import NpnetError
from npnet.io import load_weights, save_weights
from npnet.layer import Layer
from npnet.lazy import names
from npnet.losses import *
from npnet.parameter import Parameter
from npnet.profiling import profile
from npnet.random import manual_seed
from npnet.registry import Buffer
from npnet.tape import Tape
from npnet.threads import limit_threads
from npnet.training import History, Trainer

if TYPE_CHECKING:
    from npnet.containers import *
    from npnet.layers import *

__all__ = [
    *names(containers),
    *names(layers),
    *losses.__all__,
    "Buffer",
    "Context",
    "History",
    "Layer",
    "NpnetError",
    "Parameter",
    "Tape",
    "Trainer",
    "__version__",
    "constraints",
    "containers",
    "data",
    "datasets",
    "errors",
    "init",
    "io",
    "layers",
    "limit_threads",
    "load_weights",
    "losses",
    "manual_seed",
    "ops",
    "optim",
    "penalties",
    "plot",
    "profile",
    "random",
    "save_weights",
    "schedules",
    "show_config",
    "training",
]


def __getattr__(name: str) -> object:
    """Import what is first asked for; answer to names that stand elsewhere."""
    for package in (layers, containers):
        if name in names(package):
            globals()[name] = value = getattr(package, name)
            return value
    if name == "gradcheck":
        from importlib import import_module

        return import_module("npnet.gradcheck")
    rooms = {"optim": optim, "losses": losses, "data": data, "schedules": schedules, "init": init,
             "training": training, "datasets": datasets, "random": random,
             "constraints": constraints}  # fmt: skip
    found = [f"npnet.{room}.{name}" for room, module in rooms.items() if name in dir(module)]
    others = {
        "nn": "layers and losses are npnet's own names: npnet.Linear",
        "no_grad": "model(x) remembers nothing; model.record(x) does",
        "Tensor": "arrays are NumPy's",
        "tensor": "arrays are NumPy's",
        "Module": "the base class is npnet.Layer",
        "relu": "npnet.ReLU()(x)",
        "sigmoid": "npnet.Sigmoid()(x)",
        "softmax": "npnet.Softmax()(x)",
        "tanh": "npnet.Tanh()(x)",
    }
    hint = others.get(name) or (f"it is {found[0]}" if found else "")
    raise errors.NameTypoError(f"npnet has no attribute {name!r}{hint and '; ' + hint}")
