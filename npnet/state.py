"""State dictionaries of layers: reading, checking, loading all or nothing, converting."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from npnet.arguments import flag, float_dtype, shown
from npnet.errors import NpnetError, StateError
from npnet.parameter import Parameter
from npnet.registry import Registry
from npnet.typing import Array, ArrayLike, DtypeLike


class LoadResult(NamedTuple):
    """Names that `Layer.load_state_dict` passed over with ``strict=False``."""

    missing: list[str]
    unexpected: list[str]


def named_state(layer: Registry) -> dict[str, Parameter | Array]:
    """Map dotted names to the parameters and buffers themselves; shared ones have several."""
    found: dict[str, Parameter | Array] = {}
    for prefix, member in layer.named_layers():
        for registry in (member._parameters, member._buffers):
            found.update(
                {f"{prefix}.{name}" if prefix else name: value for name, value in registry.items()}
            )
    return found


def load_state(layer: Registry, state: Mapping[str, ArrayLike], strict: bool) -> LoadResult:
    """Copy `state` into a layer after checking all of it; see `Layer.load_state_dict`."""
    strict = flag("load_state_dict", "strict", strict)
    own = named_state(layer)
    if not isinstance(state, Mapping):
        raise _no_mapping(state)
    given = {name: _as_array(name, state[name], read=False) for name in own if name in state}
    missing = [name for name in own if name not in given]
    unexpected = [name for name in state if name not in own]
    problems = []
    if strict:
        problems += [f"missing: {name}" for name in missing]
        problems += [f"unexpected: {name}" for name in unexpected]
    for name, value in given.items():
        mine = own[name]
        if value.shape != mine.shape:
            problems.append(f"wrong shape: {name} is {mine.shape}, got {value.shape}")
        if value.dtype.kind not in ("fiubc" if mine.dtype.kind == "c" else "fiub"):
            problems.append(f"not real numbers: {name} has dtype {value.dtype}")
    arrays = {}  # all are read before the first is changed, because reading may fail
    for name, value in {} if problems else given.items():
        array, dtype = _as_array(name, value), own[name].dtype
        with np.errstate(over="ignore", invalid="ignore"):
            arrays[name] = array.astype(dtype)
            same = arrays[name] == array if dtype.kind in "iub" else np.isfinite(arrays[name])
        if not (same | ~np.isfinite(array) & (dtype.kind not in "iub")).all():
            problems.append(f"not kept by {dtype}: {name} has values that would be changed")
    if problems:
        lines = "\n  ".join([f"the state does not fit {type(layer).__name__}:", *problems])
        raise StateError(lines)
    for name, array in arrays.items():
        mine = own[name]
        target = mine.data if isinstance(mine, Parameter) else mine
        target[...] = array
    return LoadResult(missing, unexpected)


def _no_mapping(state: Any) -> StateError:
    hint = ""
    if hasattr(state, "state_dict"):
        hint = "; pass what is in it: module.state_dict()"
    elif isinstance(state, str | os.PathLike):
        hint = "; npnet.load_weights(model, path) reads a file"
    return StateError(f"expected a mapping of names to arrays, got {shown(state)}{hint}")


def _as_array(name: str, value: Any, read: bool = True) -> Any:
    """Return an array, or without `read` what tells its shape and dtype, as arrays in files do."""
    if hasattr(value, "detach"):  # a PyTorch parameter
        value = value.detach()
    if not read and isinstance(getattr(value, "dtype", None), np.dtype) and hasattr(value, "shape"):
        return value
    try:
        return np.asarray(value)
    except NpnetError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise StateError(f"{name} cannot be read as an array: {error}") from error


def buffers(layer: Registry) -> dict[str, Array]:
    """Copy every buffer of a layer, and of those below it, under its dotted name."""
    return {
        f"{prefix}.{name}" if prefix else name: value.copy()
        for prefix, one in layer.named_layers()
        for name, value in one._buffers.items()
    }


def restore_buffers(layer: Registry, values: Mapping[str, Array]) -> None:
    """Give a layer copies of the buffers that `buffers` returned."""
    if values:
        for prefix, one in layer.named_layers():
            for name in one._buffers:
                setattr(one, name, values[f"{prefix}.{name}" if prefix else name].copy())


def convert_state(layer: Registry, dtype: DtypeLike) -> None:
    """Convert parameters and floating buffers in place; see `Layer.astype`."""
    dtype = float_dtype("astype", "dtype", dtype)
    for p in layer.parameters():
        p.astype(dtype)
    for _, member in layer.named_layers():
        for name, buffer in list(member._buffers.items()):
            if buffer.dtype.kind == "f":
                setattr(member, name, buffer.astype(dtype))
