"""The weights that losses take: of samples in a call, of classes in a constructor."""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.convert import real_array
from npnet.errors import ArgumentError, shape_error
from npnet.typing import Array, ArrayLike


def as_factor(loss: Any, sample_weight: ArrayLike, values: Array) -> Array:
    """Stretch sample weights over the terms of a loss; non-negative."""
    factor = real_array(sample_weight, "sample_weight", loss)
    if factor.shape not in (values.shape, values.shape[:1]):
        expected = f"{values.shape[:1]} or {values.shape}"
        raise shape_error(loss, expected, factor.shape, what="sample_weight")
    if not (factor >= 0).all():
        raise ArgumentError("expected non-negative sample weights", loss)
    factor = factor.astype(values.dtype)
    aligned = factor.reshape(factor.shape + (1,) * (values.ndim - factor.ndim))
    return np.broadcast_to(aligned, values.shape)


def as_weight(loss: Any, value: ArrayLike, name: str) -> Array:
    """Copy the weights given to a constructor; finite and non-negative."""
    kind = type(loss).__name__
    weight = real_array(value, f"{kind}'s {name}").astype(np.float64)
    if not (np.isfinite(weight) & (weight >= 0)).all():
        raise ArgumentError(f"{kind} expects {name} finite and not negative, got {value!r}")
    return weight
