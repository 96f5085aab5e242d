"""How a user's arrays become npnet's: real, floating, of one dtype, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.errors import DtypeError, ShapeError, shape_error
from npnet.typing import Array, ArrayLike, DtypeLike

_HINTS = {
    "O": "rows of unequal length or missing values become objects; np.asarray(data, np.float32)",
    "c": "split it into real and imaginary parts",
    "U": "number the strings first: names, codes = np.unique(strings, return_inverse=True)",
}
_HINTS["S"] = _HINTS["T"] = _HINTS["U"]


def floating_dtype(value: ArrayLike) -> np.dtype[Any]:
    """Return the dtype in which npnet holds `value`: its own if that is floating, else float32.

    Parameters
    ----------
    value : array_like

    Returns
    -------
    dtype
    """
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        return dtype.newbyteorder("=")
    return np.dtype(np.float32)


def real_array(value: ArrayLike, what: str, layer: Any = None) -> Array:
    """Return `value` as an array of real numbers of whatever dtype.

    Parameters
    ----------
    value : array_like
    what : str
        What it is, for the error.
    layer : Layer, Loss or None
        Who asks, for the error.

    Returns
    -------
    ndarray

    Raises
    ------
    DtypeError
        If it is masked, complex, or of objects or strings.
    ShapeError
        If it is a ragged sequence.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise DtypeError(f"{what}: a masked array would lose its mask; fill it first", layer)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{what}: expected an array, got a ragged sequence", layer) from error
    if array.dtype.kind in "fiub":
        return array
    hint = _HINTS.get(array.dtype.kind, "convert it to real numbers")
    if hasattr(value, "toarray"):
        hint = "a sparse matrix becomes an array with .toarray()"
    raise DtypeError(f"{what}: expected real numbers, got dtype {array.dtype}; {hint}", layer)


def owned_floats(value: ArrayLike, dtype: DtypeLike | None = None) -> Array:
    """Copy `value` into a contiguous floating array."""
    dtype = np.dtype(dtype or floating_dtype(value)).newbyteorder("=")
    if dtype.kind != "f":
        raise DtypeError(f"a parameter holds floating-point numbers, not {dtype}")
    return np.array(real_array(value, "parameter"), dtype=dtype, order="C")


def as_input(
    value: ArrayLike, dtype: np.dtype[Any] | None, layer: Any, integers: bool = False
) -> Array:
    """Return `value` in a layer's dtype, or in a floating one if the layer has none (None).

    Integers and booleans stay what they are where the layer takes them.
    """
    array = real_array(value, "input", layer)
    if array.dtype.kind != "f" and integers:
        return array
    return array.astype(floating_dtype(value) if dtype is None else dtype, copy=False)


def as_output(output: Any, layer: Any) -> Any:
    """Return what `forward` returned as an array or a tuple of arrays."""
    several = isinstance(output, tuple)
    for y in output if several else (output,):
        if not isinstance(y, np.ndarray | np.generic | float | int):
            got = "None" if y is None else f"a {type(y).__name__}{several * ' in a tuple'}"
            raise ShapeError(
                f"forward returned {got}; it must return an array or a flat tuple of arrays", layer
            )
    if several and not output:
        raise ShapeError("forward returned an empty tuple; it must return an array", layer)
    return tuple(map(np.asarray, output)) if several else np.asarray(output)


def as_gradient(value: ArrayLike, shape: tuple[int, ...], dtype: Any, layer: Any) -> Array:
    """Return an upstream gradient in its output's dtype after a check of its shape."""
    array = real_array(value, "gradient", layer)
    if array.shape != shape:
        raise shape_error(layer, str(shape), array.shape, what="gradient")
    return array if array.dtype == dtype else array.astype(dtype)
