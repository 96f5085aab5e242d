"""The Newton-Schulz iteration, which makes a matrix nearly orthogonal without decomposing it."""

from __future__ import annotations

import math

import numpy as np

from npnet.typing import Array


def newton_schulz(
    b: Array, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Array:
    """Bring the singular values of a matrix near 1 and keep its singular vectors.

    b / max(|b|, eps) is followed by `steps` times b <- c0 b + (c1 B + c2 B^2) b with B = b b^T.

    Parameters
    ----------
    b : ndarray, shape (n, k)
    coefficients : (float, float, float)
        c0, c1 and c2.
    steps : int
    eps : float
        The least Frobenius norm that is divided by.

    Returns
    -------
    ndarray, shape (n, k)
        A new array.

    References
    ----------
    Jordan, https://kellerjordan.github.io/posts/muon/, 2024.

    Examples
    --------
    >>> newton_schulz(np.array([[3.0, 0.0], [0.0, 4.0]]), (1.5, -0.5, 0.0), 20, 1e-7).round(6)
    array([[1., 0.],
           [0., 1.]])
    """
    c0, c1, c2 = coefficients
    n, k = b.shape
    if n > k:  # the smaller square
        b = b.T
    flat = b.reshape(-1)
    b = b / b.dtype.type(max(math.sqrt(float(np.dot(flat, flat))), eps))
    for _ in range(steps):
        gram = b @ b.T
        factor = gram @ gram
        factor *= c2
        gram *= c1
        factor += gram
        factor.flat[:: len(factor) + 1] += c0
        b = factor @ b
    return b.T if n > k else b
