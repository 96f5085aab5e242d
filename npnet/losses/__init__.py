"""Losses: the value returned is the function whose gradient is returned."""

from npnet.losses.binary import BCEWithLogitsLoss
from npnet.losses.classification import CrossEntropyLoss, NLLLoss
from npnet.losses.loss import Loss, LossValue, Terms
from npnet.losses.regression import L1Loss, MSELoss

__all__ = [
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "L1Loss",
    "Loss",
    "LossValue",
    "MSELoss",
    "NLLLoss",
    "Terms",
]
