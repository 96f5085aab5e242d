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
from npnet.layers.dropout import (
    AlphaDropout,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    FeatureAlphaDropout,
    GaussianNoise,
)
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
from npnet.layers.padding import (
    CircularPad1d,
    CircularPad2d,
    CircularPad3d,
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReflectionPad3d,
    ReplicationPad1d,
    ReplicationPad2d,
    ReplicationPad3d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
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
from npnet.layers.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from npnet.layers.response_norm import LocalResponseNorm
from npnet.layers.shape import Flatten, Identity, Unflatten
from npnet.layers.shuffle import ChannelShuffle, PixelShuffle, PixelUnshuffle
from npnet.layers.sigmoid import LogSigmoid, Sigmoid, Softplus, Softsign, Tanh, Tanhshrink
from npnet.layers.softmax import LogSoftmax, Softmax, Softmax2d, Softmin
from npnet.layers.upsample import Upsample, UpsamplingBilinear2d, UpsamplingNearest2d

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
    "ChannelShuffle",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CosineSimilarity",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "ELU",
    "Embedding",
    "EmbeddingBag",
    "FeatureAlphaDropout",
    "Flatten",
    "Fold",
    "GELU",
    "GLU",
    "GRU",
    "GRUCell",
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
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "LSTM",
    "LSTMCell",
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
    "PixelShuffle",
    "PixelUnshuffle",
    "PositionEmbedding",
    "RMSNorm",
    "RNN",
    "RNNCell",
    "RReLU",
    "ReLU",
    "ReLU6",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
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
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]
