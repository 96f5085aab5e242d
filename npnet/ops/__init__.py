"""Stateless array mathematics: each function's value and derivative stand side by side."""

from npnet.ops import elementwise, softmax

__all__ = ["elementwise", "softmax"]
