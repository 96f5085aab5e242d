"""Layers: one family a file, none of which knows another."""

from npnet.layers.activation import GELU, Mish, SiLU
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
from npnet.layers.position import PositionEmbedding, SinePositionEncoding
from npnet.layers.rectifier import LeakyReLU, PReLU, ReLU, RReLU
from npnet.layers.response_norm import LocalResponseNorm
from npnet.layers.shape import Flatten, Identity, Unflatten
from npnet.layers.sigmoid import LogSigmoid, Sigmoid, Softplus, Softsign, Tanh, Tanhshrink
from npnet.layers.softmax import LogSoftmax, Softmax, Softmax2d, Softmin

__all__ = [
    "AlphaDropout",
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
    "Maxout",
    "Mish",
    "PReLU",
    "PairwiseDistance",
    "PositionEmbedding",
    "RMSNorm",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "SinePositionEncoding",
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
