"""Optimizers, which see nothing but parameters, and gradient clipping."""

from npnet.arguments import absent
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

_OTHERS = {  # PyTorch's and Keras's
    "lr_scheduler": "schedules are in npnet.schedules; an optimizer takes one: SGD(params, lr=...)",
    "swa_utils": "it is npnet.training.AveragedModel",
    "clip_grad_norm_": "it is clip_grad_norm; every optimizer takes clip_norm=",
    "clip_grad_value_": "it is clip_grad_value; every optimizer takes clip_value=",
    "Nadam": "it is NAdam",
    "schedules": "they are in npnet.schedules",
}

__getattr__ = absent("npnet.optim", __all__, _OTHERS)
