"""Layers: one family a file, none of which knows another."""

from npnet.layers.activation import GELU, Mish, SiLU
from npnet.layers.adaptive_pool import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
from npnet.layers.avg_pool import AvgPool1d, AvgPool2d, AvgPool3d
from npnet.layers.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from npnet.layers.conv import Conv1d, Conv2d, Conv3d
from npnet.layers.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from npnet.layers.distance import CosineSimilarity, PairwiseDistance
from npnet.layers.dropout import AlphaDropout, Dropout, FeatureAlphaDropout, GaussianNoise
from npnet.layers.embedding import Embedding, EmbeddingBag
from npnet.layers.exponential import CELU, ELU, SELU
from npnet.layers.fold import Fold, Unfold
from npnet.layers.function import Lambda
from npnet.layers.gated import GLU
from npnet.layers.group_norm import GroupNorm
from npnet.layers.instance_norm import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from npnet.layers.layer_norm import LayerNorm, RMSNorm
from npnet.layers.linear import Bilinear, Linear
from npnet.layers.lp_pool import LPPool1d, LPPool2d, LPPool3d
from npnet.layers.max_pool import MaxPool1d, MaxPool2d, MaxPool3d
from npnet.layers.max_unpool import MaxUnpool1d, MaxUnpool2d, MaxUnpool3d
from npnet.layers.maxout import Maxout
from npnet.layers.piecewise import (
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    ReLU6,
    Softshrink,
    Threshold,
)
from npnet.layers.rectifier import LeakyReLU, PReLU, ReLU, RReLU
from npnet.layers.response_norm import LocalResponseNorm
from npnet.layers.shape import Flatten, Identity, Unflatten
from npnet.layers.sigmoid import LogSigmoid, Sigmoid, Softplus, Softsign, Tanh, Tanhshrink
from npnet.layers.softmax import LogSoftmax, Softmax, Softmax2d, Softmin

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AlphaDropout",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Bilinear",
    "CELU",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CosineSimilarity",
    "Dropout",
    "ELU",
    "Embedding",
    "EmbeddingBag",
    "FeatureAlphaDropout",
    "Flatten",
    "Fold",
    "GELU",
    "GLU",
    "GaussianNoise",
    "GroupNorm",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "Lambda",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSigmoid",
    "LogSoftmax",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "Maxout",
    "Mish",
    "PReLU",
    "PairwiseDistance",
    "RMSNorm",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "Unflatten",
    "Unfold",
]
