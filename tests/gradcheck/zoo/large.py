"""Planted bugs in tensors of many elements, and in long recurrences."""

import numpy as np

import npnet
from zoo.mutants import FLOAT32, planted
from zoo.recurrences import RNN

_X = (8, 256)
_LONG = (4, 20, 2)


class Wide(npnet.Linear):
    """256 inputs, 256 outputs: 65,536 weights."""

    def __init__(self):
        super().__init__(256, 256, rng=1)

    def forward(self, ctx, x):
        ctx.save(x)
        return x @ self.weight.data.T + self.bias.data

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        ctx.add_grad(self.weight, self.dweight(grad.T @ x))
        ctx.add_grad(self.bias, self.dbias(grad))
        return self.dx(grad @ self.weight.data)

    def dweight(self, dweight):
        return dweight

    def dbias(self, grad):
        return grad.sum(0)

    def dx(self, dx):
        return dx


class Long(RNN):
    """Twenty steps of width 16."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(4)
        self.w = npnet.Parameter(0.5 * rng.normal(size=(2, 16)))
        self.u = npnet.Parameter(0.15 * rng.normal(size=(16, 16)))
        self.b = npnet.Parameter(0.5 * rng.normal(size=16))
        self.start = npnet.Parameter(0.3 * rng.normal(size=16))

    def forward(self, ctx, x):
        states = [np.broadcast_to(self.start.data, (len(x), 16))]
        for t in range(x.shape[1]):
            z = x[:, t] @ self.w.data + states[-1] @ self.u.data + self.b.data
            states.append(np.tanh(z))
        ctx.save(x, *states)
        return np.stack(states[1:], 1)


BASES = ((Wide, (_X,)), (Long, (_LONG,)))


@planted(_X, cause=r"\[100, 7\]")
class WideElement(Wide):
    """One of 65,536 elements of the weight's gradient is halved."""

    def dweight(self, dweight):
        dweight[100, 7] /= 2
        return dweight


@planted(_X, cause=r"\b200\b")
class WideRow(Wide):
    """One row of the weight's gradient is zero."""

    def dweight(self, dweight):
        dweight[200] = 0
        return dweight


@planted(_X, cause=r"\b255\b|last")
class WideColumn(Wide):
    """The last column of the weight's gradient is off by 1 %."""

    def dweight(self, dweight):
        dweight[:, -1] *= 1.01
        return dweight


@planted(_X, cause="transpos")
class WideTransposed(Wide):
    """The weight's gradient is transposed."""

    def dweight(self, dweight):
        return dweight.T


@planted(_X, cause="1/8|batch")
class WideBiasAveraged(Wide):
    """The bias's gradient is a mean over the batch."""

    def dbias(self, grad):
        return grad.mean(0)


@planted(_X, cause=r"sample 3|row 3|\[3, |rows 3")
class WideSample(Wide):
    """The fourth sample's gradient is off by 1 %."""

    def dx(self, dx):
        dx[3:4] *= 1.01
        return dx


@planted(_X, cause=FLOAT32)
class WideFloat32(Wide):
    """In float32 the input's gradient is off by a factor of 0.999."""

    def dx(self, dx):
        return dx * dx.dtype.type(0.999) if dx.dtype == np.float32 else dx


@planted(_LONG, cause=r"time|\bsteps?\b|positions?|earlier|carr(y|ies)|path|along axis 1|last")
class LongTruncated(Long):
    """Only the last ten of twenty steps are connected."""

    def carry(self, dz, t, steps):
        return super().carry(dz, t, steps) if t > steps - 10 else np.zeros_like(dz)


@planted(_LONG, cause="transpos")
class LongTransposed(Long):
    """The carried gradient uses the transposed recurrent weight."""

    def carry(self, dz, t, steps):
        return dz @ self.u.data


@planted(_LONG, cause=r"\[5, 5\]")
class LongElement(Long):
    """One element of the recurrent weight's gradient lacks the last step."""

    def dparameters(self, ctx, dz, x, states, t):
        du = states[t].T @ dz
        du[5, 5] *= t < x.shape[1] - 1
        ctx.add_grad(self.w, x[:, t].T @ dz)
        ctx.add_grad(self.u, du)
        ctx.add_grad(self.b, dz.sum(0))
