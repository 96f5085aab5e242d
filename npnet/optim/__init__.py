"""Optimizers, which see nothing but parameters, and gradient clipping."""

from npnet.optim.accumulating import Adadelta, Adagrad, RMSprop
from npnet.optim.adam import Adam, AdamW, SparseAdam
from npnet.optim.adam_variants import Adamax, NAdam, RAdam
from npnet.optim.clip import clip_grad_norm, clip_grad_value
from npnet.optim.group import ParamSlice, StateSpec
from npnet.optim.layerwise import Adafactor, Lamb, Muon
from npnet.optim.lbfgs import LBFGS
from npnet.optim.optimizer import Optimizer
from npnet.optim.sgd import ASGD, SGD
from npnet.optim.signs import Lion, Rprop

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lamb",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "ParamSlice",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "StateSpec",
    "clip_grad_norm",
    "clip_grad_value",
]
