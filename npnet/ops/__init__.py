"""Stateless array mathematics: each function's value and derivative stand side by side.

A few fused kernels have a second implementation in Numba; `use` chooses, `active` tells.
"""

from npnet.ops import elementwise, softmax, update
from npnet.ops.choose import active, prepare, use

__all__ = ["active", "elementwise", "prepare", "softmax", "update", "use"]
