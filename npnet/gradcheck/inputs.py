"""From what a user passes to what is checked: factories to layers, shapes to arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from npnet.arguments import shown
from npnet.convert import real_array
from npnet.errors import ArgumentError, DtypeError
from npnet.gradcheck.error_text import describe
from npnet.layer import Layer
from npnet.losses.loss import Loss
from npnet.typing import Array, ArrayLike

Domain = tuple[float, float] | None
_ORDINARY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def made(layer_or_factory: Any) -> tuple[Layer | Loss, Callable[[], Any] | None]:
    """Return a layer or loss, and what makes another one: a class or function without arguments."""
    if isinstance(layer_or_factory, Layer | Loss):
        return layer_or_factory, None
    if not callable(layer_or_factory):
        raise ArgumentError(
            "expected a layer, a loss, or a class or function that makes one, "
            f"got {shown(layer_or_factory)}"
        )
    name = getattr(layer_or_factory, "__name__", type(layer_or_factory).__name__)
    missing = _missing_arguments(layer_or_factory)
    if missing:
        raise ArgumentError(
            f"{name} needs arguments ({', '.join(missing)}) and is called without any to make a "
            f"layer or a loss; pass one, {name}(...), or a function, lambda: {name}(...)"
        )
    try:
        checked, other = layer_or_factory(), layer_or_factory()
    except Exception as error:
        raise ArgumentError(f"{name}() raised {describe(error)}") from error
    if not isinstance(checked, Layer | Loss):
        raise ArgumentError(f"{name}() returned {shown(checked)}, not a layer or a loss")
    return checked, None if other is checked else layer_or_factory


def _missing_arguments(function: Any) -> list[str]:
    """List the arguments without which a class or function cannot be called."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some callables have no signature; calling them will tell
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind not in _ORDINARY]


def as_inputs(layer: Layer, inputs: Sequence[Any], seed: int, domain: Domain = None) -> list[Array]:
    """Return the inputs as float64 or integer arrays; draw those that are shapes, in a domain."""
    check_count(layer, len(inputs))
    rng = np.random.default_rng((seed, 3))
    arrays = []
    for i, value in enumerate(inputs):
        if is_shape(value):
            is_index = layer._integers(len(inputs))[i]
            arrays.append(_indices(layer, value, rng) if is_index else drawn(value, rng, domain))
            continue
        if isinstance(value, tuple) and any(isinstance(n, int) and n < 0 for n in value):
            raise ArgumentError(f"input {i} expects a shape of lengths from 0 up, got {value}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise ArgumentError(
                f"input {i} is the number {value!r}; pass a tuple for a shape, ({value},), or an "
                f"array for a value, np.array({float(value)})"
            )
        array = as_input(layer, value, i, len(inputs))
        arrays.append(array.astype(np.float64) if array.dtype.kind == "f" else array.copy())
    return arrays


def is_shape(value: Any) -> bool:
    """Tell whether an input is given by its shape: a tuple of non-negative integers."""
    return isinstance(value, tuple) and all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 0 for n in value
    )


def drawn(shape: tuple[int, ...], rng: np.random.Generator, domain: Domain = None) -> Array:
    """Draw numbers of size 0.2 to 1.5 and either sign, away from a kink at 0; or in a domain."""
    low, high = (-np.inf, np.inf) if domain is None else domain
    try:
        if np.isfinite(low) and np.isfinite(high):
            return np.asarray(low + (high - low) * rng.uniform(0.05, 0.95, shape))
        size, sign = rng.uniform(0.2, 1.5, shape), rng.choice([-1.0, 1.0], shape)
    except (MemoryError, ValueError):
        raise ArgumentError(f"an input of shape {shape} does not fit into memory") from None
    if np.isfinite(low):
        return np.asarray(low + size)
    return np.asarray(high - size if np.isfinite(high) else size * sign)


def _indices(layer: Layer, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    rows = [len(p.data) for p in layer.parameters() if p.data.ndim]
    return np.asarray(rng.integers(0, rows[0] if rows else 2, shape))


def as_loss_arguments(
    loss: Loss, inputs: Sequence[Any], seed: int, domain: Domain = None
) -> list[Array]:
    """Return the arguments of a loss; predictions in float64, drawn if they are shapes."""
    owner, names, rng = type(loss).__name__, loss.arguments, np.random.default_rng((seed, 3))
    if not 0 <= len(inputs) - len(names) <= 1:
        raise ArgumentError(
            f"{owner} takes ({', '.join(names)}) and, if wanted, sample weights; "
            f"got {len(inputs)} argument(s)"
        )
    arrays, shapes = [], []
    for name, value in zip((*names, "sample_weight"), inputs, strict=False):
        if name not in loss.predictions:
            arrays.append(np.array(value))
        elif is_shape(value):
            arrays.append(drawn(value, rng, domain))
            shapes.append(value)
        else:
            arrays.append(as_real(owner, value, name).astype(np.float64))
    for name, value in zip(names, inputs, strict=False):
        if name not in loss.predictions and is_shape(value) and value in shapes:
            raise ArgumentError(
                f"{owner}: the {name} {value} is taken for its values, not for a shape; pass an "
                f"array of that shape, np.zeros({value})"
            )
    return arrays


def check_count(layer: Layer, count: int) -> None:
    """Refuse another number of inputs than `forward` takes."""
    try:
        signature = inspect.signature(layer.forward)
    except (TypeError, ValueError):  # some callables have none
        return
    try:
        signature.bind(None, *[None] * count)
    except TypeError:
        names = ", ".join(signature.parameters)
        raise ArgumentError(
            f"forward of {type(layer).__name__} takes ({names}); it is called with ctx and "
            f"{count} input(s)"
        ) from None


def as_input(layer: Layer, value: ArrayLike, i: int, count: int = 1) -> Array:
    """Return an input of a layer as a finite floating array, or an integer one if it takes such."""
    name, what = type(layer).__name__, f"input {i}"
    if layer._integers(count)[i]:
        x = real_array(value, f"{name}: {what}")
        if x.dtype.kind in "iub":
            return x
    return as_real(name, value, what)


def as_real(owner: str, value: ArrayLike, what: str) -> Array:
    """Return a finite floating array, or raise an error that says who expects one and of what."""
    x = real_array(value, f"{owner}: {what}")
    if x.dtype.kind == "f":
        if not np.isfinite(x).all():
            index = [int(i) for i in np.argwhere(~np.isfinite(x))[0]]
            raise ArgumentError(
                f"{owner}: {what} holds {x[tuple(index)]} at {index}; "
                "gradients are checked at finite points"
            )
        return x
    if isinstance(value, tuple | list) and x.ndim == 1 and x.dtype.kind in "iu":
        hint = f"if it is a shape, pass an array of that shape, np.ones({tuple(value)})"
    else:
        hint = "give floats, x.astype(float)"
    raise DtypeError(
        f"{owner}: {what} holds integers ({x.dtype}), and there is no derivative with respect to "
        f"integers; {hint}. A layer whose inputs are indices says so by `takes_integers = True` "
        "in its class"
    )


# --- other inputs than those given


def mixed(x: Array) -> Array:
    """Replace each sample, or element of a vector, by most of the one before it."""
    if x.size == 0:
        return x.copy()
    rolled = np.roll(x, 1, axis=0) if x.ndim > 1 and len(x) > 1 else np.roll(x, 1)
    if x.dtype.kind != "f":
        return rolled
    if (rolled == x).all():
        return np.asarray(0.9 * x + 0.1 * (x == 0))
    share = np.linspace(0.05, 0.25, len(x)).reshape(-1, *[1] * (x.ndim - 1))
    return np.asarray(share * x + (1 - share) * rolled)


def with_repeats(inputs: list[Array]) -> list[Array] | None:
    """Return the inputs with indices that occur twice; None if there are none or one does."""
    indices = [x for x in inputs if x.dtype.kind != "f" and x.size > 1]
    if not indices or any(np.unique(x).size < x.size for x in indices):
        return None
    for x in indices:
        flat = x.reshape(-1)
        flat[x.size // 2 :] = flat[: x.size - x.size // 2]
    return inputs


# --- the same values in other memory: what a layer must not notice about an array


# Each returns a copy.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "non-contiguous": lambda a: np.stack([a, np.full_like(a, 7)], -1)[..., 0],
    "reversed": lambda a: np.asarray(np.flip(np.asarray(np.flip(a)).copy())),
    "Fortran-ordered": lambda a: np.array(a, order="F"),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}
