"""From what a user passes to what is checked: factories to layers, shapes to arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.errors import ArgumentError
from npnet.gradcheck.raised import describe
from npnet.gradcheck.subject import _as_input, _as_real, check_count, check_loss_count
from npnet.layer import Layer
from npnet.losses.loss import Loss
from npnet.typing import Array


def made(layer_or_factory: Any) -> tuple[Layer | Loss, Callable[[], Any] | None]:
    """Return a layer or loss, and what makes another one.

    Parameters
    ----------
    layer_or_factory : Layer, Loss or callable
        A callable, such as a class, takes no arguments and returns a layer or a loss.

    Returns
    -------
    checked : Layer or Loss
    make : callable or None

    Raises
    ------
    ArgumentError
        If it is neither, or the callable needs arguments, raises, or returns something else.
    """
    if isinstance(layer_or_factory, Layer | Loss):
        return layer_or_factory, None
    if not callable(layer_or_factory):
        raise ArgumentError(
            "expected a layer, a loss, or a class or function that makes one, "
            f"got {_short(layer_or_factory)}"
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
        raise ArgumentError(f"{name}() returned {_short(checked)}, not a layer or a loss")
    return checked, None if other is checked else layer_or_factory


def _missing_arguments(function: Callable[..., Any]) -> list[str]:
    """List the arguments without which a class or function cannot be called."""
    if isinstance(function, type):
        return _required(function.__init__)[1:]  # type: ignore[misc]
    return _required(function)


def _required(function: Callable[..., Any]) -> list[str]:
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some callables have no signature; calling them will tell
        return []
    ordinary = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in ordinary]


def as_inputs(layer: Layer, inputs: tuple[Any, ...], seed: int) -> list[Array]:
    """Return the inputs as float64 or integer arrays; draw those that are shapes.

    Parameters
    ----------
    layer : Layer
    inputs : tuple
        Arrays, or tuples of integers, which are shapes.
    seed : int

    Returns
    -------
    list of ndarray

    Raises
    ------
    ArgumentError, DtypeError, ShapeError
        If something cannot be an input, or there are too few or too many.
    """
    check_count(layer, len(inputs))
    rng = np.random.default_rng((seed, 3))
    arrays = []
    for i, value in enumerate(inputs):
        if is_shape(value):
            arrays.append(_drawn_for(layer, value, rng))
            continue
        if isinstance(value, tuple) and any(isinstance(n, int) and n < 0 for n in value):
            raise ArgumentError(f"input {i} expects a shape of lengths from 0 up, got {value}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise ArgumentError(
                f"input {i} is the number {value!r}; pass a tuple for a shape, ({value},), or an "
                f"array for a value, np.array({float(value)})"
            )
        array = _as_input(layer, value, i)
        arrays.append(array.astype(np.float64) if array.dtype.kind == "f" else array.copy())
    return arrays


def is_shape(value: Any) -> bool:
    """Tell whether an input is given by its shape: a tuple of non-negative integers."""
    return isinstance(value, tuple) and all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 0 for n in value
    )


def drawn(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw numbers of size 0.2 to 1.5 and either sign, away from a kink at 0."""
    try:
        return np.asarray(rng.uniform(0.2, 1.5, shape) * rng.choice([-1.0, 1.0], shape))
    except (MemoryError, ValueError):
        raise ArgumentError(f"an input of shape {shape} does not fit into memory") from None


def _drawn_for(layer: Layer, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if not layer.takes_integers:
        return drawn(shape, rng)
    rows = [len(p.data) for p in layer.parameters() if p.data.ndim]
    return np.asarray(rng.integers(0, rows[0] if rows else 2, shape))


def as_loss_arguments(
    loss: Loss, inputs: tuple[Any, ...], seed: int
) -> tuple[Array, Array, Array | None]:
    """Return prediction, target and sample weights; the prediction may be given by its shape.

    Parameters
    ----------
    loss : Loss
    inputs : tuple
    seed : int

    Returns
    -------
    pred, target : ndarray
    weight : ndarray or None

    Raises
    ------
    ArgumentError, DtypeError, ShapeError
        If there are not two or three, or one cannot be what it should.
    """
    name = type(loss).__name__
    check_loss_count(loss, len(inputs))
    first, *others = inputs
    pred = (
        drawn(first, np.random.default_rng((seed, 3)))
        if is_shape(first)
        else _as_real(name, first, "the prediction").astype(np.float64)
    )
    if isinstance(others[0], tuple) and others[0] == first and len(first) != pred.size:
        raise ArgumentError(
            f"{name}: the target {first} is taken for its values, not for a shape; pass an array "
            f"of that shape, np.zeros({first})"
        )
    target, *weights = (np.array(a) for a in others)
    return pred, target, weights[0] if weights else None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
