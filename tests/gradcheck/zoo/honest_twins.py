"""The same functions in PyTorch: f(*inputs, *parameters), for a loss f(pred, target, weight)."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

tanh, sigmoid = torch.tanh, torch.sigmoid


def _rms(x, gain):
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * gain


def _standard(x):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()


def _rnn(x, first, w, u, b):
    states, h = [], first
    for t in range(x.shape[1]):
        h = tanh(x[:, t] @ w + h @ u + b)
        states.append(h)
    return torch.stack(states, 1), h


def _from_zero(x, w, u, b):
    return _rnn(x, x.new_zeros(len(x), len(b)), w, u, b)


def _lstm(x, w, u, b):
    zero = x.new_zeros(1, len(x), u.shape[1])
    weights = [w, u, b, torch.zeros_like(b)]
    y, h, c = torch._VF.lstm(x, (zero, zero), weights, True, 1, 0.0, True, False, True)
    return y, h[0], c[0]


def _gru(x, h, *rest):
    *lengths, w, u = rest
    for t in range(x.shape[1]):
        r = sigmoid(x[:, t] @ w[0] + h @ u[0])
        z = sigmoid(x[:, t] @ w[1] + h @ u[1])
        new = (1 - z) * tanh(x[:, t] @ w[2] + (r * h) @ u[2]) + z * h
        h = torch.where((t < lengths[0])[:, None], new, h) if lengths else new
    return h


def _smoothing(x, rate):
    a, h, states = sigmoid(rate), torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        h = a * h + (1 - a) * x[:, t]
        states.append(h)
    return torch.stack(states, 1)


def _unrolled(x, w, u):
    h = x.new_zeros(len(x), 3)
    for t in range(x.shape[1]):
        h = F.relu(x[:, t] @ w + h @ u)
    return h


def _both_ways(x, *p):
    there, back = _from_zero(x, *p[:3])[0], _from_zero(x.flip(1), *p[3:])[0]
    return torch.cat([there, back.flip(1)], -1)


def _heads(x, n):
    return x.unflatten(-1, (n, -1)).transpose(1, 2)


def _attention(n, causal=False):
    def attention(x, *rest):
        *others, q, k, v, o = rest
        y = others[0] if others else x
        mask = others[1][:, None, None] if len(others) > 1 else None
        parts = _heads(x @ q, n), _heads(y @ k, n), _heads(y @ v, n)
        joined = F.scaled_dot_product_attention(*parts, attn_mask=mask, is_causal=causal)
        return joined.transpose(1, 2).flatten(2) @ o

    return attention


def _pooled(x, query):
    p = (tanh(x) @ query).softmax(1)
    return (p[..., None] * x).sum(1), p


def _conv(**options):
    return lambda x, w, b: F.conv2d(x, w, b, **options)


def _causal_conv(x, w):
    return F.conv1d(F.pad(x, (4, 0)), w.flip(0).permute(1, 2, 0), dilation=2)


def _bag(index, weight, table):
    return (table[index % len(table)] * weight[..., None]).mean(1)


def _power(x, q):
    return x.sign() * x.abs() ** (1 + q.exp())


def _swiglu(x, w, v, u):
    return (F.silu(x @ w) * (x @ v)) @ u


def _highway(x, w, b, v, c):
    g = sigmoid(F.linear(x, v, c))
    return g * F.linear(x, w, b) + (1 - g) * x


def _straight(x):
    tenth, third = 0.10000000149011612, 0.30000001192092896
    a = x * tenth
    c = tanh(a + third * x * x - 0.7)
    return c * a + x - 0.25 * c * c


def _masked(pred, target):
    known = ~target.isnan()
    return (pred - target)[known].square().sum() / known.sum()


def _contrast(a, b):
    return F.cross_entropy(a @ b.T, torch.arange(len(a)))


def _dice(pred, target):
    p, axes = sigmoid(pred), tuple(range(1, pred.ndim))
    target = target.to(pred.dtype)
    return 1 - (2 * (p * target).sum(axes) + 1) / ((p + target).sum(axes) + 1)


def _focal(x, t):
    q = sigmoid(torch.where(t > 0, -x, x))
    return q**2 * F.binary_cross_entropy_with_logits(x, t, reduction="none")


def _poisson(x, t, *weight):
    terms = x.exp() - t * x
    return (terms * weight[0][:, None]).sum() / (3 * weight[0].sum()) if weight else terms.mean()


def _divergence(x, t, weight):
    terms = F.kl_div(x, t, reduction="none")
    return (terms * weight[:, None]).sum() / (3 * weight.sum())


def _smoothed(x, t):
    """Unlike PyTorch's, the label's class weight multiplies the whole term."""
    weight = torch.tensor([1.0, 2.0, 0.5])[t] * (t != 1)
    wanted = 0.8 * F.one_hot(t, 3).to(x.dtype) + 0.2 / 3
    return -((wanted * x.log_softmax(1)).sum(1) * weight).sum() / weight.sum()


TWINS = {
    "group norm": lambda x, g, b: F.group_norm(x, 2, g, b),
    "instance norm": lambda x, g, b: F.instance_norm(x, weight=g, bias=b),
    "layer norm of images": lambda x, g, b: F.group_norm(x, 1, g, b),
    "batch norm of rows": lambda x, g, b: F.batch_norm(x, None, None, g, b, True),
    "batch norm of images": lambda x, g, b: F.batch_norm(x, None, None, g, b, True),
    "batch norm without gain": lambda x: F.batch_norm(x, None, None, training=True),
    "centred rows over their deviation": _standard,
    "rms norm": _rms,
    "weight norm": lambda x, v, g: x @ (g * v / v.norm(dim=1, keepdim=True)).T,
    "weight standardisation": lambda x, w: x @ _standard(w).T,
    "rows of length one": F.normalize,
    "rows of length at least one half": lambda x: F.normalize(x, eps=0.5),
    "length of a zero row": lambda x: x.norm(dim=-1),
    "cubic norm of a zero row": lambda x: x.norm(3, dim=-1),
    "maximum norm with ties": lambda x: x.norm(math.inf, dim=-1),
    "variance of rows": lambda x: x.var(-1, correction=0),
    "variance of three and a little": lambda x: x.var(-1, correction=0),
    "layer norm of three and a little": _standard,
    "deviation of rows": lambda x: x.std(-1),
    "local response norm": lambda x: F.local_response_norm(x[..., None], 3, 3.0, 0.75)[..., 0],
    "cosine similarity": F.cosine_similarity,
    "recurrence, all states and the last": _from_zero,
    "recurrence of twenty steps": _from_zero,
    "recurrence with a first state": _rnn,
    "lstm": _lstm,
    "gru": _gru,
    "gru with lengths": _gru,
    "exponential smoothing": _smoothing,
    "cell called at each step": _unrolled,
    "recurrence both ways": _both_ways,
    "self-attention of two heads": _attention(2),
    "causal attention": _attention(2, causal=True),
    "cross-attention": _attention(1),
    "attention with a mask": _attention(2),
    "attention of one query": _pooled,
    "convolution, padded": _conv(padding=1),
    "convolution with stride": _conv(stride=2),
    "dilated convolution": _conv(dilation=2),
    "convolution in groups": _conv(groups=2),
    "convolution of each channel": _conv(groups=3),
    "transposed convolution": lambda x, w: F.conv_transpose2d(x, w, stride=2),
    "causal convolution": _causal_conv,
    "overlapping maximum with ties": lambda x: F.max_pool2d(x, 3, 1),
    "maximum pooling of zeros": lambda x: F.max_pool2d(x, 2),
    "shared maximum with ties": lambda x: F.max_pool2d(x, 2),
    "average pooling, padded": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "adaptive average": lambda x: F.adaptive_avg_pool1d(x, 3),
    "global average": lambda x: x.mean((2, 3)),
    "global maximum with ties": lambda x: x.amax((2, 3)),
    "pooling by length": lambda x: x.unflatten(-1, (-1, 2)).norm(dim=-1),
    "pooling by softmax": lambda x: (lambda p: (p * p.softmax(-1)).sum(-1))(
        x.unflatten(-1, (-1, 2))
    ),
    "reflected at the ends": lambda x: F.pad(x, (2, 2), "reflect"),
    "pixel shuffle": lambda x: F.pixel_shuffle(x, 2),
    "nearest neighbours": lambda x: F.interpolate(x, scale_factor=2),
    "sort with three equal ones": lambda x: x.sort(-1).values,
    "top two": lambda x: x.topk(2).values,
    "median with three equal ones": lambda x: x.median(-1).values,
    "median of an even number": lambda x: x.quantile(0.5, -1),
    "range of rows": lambda x: x.amax(-1) - x.amin(-1),
    "running sum": lambda x: x.cumsum(-1),
    "running maximum with ties": lambda x: x.cummax(-1).values,
    "running product with zeros": lambda x: x.cumprod(-1),
    "product of rows with zeros": lambda x: x.prod(-1),
    "log-sum-exp of rows": lambda x: x.logsumexp(-1),
    "log-sum-exp of 1000": lambda x: x.logsumexp(-1),
    "running log-sum-exp": lambda x: x.logcumsumexp(-1),
    "distances of equal points": lambda x: (x[:, :, None] - x[:, None]).norm(dim=-1),
    "inverse": torch.linalg.inv,
    "logarithm of a determinant": torch.logdet,
    "differences": torch.diff,
    "gathered by an index": lambda x, i: x.gather(-1, i),
    "sums of segments": lambda x, i: torch.zeros_like(x).scatter_add(-1, i, x),
    "boolean mask": lambda x, m: torch.where(m, x * x, 0),
    "softmax with a temperature": lambda x, t: (x / t.exp()).softmax(-1),
    "trilinear form": lambda a, b, t: torch.einsum("ni,nj,ijk->nk", a, b, t),
    "hard swish": F.hardswish,
    "hard swish at its kinks": F.hardswish,
    "relu6": F.relu6,
    "selu": F.selu,
    "mish": F.mish,
    "softplus at 710": F.softplus,
    "logarithm of a sigmoid": F.logsigmoid,
    "soft shrinkage": F.softshrink,
    "hard shrinkage": F.hardshrink,
    "logarithm of a size with sign": lambda x: x.sign() * x.abs().log1p(),
    "smooth size": lambda x: (x * x + 0.01).sqrt(),
    "x - tanh x": F.tanhshrink,
    "sinc at zero": lambda x: torch.sinc(x / math.pi),
    "log-cosh, written for large numbers": lambda x: x.cosh().log(),
    "straight line of float32 constants": _straight,
    "entropy": torch.special.entr,
    "logit": torch.logit,
    "angle of two inputs": torch.atan2,
    "swish with a slope for each feature": lambda x, b: x * sigmoid(b * x),
    "power with a learned exponent": _power,
    "fourier features": lambda x, w: torch.cat([(x @ w).sin(), (x @ w).cos()], -1),
    "swiglu": _swiglu,
    "highway": _highway,
    "squeeze and excitation": lambda x, w: x * sigmoid(x.mean(2) @ w)[..., None],
    "relu(x) - relu(-x) at zero": lambda x: F.relu(x) - F.relu(-x),
    "embedding with a padding index": lambda i, t: t[i] * (i != 0)[..., None],
    "bag of weighted rows": _bag,
    "learned positions": lambda x, t: x + t[: x.shape[1]],
    "one table in and out": lambda i, t: t[i].mean(1) @ t.T,
    "boolean choice": lambda x, on, a, b: x * torch.where(on[:, None], a, b),
    "huber": F.huber_loss,
    "huber at its knees": F.huber_loss,
    "absolute error with ties, summed": lambda x, t: F.l1_loss(x, t, reduction="sum"),
    "quantile": lambda x, t: torch.where(x > t, 0.1 * (x - t), 0.9 * (t - x)).mean(),
    "insensitive to small errors": lambda x, t: F.relu((x - t).abs() - 1).mean(),
    "log-cosh of errors": lambda x, t: ((x - t).cosh().log() + math.log(2)).sum(),
    "charbonnier": lambda x, t: ((x - t) ** 2 + 1e-6).sqrt().mean(),
    "hinge": lambda x, t: F.relu(1 - x * t).sum(),
    "hinge at its margin": lambda x, t: F.relu(1 - x * t).mean(),
    "soft margin": F.soft_margin_loss,
    "exponential margin": lambda x, t: (-x * t).exp().mean(),
    "poisson": _poisson,
    "poisson, weighted": _poisson,
    "focal": lambda x, t: _focal(x, t).mean(),
    "focal, terms": _focal,
    "binary cross-entropy of probabilities": F.binary_cross_entropy,
    "gaussian": lambda x, t: F.gaussian_nll_loss(x[:, 0], t, x[:, 1].exp(), eps=0),
    "dice": lambda x, t: _dice(x, t).mean(),
    "dice of images": lambda x, t: _dice(x, t).sum(),
    "class weights": lambda x, t: F.cross_entropy(
        x, t, torch.tensor([1.0, 0.0, 2.5], dtype=x.dtype)
    ),
    "smoothed labels, one ignored": _smoothed,
    "cross-entropy by hand, far apart": F.cross_entropy,
    "margins of classes": F.multi_margin_loss,
    "divergence": lambda x, t: F.kl_div(x, t, reduction="batchmean"),
    "divergence, weighted": _divergence,
    "missing targets": _masked,
    "triplets": lambda a, p, n: F.relu(((a - p) ** 2).sum(-1) - ((a - n) ** 2).sum(-1) + 1),
    "contrast in the batch": _contrast,
}
