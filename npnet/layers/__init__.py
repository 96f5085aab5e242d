"""Layers: one family a file, none of which knows another. A file is read when it is first used."""

from typing import TYPE_CHECKING

from npnet.lazy import attach

if TYPE_CHECKING:
    from npnet.layers.activation import *
    from npnet.layers.adaptive_pool import *
    from npnet.layers.avg_pool import *
    from npnet.layers.batch_norm import *
    from npnet.layers.conv import *
    from npnet.layers.conv_transpose import *
    from npnet.layers.distance import *
    from npnet.layers.dropout import *
    from npnet.layers.embedding import *
    from npnet.layers.exponential import *
    from npnet.layers.fold import *
    from npnet.layers.function import *
    from npnet.layers.gated import *
    from npnet.layers.group_norm import *
    from npnet.layers.instance_norm import *
    from npnet.layers.layer_norm import *
    from npnet.layers.linear import *
    from npnet.layers.lp_pool import *
    from npnet.layers.max_pool import *
    from npnet.layers.max_unpool import *
    from npnet.layers.maxout import *
    from npnet.layers.padding import *
    from npnet.layers.piecewise import *
    from npnet.layers.position import *
    from npnet.layers.rectifier import *
    from npnet.layers.recurrent import *
    from npnet.layers.response_norm import *
    from npnet.layers.shape import *
    from npnet.layers.shuffle import *
    from npnet.layers.sigmoid import *
    from npnet.layers.softmax import *
    from npnet.layers.upsample import *

_FILES = {
    "activation": "GELU Mish SiLU",
    "adaptive_pool": (
        "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d "
        "AdaptiveMaxPool2d AdaptiveMaxPool3d"
    ),
    "avg_pool": "AvgPool1d AvgPool2d AvgPool3d",
    "batch_norm": "BatchNorm1d BatchNorm2d BatchNorm3d",
    "conv": "Conv1d Conv2d Conv3d",
    "conv_transpose": "ConvTranspose1d ConvTranspose2d ConvTranspose3d",
    "distance": "CosineSimilarity PairwiseDistance",
    "dropout": (
        "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout GaussianNoise"
    ),
    "embedding": "Embedding EmbeddingBag",
    "exponential": "CELU ELU SELU",
    "fold": "Fold Unfold",
    "function": "Lambda",
    "gated": "GLU",
    "group_norm": "GroupNorm",
    "instance_norm": "InstanceNorm1d InstanceNorm2d InstanceNorm3d",
    "layer_norm": "LayerNorm RMSNorm",
    "linear": "Bilinear Linear",
    "lp_pool": "LPPool1d LPPool2d LPPool3d",
    "max_pool": "MaxPool1d MaxPool2d MaxPool3d",
    "max_unpool": "MaxUnpool1d MaxUnpool2d MaxUnpool3d",
    "maxout": "Maxout",
    "padding": (
        "CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d "
        "ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d "
        "ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d"
    ),
    "piecewise": "Hardshrink Hardsigmoid Hardswish Hardtanh ReLU6 Softshrink Threshold",
    "position": "PositionEmbedding SinePositionEncoding",
    "rectifier": "LeakyReLU PReLU RReLU ReLU",
    "recurrent": "GRU GRUCell LSTM LSTMCell RNN RNNCell",
    "response_norm": "LocalResponseNorm",
    "shape": "Flatten Identity Unflatten",
    "shuffle": "ChannelShuffle PixelShuffle PixelUnshuffle",
    "sigmoid": "LogSigmoid Sigmoid Softplus Softsign Tanh Tanhshrink",
    "softmax": "LogSoftmax Softmax Softmax2d Softmin",
    "upsample": "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
}  # fmt: skip
if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attach(__name__, _FILES)
