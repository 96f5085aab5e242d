"""MultiheadAttention, whose output projection is a Linear layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.arguments import flag, float_dtype, real_number, refusal, whole_number
from npnet.context import Context
from npnet.errors import DtypeError, shape_error
from npnet.init import xavier_normal, xavier_uniform
from npnet.layer import Layer
from npnet.layers.linear import Linear
from npnet.ops import attention as ops
from npnet.ops import elementwise
from npnet.parameter import Parameter
from npnet.random import as_generator
from npnet.typing import Array, DtypeLike, Rng


class MultiheadAttention(Layer):
    r"""Attend with several heads: y = [head_1, ..., head_h] W_o^T + b_o.

    .. math:: \mathrm{head}_i = \mathrm{softmax}\left(
        \frac{q_i k_i^T}{\sqrt{d}} + \mathrm{masks}\right) v_i, \quad d = \mathrm{embed\_dim} / h

    where q, k and v are affine maps of query, key and value, and q_i is the i-th part of q's last
    axis. Called as ``attention(query, key, value)``; the key is the query if it is left out, and
    the value the key. It returns the output and the weights of the softmax, or the output alone
    with ``need_weights=False``. As in PyTorch further inputs are ``key_padding_mask``,
    ``need_weights``, ``attn_mask``, ``average_attn_weights`` and ``is_causal``, in this order or by
    name. Each of the three flags is, if left out, what the constructor was given.

    A mask of booleans hides keys where it is True; one of floating numbers is added to the scores,
    and has a gradient. A query from which all keys are hidden has weights 0 and the output b_o
    (PyTorch gives that or NaN, depending on which of its implementations runs).

    Parameters
    ----------
    embed_dim : int
        Size of the last axis of query and output, a multiple of `num_heads`.
    num_heads : int
    dropout : float
        Probability of dropping a weight behind the softmax, in recorded training passes. The
        weights that are returned are those after it.
    bias : bool
        False leaves the biases of all four affine maps out.
    add_bias_kv : bool
        Append a learned key and value to those of every sample.
    add_zero_attn : bool
        Append a key and a value of zeros.
    kdim, vdim : int, optional
        Sizes of the last axis of key and value, `embed_dim` if not given.
    batch_first : bool
        Whether inputs have shape (n, length, features); (length, n, features) otherwise. Those of
        shape (length, features) are one sample.
    need_weights : bool
        Whether a call returns the weights.
    average_attn_weights : bool
        Whether the weights returned are the mean over the heads.
    is_causal : bool
        Hide from each query the keys with a larger index. In PyTorch this is a hint beside
        `attn_mask`; here it is a mask that acts alone or together with others.
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    in_proj_weight : Parameter, shape (3 * embed_dim, embed_dim), or None
        The matrices of q, k and v, one below the other; Xavier's uniform distribution.
    q_proj_weight, k_proj_weight, v_proj_weight : Parameter, or None
        The same, with shapes (embed_dim, embed_dim), (embed_dim, kdim) and (embed_dim, vdim), where
        `kdim` or `vdim` differ from `embed_dim`.
    in_proj_bias : Parameter, shape (3 * embed_dim,), or None
        Starts at 0, as that of `out_proj` does.
    bias_k, bias_v : Parameter, shape (1, 1, embed_dim), or None
    out_proj : Linear

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the shapes of the inputs do not fit: query (n, L, embed_dim), key (n, S,
        kdim), value (n, S, vdim), key_padding_mask (n, S), attn_mask (L, S) or (n * num_heads, L,
        S); of one sample (L, embed_dim), ..., (S,), (num_heads, L, S).
    DtypeError
        In a call, if a mask is neither boolean nor floating.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", arXiv:1706.03762; ``torch.nn.MultiheadAttention``.

    Examples
    --------
    >>> import npnet
    >>> attention = npnet.MultiheadAttention(4, num_heads=2, batch_first=True)
    >>> x = np.zeros((5, 3, 4))
    >>> y, weights = attention(x, x, x)
    >>> y.shape, weights.shape, attention(x, need_weights=False).shape
    ((5, 3, 4), (5, 3, 3), (5, 3, 4))
    >>> attention(x, is_causal=True)[1][0].round(2)
    array([[1.  , 0.  , 0.  ],
           [0.5 , 0.5 , 0.  ],
           [0.33, 0.33, 0.33]], dtype=float32)
    """

    takes_integers = (False, False, False, True, True, True, True, True)

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        *,
        need_weights: bool = True,
        average_attn_weights: bool = True,
        is_causal: bool = False,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__()
        self.embed_dim = size = whole_number(self, "embed_dim", embed_dim, 1)
        self.num_heads = whole_number(self, "num_heads", num_heads, 1)
        if size % self.num_heads:
            kind = f"a multiple of num_heads, which is {self.num_heads}"
            raise refusal(self, "embed_dim", kind, embed_dim)
        self.dropout = real_number(self, "dropout", dropout, 0, 1)
        self.kdim = size if kdim is None else whole_number(self, "kdim", kdim, 1)
        self.vdim = size if vdim is None else whole_number(self, "vdim", vdim, 1)
        self.add_zero_attn = flag(self, "add_zero_attn", add_zero_attn)
        self.batch_first = flag(self, "batch_first", batch_first)
        self.need_weights = flag(self, "need_weights", need_weights)
        self.average_attn_weights = flag(self, "average_attn_weights", average_attn_weights)
        self.is_causal = flag(self, "is_causal", is_causal)
        bias, add_bias_kv = flag(self, "bias", bias), flag(self, "add_bias_kv", add_bias_kv)
        dtype, rng = float_dtype(self, "dtype", dtype), as_generator(rng)

        def weight(*shape: int) -> Parameter:
            return Parameter(xavier_uniform(shape, rng=rng, dtype=dtype))

        packed = self.kdim == self.vdim == size
        self.in_proj_weight = weight(3 * size, size) if packed else None
        self.q_proj_weight = None if packed else weight(size, size)
        self.k_proj_weight = None if packed else weight(size, self.kdim)
        self.v_proj_weight = None if packed else weight(size, self.vdim)
        self.in_proj_bias = Parameter(np.zeros(3 * size, dtype)) if bias else None
        self.out_proj = Linear(size, size, bias, dtype=dtype, rng=rng)
        if self.out_proj.bias is not None:
            self.out_proj.bias.data[...] = 0
        self.bias_k = self.bias_v = None
        if add_bias_kv:
            self.bias_k = Parameter(xavier_normal((1, 1, size), rng=rng, dtype=dtype))
            self.bias_v = Parameter(xavier_normal((1, 1, size), rng=rng, dtype=dtype))

    def forward(
        self,
        ctx: Context,
        query: Array,
        key: Array | None = None,
        value: Array | None = None,
        key_padding_mask: Array | None = None,
        need_weights: Any = None,
        attn_mask: Array | None = None,
        average_attn_weights: Any = None,
        is_causal: Any = None,
    ) -> Any:
        """Project, attend, project; keep inputs and projections, but no weights."""
        given = (query, key, value, key_padding_mask, need_weights, attn_mask,
                 average_attn_weights, is_causal)  # fmt: skip
        ctx.inputs = max(i for i, x in enumerate(given) if x is not None) + 1
        of_key = 0 if key is None else 1
        ctx.sources = (0, of_key, of_key if value is None else 2)  # which inputs are projected
        sources: list[Any] = [given[i] for i in ctx.sources]
        self._check_shapes(*sources)
        dtype, ctx.axes = self.out_proj.weight.dtype, [x.shape[:-1] for x in sources]
        rows = [x.reshape(-1, x.shape[-1]).astype(dtype, copy=False) for x in sources]
        projected = [x.dot(w.T) for x, w in zip(rows, self._matrices(), strict=True)]
        if self.in_proj_bias is not None:
            for y, bias in zip(projected, self.in_proj_bias.data.reshape(3, -1), strict=True):
                elementwise.add_bias(y, bias)
        q, k, v = map(self._heads, projected, ctx.axes)
        ctx.keys = k.shape[2]
        k, v = self._extended(k, self.bias_k), self._extended(v, self.bias_v)
        full = (*q.shape[:3], k.shape[2])
        causal = self._flag("is_causal", is_causal)
        masks = self._masks(ctx, full, key_padding_mask, attn_mask, causal)
        kept, scale = None, 1.0
        if ctx.training and self.dropout > 0:
            kept = ctx.rng.random(full, np.float32) >= self.dropout
            scale = 0.0 if self.dropout == 1 else 1 / (1 - self.dropout)
        options: dict[str, Any] = {"masks": masks, "kept": kept, "scale": scale}
        ctx.save(rows, q, k, v, options)

        ctx.average = self._flag("average_attn_weights", average_attn_weights)
        weights = None
        if self._flag("need_weights", need_weights):
            weights = np.empty((full[0], 1 if ctx.average else full[1], *full[2:]), dtype)
        attended = np.empty((*ctx.axes[0], self.embed_dim), dtype)
        out = self._heads(attended, ctx.axes[0])
        ops.attention(q, k, v, out, weights=weights, **options)
        y = ctx.call(self.out_proj, attended)
        if weights is None:
            return y
        weights = weights[:, 0] if ctx.average else weights
        return y, weights[0] if len(ctx.axes[0]) == 1 else weights

    def backward(self, ctx: Context, grad: Array | None, dweights: Array | None = None) -> Any:
        """Go back through all of it; return the gradients of the inputs that were given."""
        rows, q, k, v, options = ctx.saved
        call = ctx.calls.pop()
        if grad is None:
            attended = np.zeros((*ctx.axes[0], self.embed_dim), q.dtype)
        else:
            attended = call.backward(grad)
        if dweights is not None:
            heads = 1 if ctx.average else self.num_heads
            dweights = dweights.reshape(len(q), heads, *dweights.shape[-2:])
            dweights = dweights / self.num_heads if ctx.average else dweights
        dmasks: list[Array | None] = [None] * len(options["masks"])
        for index, (place, _) in ctx.masks.items():
            if ctx.needs_grad(index):
                dmasks[place] = np.zeros_like(options["masks"][place])
        projected = [np.empty((len(x), self.embed_dim), q.dtype) for x in rows]
        dq, dk, dv = map(self._heads, projected, ctx.axes)
        more = k.shape[2] > ctx.keys
        dk_all, dv_all = (np.empty_like(k), np.empty_like(v)) if more else (dk, dv)
        dout = self._heads(attended, ctx.axes[0])
        ops.attention_grad(
            dout, q, k, v, dq, dk_all, dv_all, dweights=dweights, dmasks=dmasks, **options
        )
        if more:
            for d, d_all, bias in ((dk, dk_all, self.bias_k), (dv, dv_all, self.bias_v)):
                d[...] = d_all[:, :, : ctx.keys]
                if bias is not None:
                    ctx.add_grad(bias, d_all[:, :, ctx.keys].sum(axis=0).reshape(bias.shape))

        products = [d.T.dot(x) for d, x in zip(projected, rows, strict=True)]
        if self.in_proj_weight is not None:
            ctx.add_grad(self.in_proj_weight, np.concatenate(products))
        else:
            for p, product in zip(self._separate(), products, strict=True):
                ctx.add_grad(p, product)
        if self.in_proj_bias is not None:
            sums = [d.sum(axis=0) for d in projected]
            if not more:  # the softmax ignores what all keys have in common
                sums[1][...] = 0
            ctx.add_grad(self.in_proj_bias, np.concatenate(sums))
        grads: list[Any] = [None] * ctx.inputs
        for source, axes, d, w in zip(
            ctx.sources, ctx.axes, projected, self._matrices(), strict=True
        ):
            if ctx.needs_grad(source):
                dx = d.dot(w).reshape(*axes, w.shape[1])
                grads[source] = dx if grads[source] is None else np.add(grads[source], dx, out=dx)
        for index, (place, shape) in ctx.masks.items():
            dmask = dmasks[place]
            grads[index] = None if dmask is None else dmask[..., : ctx.keys].reshape(shape)
        return tuple(grads) if ctx.inputs > 1 else grads[0]

    def _check_shapes(self, query: Array, key: Array, value: Array) -> None:
        """Raise if the inputs' shapes do not fit."""
        size, place = self.embed_dim, 0 if self.batch_first else 1
        many = "({n}, length, {size})" if self.batch_first else "(length, {n}, {size})"
        one, batched = "(length, {size})", query.ndim == 3
        if query.ndim not in (2, 3) or query.shape[-1] != size:
            expected = f"{many} or {one}".format(n="n", size=size)
            raise shape_error(self, expected, query.shape, what="query")
        samples = query.shape[place : place + batched]
        fits = key.ndim == query.ndim and key.shape[place : place + batched] == samples
        if not fits or key.shape[-1] != self.kdim:
            expected = (many if batched else one).format(n=query.shape[place], size=self.kdim)
            raise shape_error(self, expected, key.shape, f"the query is {query.shape}", what="key")
        wanted = (*key.shape[:-1], self.vdim)
        if value.shape != wanted:
            hint = f"the key is {key.shape}"
            raise shape_error(self, str(wanted), value.shape, hint, what="value")

    def _masks(
        self,
        ctx: Context,
        full: tuple[int, ...],
        key_padding_mask: Array | None,
        attn_mask: Array | None,
        causal: bool,
    ) -> list[Array]:
        """Return what is added to the scores, with the axes of `full`; note which are floating."""
        n, heads, queries, _ = full
        keys, dtype = ctx.keys, self.out_proj.weight.dtype
        one = len(ctx.axes[0]) == 1
        padding = {(keys,) if one else (n, keys): (n, 1, 1, keys)}
        pairs = {(queries, keys): (1, 1, queries, keys),
                 (n * heads, queries, keys): (n, heads, queries, keys)}  # fmt: skip
        found: list[Array] = []
        ctx.masks = {}
        for index, name, mask, shapes in (
            (3, "key_padding_mask", key_padding_mask, padding),
            (5, "attn_mask", attn_mask, pairs),
        ):
            if mask is None:
                continue
            if mask.shape not in shapes:
                raise shape_error(self, " or ".join(map(str, shapes)), mask.shape, what=name)
            if mask.dtype.kind == "f":
                ctx.masks[index] = len(found), mask.shape
            elif mask.dtype.kind != "b":
                hint = "True hides a key: mask.astype(bool)"
                raise DtypeError(
                    f"expected booleans or floating numbers as {name}, got {mask.dtype}; {hint}",
                    self,
                )
            found.append(ops.additive(mask, dtype).reshape(shapes[mask.shape]))
        if causal:
            found.append(ops.causal_mask(queries, keys, dtype)[np.newaxis, np.newaxis])
        more = full[3] - keys  # keys that were appended, which nobody hides
        return [np.pad(x, [*[(0, 0)] * 3, (0, more)]) for x in found] if more else found

    def _flag(self, name: str, value: Any) -> bool:
        """Return a flag of a call, or the constructor's where it is left out."""
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value[()]
        given = getattr(self, name) if value is None else flag(self, name, value)
        return bool(given)

    def _separate(self) -> list[Parameter]:
        """Return the three matrices that there are where the sizes of the inputs differ."""
        three = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        return [p for p in three if p is not None]

    def _matrices(self) -> list[Array]:
        """Return the matrices of the maps to q, k and v."""
        if self.in_proj_weight is None:
            return [p.data for p in self._separate()]
        return list(self.in_proj_weight.data.reshape(3, self.embed_dim, self.embed_dim))

    def _heads(self, x: Array, axes: tuple[int, ...]) -> Array:
        """Return a view of rows as (n, heads, length, head_dim)."""
        x = x.reshape(*axes, self.num_heads, self.embed_dim // self.num_heads)
        if len(axes) == 1:
            x = x[np.newaxis]
        elif not self.batch_first:
            x = x.swapaxes(0, 1)
        return x.swapaxes(1, 2)

    def _extended(self, x: Array, bias: Parameter | None) -> Array:
        """Append what every sample has: a learned row, and one of zeros."""
        n, heads, _, size = x.shape
        rows = [] if bias is None else [bias.data.reshape(1, heads, 1, size)]
        rows += [np.zeros((1, heads, 1, size), x.dtype)] if self.add_zero_attn else []
        more = [np.broadcast_to(row, (n, heads, 1, size)) for row in rows]
        return np.concatenate([x, *more], axis=2) if more else x

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor; some are parameters here."""
        if name in ("bias", "add_bias_kv"):
            return (self.in_proj_bias if name == "bias" else self.bias_k) is not None
        return super()._argument(name)
