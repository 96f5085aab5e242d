"""Division by the sizes of neighbouring channels, and its derivative."""

from __future__ import annotations

from npnet.typing import Array


def local_response(x: Array, size: int, alpha: float, beta: float, k: float) -> tuple[Array, Array]:
    """Return x * base^-beta with base = k + alpha / size * (sum of x^2 over `size` channels).

    Parameters
    ----------
    x : ndarray, shape (n, c, ...)
    size : int
        Channels of a window, of which size // 2 lie before the one in question; there is 0 before
        the first and behind the last.
    alpha, beta, k : float

    Returns
    -------
    y, base : ndarray, the shape of x
    """
    base = _window_sums(x * x, size // 2, (size - 1) // 2)
    base *= alpha / size
    base += k
    return x * base**-beta, base


def local_response_grad(
    grad: Array, x: Array, base: Array, size: int, alpha: float, beta: float
) -> Array:
    """Return the derivative of `local_response`: what channels add to others comes back to them."""
    power = base**-beta
    shared = grad * x
    shared *= power
    shared /= base
    dx = _window_sums(shared, (size - 1) // 2, size // 2)
    dx *= x
    dx *= -2 * alpha * beta / size
    dx += grad * power
    return dx


def _window_sums(x: Array, before: int, behind: int) -> Array:
    """Return for each channel the sum over those from so many before to so many behind it."""
    channels = x.shape[1]
    sums = x.copy()
    for step in range(1, min(before, channels - 1) + 1):
        sums[:, step:] += x[:, :-step]
    for step in range(1, min(behind, channels - 1) + 1):
        sums[:, :-step] += x[:, step:]
    return sums
