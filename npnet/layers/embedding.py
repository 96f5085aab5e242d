"""Embedding, which looks rows of a table up, and EmbeddingBag, which reduces several to one."""

from __future__ import annotations

import numpy as np

from npnet.arguments import choice, flag, refusal
from npnet.context import Context
from npnet.errors import ArgumentError, DtypeError, ShapeError, shape_error
from npnet.lookup import Lookup
from npnet.ops import scatter
from npnet.typing import Array, DtypeLike, Rng


class Embedding(Lookup):
    """Look rows of a table up: y = weight[x].

    The table starts normal with mean 0 and variance 1.

    Parameters
    ----------
    num_embeddings : int
        Rows of the table.
    embedding_dim : int
        Length of a row.
    padding_idx : int, optional
        A row that starts at 0 and gets no gradient; counted from the end if negative.
    max_norm : float, optional
        In recorded training passes, rows that are looked up are first shortened in place to this
        norm: ``row *= max_norm / (norm + 1e-7)``. The gradient does not go through that.
    norm_type : float
        p of that p-norm.
    scale_grad_by_freq : bool
        Divide the gradient of a row by how often the row occurs in the input.
    sparse : bool
        The gradient is about the rows that occurred, and only they are stepped; with `SGD`,
        `Adagrad` and `SparseAdam`.
    dtype : dtype
        Of the table, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    DtypeError
        In a call, if the input, of any shape, does not hold integers.
    UnknownIndexError
        In a call, if there is no such row.

    References
    ----------
    ``torch.nn.Embedding``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Embedding(10, 3)([[1, 2], [4, 1]]).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        *,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq,
            sparse, dtype, rng,
        )  # fmt: skip

    def forward(self, ctx: Context, x: Array) -> Array:
        """Look up; keep the indices."""
        index = self.indices(x)
        self.shorten(ctx, index)
        ctx.save(index)
        # The indices are checked; any other mode checks them again, and slowly.
        return self.weight.data.take(index, axis=0, mode="clip")

    def backward(self, ctx: Context, grad: Array) -> None:
        """Add each position's gradient to its row's."""
        (index,) = ctx.saved
        self.add_to_rows(ctx, index.reshape(-1), grad.reshape(index.size, self.embedding_dim))


class EmbeddingBag(Lookup):
    """Reduce the rows of a table that belong to one bag: y_b = reduce of weight[x_i], i in bag b.

    Called as ``bag(x)`` with a bag in each row of x, or as ``bag(x, offsets)`` with all bags in one
    vector and the position where each begins. A third input are weights w_i of the same shape as x
    for y_b = sum_i w_i weight[x_i]. A bag without entries gives 0.

    Parameters
    ----------
    num_embeddings : int
        Rows of the table.
    embedding_dim : int
        Length of a row.
    max_norm : float, optional
        In recorded training passes, rows that are looked up are first shortened in place to this
        norm: ``row *= max_norm / (norm + 1e-7)``. The gradient does not go through that.
    norm_type : float
        p of that p-norm.
    scale_grad_by_freq : bool
        Divide the gradient of a row by how often the row occurs in the input. Not with the mode
        "max". (PyTorch 2.13 divides by the number of another row in some cases.)
    mode : {"mean", "sum", "max"}
        How a bag is reduced; among equal maxima the first one has the gradient.
    sparse : bool
        The gradient is about the rows that occurred, and only they are stepped; with `SGD`,
        `Adagrad` and `SparseAdam`. Not with the mode "max".
    include_last_offset : bool
        Whether the offsets end with the length of x.
    padding_idx : int, optional
        A row that starts at 0, gets no gradient, and does not count in a bag; counted from the end
        if negative.
    dtype : dtype
        Of the table, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or offsets do not ascend from 0 to the length of x.
    DtypeError
        In a call, if indices or offsets are not integers.
    ShapeError
        In a call, if x is neither (bags, n) alone nor (n,) with offsets (bags,).
    UnknownIndexError
        In a call, if there is no such row.

    References
    ----------
    ``torch.nn.EmbeddingBag``.

    Examples
    --------
    >>> import npnet
    >>> bag = npnet.EmbeddingBag.from_pretrained([[1.0], [2.0], [4.0]], mode="sum")
    >>> bag([0, 1, 2, 2], [0, 1]).tolist(), bag([[0, 1], [2, 2]]).tolist()
    ([[1.0], [10.0]], [[3.0], [8.0]])
    """

    takes_integers = (True, True, False)

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        *,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq,
            sparse, dtype, rng,
        )  # fmt: skip
        self.mode = choice(self, "mode", mode, ("mean", "sum", "max"))
        self.include_last_offset = flag(self, "include_last_offset", include_last_offset)
        if self.mode == "max" and (self.sparse or self.scale_grad_by_freq):
            raise ArgumentError("the mode 'max' needs sparse=False, scale_grad_by_freq=False", self)

    def forward(
        self,
        ctx: Context,
        x: Array,
        offsets: Array | None = None,
        per_sample_weights: Array | None = None,
    ) -> Array:
        """Look up and reduce; keep the indices, their bags, and what the mode needs."""
        index, bag, bags = self._bags(x, offsets)
        self.shorten(ctx, index)
        factor = self._factor(x, per_sample_weights)
        ctx.shape, ctx.inputs = x.shape, 1 if offsets is None else 2
        ctx.weighted, ctx.counted = factor is not None, ...
        if self.padding_idx is not None:
            ctx.counted = x != self.padding_idx
            counted = ctx.counted.reshape(-1)
            index, bag = index[counted], bag[counted]
            factor = None if factor is None else factor[counted]
        rows = self.weight.data.take(index, axis=0, mode="clip")
        y = np.zeros((bags, self.embedding_dim), rows.dtype)
        if self.mode == "max":
            ctx.save(bag, index, scatter.maxima(rows, bag, y))
            return y
        if factor is None and self.mode == "mean":
            counts = np.bincount(bag, minlength=bags)[bag]
            factor = (1 / counts).astype(rows.dtype)
        if factor is not None:
            rows *= factor[:, np.newaxis]
        scatter.add_at(y, bag, rows)
        ctx.save(bag, index, factor)
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...] | None:
        """Give each entry its bag's gradient, times its weight; the maxima have it alone."""
        bag, index, kept = ctx.saved
        nothing = None if ctx.inputs == 1 else (None, None)
        if self.mode == "max":
            table, (first, column) = np.zeros_like(self.weight.data), kept
            place = (index[first] * self.embedding_dim + column).reshape(-1)
            scatter.add_at(table.reshape(-1, 1), place, grad[bag[first], column].reshape(-1, 1))
            ctx.add_grad(self.weight, table)
            return nothing
        rows = grad.take(bag, axis=0)
        dfactor = None
        if ctx.weighted and ctx.needs_grad(2):
            products = np.einsum("ij,ij->i", rows, self.weight.data.take(index, axis=0))
            dfactor = np.zeros(ctx.shape, grad.dtype)
            dfactor[ctx.counted] = products.reshape(dfactor[ctx.counted].shape)
        if kept is not None:
            rows *= kept[:, np.newaxis]
        self.add_to_rows(ctx, index, rows)
        return (None, None, dfactor) if ctx.weighted else nothing

    def _bags(self, x: Array, offsets: Array | None) -> tuple[Array, Array, int]:
        """Return all indices, the number of each one's bag, and how many bags there are."""
        index = self.indices(x)
        if x.ndim == 2 and offsets is None:
            return index.reshape(-1), np.repeat(np.arange(len(x)), x.shape[1]), len(x)
        if x.ndim != 1 or offsets is None or offsets.ndim != 1:
            given = x.shape if offsets is None else (x.shape, offsets.shape)
            raise ShapeError(
                "expected indices of shape (bags, n) alone, or of shape (n,) with offsets of shape "
                f"(bags,), got {given}",
                self,
            )
        if offsets.dtype.kind not in "iu":
            raise DtypeError(f"expected integers as offsets, got {offsets.dtype}", self)
        starts = offsets.astype(np.intp)
        ends = starts if self.include_last_offset else np.append(starts, len(x))
        sizes = np.diff(ends)
        if ends.size == 0 or ends[0] != 0 or ends[-1] != len(x) or (sizes < 0).any():
            last = f" and end with {len(x)}" if self.include_last_offset else f" to {len(x)}"
            raise refusal(self, "offsets", f"numbers that ascend from 0{last}", offsets.tolist())
        return index, np.repeat(np.arange(len(sizes)), sizes), len(sizes)

    def _factor(self, x: Array, weights: Array | None) -> Array | None:
        """Return the weights of all entries."""
        if weights is None:
            return None
        if self.mode != "sum":
            raise ArgumentError(f"weights need mode='sum', and this is {self.mode!r}", self)
        if weights.shape != x.shape:
            raise shape_error(self, str(x.shape), weights.shape, what="per_sample_weights")
        return weights.astype(self.weight.dtype, copy=False).reshape(-1)
