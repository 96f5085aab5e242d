"""Optimizers, which see nothing but parameters, and gradient clipping."""

from npnet.optim.adam import Adam, AdamW
from npnet.optim.clip import clip_grad_norm
from npnet.optim.group import ParamSlice, StateSpec
from npnet.optim.optimizer import Optimizer
from npnet.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "ParamSlice", "StateSpec", "clip_grad_norm"]
