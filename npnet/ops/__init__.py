"""Stateless array mathematics: each function's value and derivative stand side by side.

A few functions, the kernels, have a second form in Numba; `use` chooses, `active` tells.
"""

from npnet.ops import activation, elementwise, gelu, softmax, update
from npnet.ops.kernels import active, prepare, use

__all__ = ["activation", "active", "elementwise", "gelu", "prepare", "softmax", "update", "use"]
