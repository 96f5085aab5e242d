"""Containers: the layers that know of other layers."""

from npnet.containers.attention import MultiheadAttention
from npnet.containers.fold_batchnorm import fold_batchnorm
from npnet.containers.lists import LayerDict, LayerList
from npnet.containers.sequential import Sequential
from npnet.containers.transformer import TransformerEncoder, TransformerEncoderLayer
from npnet.containers.weight_norm import WeightNorm

__all__ = [
    "LayerDict",
    "LayerList",
    "MultiheadAttention",
    "Sequential",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "WeightNorm",
    "fold_batchnorm",
]
