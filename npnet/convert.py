"""How a user's arrays become npnet's: real, floating, of one dtype, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.arguments import float_dtype
from npnet.errors import ArgumentError, DataError, DtypeError, ShapeError, shape_error
from npnet.typing import Array, ArrayLike, DtypeLike


def floating_dtype(value: ArrayLike) -> np.dtype[Any]:
    """Return the dtype in which npnet holds `value`: its own if that is floating, else float32."""
    dtype = getattr(value, "dtype", None)
    if not isinstance(dtype, np.dtype) and hasattr(value, "__array__"):  # a table, a tensor
        dtype = real_array(value, "value").dtype
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        # SciPy's functions and matrix products have no long double.
        return dtype.newbyteorder("=") if dtype.itemsize <= 8 else np.dtype(np.float64)
    return np.dtype(np.float32)


def real_array(value: ArrayLike, what: str, layer: Any = None) -> Array:
    """Return `value` as an array of real numbers of whatever dtype, or raise.

    The error opens with `layer`, who asks, and with `what`, the name of the value.
    """
    if type(value) is np.ndarray and value.dtype.kind in "fiub":
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise DtypeError(
            f"{what}: a masked array would lose its mask; fill it first: .filled(0)", layer
        )
    refuse_recorded(value, what, layer)
    array: Array | None
    try:
        if hasattr(value, "isna"):  # a table of pandas, or one of its columns
            from npnet.tables import table_array

            array = table_array(value)
        else:
            array = np.asarray(value)
    except Exception as error:
        from npnet.wrong_data import unreadable

        raise unreadable(value, what, error, layer) from error
    if array is not None and array.dtype.kind in "fiub":
        return array
    from npnet.wrong_data import not_real

    raise not_real(value, array, what, layer)


def is_sparse(value: Any) -> bool:
    """Tell whether something is a sparse matrix of SciPy's."""
    return hasattr(value, "tocsr")


def csr(value: Any, what: str, layer: Any = None) -> Any:
    """Return a sparse matrix, of SciPy's format CSR and real, as it is, or raise."""
    form, dtype = getattr(value, "format", type(value).__name__), value.dtype
    if form != "csr":
        text = f"{what}: of the sparse formats CSR is taken, got {form}; .tocsr() converts it"
        raise DtypeError(text, layer)
    if dtype.kind not in "fiub":
        raise DtypeError(f"{what}: expected real numbers, got dtype {dtype}", layer)
    if value.ndim != 2:
        raise ShapeError(f"{what}: expected a sparse matrix, got shape {value.shape}", layer)
    return value


def refuse_recorded(value: Any, what: str, layer: Any = None) -> None:
    """Raise if `value` is what `Layer.record` returned, not unpacked."""
    last = value[-1] if isinstance(value, tuple) and value else None
    if hasattr(last, "backward") and not hasattr(last, "__array__"):  # no tensor of PyTorch's
        raise ArgumentError(
            f"{what}: record returns the output and a tape: y, tape = model.record(x)", layer
        )


def owned_floats(value: ArrayLike, dtype: DtypeLike | None = None) -> Array:
    """Copy `value` into a contiguous floating array."""
    array = real_array(value, "parameter")
    if dtype is None:
        dtype = floating_dtype(value)
    return np.array(array, float_dtype("Parameter", "dtype", dtype), order="C")


def as_input(
    value: ArrayLike,
    dtype: np.dtype[Any] | None,
    layer: Any,
    integers: bool = False,
    sparse: bool = False,
) -> Array:
    """Return `value` in a layer's dtype, or in a floating one if the layer has none (None).

    Integers and booleans stay what they are, and sparse matrices sparse, where the layer takes
    them.
    """
    refuse_recorded(value, "input", layer)
    if sparse and is_sparse(value):
        matrix = csr(value, "input", layer)
        kept: Array = matrix if matrix.dtype == dtype else matrix.astype(dtype)
        return kept
    if isinstance(value, list | tuple) and value and getattr(value[0], "ndim", 0) > 0:
        raise DataError(
            f"a {type(value).__name__} of arrays; several inputs are several arguments: "
            "model(a, b), and rows of one array are joined with np.stack",
            layer,
        )
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
        hint = "" if array.ndim else "loss, grad = loss_fn.value_and_grad(y, target) has it"
        raise shape_error(layer, str(shape), array.shape, hint, what="gradient")
    return array if array.dtype == dtype else array.astype(dtype)
