"""Layers that tell positions apart, by learned vectors or by sines: they are added to the input."""

from __future__ import annotations

import numpy as np

from npnet.arguments import flag, float_dtype, real_number, whole_number
from npnet.context import Context
from npnet.errors import shape_error
from npnet.init import xavier_uniform
from npnet.layer import Layer
from npnet.ops.position import sine_table
from npnet.parameter import Parameter
from npnet.random import as_generator
from npnet.typing import Array, DtypeLike, Rng


class _Position(Layer):
    """Base of layers that add a row of a table to each position."""

    batch_first: bool

    def _added(self, x: Array, table: Array) -> Array:
        """Add the rows, (length, size), along the axes of positions and features."""
        if not self.batch_first:
            table = table.reshape(len(table), *[1] * (x.ndim - 2), table.shape[1])
        return np.asarray(x + table)

    def _sizes(
        self, x: Array, expected: str, most: int | None, size: int | None
    ) -> tuple[int, int]:
        """Return length and number of features of an input, if they fit."""
        if x.ndim >= 2:
            length, features = x.shape[-2 if self.batch_first else 0], x.shape[-1]
            if (most is None or length <= most) and size in (None, features):
                return length, features
        raise shape_error(self, expected, x.shape)


class PositionEmbedding(_Position):
    """Add a learned vector to each position: y_t = x_t + weight_t.

    Parameters
    ----------
    sequence_length : int
        Length of the longest sequence; shorter ones have the first vectors.
    embedding_dim : int
        Size of the last axis.
    batch_first : bool
        Whether inputs have shape (n, length, embedding_dim), as an `Embedding` of (n, length)
        indices gives them; (length, n, embedding_dim) otherwise, as for the layers of sequences
        that PyTorch has. Those of shape (length, embedding_dim) are one sample.
    dtype : dtype
        Of the parameter, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight : Parameter, shape (sequence_length, embedding_dim)
        Starts from Xavier's uniform distribution.

    Raises
    ------
    ArgumentError
        If a size is not a positive integer.
    ShapeError
        In a call, if the input is longer or its last axis is another.

    References
    ----------
    ``keras_hub.layers.PositionEmbedding``, which returns the vectors without adding them.

    Examples
    --------
    >>> import npnet
    >>> position = npnet.PositionEmbedding(10, 3, batch_first=True)
    >>> y = position(np.zeros((5, 4, 3)))
    >>> y.shape, bool((y[2] == position.weight.data[:4]).all())
    ((5, 4, 3), True)
    """

    def __init__(
        self,
        sequence_length: int,
        embedding_dim: int,
        batch_first: bool = False,
        *,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__()
        self.sequence_length = whole_number(self, "sequence_length", sequence_length, 1)
        self.embedding_dim = whole_number(self, "embedding_dim", embedding_dim, 1)
        self.batch_first = flag(self, "batch_first", batch_first)
        dtype = float_dtype(self, "dtype", dtype)
        shape = (self.sequence_length, self.embedding_dim)
        self.weight = Parameter(xavier_uniform(shape, rng=as_generator(rng), dtype=dtype))

    def forward(self, ctx: Context, x: Array) -> Array:
        """Add the first rows; keep nothing."""
        most, size = self.weight.shape
        axes = f"n, up to {most}" if self.batch_first else f"up to {most}, n"
        length, _ = self._sizes(x, f"({axes}, {size}) or (up to {most}, {size})", most, size)
        return self._added(x.astype(self.weight.dtype, copy=False), self.weight.data[:length])

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Add the sums over the samples to the weight's gradient; return grad."""
        rows = np.moveaxis(grad, -2 if self.batch_first else 0, 0)
        total = np.zeros_like(self.weight.data)
        total[: len(rows)] = rows.sum(axis=tuple(range(1, rows.ndim - 1)))
        ctx.add_grad(self.weight, total)
        return grad


class SinePositionEncoding(_Position):
    r"""Add sines and cosines of the position: y_t = x_t + p_t.

    .. math:: p_{t, 2 i} = \sin(t f_i), \quad p_{t, 2 i + 1} = \cos(t f_i), \quad
        f_i = \mathrm{max\_wavelength}^{-2 i / d}

    for t = 0, 1, ... and features 0 to d - 1.

    Parameters
    ----------
    max_wavelength : float
        The wavelengths go from 2 pi to almost 2 pi times this.
    batch_first : bool
        Whether inputs have shape (n, length, d), as an `Embedding` of (n, length) indices gives
        them; (length, n, d) otherwise, as for the layers of sequences that PyTorch has. Those of
        shape (length, d) are one sample.

    Raises
    ------
    ArgumentError
        If `max_wavelength` is not positive.
    ShapeError
        In a call, if the input has less than two axes.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, section 3.5;
    ``keras_hub.layers.SinePositionEncoding``, which returns the encoding without adding it.

    Examples
    --------
    >>> import npnet
    >>> npnet.SinePositionEncoding()(np.zeros((3, 4))).round(2)
    array([[ 0.  ,  1.  ,  0.  ,  1.  ],
           [ 0.84,  0.54,  0.01,  1.  ],
           [ 0.91, -0.42,  0.02,  1.  ]])
    """

    def __init__(self, max_wavelength: float = 10000.0, batch_first: bool = False) -> None:
        super().__init__()
        self.max_wavelength = real_number(self, "max_wavelength", max_wavelength, above=0)
        self.batch_first = flag(self, "batch_first", batch_first)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Add the table; keep nothing."""
        axes = "n, length" if self.batch_first else "length, n"
        length, size = self._sizes(x, f"({axes}, d) or (length, d)", None, None)
        return self._added(x, sine_table(length, size, self.max_wavelength, x.dtype))

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad."""
        return grad
