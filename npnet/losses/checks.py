"""Checks of what losses are given: arrays and sample weights in a call, weights in a constructor.

The functions that return a constructor's argument are called as ``check(loss, name, value)``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.arguments import choice, name_of, real_number, refusal
from npnet.convert import real_array, refuse_recorded
from npnet.errors import (
    ArgumentError,
    DtypeError,
    NpnetError,
    ShapeError,
    TargetError,
    shape_error,
)

if TYPE_CHECKING:
    from npnet.typing import Array, ArrayLike

_SMALLEST, _LARGEST = 1e-30, 1e30
"""Between these a class weight, times a loss, is a normal number in float32."""

TINY = 9.999999960041972e-13
"""1e-12 rounded to float32: what PyTorch's losses keep divisors away from 0 with."""

MADE_FIRST = "a loss is made first, without arrays, and then called: loss_fn(pred, target)"


def as_array(loss: Any, name: str, value: Any) -> Array:
    """Return one of the arrays that a loss is called with, in its own dtype."""
    refuse_recorded(value, f"{name_of(loss)}: {name}")
    if value is None or callable(value):
        raise refusal(loss, name, "an array", value)
    if isinstance(value, tuple) and any(np.ndim(v) for v in value if isinstance(v, np.ndarray)):
        raise ArgumentError(
            f"{name_of(loss)} got as {name} a tuple of {len(value)} arrays; pass them one by one: "
            f"loss_fn({', '.join(loss.arguments)})"
        )
    return real_array(value, f"{name_of(loss)}: {name}")


def cast(loss: Any, name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """Convert an array to a prediction's dtype; refuse what would become infinite."""
    if array.dtype == dtype:
        return array
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError:
        raise DtypeError(
            f"{name_of(loss)} got as {name} numbers too large for {dtype}, the prediction's "
            "dtype; a float64 array holds them"
        ) from None


def as_factor(loss: Any, sample_weight: ArrayLike, shape: tuple[int, ...]) -> tuple[Array, float]:
    """Return sample weights, in float64 and stretched over the terms, divided by a power of two.

    The largest is then between 1 and 2, so that no sum of them overflows or vanishes.
    """
    factor = as_array(loss, "sample_weight", sample_weight)
    if factor.shape not in (shape, shape[:1]):
        hint = (
            f"did you mean {reshaped('sample_weight', shape[:1])}?"
            if factor.size in shape[:1]
            else ""
        )
        expected = " or ".join(map(str, dict.fromkeys((shape[:1], shape))))
        raise shape_error(loss, expected, factor.shape, hint, what="sample_weight")
    factor = cast(loss, "sample_weight", factor, np.dtype(np.float64))
    right = np.isfinite(factor) & (factor >= 0)
    _refuse(loss, "sample_weight", "a finite number of at least 0", factor, ~right)
    scale = 2.0 ** (math.frexp(factor.max(initial=0))[1] - 1)
    factor = (factor / scale).reshape(factor.shape + (1,) * (len(shape) - factor.ndim))
    return np.broadcast_to(factor, shape), scale


def as_reduction(loss: Any, name: str, value: Any) -> str:
    """Return one of the reductions that a loss has."""
    if isinstance(value, np.ndarray | list | tuple):
        raise refusal(loss, name, "a word, such as 'mean'", value, MADE_FIRST)
    return choice(loss, name, value, (*loss.means, "sum", "none"))


def as_weight(loss: Any, name: str, value: Any, signed: bool = False) -> Array | None:
    """Return a read-only copy of the weights of classes or elements; None for none."""
    if value is None:
        return None
    weight = np.array(as_array(loss, name, value), np.float64)
    size = np.abs(weight) if signed else weight
    wrong = ~((size == 0) | ((size >= _SMALLEST) & (size <= _LARGEST)))
    kind = f"0 or a number from {_SMALLEST:g} to {_LARGEST:g}{' of either sign' * signed}"
    _refuse(loss, name, kind, weight, wrong)
    weight.flags.writeable = False
    return weight


def as_factors(loss: Any, name: str, value: Any) -> Array | None:
    """Return factors of the terms by which no mean divides, so that they may be negative."""
    return as_weight(loss, name, value, signed=True)


def as_levels(loss: Any, name: str, value: Any) -> float | tuple[float, ...]:
    """Return a number between 0 and 1, or several of them."""
    levels = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(levels, list | tuple):
        return real_number(loss, name, levels, above=0, below=1)
    if not levels:
        raise refusal(loss, name, "a number between 0 and 1, or several", value)
    found = (real_number(loss, f"{name}[{i}]", x, above=0, below=1) for i, x in enumerate(levels))
    return tuple(found)


def as_class_weight(loss: Any, name: str, value: Any) -> Array | None:
    """Return weights of classes, which have one axis."""
    weight = None if value is None else as_array(loss, name, value)
    if weight is not None and weight.ndim != 1:
        kind = "an array of shape (num_classes,)"
        raise refusal(loss, name, kind, weight, MADE_FIRST if weight.ndim else "", ShapeError)
    return as_weight(loss, name, weight, signed=True)


def require(
    loss: Any,
    name: str,
    array: Array,
    right: Array,
    expected: str,
    error: type[NpnetError] = TargetError,
    hint: str = "",
) -> None:
    """Raise if an element of an array that a loss is called with is not right."""
    if not right.all():
        index = first(~right)
        got = f"got {array[index]} at {element(name, index)}"
        raise error(f"expected {expected}, {got}{hint and '; ' + hint}", loss)


def as_signs(loss: Any, pred: Array, target: Array, zero: bool = False) -> Array:
    """Return targets of -1 and 1 (and 0, if `zero`) in the prediction's dtype."""
    right = (target == 1) | (target == -1)
    hint, expected = "", "targets -1 or 1"
    if zero:
        right |= target == 0
        expected = "targets -1, 0 or 1"
    elif ((target == 0) | (target == 1)).all():
        hint = "2 * target - 1 makes -1 and 1 of 0 and 1"
    require(loss, "target", target, right, expected, hint=hint)
    return target.astype(pred.dtype)


def reshaped(name: str, shape: tuple[int, ...]) -> str:
    """Return the code that gives an array a shape: all data at once has more rows than a batch."""
    sizes = shape if 0 in shape else (-1, *shape[1:])
    return f"{name}.reshape({', '.join(map(str, sizes if shape else ['()']))})"


def first(wrong: Array) -> tuple[int, ...]:
    """Return the index of the first True."""
    return tuple(map(int, np.argwhere(wrong)[0]))


def element(name: str, index: tuple[int, ...]) -> str:
    """Return an element's name: ``target[1, 0]``."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def _refuse(loss: Any, name: str, kind: str, array: Array, wrong: Array) -> None:
    if wrong.any():
        index = first(wrong)
        raise refusal(loss, element(name, index), kind, float(array[index]))
