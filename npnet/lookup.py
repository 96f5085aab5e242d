"""Lookup, the base of layers whose input are indices of rows: Embedding and EmbeddingBag."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from npnet.arguments import flag, float_dtype, norm_order, real_number, whole_number
from npnet.context import Context
from npnet.convert import owned_floats
from npnet.errors import ArgumentError, DtypeError, UnknownIndexError, shape_error
from npnet.init import normal
from npnet.layer import Layer
from npnet.ops import scatter
from npnet.parameter import Parameter
from npnet.random import as_generator
from npnet.typing import Array, ArrayLike, DtypeLike, Rng

_WEIGHT = "from_pretrained(array) makes the layer from a table"
_SMALL = 1e-7
"""What PyTorch adds to a norm before it divides by it."""


class Lookup(Layer):
    """Base of layers that look rows of a table up: its options, the checks, the gradient.

    Parameters
    ----------
    num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
        As for `npnet.Embedding`.
    dtype : dtype
    rng : numpy.random.Generator or int, optional

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)
    """

    takes_integers: bool | tuple[bool, ...] = True
    _shows_defaults = False
    habits: ClassVar = {"_weight": _WEIGHT, "_freeze": _WEIGHT, "embeddings_initializer": _WEIGHT}

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        sparse: bool,
        dtype: DtypeLike,
        rng: Rng,
    ) -> None:
        super().__init__()
        self.num_embeddings = rows = whole_number(self, "num_embeddings", num_embeddings, 1)
        self.embedding_dim = whole_number(self, "embedding_dim", embedding_dim, 1)
        self.padding_idx = None
        if padding_idx is not None:
            self.padding_idx = (
                whole_number(self, "padding_idx", padding_idx, -rows, rows - 1) % rows
            )
        self.max_norm = None if max_norm is None else real_number(self, "max_norm", max_norm, 0)
        self.norm_type = norm_order(self, "norm_type", norm_type)
        self.scale_grad_by_freq = flag(self, "scale_grad_by_freq", scale_grad_by_freq)
        self.sparse = flag(self, "sparse", sparse)
        if self.sparse and self.scale_grad_by_freq:
            raise ArgumentError("scale_grad_by_freq=True needs sparse=False", self)
        dtype = float_dtype(self, "dtype", dtype)
        table = normal((rows, self.embedding_dim), rng=as_generator(rng), dtype=dtype)
        if self.padding_idx is not None:
            table[self.padding_idx] = 0
        self.weight = Parameter(table)

    @classmethod
    def from_pretrained(cls, embeddings: ArrayLike, freeze: bool = True, **options: Any) -> Self:
        """Make the layer from a table.

        Parameters
        ----------
        embeddings : array_like, shape (num_embeddings, embedding_dim)
            Copied, in its own floating dtype.
        freeze : bool
            Whether the table stays as it is in training.
        **options
            The constructor's, by name.

        Returns
        -------
        Layer

        Examples
        --------
        >>> import npnet
        >>> npnet.Embedding.from_pretrained([[0.0, 1.0], [2.0, 3.0]])([1, 1])
        array([[2., 3.],
               [2., 3.]], dtype=float32)
        """
        table = owned_floats(embeddings)
        if table.ndim != 2:
            expected = "(num_embeddings, embedding_dim)"
            raise shape_error(None, expected, table.shape, what=f"{cls.__name__} table")
        made = cls(*table.shape, dtype=table.dtype, **options)  # type: ignore[misc]
        made.weight.data = table
        made.weight.requires_grad_(not flag(cls, "freeze", freeze))
        return made

    def indices(self, index: Array) -> Array:
        """Return indices, all of them rows of the table; raise for others."""
        if index.dtype.kind not in "iu":
            hint = "convert them: x.astype(int)"
            raise DtypeError(f"expected integers as indices, got {index.dtype}; {hint}", self)
        wrong = (index < 0) | (index >= self.num_embeddings)
        if wrong.any():
            place = tuple(map(int, np.argwhere(wrong)[0]))
            raise UnknownIndexError(
                f"{self!r}: expected indices from 0 to {self.num_embeddings - 1}, got "
                f"{index[place]} at input[{', '.join(map(str, place))}]"
            )
        return index.astype(np.intp, copy=False)

    def shorten(self, ctx: Context, index: Array) -> None:
        """Shorten rows that are to be used, in a training pass that is recorded."""
        if self.max_norm is None or not (ctx.recording and ctx.training):
            return
        rows = scatter.unique(index)
        table = self.weight.data
        norms = np.linalg.norm(table[rows], self.norm_type, axis=1)
        long = norms > self.max_norm
        scale = self.max_norm / (norms[long, np.newaxis] + table.dtype.type(_SMALL))
        table[rows[long]] *= scale.astype(table.dtype)

    def add_to_rows(self, ctx: Context, index: Array, grad: Array) -> None:
        """Add a gradient for each index to the table's; padding has none."""
        if self.scale_grad_by_freq:
            counts = np.bincount(index, minlength=self.num_embeddings)
            grad = grad / counts[index, np.newaxis].astype(grad.dtype)
        if self.padding_idx is not None:
            counted = index != self.padding_idx
            index, grad = index[counted], grad[counted]
        ctx.add_rows(self.weight, index, grad, self.sparse)
