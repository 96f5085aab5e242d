"""Containers: the only layers that know of other layers."""

from npnet.containers.sequential import Sequential

__all__ = ["Sequential"]
