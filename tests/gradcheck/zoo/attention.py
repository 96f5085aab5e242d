"""Planted bugs in attention: scale, softmax, mask, heads, and the ways to q, k and v."""

import numpy as np

import npnet
from zoo.mutants import COUPLING, FLOAT32, NOT_FINITE, lacks, normal, planted

_X = (2, 3, 4)
_QKV = ((2, 3, 4), (2, 5, 4), (2, 5, 4))


def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True, initial=-1e30))
    return e / np.where((total := e.sum(-1, keepdims=True)) > 0, total, 1)


class Attention(npnet.Layer):
    """Softmax(q k^T / 2) v for q (n, t, 4), k and v (n, s, 4)."""

    scale = 0.5

    def forward(self, ctx, q, k, v):
        p = self.softmax(self.masked(self.scale * q @ k.swapaxes(-1, -2)))
        ctx.save(q, k, v, p)
        return p @ v

    def masked(self, scores):
        return scores

    def softmax(self, scores):
        return softmax(scores)

    def backward(self, ctx, grad):
        q, k, v, p = ctx.saved
        ds = self.factor() * self.dscores(grad @ v.swapaxes(-1, -2), p)
        return self.gradients(ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ grad)

    def dscores(self, dp, p):
        return p * (dp - (p * dp).sum(-1, keepdims=True))

    def factor(self):
        return self.scale

    def gradients(self, dq, dk, dv):
        return dq, dk, dv


class Causal(Attention):
    """Position t sees the positions up to t."""

    def masked(self, scores):
        return np.where(self.hidden(scores, 1), scores.dtype.type(-1e30), scores)

    def hidden(self, scores, first):
        return np.triu(np.ones(scores.shape[-2:], bool), first)


class Padded(npnet.Layer):
    """Weights p = softmax(x) over the positions that a mask allows, times x."""

    takes_integers = (False, True)

    def forward(self, ctx, x, mask):
        p = softmax(np.where(mask, x, x.dtype.type(-1e30))) * mask
        ctx.save(x, mask, p)
        return p * x

    def backward(self, ctx, grad):
        x, mask, p = ctx.saved
        return self.dx(grad, x, mask, p), None

    def dx(self, grad, x, mask, p):
        return grad * p + p * (grad * x - (p * grad * x).sum(-1, keepdims=True))


class Heads(npnet.Layer):
    """Self-attention of two heads with weights for q, k, v and the output: (n, t, 4) -> same."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(8)
        for name in ("wq", "wk", "wv", "wo"):
            setattr(self, name, npnet.Parameter(0.7 * rng.normal(size=(4, 4))))
        self.bias = npnet.Parameter(rng.normal(size=(2, 3, 3)))

    def forward(self, ctx, x):
        q, k, v = (self.split(x @ w.data) for w in (self.wq, self.wk, self.wv))
        p = softmax(q @ k.swapaxes(-1, -2) + self.bias.data)
        y = self.merge(p @ v)
        ctx.save(x, q, k, v, p, y)
        return y @ self.wo.data

    def backward(self, ctx, grad):
        x, q, k, v, p, y = ctx.saved
        self.give(ctx, self.wo, y, grad)
        dy = self.dheads(grad @ self.wo.data.T)
        dp = dy @ v.swapaxes(-1, -2)
        ds = p * (dp - (p * dp).sum(-1, keepdims=True))
        ctx.add_grad(self.bias, self.dbias(ds))
        dx = np.zeros_like(x)
        ways = self.ways(ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ dy)
        for w, d in zip(*ways, strict=True):
            self.give(ctx, w, x, self.merge(d))
            dx += self.merge(d) @ w.data.T
        return dx

    def split(self, a):
        return a.reshape(*a.shape[:2], 2, 2).swapaxes(1, 2)

    def merge(self, a):
        return a.swapaxes(1, 2).reshape(len(a), -1 if a.size else 3, 4)

    def give(self, ctx, w, x, grad):
        ctx.add_grad(w, np.einsum("nti,nto->io", x, grad))

    def dheads(self, grad):
        return self.split(grad)

    def dbias(self, ds):
        return ds.sum(0)

    def ways(self, dq, dk, dv):
        return (self.wq, self.wk, self.wv), (dq, dk, dv)


_MASK = np.array([[1, 1, 0, 1], [0, 1, 1, 0], [1, 0, 1, 1]], bool)
_MASKED = (normal(3, 4), _MASK)
BASES = (
    (Attention, _QKV),
    (Causal, ((2, 3, 4),) * 3),
    (Padded, _MASKED),
    (Heads, (_X,)),
)


@planted(*_QKV, cause="factor|times|scale", misleading="batch size")
class AttentionScaleForgotten(Attention):
    """The scale is missing in the backward pass."""

    def factor(self):
        return 1


@planted(*_QKV, cause=COUPLING + "|softmax|diagonal|term")
class AttentionSoftmaxDiagonal(Attention):
    """Only the diagonal of the softmax's derivative is used."""

    def dscores(self, dp, p):
        return p * (1 - p) * dp


@planted(*_QKV, cause=COUPLING + "|softmax|term|factor")
class AttentionSoftmaxMean(Attention):
    """A mean stands where the softmax's sum should."""

    def dscores(self, dp, p):
        return p * (dp - (p * dp).mean(-1, keepdims=True))


@planted(*_QKV, cause="axis|axes|softmax")
class AttentionSoftmaxAxis(Attention):
    """The softmax's sum runs over the queries."""

    def dscores(self, dp, p):
        return p * (dp - (p * dp).sum(-2, keepdims=True))


@planted(*_QKV, cause="swap|as that of")
class AttentionKeysAndValues(Attention):
    """The gradients of keys and values are swapped."""

    def gradients(self, dq, dk, dv):
        return dq, dv, dk


@planted(*_QKV, cause="zero")
class AttentionKeysForgotten(Attention):
    """The keys get no gradient."""

    def gradients(self, dq, dk, dv):
        return dq, np.zeros_like(dk), dv


@planted((2, 4, 4), (2, 4, 4), (2, 4, 4), cause="transpos|axes|axis")
class AttentionValuesTransposed(Attention):
    """The values' gradient uses the weights untransposed."""

    def backward(self, ctx, grad):
        return (*super().backward(ctx, grad)[:2], ctx.saved[3] @ grad)


@planted(normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 4), cause="sign|minus|-1|negat")
class AttentionKeysSign(Attention):
    """The keys' gradient has the wrong sign."""

    def gradients(self, dq, dk, dv):
        return dq, -dk, dv


@planted(*_QKV, cause=FLOAT32)
class AttentionFloat32(Attention):
    """In float32 the values' gradient is off by a factor of 0.999."""

    def gradients(self, dq, dk, dv):
        return dq, dk, dv * dv.dtype.type(0.999) if dv.dtype == np.float32 else dv


@planted(normal(2, 3, 4, scale=20.0), normal(2, 5, 4, scale=20.0), normal(2, 5, 4),
         cause=NOT_FINITE + "|float32")  # fmt: skip
class AttentionOverflows(Attention):
    """The softmax does not subtract the maximum, which overflows in float32."""

    def softmax(self, scores):
        e = np.exp(scores)
        return e / e.sum(-1, keepdims=True)


@planted((2, 3, 4), (2, 3, 4), (2, 3, 4), cause="mask|where|zero|above|triang|diagonal")
class CausalGradientMasksOne(Causal):
    """The mask of the backward pass hides the diagonal as well."""

    def dscores(self, dp, p):
        return np.where(self.hidden(p, 0), 0, super().dscores(dp, p))


@planted((2, 3, 4), (2, 3, 4), (2, 3, 4), cause="mask|where|above|triang|diagonal|softmax")
class CausalGradientWithoutMask(Causal):
    """The backward pass makes its weights without the mask."""

    def backward(self, ctx, grad):
        q, k, v, _ = ctx.saved
        p = softmax(self.scale * q @ k.swapaxes(-1, -2))
        ds = self.scale * self.dscores(grad @ v.swapaxes(-1, -2), p)
        return ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ grad


@planted(*_MASKED, cause="mask|input 1|where")
class PaddedIgnoresMask(Padded):
    """The backward pass makes its weights without the mask."""

    def dx(self, grad, x, mask, p):
        return super().dx(grad, x, mask, softmax(x))


@planted(*_MASKED, cause=COUPLING + "|softmax|term|takes")
class PaddedConstant(Padded):
    """The weights are taken as constants."""

    def dx(self, grad, x, mask, p):
        return grad * p


@planted(normal(3, 4), np.array([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 1, 1]], bool),
         cause=NOT_FINITE)  # fmt: skip
class PaddedNothingLeft(Padded):
    """Where the mask allows nothing, the gradient is NaN."""

    def dx(self, grad, x, mask, p):
        return super().dx(grad, x, mask, p / p.sum(-1, keepdims=True))


@planted(_X, cause="head|order|permut|reshap|transpos|axes|swapp")
class HeadsNotSwapped(Heads):
    """The heads are cut off the gradient without swapping axes."""

    def dheads(self, grad):
        return grad.reshape(len(grad), 2, -1 if grad.size else 3, 2)


@planted(_X, cause="head|rows?|columns?|zero|axis")
class HeadsFirstAlone(Heads):
    """Only the first head gets a gradient."""

    def dheads(self, grad):
        found = self.split(grad).copy()
        found[:, 1] = 0
        return found


@planted(_X, cause="transpos")
class HeadsWeightsTransposed(Heads):
    """The weights' gradients are transposed."""

    def give(self, ctx, w, x, grad):
        ctx.add_grad(w, np.einsum("nti,nto->oi", x, grad))


@planted(_X, cause="batch|sample|sum")
class HeadsWeightsOfFirst(Heads):
    """The weights' gradients are those of the first sample."""

    def give(self, ctx, w, x, grad):
        super().give(ctx, w, x[:1], grad[:1])


@planted(normal(2, 3, 4), cause=r"1/3|averag|mean|factor")
class HeadsWeightsAveraged(Heads):
    """The weights' gradients are divided by the number of positions."""

    def give(self, ctx, w, x, grad):
        super().give(ctx, w, x / max(x.shape[1], 1), grad)


@planted(normal(2, 3, 4), cause=lacks("wq|path|way|query|term") + r"|wq|path")
class HeadsQueryWay(Heads):
    """The queries' way to the input is missing, and their weight's gradient is there."""

    def backward(self, ctx, grad):
        dx = super().backward(ctx, grad)
        return dx - self.query(ctx, grad)

    def query(self, ctx, grad):
        x, q, k, v, p, y = ctx.saved
        dp = self.dheads(grad @ self.wo.data.T) @ v.swapaxes(-1, -2)
        ds = p * (dp - (p * dp).sum(-1, keepdims=True))
        return self.merge(ds @ k) @ self.wq.data.T


@planted(_X, cause="swap|that of w[qk]")
class HeadsWeightsSwapped(Heads):
    """The weights of queries and keys get each other's gradients."""

    def ways(self, dq, dk, dv):
        return (self.wq, self.wk, self.wv), (dk, dq, dv)


@planted(_X, cause=r"batch|1/2|averag|mean")
class HeadsBiasAveraged(Heads):
    """The position bias gets a mean over the batch."""

    def dbias(self, ds):
        return ds.sum(0) / max(len(ds), 1)


@planted(_X, cause="transpos")
class HeadsBiasTransposed(Heads):
    """The position bias's gradient is transposed."""

    def dbias(self, ds):
        return ds.sum(0).swapaxes(1, 2)
