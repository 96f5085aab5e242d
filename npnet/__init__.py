"""npnet: neural networks on NumPy, every backward pass written by hand and checked."""

from npnet import (
    data,
    datasets,
    errors,
    init,
    io,
    losses,
    ops,
    optim,
    plot,
    random,
    schedules,
    training,
)
from npnet._version import __version__
from npnet.config import show_config
from npnet.containers import LayerDict, LayerList, Sequential
from npnet.context import Context
from npnet.errors import NpnetError
from npnet.io import load_weights, save_weights
from npnet.layer import Layer
from npnet.layers import (
    ELU,
    GELU,
    Dropout,
    Flatten,
    Identity,
    LeakyReLU,
    Linear,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from npnet.losses import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    L1Loss,
    Loss,
    MSELoss,
    NLLLoss,
)
from npnet.parameter import Parameter
from npnet.profiling import profile
from npnet.random import manual_seed
from npnet.registry import Buffer
from npnet.tape import Tape
from npnet.threads import limit_threads
from npnet.training import History, Trainer

__all__ = [
    "BCEWithLogitsLoss",
    "Buffer",
    "Context",
    "CrossEntropyLoss",
    "Dropout",
    "ELU",
    "Flatten",
    "GELU",
    "History",
    "Identity",
    "L1Loss",
    "Layer",
    "LayerDict",
    "LayerList",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Loss",
    "MSELoss",
    "NLLLoss",
    "NpnetError",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "Tape",
    "Trainer",
    "__version__",
    "data",
    "datasets",
    "errors",
    "init",
    "io",
    "limit_threads",
    "load_weights",
    "losses",
    "manual_seed",
    "ops",
    "optim",
    "plot",
    "profile",
    "random",
    "save_weights",
    "schedules",
    "show_config",
    "training",
]
