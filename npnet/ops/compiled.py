"""The kernels in Numba: one pass over memory each, serial, compiled on first use and cached.

Each twin has the name, the arguments and the results of its NumPy reference, to rounding, and hands
over to it for arrays that it was not compiled for (not contiguous, or of another dtype).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.ops.jit import NOT_COMPILED, jit, prepare, prepare_or_raise, ready, refused
from npnet.typing import Array

_numpy: dict[str, Callable[..., Any]] = {}  # the reference kernels, see `twins`


@jit(lambda t: (*np.ones((2, 1, 2), t),))
def _relu(x, out):  # type: ignore[no-untyped-def]
    if x.shape != out.shape:
        return False
    x, out = x.ravel(), out.ravel()
    for i in range(x.size):
        out[i] = x[i] if x[i] > 0 or x[i] != x[i] else 0
    return True


@jit(lambda t: (*np.ones((3, 1, 2), t),))
def _relu_grad(grad, y, out):  # type: ignore[no-untyped-def]
    if grad.shape != y.shape or y.shape != out.shape:
        return False
    grad, y, out = grad.ravel(), y.ravel(), out.ravel()
    for i in range(y.size):
        out[i] = 0 if y[i] <= 0 else grad[i]
    return True


@jit(lambda t: (*np.ones((2, 1, 2), t),))
def _relu_grad_over(grad, y):  # type: ignore[no-untyped-def]
    # A loop over overlapping arguments is not vectorised, so this one has no third.
    if grad.shape != y.shape:
        return False
    grad, y = grad.ravel(), y.ravel()
    for i in range(y.size):
        y[i] = 0 if y[i] <= 0 else grad[i]
    return True


@jit(lambda t: (np.ones((1, 2), t), np.ones(2, t)))
def _add_bias(y, bias):  # type: ignore[no-untyped-def]
    if bias.size != y.shape[1]:
        return False
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] += bias[j]
    return True


@jit(lambda t: (np.ones((1, 2), t), np.ones(2, t)))
def _add_bias_relu(y, bias):  # type: ignore[no-untyped-def]
    if bias.size != y.shape[1]:
        return False
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            z = y[i, j] + bias[j]
            y[i, j] = z if z > 0 or z != z else 0
    return True


@jit(lambda t: (*np.ones((3, 1, 2), t), 0.5, 2.0))
def _dropout(x, noise, out, p, scale):  # type: ignore[no-untyped-def]
    if x.shape != noise.shape or x.shape != out.shape:
        return False
    t = x.dtype.type
    p, scale = t(p), t(scale)
    x, noise, out = x.ravel(), noise.ravel(), out.ravel()
    for i in range(x.size):
        noise[i] = scale if noise[i] >= p else 0
        out[i] = x[i] * noise[i]
    return True


@jit(lambda t: (np.ones((1, 2), t), np.zeros(1, np.intp), np.ones(1, t), np.ones((1, 2), t)))
def _below_peak(x, labels, values, out):  # type: ignore[no-untyped-def]
    """Write each row minus its largest element, and what that is at the label."""
    rows, classes = x.shape
    for i in range(rows):
        label = labels[i]
        if label < 0 or label >= classes:
            return False
        peak = x[i, 0]
        for j in range(1, classes):
            # a NaN stays
            peak = x[i, j] if x[i, j] > peak or x[i, j] != x[i, j] else peak
        values[i] = x[i, label] - peak
        for j in range(classes):
            out[i, j] = x[i, j] - peak
    return True


@jit(lambda t: (np.zeros(1, np.intp), np.ones(1, t), np.ones((1, 2), t), 1.0))
def _normalize(labels, values, grad, scale):  # type: ignore[no-untyped-def]
    """Finish the values, sum them up, and turn exponentials into the gradient."""
    rows, classes = grad.shape
    scale = grad.dtype.type(scale)
    total = 0.0
    for i in range(rows):
        rest = grad[i, 0]
        for j in range(1, classes):
            rest += grad[i, j]
        values[i] = np.log(rest) - values[i]
        total += values[i]
        factor = scale / rest
        for j in range(classes):
            grad[i, j] *= factor
        grad[i, labels[i]] -= scale
    return total


@jit(lambda t: (*np.ones((3, 2), t), 0.1, 0.9, 0.0, True, 0.0, False))
def _sgd(x, g, v, lr, momentum, dampening, nesterov, weight_decay, maximize):  # type: ignore[no-untyped-def]
    t = x.dtype.type
    lr, momentum, gain, decay = t(lr), t(momentum), t(1 - dampening), t(weight_decay)
    sign = t(-1) if maximize else t(1)
    for i in range(x.size):
        d = sign * g[i] + decay * x[i]
        if v.size:
            v[i] = momentum * v[i] + gain * d
            d = d + momentum * v[i] if nesterov else v[i]
        x[i] -= lr * d


@jit(lambda t: (np.ones(2, t), 0.1, 0.9, 0.999, 1e-8, 0.0, False, False, 1))
def _adam_factors(x, lr, beta1, beta2, eps, weight_decay, decoupled, maximize, step):  # type: ignore[no-untyped-def]
    t = x.dtype.type
    root = math.sqrt(1 - beta2**step)
    keep = t(1 - lr * weight_decay) if decoupled else t(1)
    decay = t(0) if decoupled else t(weight_decay)
    return (
        t(beta1), t(beta2), t(1 - beta1), t(1 - beta2),
        t(lr * root / (1 - beta1**step)), t(eps * root),
        keep, decay, t(-1) if maximize else t(1),
    )  # fmt: skip


@jit(lambda t: (*np.ones((4, 2), t), 0.1, 0.9, 0.999, 1e-8, 0.0, False, False, 1))
def _adam(x, g, m, v, lr, beta1, beta2, eps, weight_decay, decoupled, maximize, step):  # type: ignore[no-untyped-def]
    b1, b2, c1, c2, rate, eps, keep, decay, sign = _adam_factors(
        x, lr, beta1, beta2, eps, weight_decay, decoupled, maximize, step
    )
    for i in range(x.size):
        d = sign * g[i] + decay * x[i]
        m[i] = m[i] * b1 + d * c1
        v[i] = v[i] * b2 + d * d * c2
        x[i] = keep * x[i] - rate * (m[i] / (np.sqrt(v[i]) + eps))


@jit(lambda t: (*np.ones((5, 2), t), 0.1, 0.9, 0.999, 1e-8, 0.0, False, False, 1))
def _amsgrad(x, g, m, v, peak, lr, beta1, beta2, eps, weight_decay, decoupled, maximize, step):  # type: ignore[no-untyped-def]
    b1, b2, c1, c2, rate, eps, keep, decay, sign = _adam_factors(
        x, lr, beta1, beta2, eps, weight_decay, decoupled, maximize, step
    )
    for i in range(x.size):
        d = sign * g[i] + decay * x[i]
        m[i] = m[i] * b1 + d * c1
        v[i] = v[i] * b2 + d * d * c2
        peak[i] = max(peak[i], v[i])
        x[i] = keep * x[i] - rate * (m[i] / (np.sqrt(peak[i]) + eps))


# --- the twins


def _other(name: str, array: Array, *args: Any, **kwargs: Any) -> Any:
    """Go on where a loop was not compiled for its arguments: compile it, or let NumPy do it."""
    char = array.dtype.char
    if char in "fd" and char not in ready and char not in refused:
        prepare(array.dtype)
        if char in ready:
            return globals()[name](array, *args, **kwargs)
    return _numpy[name](array, *args, **kwargs)


def _rows(*arrays: Array) -> tuple[Array, ...]:
    """Give arrays the two axes that the elementwise loops were compiled for."""
    if not arrays[-1].flags.c_contiguous:  # is written to; it would be reshaped to a copy
        return arrays
    return tuple(array.reshape(1, -1) for array in arrays)


def relu(x: Array, out: Array) -> Array:
    try:
        done = _relu(x, out) if out.ndim == 2 else _relu(*_rows(x, out))
    except NOT_COMPILED:
        done = False
    return out if done else _other("relu", x, out)


def relu_grad(grad: Array, y: Array, out: Array) -> Array:
    try:
        if out.ndim != 2:
            done = grad.shape == y.shape and _relu_grad(*_rows(grad, y, out))
        elif out is y:
            done = _relu_grad_over(grad, y)
        else:
            done = _relu_grad(grad, y, out)
    except NOT_COMPILED:
        done = False
    return out if done else _other("relu_grad", grad, y, out)


def add_bias(y: Array, bias: Array) -> None:
    try:
        done = _add_bias(y, bias)
    except NOT_COMPILED:
        done = False
    if not done:
        _other("add_bias", y, bias)


def add_bias_relu(y: Array, bias: Array) -> None:
    try:
        done = _add_bias_relu(y, bias)
    except NOT_COMPILED:
        done = False
    if not done:
        _other("add_bias_relu", y, bias)


def dropout(x: Array, noise: Array, p: float, scale: float, out: Array) -> Array:
    try:
        if out.ndim != 2 and noise.flags.c_contiguous:
            done = _dropout(*_rows(x, noise, out), p, scale)
        else:
            done = _dropout(x, noise, out, p, scale)
    except NOT_COMPILED:
        done = False
    return out if done else _other("dropout", x, noise, p, scale, out)


def cross_entropy(
    x: Array, labels: Array, values: Array, grad: Array, scale: float
) -> tuple[bool, float]:
    try:
        if not _below_peak(x, labels, values, grad):
            return False, 0.0
        np.exp(grad, out=grad)  # NumPy's is vectorised, Numba's is not
        return True, _normalize(labels, values, grad, scale)
    except NOT_COMPILED:
        return _other("cross_entropy", x, labels, values, grad, scale)  # type: ignore[no-any-return]


def sgd(
    data: Array,
    grad: Array,
    velocity: Array | None,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: float,
    maximize: bool,
    first: bool,
) -> None:
    v = data[:0] if velocity is None else velocity
    dampening = 0.0 if first else dampening
    try:
        _sgd(data, grad, v, lr, momentum, dampening, nesterov, weight_decay, maximize)
    except NOT_COMPILED:
        _other(
            "sgd", data, grad, velocity, lr=lr, momentum=momentum, dampening=dampening,
            nesterov=nesterov, weight_decay=weight_decay, maximize=maximize, first=first,
        )  # fmt: skip


def adam(
    data: Array,
    grad: Array,
    mean: Array,
    square: Array,
    peak: Array | None,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
    step: int,
) -> None:
    beta1, beta2 = betas
    try:
        if peak is None:
            _adam(
                data, grad, mean, square,
                lr, beta1, beta2, eps, weight_decay, decoupled, maximize, step,
            )  # fmt: skip
        else:
            _amsgrad(
                data, grad, mean, square, peak,
                lr, beta1, beta2, eps, weight_decay, decoupled, maximize, step,
            )  # fmt: skip
    except NOT_COMPILED:
        _other(
            "adam", data, grad, mean, square, peak, lr=lr, betas=betas, eps=eps,
            weight_decay=weight_decay, decoupled=decoupled, maximize=maximize, step=step,
        )  # fmt: skip


def twins(
    reference: dict[str, Callable[..., Any]], dtype: np.dtype[Any]
) -> dict[str, Callable[..., Any]]:
    """Return the compiled kernels by name.

    Parameters
    ----------
    reference : dict of str to callable
        The NumPy kernels, which take what the loops were not compiled for.
    dtype : dtype
        What to compile them for now.

    Returns
    -------
    dict of str to callable
    """
    _numpy.update(reference)
    prepare_or_raise(dtype)
    return {name: globals()[name] for name in reference}
