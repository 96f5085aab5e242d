"""From what a user passes to what is checked: factories to layers, shapes to arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from npnet.arguments import shown
from npnet.convert import real_array
from npnet.errors import ArgumentError, DtypeError
from npnet.gradcheck.comparison import describe
from npnet.layer import Layer
from npnet.losses.loss import Loss
from npnet.typing import Array

Domain = tuple[float, float] | None


def made(layer_or_factory: Any) -> tuple[Layer | Loss, Callable[[], Any] | None]:
    """Return a layer or loss, and what makes another one: a class or function without arguments."""
    if isinstance(layer_or_factory, Layer | Loss):
        return layer_or_factory, None
    if not callable(layer_or_factory):
        wanted = "a layer, a loss, or a class or function that makes one"
        raise ArgumentError(f"expected {wanted}, got {shown(layer_or_factory)}")
    name = getattr(layer_or_factory, "__name__", type(layer_or_factory).__name__)
    parameters = _signature(layer_or_factory).parameters.values()
    missing = [p.name for p in parameters if p.default is p.empty and "VAR" not in p.kind.name]
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


def _signature(function: Any) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some callables have none; calling them will tell
        return inspect.signature(lambda *_: None)


def as_inputs(checked: Any, inputs: Sequence[Any], options: Any, *, shapes: bool) -> list[Array]:
    """Return the inputs, real ones in float64; draw those that are shapes, in a domain."""
    owner, rng = type(checked).__name__, np.random.default_rng((options.seed, 3))
    arrays: list[Array] = []
    for name, is_real, x in zip(*_names(checked, len(inputs)), inputs, strict=True):
        if isinstance(checked, Loss) and not is_real:
            if is_shape(x) and any(is_shape(y) and y == x for y in inputs[: len(arrays)]):
                text = f"{owner}: the {name} {x} is taken for its values, not for a shape"
                raise ArgumentError(f"{text}; pass an array of that shape, np.zeros({x})")
            arrays.append(np.array(x))
        elif shapes and is_shape(x):
            if is_real:
                arrays.append(_drawn(x, rng, options.domain))
            else:
                rows = [len(p.data) for p in checked.parameters() if p.data.ndim]
                arrays.append(np.asarray(rng.integers(0, rows[0] if rows else 2, x)))
        else:
            if shapes and isinstance(checked, Layer):
                _refuse_numbers(name, x)
            arrays.append(_converted(f"{owner}: {name}", x, is_real))
    return arrays


def _names(checked: Layer | Loss, count: int) -> tuple[Sequence[str], Sequence[bool]]:
    """Name the inputs, and tell which hold real numbers; refuse another number of them."""
    owner = type(checked).__name__
    if isinstance(checked, Loss):
        names = (*checked.arguments, "sample_weight")[:count]
        if not 0 <= count - len(checked.arguments) <= 1:
            takes = f"({', '.join(checked.arguments)}) and, if wanted, sample weights"
            raise ArgumentError(f"{owner} takes {takes}; got {count} argument(s)")
        return names, [name in checked.predictions for name in names]
    signature = _signature(checked.forward)
    try:
        signature.bind(None, *[None] * count)
    except TypeError:
        takes = f"forward of {owner} takes ({', '.join(signature.parameters)})"
        raise ArgumentError(f"{takes}; it is called with ctx and {count} input(s)") from None
    return [f"input {i}" for i in range(count)], [not n for n in checked._integers(count)]


def _refuse_numbers(name: str, value: Any) -> None:
    """Refuse what is meant for a shape and is none."""
    if isinstance(value, tuple) and any(isinstance(n, int) and n < 0 for n in value):
        raise ArgumentError(f"{name} expects a shape of lengths from 0 up, got {value}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        fix = f"a tuple for a shape, ({value},), or an array for a value, np.array({float(value)})"
        raise ArgumentError(f"{name} is the number {value!r}; pass {fix}")


def is_shape(value: Any) -> bool:
    """Tell whether an input is given by its shape: a tuple of non-negative integers."""
    return isinstance(value, tuple) and all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 0 for n in value
    )


def _drawn(shape: tuple[int, ...], rng: np.random.Generator, domain: Domain) -> Array:
    """Draw numbers of size 0.2 to 1.5 and either sign, away from a kink at 0; or in a domain."""
    low, high = domain or (-np.inf, np.inf)
    try:
        if np.isfinite([low, high]).all():
            return np.asarray(low + (high - low) * rng.uniform(0.05, 0.95, shape))
        size, sign = rng.uniform(0.2, 1.5, shape), rng.choice([-1.0, 1.0], shape)
    except (MemoryError, ValueError):
        raise ArgumentError(f"an input of shape {shape} does not fit into memory") from None
    if np.isfinite(low):
        return np.asarray(low + size)
    return np.asarray(high - size if np.isfinite(high) else size * sign)


def _converted(what: str, value: Any, is_real: bool) -> Array:
    """Copy an array, finite floats to float64, or raise an error that says what it is to be."""
    x = real_array(value, what)
    if x.dtype.kind in "iub":
        if not is_real:
            return x.copy()
        hint = "give floats, x.astype(float)"
        if isinstance(value, tuple | list) and x.ndim == 1 and x.dtype.kind in "iu":
            hint = f"if it is a shape, pass an array of that shape, np.ones({tuple(value)})"
        raise DtypeError(
            f"{what} holds integers ({x.dtype}), and there is no derivative with respect to "
            f"integers; {hint}. A layer whose inputs are indices says so by `takes_integers = "
            "True` in its class"
        )
    for i in np.argwhere(~np.isfinite(x))[:1].tolist():
        holds = f"{what} holds {x[tuple(i)]} at {i}"
        raise ArgumentError(f"{holds}; gradients are checked at finite points")
    return x.astype(np.float64)


# --- other inputs than those given


def mixed(x: Array) -> Array:
    """Replace each sample, or element of a vector, by most of the one before it."""
    rolled = np.roll(x, 1, axis=0 if x.ndim > 1 and len(x) > 1 else None)
    if x.dtype.kind != "f" or x.size == 0:
        return rolled
    if (rolled == x).all():
        return np.asarray(0.9 * x + 0.1 * (x == 0))
    share = np.linspace(0.05, 0.25, len(x)).reshape(-1, *[1] * (x.ndim - 1))
    return np.asarray(share * x + (1 - share) * rolled)


# The same values in other memory, which a layer must not notice; each returns a copy.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "non-contiguous": lambda a: np.stack([a, np.full_like(a, 7)], -1)[..., 0],
    "reversed": lambda a: np.asarray(np.flip(np.asarray(np.flip(a)).copy())),
    "Fortran-ordered": lambda a: np.array(a, order="F"),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}
