"""The Newton-Schulz iteration, which makes a matrix nearly orthogonal without decomposing it."""

from __future__ import annotations

from npnet.typing import Array


def newton_schulz(b: Array, coefficients: tuple[float, float, float], steps: int) -> Array:
    """Bring the singular values of a matrix near 1 and keep its singular vectors.

    `steps` times b <- c0 b + (c1 B + c2 B^2) b with B = b b^T.

    Parameters
    ----------
    b : ndarray, shape (n, k)
        With singular values of at most 1: divided by its Frobenius norm, for example. It may be
        the result.
    coefficients : (float, float, float)
        c0, c1 and c2.
    steps : int

    Returns
    -------
    ndarray, shape (n, k)

    References
    ----------
    Jordan, https://kellerjordan.github.io/posts/muon/, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> newton_schulz(np.array([[0.6, 0.0], [0.0, 0.8]]), (1.5, -0.5, 0.0), 20).round(6)
    array([[1., 0.],
           [0., 1.]])
    """
    c0, c1, c2 = coefficients
    n, k = b.shape
    if n > k:  # the smaller square
        b = b.T
    for _ in range(steps):
        gram = b @ b.T
        factor = gram @ gram
        factor *= c2
        gram *= c1
        factor += gram
        factor.flat[:: len(factor) + 1] += c0
        b = factor @ b
    return b.T if n > k else b
