"""Scaled dot-product attention, softmax(q k^T / sqrt(d)) v, and its derivative.

Both work on blocks that stay in the cache, a few samples or a few queries of one sample, and keep
no weights: the derivative computes each block's again. In a block the axis of the keys comes first,
so that maxima and sums over it run along contiguous memory.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from npnet.typing import Array

_BLOCK = 1 << 16
"""Weights in a block, about; larger ones leave the cache, smaller ones pay for calls."""

_QUERIES = 16
"""Queries in a block at least, unless there are fewer; products with fewer rows are slow."""

Block = tuple[slice, slice, slice]


def attention(
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    *,
    masks: Sequence[Array] = (),
    kept: Array | None = None,
    scale: float = 1.0,
    weights: Array | None = None,
) -> Array:
    """Write sum_s w_s v_s with w = softmax_s(q k_s / sqrt(d) + masks).

    Weights of queries for which all keys are masked with minus infinity are 0. Arrays may be views
    of any layout.

    Parameters
    ----------
    q : ndarray, shape (n, heads, queries, d)
    k, v : ndarray, shape (n, heads, keys, d)
    out : ndarray, the shape of q
        Receives the result.
    masks : sequence of ndarray, shapes that broadcast to (n, heads, queries, keys)
        Are added before the softmax.
    kept : ndarray of bool, shape (n, heads, queries, keys), optional
        Dropout behind the softmax: weights are multiplied by this and by `scale`.
    scale : float
    weights : ndarray, shape (n, heads, queries, keys) or (n, 1, queries, keys), optional
        Receives the weights, or their mean over the heads.

    Returns
    -------
    ndarray
        `out`.
    """
    full = (*q.shape[:3], k.shape[2])
    for block in _blocks(full):
        w = _weights(q, k, masks, full, block)
        if kept is not None:
            _drop(w, kept[block], scale)
        np.matmul(w.transpose(1, 2, 3, 0), v[block[0]], out=out[block])
        if weights is not None:
            shown = w if weights.shape[1] == full[1] else w.mean(axis=2, keepdims=True)
            weights[block] = shown.transpose(1, 2, 3, 0)
    return out


def attention_grad(
    grad: Array,
    q: Array,
    k: Array,
    v: Array,
    dq: Array,
    dk: Array,
    dv: Array,
    *,
    masks: Sequence[Array] = (),
    kept: Array | None = None,
    scale: float = 1.0,
    dweights: Array | None = None,
    dmasks: Sequence[Array | None] = (),
) -> None:
    """Write the gradients with respect to q, k and v; add those of masks.

    Parameters
    ----------
    grad : ndarray, the shape of q
        Gradient with respect to the result.
    q, k, v, masks, kept, scale
        As they were.
    dq, dk, dv : ndarray, the shapes of q, k and v
        Receive the gradients.
    dweights : ndarray, shape (n, heads, queries, keys) or (n, 1, queries, keys), optional
        Gradient with respect to the weights of each head.
    dmasks : sequence of ndarray or None, the shapes of `masks`
        Those of masks are added to them, if they are wanted.
    """
    full = (*q.shape[:3], k.shape[2])
    factor = q.dtype.type(1 / math.sqrt(q.shape[3]))
    if 0 in full:
        for array in (dq, dk, dv):
            array[...] = 0
    for block in _blocks(full):
        samples, g = block[0], grad[block]
        first = block[2].start == 0  # of the blocks of these samples
        w = _weights(q, k, masks, full, block)
        used = w if kept is None else _drop(w.copy(), kept[block], scale)
        _write(dv[samples], used.transpose(1, 2, 0, 3), g, first)
        ds = np.empty_like(w)
        by_query = ds.transpose(1, 2, 3, 0)
        np.matmul(g, v[samples].swapaxes(2, 3), out=by_query)
        if dweights is not None:
            by_query += dweights[samples, :, block[2]]
        if kept is not None:
            _drop(ds, kept[block], scale)
        # The derivative of the softmax: w (dw - sum(w dw)).
        ds *= w
        w *= np.add.reduce(ds, axis=0)
        ds -= w
        for dmask in dmasks:
            if dmask is not None:
                _add_reduced(dmask, by_query, block)
        ds *= factor
        np.matmul(by_query, k[samples], out=dq[block])
        _write(dk[samples], by_query.swapaxes(2, 3), q[block], first)


def _blocks(full: tuple[int, int, int, int]) -> Iterator[Block]:
    """Cut samples, and queries where one sample is large, into blocks."""
    n, heads, queries, keys = full
    each = max(1, heads * keys)
    rows = max(1, queries) if each * queries <= 2 * _BLOCK else max(_QUERIES, _BLOCK // each)
    samples = max(1, _BLOCK // max(1, each * rows))
    for i in range(0, n, samples):
        for j in range(0, queries, rows):
            yield slice(i, i + samples), slice(None), slice(j, j + rows)


def _weights(
    q: Array, k: Array, masks: Sequence[Array], full: tuple[int, int, int, int], block: Block
) -> Array:
    """Return the softmax of a block's scores: (keys, n, heads, queries)."""
    q, k = q[block], k[block[0]]
    q = q * q.dtype.type(1 / math.sqrt(q.shape[3]))
    w = np.empty((k.shape[2], *q.shape[:3]), q.dtype)
    scores = w.transpose(1, 2, 3, 0)
    np.matmul(q, k.swapaxes(2, 3), out=scores)
    for mask in masks:
        scores += np.broadcast_to(mask, full)[block]
    peak = np.maximum.reduce(w, axis=0, initial=-np.inf)
    if masks:
        peak[peak == -np.inf] = 0  # a query without keys: the exponentials are 0, as is their sum
    w -= peak
    np.exp(w, out=w)
    total = np.add.reduce(w, axis=0)
    if masks:
        total[total == 0] = 1
    w /= total
    return w


def _drop(w: Array, kept: Array, scale: float) -> Array:
    """Multiply weights, or their gradients, by the mask and the scale of dropout, in place."""
    w *= kept.transpose(3, 0, 1, 2)
    w *= w.dtype.type(scale)
    return w


def _write(out: Array, a: Array, b: Array, first: bool) -> None:
    """Write a product, or add it where it is not the first one."""
    if first:
        np.matmul(a, b, out=out)
    else:
        out += np.matmul(a, b)


def _add_reduced(total: Array, ds: Array, block: Block) -> None:
    """Add gradients, (n, heads, queries, keys), to those of a mask that was broadcast."""
    axes = tuple(i for i, size in enumerate(total.shape) if size == 1)
    place = tuple(slice(None) if i in axes else at for i, at in enumerate(block))
    total[place] += ds.sum(axis=axes, keepdims=True)


def additive(mask: Array, dtype: np.dtype[Any]) -> Array:
    """Return a mask to be added to scores: minus infinity for True, 0 for False, floats as such."""
    if mask.dtype.kind == "f":
        return mask.astype(dtype, copy=False)
    added: Array = np.where(mask, dtype.type(-np.inf), dtype.type(0))
    return added


@functools.lru_cache(4)
def causal_mask(queries: int, keys: int, dtype: np.dtype[Any]) -> Array:
    """Return minus infinity where a key comes after the query, else 0: (queries, keys)."""
    mask = np.triu(np.full((queries, keys), -np.inf, dtype), 1)
    mask.flags.writeable = False
    return mask
