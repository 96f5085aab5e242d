"""Weights with a structure: identities, orthogonal matrices, matrices of few numbers."""

from __future__ import annotations

import math

import numpy as np

from npnet.arguments import real_number, whole_number
from npnet.errors import ArgumentError
from npnet.init.arrays import MOST_AXES, Shape, made, sizes
from npnet.random import as_generator
from npnet.typing import Array, DtypeLike, Rng


def eye(shape: Shape, *, dtype: DtypeLike = np.float32) -> Array:
    """Make an identity matrix, which keeps as many inputs of a `Linear` as there is room for.

    Parameters
    ----------
    shape : sequence of int, (out, in)
        Shape of the result.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    ShapeError
        If `shape` does not have two dimensions.
    DtypeError
        If `dtype` is not a floating dtype.

    References
    ----------
    ``torch.nn.init.eye_``.

    Examples
    --------
    >>> eye((2, 3))
    array([[1., 0., 0.],
           [0., 1., 0.]], dtype=float32)
    """
    dims = sizes("init.eye", shape, 2, 2, "(out, in)")
    return made("init.eye", dims, dtype, lambda n: np.eye(n[0], n[1]))


def dirac(shape: Shape, groups: int = 1, *, dtype: DtypeLike = np.float32) -> Array:
    """Make the kernel of a convolution that keeps its input, as many channels as there is room for.

    Parameters
    ----------
    shape : sequence of int, (out, in / groups, *kernel) with one to three axes of the kernel
        Shape of the result.
    groups : int
        The groups of the convolution, each of which keeps its own channels; it divides ``out``.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    ArgumentError
        If `groups` does not divide ``out``.
    ShapeError
        If `shape` does not have three, four or five dimensions.
    DtypeError
        If `dtype` is not a floating dtype.

    References
    ----------
    ``torch.nn.init.dirac_``.

    Examples
    --------
    >>> dirac((2, 2, 3))[1]
    array([[0., 0., 0.],
           [0., 1., 0.]], dtype=float32)
    """
    owner = "init.dirac"
    dims = sizes(owner, shape, 3, 5, "(out, in, *kernel) with one to three axes of the kernel")
    groups = whole_number(owner, "groups", groups, 1)
    if dims[0] % groups:
        raise ArgumentError(f"{owner}: groups must divide the {dims[0]} outputs, got {groups}")
    array = made(owner, dims, dtype, np.zeros)
    if array.size:
        per_group, middle = dims[0] // groups, array
        for _ in dims[2:]:
            middle = middle[:, :, middle.shape[2] // 2]
        for first in range(0, dims[0], per_group):
            np.fill_diagonal(middle[first : first + per_group], 1.0)
    return array


def orthogonal(
    shape: Shape, gain: float = 1.0, *, rng: Rng = None, dtype: DtypeLike = np.float32
) -> Array:
    r"""Draw an orthogonal matrix, each with the same probability.

    With the axes behind the first one as columns, the rows of the matrix :math:`W`, or its
    columns if there are fewer of them, are orthogonal and of length `gain`:
    :math:`W W^T = \mathrm{gain}^2 I`, or :math:`W^T W = \mathrm{gain}^2 I`.

    Parameters
    ----------
    shape : sequence of int, (out, in, *kernel)
        Shape of the result.
    gain : float
        The factor; see `calculate_gain`.
    rng : numpy.random.Generator, int or None
        Where the numbers come from; None is npnet's default generator.
    dtype : dtype
        Floating dtype of the result; the matrix is computed in float64.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    ArgumentError
        If `gain` is not a finite number.
    ShapeError
        If `shape` has fewer than two dimensions.
    DtypeError
        If `dtype` is not a floating dtype.

    References
    ----------
    Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", 2014. https://arxiv.org/abs/1312.6120; Mezzadri, "How to generate random matrices
    from the classical compact groups", 2007. https://arxiv.org/abs/math-ph/0609050;
    ``torch.nn.init.orthogonal_``.

    Examples
    --------
    >>> w = orthogonal((2, 3), rng=0, dtype=np.float64)
    >>> (w @ w.T).round(12) + 0.0
    array([[1., 0.],
           [0., 1.]])
    """
    owner = "init.orthogonal"
    dims = sizes(owner, shape, 2, MOST_AXES, "(out, in, *kernel)")
    gain = real_number(owner, "gain", gain)
    generator = as_generator(rng)

    def make(n: tuple[int, ...]) -> Array:
        rows, columns = n[0], math.prod(n[1:])
        q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.where(np.diag(r) < 0, -gain, gain)  # without signs q would not be uniform
        return np.array((q if rows >= columns else q.T).reshape(n), order="C")

    return made(owner, dims, dtype, make)


def sparse(
    shape: Shape,
    sparsity: float,
    std: float = 0.01,
    *,
    rng: Rng = None,
    dtype: DtypeLike = np.float32,
) -> Array:
    r"""Draw a matrix with zeros in each column, and normal numbers in its other places.

    In each column :math:`\lceil \mathrm{sparsity} \cdot \mathrm{out} \rceil` places, drawn
    evenly, are zero.

    Parameters
    ----------
    shape : sequence of int, (out, in)
        Shape of the result.
    sparsity : float
        The fraction of each column that is zero, from 0 to 1.
    std : float
        Standard deviation of the others, at least 0.
    rng : numpy.random.Generator, int or None
        Where the numbers come from; None is npnet's default generator.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    ndarray, shape `shape`
        An ordinary array.

    Raises
    ------
    ArgumentError
        If `sparsity` or `std` is out of its range.
    ShapeError
        If `shape` does not have two dimensions.
    DtypeError
        If `dtype` is not a floating dtype.

    References
    ----------
    Martens, "Deep learning via Hessian-free optimization", 2010; ``torch.nn.init.sparse_``.

    Examples
    --------
    >>> (sparse((4, 3), sparsity=0.5, rng=0) == 0).sum(axis=0)
    array([2, 2, 2])
    """
    owner = "init.sparse"
    dims = sizes(owner, shape, 2, 2, "(out, in)")
    zeros = math.ceil(real_number(owner, "sparsity", sparsity, 0, 1) * dims[0])
    std = real_number(owner, "std", std, 0)
    generator = as_generator(rng)

    def make(n: tuple[int, ...]) -> Array:
        array = generator.normal(0.0, std, n)
        array[:zeros] = 0.0
        return generator.permuted(array, axis=0)

    return made(owner, dims, dtype, make)
