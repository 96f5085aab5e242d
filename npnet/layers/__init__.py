"""Layers: one family a file, none of which knows another."""

from npnet.layers.activation import (
    ELU,
    GELU,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Tanh,
)
from npnet.layers.distance import CosineSimilarity, PairwiseDistance
from npnet.layers.dropout import AlphaDropout, Dropout, FeatureAlphaDropout, GaussianNoise
from npnet.layers.embedding import Embedding, EmbeddingBag
from npnet.layers.linear import Bilinear, Linear
from npnet.layers.shape import Flatten, Identity, Unflatten
from npnet.layers.softmax import LogSoftmax, Softmax

__all__ = [
    "ELU",
    "GELU",
    "AlphaDropout",
    "Bilinear",
    "CosineSimilarity",
    "Dropout",
    "Embedding",
    "EmbeddingBag",
    "FeatureAlphaDropout",
    "Flatten",
    "GaussianNoise",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "PairwiseDistance",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "Unflatten",
]
