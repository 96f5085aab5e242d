"""Containers: the layers that know of other layers."""

from npnet.containers.lists import LayerDict, LayerList
from npnet.containers.sequential import Sequential

__all__ = ["LayerDict", "LayerList", "Sequential"]
