"""Containers: the layers that know of other layers. A file is read when it is first used."""

from typing import TYPE_CHECKING

from npnet.lazy import attach

if TYPE_CHECKING:
    from npnet.containers.attention import *
    from npnet.containers.folding import *
    from npnet.containers.lists import *
    from npnet.containers.sequential import *
    from npnet.containers.transformer import *
    from npnet.containers.weight_norm import *

_FILES = {
    "attention": "MultiheadAttention",
    "folding": "fold_batchnorm",
    "lists": "LayerDict LayerList",
    "sequential": "Sequential",
    "transformer": "TransformerEncoder TransformerEncoderLayer",
    "weight_norm": "WeightNorm",
}

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attach(__name__, _FILES)
