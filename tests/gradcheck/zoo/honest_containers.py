"""Honest containers; layers with randomness, buffers and state."""

from __future__ import annotations

import numpy as np

import npnet

# --- containers with branches


class Residual(npnet.Layer):
    """x + f(x), with a child that keeps its output."""

    def __init__(self, child):
        super().__init__()
        self.child = child

    def forward(self, ctx, x):
        return x + ctx.call(self.child, x)

    def backward(self, ctx, grad):
        return grad + ctx.calls.pop().backward(grad)


class Branches(npnet.Layer):
    """A sum over children of the same input."""

    def __init__(self, *children):
        super().__init__()
        self.children = npnet.Sequential(*children)

    def forward(self, ctx, x):
        outputs = [ctx.call(child, x) for child in self.children]
        total = outputs[0] + outputs[1]
        for y in outputs[2:]:
            total += y
        return total

    def backward(self, ctx, grad):
        adopted = ctx.calls.pop().backward(grad)
        total = adopted + ctx.calls.pop().backward(grad)
        while ctx.calls:
            total += ctx.calls.pop().backward(grad)
        return total


class Gate(npnet.Layer):
    """f(x) * g(x), keeping what the children returned."""

    def __init__(self, value, gate):
        super().__init__()
        self.value, self.gate = value, gate

    def forward(self, ctx, x):
        a, b = ctx.call(self.value, x), ctx.call(self.gate, x)
        ctx.save(a, b)
        return a * b

    def backward(self, ctx, grad):
        a, b = ctx.saved
        gate, value = ctx.calls.pop(), ctx.calls.pop()
        return value.backward(grad * b) + gate.backward(grad * a)


class Concat(npnet.Layer):
    def __init__(self, *children):
        super().__init__()
        self.children = npnet.Sequential(*children)

    def forward(self, ctx, x):
        outputs = [ctx.call(child, x) for child in self.children]
        ctx.cuts = np.cumsum([y.shape[-1] for y in outputs])[:-1]
        return np.concatenate(outputs, -1)

    def backward(self, ctx, grad):
        parts = np.split(grad, ctx.cuts, -1)
        return sum(call.backward(part) for call, part in zip(ctx.calls, parts, strict=True))


# --- randomness, buffers, coupling


class Noise(npnet.Layer):
    """Adds noise while training."""

    def forward(self, ctx, x):
        return x + ctx.rng.normal(size=x.shape).astype(x.dtype) if ctx.training else x

    def backward(self, ctx, grad):
        return grad


class NoisyGain(npnet.Layer):
    """Multiplies by random numbers while training, by their mean otherwise."""

    def __init__(self):
        super().__init__()
        self.spread = npnet.Parameter([0.3, 0.4, 0.5])

    def forward(self, ctx, x):
        if not ctx.training:
            ctx.save(x, np.zeros_like(x))
            return 2 * x
        z = ctx.rng.normal(size=x.shape).astype(x.dtype)
        ctx.save(x, z)
        return x * (2 + z * self.spread.data)

    def backward(self, ctx, grad):
        x, z = ctx.saved
        ctx.add_grad(self.spread, (grad * x * z).sum(0))
        return grad * (2 + z * self.spread.data)


class BatchNorm(npnet.Layer):
    """Couples the samples while training, and moves buffers."""

    batch_independent = False

    def __init__(self, size):
        super().__init__()
        self.gain = npnet.Parameter(np.linspace(0.5, 1.5, size))
        self.mean = npnet.Buffer(np.zeros(size, np.float32))
        self.var = npnet.Buffer(np.ones(size, np.float32))
        self.seen = npnet.Buffer(np.zeros((), np.int64))

    def forward(self, ctx, x):
        ctx.by_batch = ctx.training
        if not ctx.training:
            scale = 1 / np.sqrt(self.var + 1e-5)
            normal = (x - self.mean) * scale
        else:
            mean, var = x.mean(0), x.var(0)
            scale = 1 / np.sqrt(var + 1e-5)
            normal = (x - mean) * scale
            if ctx.recording:
                self.mean = 0.9 * self.mean + 0.1 * mean
                self.var = 0.9 * self.var + 0.1 * var
                self.seen = self.seen + 1
        ctx.save(normal, scale)
        return normal * self.gain.data

    def backward(self, ctx, grad):
        normal, scale = ctx.saved
        ctx.add_grad(self.gain, (grad * normal).sum(0))
        grad = grad * self.gain.data
        if not ctx.by_batch:
            return grad * scale
        return scale * (grad - grad.mean(0) - normal * (grad * normal).mean(0))


class Center(npnet.Layer):
    """Subtracts the batch's mean."""

    def forward(self, ctx, x):
        return x - x.mean(0)

    def backward(self, ctx, grad):
        return grad - grad.mean(0)


class CachesMasks(npnet.Layer):
    """Keeps a constant for each length, which is no activation."""

    def __init__(self):
        super().__init__()
        self.masks = {}

    def forward(self, ctx, x):
        n = x.shape[-1]
        if n not in self.masks:
            self.masks[n] = np.tril(np.ones((n, n)))
        ctx.n = n
        return x @ self.masks[n].astype(x.dtype)

    def backward(self, ctx, grad):
        return grad @ self.masks[ctx.n].T.astype(grad.dtype)


class Constant(npnet.Layer):
    """A step function has zero gradients."""

    def forward(self, ctx, x):
        return np.floor(3 * x)

    def backward(self, ctx, grad):
        return np.zeros_like(grad)


class ReadOnlyOutput(npnet.Layer):
    """Spreads row sums over the row without copying."""

    def forward(self, ctx, x):
        return np.broadcast_to(x.sum(-1, keepdims=True), x.shape)

    def backward(self, ctx, grad):
        return np.broadcast_to(grad.sum(-1, keepdims=True), grad.shape)


class DropsByFloat64(npnet.Layer):
    """Dropout that draws float64 numbers whatever its dtype."""

    def forward(self, ctx, x):
        if not ctx.training:
            return x
        mask = ((ctx.rng.random(x.shape) > 0.3) / 0.7).astype(x.dtype)
        ctx.save(mask)
        return x * mask

    def backward(self, ctx, grad):
        return grad * ctx.saved[0] if ctx.saved else grad
