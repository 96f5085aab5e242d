"""Says what is wrong with data that is no array of real numbers, and how to mend it.

Imported when data is refused, never before. Each fix is code that can be pasted; nothing here
imports pandas or PyTorch, whose objects are known by their methods.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from npnet.arguments import shown
from npnet.errors import DataError, DtypeError, NpnetError, ShapeError
from npnet.tables import column_array, table_columns
from npnet.typing import Array

_NAN = "make NaN of what is no number"
_DEEPEST = 32
"""Nested lists are searched down to here."""

_TIMES = {
    "dates": ("datetime64[D]", "days since 1970"),
    "durations": ("timedelta64[s]", "seconds"),
}


def unreadable(value: Any, what: str, error: Exception, layer: Any) -> NpnetError:
    """Return the error about data of which NumPy makes no array, but raises `error`."""
    if isinstance(value, list | tuple):
        odd = _odd_row(value, what)
        if odd:
            return ShapeError(f"{what}: expected an array, got a ragged sequence: {odd}", layer)
    hint, name = "", _variable(what)
    if getattr(value, "requires_grad", None) is True:
        hint = f"; it requires a gradient: {name} = {name}.detach().numpy()"
    elif not str(getattr(value, "device", "cpu")).startswith("cpu"):
        hint = f"; it is on the device {value.device}: {name} = {name}.cpu().numpy()"
    problem = f"cannot read {_article(value)} as an array ({shown(error)})"
    return DataError(f"{what}: {problem}{hint}", layer)


def not_real(value: Any, array: Array | None, what: str, layer: Any) -> NpnetError:
    """Return the error about data that holds something else than real numbers.

    `array` is what NumPy makes of `value`, None for a table of pandas.
    """
    got = ""
    if array is None:
        got, hint = _in_table(value, _variable(what, "df" if value.ndim == 2 else "data"))
    elif array.ndim == 0:
        got, hint = _in_object(value, _variable(what))
    else:
        odd = _odd_row(array, what) if array.dtype.kind == "O" else ""
        if odd:
            return ShapeError(f"{what}: expected an array, got a ragged sequence: {odd}", layer)
        got, hint = _in_array(array, _variable(what))
        got = f"dtype {array.dtype}{got and ', which holds ' + got}"
    return DtypeError(f"{what}: expected real numbers, got {got}; {hint}", layer)


def _variable(what: str, other: str = "data") -> str:
    """Return the name that data has in a fix."""
    return what if what in ("x", "y", "labels", "stratify", "sample_weight") else other


def _article(value: Any) -> str:
    return f"a {type(value).__name__}"


def _odd_row(rows: Any, name: str, depth: int = 0) -> str:
    """Tell which row of a sequence has another shape than the first, or return nothing."""
    first: tuple[int, ...] = ()
    for i, row in enumerate(rows):
        try:
            shape = np.shape(row)
        except Exception:
            nested = isinstance(row, list | tuple) and depth < _DEEPEST
            return _odd_row(row, f"{name}[{i}]", depth + 1) if nested else ""
        if i == 0:
            first = shape
        elif shape != first:
            return f"{name}[{i}] has shape {shape}, {name}[0] has {first}"
    return ""


# --- what an array holds


def _kind(values: Array) -> str:
    """Return what values are, if none is missing: numbers, text, dates, durations or objects."""
    if values.dtype.kind in "Mm":
        return {"M": "dates", "m": "durations"}[values.dtype.kind]
    try:
        np.array(values, np.float64)
    except Exception:  # float() of an object may raise anything
        pass
    else:
        return "numbers"
    if any(isinstance(v, str | bytes) for v in values.flat):
        return "text"
    first = values.flat[0]
    return (
        "dates" if hasattr(first, "toordinal")
        else "durations" if hasattr(first, "total_seconds")
        else "objects"
    )  # fmt: skip


def _example(values: Array, kind: str) -> str:
    """Return "text such as 'Oslo'"."""
    if kind == "numbers":
        return "numbers as text" if _has_text(values) else "numbers as Python objects"
    found = values.flat[0]
    if kind == "text":  # what is not a number in disguise
        found = next((v for v in values.flat if not _is_number(v)), found)
    item = found.item() if isinstance(found, np.str_ | np.bytes_) else found
    return f"{kind} such as {shown(item) if kind in ('text', 'objects') else str(item)}"


def _has_text(values: Array) -> bool:
    return values.size > 0 and isinstance(values.flat[0], str | bytes)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except Exception:
        return False
    return True


def _mostly_numbers(values: Array) -> bool:
    """Tell whether text stands among numbers, to which its rank would not belong."""
    return 2 * sum(map(_is_number, values.flat)) > values.size


def _missing(values: Array) -> Array:
    """Return where None, pandas's NA and NaT are."""
    if values.dtype.kind in "Mm":
        return np.isnat(values)
    names = ("NoneType", "NAType", "NaTType")
    gaps = [type(v).__name__ in names for v in values.flat] if values.dtype.kind == "O" else False
    return np.broadcast_to(gaps, values.size).reshape(values.shape)


def _in_array(array: Array, x: str) -> tuple[str, str]:
    """Return what an array holds, and how to mend it."""
    if array.dtype.kind == "c":
        parts = f"{x} = np.stack([{x}.real, {x}.imag], axis=-1)"
        return "", f"split it into real and imaginary parts: {parts}"
    if array.dtype.names:
        fields = f"[{x}[name] for name in {x}.dtype.names]"
        return "named fields", f"{x} = np.stack({fields}, axis=-1)"
    if array.dtype.kind == "V":
        return "", "convert it to real numbers"
    gaps = _missing(array)
    values = array[~gaps]
    kind = _kind(values) if values.size else "numbers"
    if gaps.any() and kind != "text":
        place = ", ".join(map(str, np.argwhere(gaps)[0]))
        got = f"{array[gaps][0]} at [{place}]"
    else:
        got = _example(values, kind)
    return got, _array_fix(array, gaps, kind, x)


def _array_fix(array: Array, gaps: Array, kind: str, x: str) -> str:
    if kind == "objects":
        if np.ndim(array.flat[0]):
            return f"{x} = np.stack({x})"
        return "convert it to real numbers"
    if kind in ("dates", "durations"):
        unit, words = _TIMES[kind]
        fix = f"np.array({x}, {unit!r}).astype(float)"
        if gaps.any():
            fix = f"np.where(np.isnat(np.array({x}, {unit!r})), 0, {fix})"
        return f"{words}: {x} = {fix}"
    if kind == "numbers":
        if not gaps.any():
            return f"{x} = np.array({x}, dtype=np.float32)"
        if type(array[gaps][0]).__name__ == "NoneType":
            return f"put 0 there: {x} = np.nan_to_num(np.array({x}, dtype=np.float32))"
        return f"put 0 there: {x} = np.where(pd.isna({x}), 0, {x}).astype(np.float32)"
    filled = [column[~_missing(column)] for column in (array.T if array.ndim == 2 else [array])]
    text = {j: _mostly_numbers(c) for j, c in enumerate(filled) if c.size and _kind(c) == "text"}
    columns = [j for j, mostly_numbers in text.items() if not mostly_numbers]
    if not columns:
        numbers = f"pd.to_numeric(np.array({x}, object).ravel(), errors='coerce')"
        return f"{_NAN}: {x} = {numbers}.reshape(np.shape({x}))"
    if array.ndim == 2:
        one = f"np.unique(c.astype(str), return_inverse=True)[1] if j in {columns}"
        each = f"for j, c in enumerate(np.array({x}, object).T)"
        other, also = "c.astype(np.float32)", ""
        if any(text.values()):
            other, also = "pd.to_numeric(c, errors='coerce')", f", {_NAN}"
        return (
            f"number the strings of columns {columns}{also}: "
            f"{x} = np.stack([{one} else {other} {each}], axis=1)"
        )
    strings = x if array.dtype.kind != "O" else f"np.array({x}, str)"
    return f"number the strings: names, {x} = np.unique({strings}, return_inverse=True)"


def _in_object(value: Any, x: str) -> tuple[str, str]:
    """Return what a single object is, and what to pass instead."""
    if hasattr(value, "toarray"):
        return f"a sparse {type(value).__name__}", f"{x} = {x}.toarray()"
    if isinstance(value, dict):
        return "a dict", "pass its arrays"
    if isinstance(value, Iterator | set | frozenset):
        return _article(value), f"{x} = np.array(list({x}))"
    if isinstance(value, np.ndarray | np.generic):
        return f"dtype {value.dtype}", "convert it to real numbers"
    return shown(value), "pass an array"


# --- what a table holds


def _in_table(table: Any, x: str) -> tuple[str, str]:
    """Return what a column that is refused holds, and how to mend it."""
    wrong = [c for c in table_columns(table) if column_array(c) is None]
    column = wrong[0]
    frame, name = table.ndim == 2, getattr(column, "name", None)
    cell = f"{x}[{name!r}]" if frame else x
    gaps, kind = _column_kind(column)
    row = int(gaps.argmax()) if gaps.any() else None
    who = f"column {name!r}" if frame or name is not None else f"dtype {column.dtype}"
    if row is not None and kind != "text":
        got = f"{who}, which has no value in row {row}"
    else:
        got = f"{who}, which holds {_example(np.asarray(column.dropna(), object), kind)}"
    if kind == "numbers":
        return got, _number_fix(column, row, cell)
    if kind in ("dates", "durations"):
        filled = cell if row is None else f"{cell}.fillna({cell}.dropna().min())"
        unit, words = _TIMES[kind]
        return got, f"{words}: {cell} = np.array({filled}, {unit!r}).astype(float)"
    if kind == "text" and _mostly_numbers(np.asarray(column.dropna(), object)):
        return got, f"{_NAN}: {cell} = pd.to_numeric({cell}.astype(object), errors='coerce')"
    if kind == "text" and frame:
        text = [c for c in wrong if _column_kind(c)[1] == "text"]
        names = [c.name for c in text if not _mostly_numbers(np.asarray(c.dropna(), object))]
        return got, (
            f"make a column of each value: {x} = pd.get_dummies({x}, columns={names!r}, "
            "dtype='float32')"
        )
    if kind == "text":
        filled = x if row is None else f"{x}.astype(object).fillna('missing')"
        return got, f"number the values: {x} = pd.Categorical({filled}).codes"
    return got, f"{x} = {x}.drop(columns=[{name!r}])" if frame else f"{x} = np.stack({x})"


def _column_kind(column: Any) -> tuple[Array, str]:
    """Return where a column has no value, and what the others are."""
    values = np.asarray(column.dropna())
    return np.asarray(column.isna()), _kind(values) if len(values) else "numbers"


def _number_fix(column: Any, row: int | None, cell: str) -> str:
    if row is None:
        return f"{cell} = {cell}.astype('float64')"
    kind = getattr(getattr(column.dtype, "numpy_dtype", column.dtype), "kind", "O")
    if kind in "biuf":
        return f"fill it: {cell} = {cell}.fillna({'False' if kind == 'b' else '0'})"
    return f"fill it: {cell} = pd.to_numeric({cell}.astype(object), errors='coerce').fillna(0)"
