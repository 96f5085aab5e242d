"""Losses: the value returned is the function whose gradient is returned."""

from npnet.losses.binary import BCELoss, BCEWithLogitsLoss, MultiLabelSoftMarginLoss
from npnet.losses.classification import CrossEntropyLoss, NLLLoss
from npnet.losses.embedding import CosineEmbeddingLoss, MarginRankingLoss, TripletMarginLoss
from npnet.losses.likelihood import ChiSquareLoss, GaussianNLLLoss, KLDivLoss, PoissonNLLLoss
from npnet.losses.loss import Loss, LossValue, Terms
from npnet.losses.margin import (
    HingeEmbeddingLoss,
    MultiLabelMarginLoss,
    MultiMarginLoss,
    SoftMarginLoss,
)
from npnet.losses.quantile import ExpectileLoss, QuantileLoss
from npnet.losses.regression import HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from npnet.losses.segmentation import DiceLoss, FocalLoss

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "ChiSquareLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "ExpectileLoss",
    "FocalLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "Loss",
    "LossValue",
    "MSELoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "QuantileLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "Terms",
    "TripletMarginLoss",
]
