"""Planted bugs in recurrent layers: RNN, LSTM and GRU, single steps and whole sequences."""

import numpy as np

import npnet
from zoo.mutants import FLOAT32, STALE, lacks, normal, planted

_X = (3, 4, 2)


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def _weights(layer, hidden, gates):
    rng = np.random.default_rng(3)
    width = hidden * gates
    layer.w = npnet.Parameter(0.7 * rng.normal(size=(2, width)))
    layer.u = npnet.Parameter(0.7 * rng.normal(size=(hidden, width)))
    layer.b = npnet.Parameter(0.5 * rng.normal(size=width))


class RNN(npnet.Layer):
    """h_t = tanh(x_t w + h_{t-1} u + b) from a learned h_0: (n, t, 2) -> (n, t, 3), all states."""

    def __init__(self):
        super().__init__()
        _weights(self, 3, 1)
        self.start = npnet.Parameter(np.array([0.3, -0.2, 0.1]))

    def forward(self, ctx, x):
        states = [np.broadcast_to(self.start.data, (len(x), 3))]
        for t in range(x.shape[1]):
            z = x[:, t] @ self.w.data + states[-1] @ self.u.data + self.b.data
            states.append(np.tanh(z))
        ctx.save(x, *states)
        return np.stack(states[1:], 1)

    def backward(self, ctx, grad):
        x, *states = ctx.saved
        dx, carry = np.zeros_like(x), np.zeros_like(states[0])
        for t in reversed(range(x.shape[1])):
            dz = self.dz(grad[:, t] + carry, states[t + 1])
            self.dparameters(ctx, dz, x, states, t)
            dx[:, t] = dz @ self.w.data.T
            carry = self.carry(dz, t, x.shape[1])
        ctx.add_grad(self.start, self.dstart(carry))
        return dx

    def dz(self, grad, h):
        return grad * (1 - h * h)

    def dparameters(self, ctx, dz, x, states, t):
        ctx.add_grad(self.w, x[:, t].T @ dz)
        ctx.add_grad(self.u, states[t].T @ dz)
        ctx.add_grad(self.b, dz.sum(0))

    def carry(self, dz, t, steps):
        return dz @ self.u.data.T

    def dstart(self, carry):
        return carry.sum(0)


class LSTMCell(npnet.Layer):
    """One step (x, h, c) -> (h', c') with the gates i, f, o and the candidate g."""

    def __init__(self):
        super().__init__()
        _weights(self, 3, 4)

    def forward(self, ctx, x, h, c):
        z = x @ self.w.data + h @ self.u.data + self.b.data
        i, f, o = np.split(sigmoid(z[:, :9]), 3, 1)
        g = np.tanh(z[:, 9:])
        new = f * c + i * g
        ctx.save(x, h, c, i, f, o, g, np.tanh(new))
        return o * np.tanh(new), new

    def backward(self, ctx, dh, dc):
        x, h, c, i, f, o, g, tanh = ctx.saved
        dh = np.zeros_like(c) if dh is None else dh
        dc = np.zeros_like(c) if dc is None else dc
        dc = self.dcell(dh, dc, o, tanh)
        di, df, do, dg = self.dgates(dh, dc, c, i, g, tanh)
        gates = self.slopes(di, df, do, i, f, o)
        dz = np.concatenate([*gates, dg * (1 - g * g)], 1)
        ctx.add_grad(self.w, x.T @ dz)
        ctx.add_grad(self.u, h.T @ dz)
        ctx.add_grad(self.b, dz.sum(0))
        return dz @ self.w.data.T, dz @ self.u.data.T, self.dc(dc, f)

    def dcell(self, dh, dc, o, tanh):
        return dc + dh * o * (1 - tanh * tanh)

    def dgates(self, dh, dc, c, i, g, tanh):
        return dc * g, dc * c, dh * tanh, dc * i

    def slopes(self, di, df, do, i, f, o):
        return di * i * (1 - i), df * f * (1 - f), do * o * (1 - o)

    def dc(self, dc, f):
        return dc * f


class GRUCell(npnet.Layer):
    """One step (x, h) -> z h + (1 - z) g with g = tanh(x w + (r h) u + b)."""

    def __init__(self):
        super().__init__()
        _weights(self, 3, 3)

    def forward(self, ctx, x, h):
        a = x @ self.w.data + self.b.data
        u = self.u.data
        z, r = np.split(sigmoid(a[:, :6] + h @ u[:, :6]), 2, 1)
        g = np.tanh(a[:, 6:] + (r * h) @ u[:, 6:])
        ctx.save(x, h, z, r, g)
        return z * h + (1 - z) * g

    def backward(self, ctx, grad):
        x, h, z, r, g = ctx.saved
        u = self.u.data
        dg = grad * (1 - z) * (1 - g * g)
        drh = dg @ u[:, 6:].T
        dz, dr = self.dgates(grad, drh, h, z, r, g)
        da = np.concatenate([dz, dr, dg], 1)
        ctx.add_grad(self.w, x.T @ da)
        ctx.add_grad(self.u, self.du(h, r, da))
        ctx.add_grad(self.b, da.sum(0))
        return da @ self.w.data.T, self.dh(grad, da, drh, z, r)

    def dgates(self, grad, drh, h, z, r, g):
        return grad * (h - g) * z * (1 - z), drh * h * r * (1 - r)

    def du(self, h, r, da):
        return np.concatenate([h.T @ da[:, :6], (r * h).T @ da[:, 6:]], 1)

    def dh(self, grad, da, drh, z, r):
        return grad * z + drh * r + da[:, :6] @ self.u.data[:, :6].T


class LSTM(npnet.Layer):
    """A whole sequence (n, t, 2) -> the last state (n, 3), by an LSTMCell."""

    def __init__(self):
        super().__init__()
        self.cell = LSTMCell()

    def forward(self, ctx, x):
        h = c = np.zeros((len(x), 3), x.dtype)
        for t in range(x.shape[1]):
            h, c = ctx.call(self.cell, np.ascontiguousarray(x[:, t]), h, c)
        ctx.shape = x.shape
        return h

    def backward(self, ctx, grad):
        dx, dh, dc = np.zeros(ctx.shape, grad.dtype), grad, np.zeros_like(grad)
        while ctx.calls:
            t = len(ctx.calls) - 1
            dstep, dh, dc = ctx.calls.pop().backward(dh, dc)
            dx[:, self.place(t, ctx.shape[1])] = dstep
            dh, dc = self.passed(dh, dc, t, ctx.shape[1])
        return dx

    def place(self, t, steps):
        return t

    def passed(self, dh, dc, t, steps):
        return dh, dc


_STEP = ((4, 2), (4, 3))
_CELL = ((4, 2), (4, 3), (4, 3))
BASES = ((RNN, (_X,)), (LSTMCell, _CELL), (GRUCell, _STEP), (LSTM, (_X,)))
_TIME = r"time|\bsteps?\b|positions?|earlier|carr(y|ies)|path|recurr|along axis 1|last"


@planted((2, 20, 2), cause=_TIME)
class RNNTruncated(RNN):
    """Only the last five of twenty steps are connected."""

    def carry(self, dz, t, steps):
        return super().carry(dz, t, steps) if t > steps - 5 else np.zeros_like(dz)


@planted(_X, cause=_TIME)
class RNNWithoutCarry(RNN):
    """Nothing is handed to the step before."""

    def carry(self, dz, t, steps):
        return np.zeros_like(dz)


@planted(_X, cause=r"shift|off by one|next|time|step|axis")
class RNNShifted(RNN):
    """The recurrent weight's gradient takes the new state instead of the old one."""

    def dparameters(self, ctx, dz, x, states, t):
        ctx.add_grad(self.w, x[:, t].T @ dz)
        ctx.add_grad(self.u, states[t + 1].T @ dz)
        ctx.add_grad(self.b, dz.sum(0))


@planted(_X, cause=_TIME + "|first|last|sum")
class RNNBiasOfLastStep(RNN):
    """The bias gets the gradient of the last step alone."""

    def dparameters(self, ctx, dz, x, states, t):
        ctx.add_grad(self.w, x[:, t].T @ dz)
        ctx.add_grad(self.u, states[t].T @ dz)
        if t == x.shape[1] - 1:
            ctx.add_grad(self.b, dz.sum(0))


@planted(_X, cause=lacks("factor|derivative|tanh") + r"|1 - |output")
class RNNWithoutTanh(RNN):
    """The derivative of tanh is missing."""

    def dz(self, grad, h):
        return grad


@planted(normal(3, 4, 2), cause="transpos|axes of u")
class RNNTransposed(RNN):
    """The carried gradient uses the transposed recurrent weight."""

    def carry(self, dz, t, steps):
        return dz @ self.u.data


@planted(_X, cause="order|flip|revers|axis 1")
class RNNReversed(RNN):
    """The input's gradient runs backwards in time."""

    def backward(self, ctx, grad):
        return super().backward(ctx, grad)[:, ::-1].copy()


@planted(_X, cause="upstream|output|earlier|last")
class RNNLastUpstream(RNN):
    """The upstream gradient of the last step alone is used."""

    def backward(self, ctx, grad):
        last = np.zeros_like(grad)
        last[:, -1:] = grad[:, -1:]
        return super().backward(ctx, last)


@planted(_X, cause="zero")
class RNNStartForgotten(RNN):
    """The learned first state gets no gradient."""

    def dstart(self, carry):
        return np.zeros(3, carry.dtype)


@planted(_X, cause="batch|sample|sum")
class RNNStartOfFirst(RNN):
    """The gradient of the learned first state is that of the first sample."""

    def dstart(self, carry):
        return carry[:1].sum(0)


@planted((3, 6, 2), cause="proportional|linear|clip|clamp")
class RNNClips(RNN):
    """The carried gradient is clipped."""

    def carry(self, dz, t, steps):
        return np.clip(super().carry(dz, t, steps), -0.5, 0.5)


@planted(_X, cause=STALE)
class RNNKeepsState(RNN):
    """The last state of a call is where the next one starts."""

    def __init__(self):
        super().__init__()
        self.last = {}

    def forward(self, ctx, x):
        y = super().forward(ctx, x + self.last.get(x.shape, x.dtype.type(0)))
        self.last[x.shape] = 0.1 * x
        return y


@planted(_X, cause=r"factor|1/4|averag|mean|times")
class RNNAveragesSteps(RNN):
    """The input weight's gradient is divided by the number of steps."""

    def dparameters(self, ctx, dz, x, states, t):
        ctx.add_grad(self.w, x[:, t].T @ dz / x.shape[1])
        ctx.add_grad(self.u, states[t].T @ dz)
        ctx.add_grad(self.b, dz.sum(0))


@planted(_X, cause=FLOAT32)
class RNNFloat32(RNN):
    """In float32 the carried gradient is halved."""

    def carry(self, dz, t, steps):
        found = super().carry(dz, t, steps)
        return found / 2 if found.dtype == np.float32 else found


@planted(*_CELL, cause=r"output|path|term|\bh\b")
class LSTMCellStateAlone(LSTMCell):
    """The cell gets no gradient from the new hidden state."""

    def dcell(self, dh, dc, o, tanh):
        return dc


@planted(*_CELL, cause=r"output 1|output 2|second output|outputs?\[1\]|of output|per output")
class LSTMCellIgnoresCell(LSTMCell):
    """The upstream gradient of the new cell is not used."""

    def dcell(self, dh, dc, o, tanh):
        return dh * o * (1 - tanh * tanh)


@planted(*_CELL, cause=r"output 0|output 1|first output|outputs?\[0\]|of output|factor|term")
class LSTMCellWithoutOutputGate(LSTMCell):
    """The way from the hidden state to the cell lacks the output gate."""

    def dcell(self, dh, dc, o, tanh):
        return dc + dh * (1 - tanh * tanh)


@planted(normal(4, 2), normal(4, 3), normal(4, 3), cause="swap|permut|order|exchang|column|block")
class LSTMCellGatesSwapped(LSTMCell):
    """The gradients of input and forget gate are swapped."""

    def slopes(self, di, df, do, i, f, o):
        i, f, o = super().slopes(di, df, do, i, f, o)
        return f, i, o


@planted(*_CELL, cause=lacks("factor|gate|forget") + "|factor")
class LSTMCellForgetsForget(LSTMCell):
    """The old cell's gradient lacks the forget gate."""

    def dc(self, dc, f):
        return dc


@planted(*_CELL, cause=lacks("factor|derivative|sigmoid") + "|columns? [6-8]|axis 1")
class LSTMCellOutputSlope(LSTMCell):
    """The output gate's slope is o instead of o (1 - o)."""

    def slopes(self, di, df, do, i, f, o):
        return di * i * (1 - i), df * f * (1 - f), do * o


@planted(*_STEP, cause=lacks("path|term|gate") + "|path|term")
class GRUCellWithoutReset(GRUCell):
    """The gradient through the reset gate is missing."""

    def dgates(self, grad, drh, h, z, r, g):
        return grad * (h - g) * z * (1 - z), np.zeros_like(drh)


@planted(*_STEP, cause="sign|minus|negat|-1|column|block|opposite|path|axis 1")
class GRUCellSign(GRUCell):
    """The update gate's gradient has the wrong sign."""

    def dgates(self, grad, drh, h, z, r, g):
        return grad * (g - h) * z * (1 - z), drh * h * r * (1 - r)


@planted(*_STEP, cause=lacks("path|term|direct") + "|path|term|multiple of")
class GRUCellWithoutSkip(GRUCell):
    """The direct way from the old state to the new one is missing."""

    def dh(self, grad, da, drh, z, r):
        return drh * r + da[:, :6] @ self.u.data[:, :6].T


@planted(normal(4, 2), normal(4, 3), cause=lacks("factor|gate|reset") + "|column|block|axis 1")
class GRUCellWeightWithoutReset(GRUCell):
    """The candidate's weight gets its gradient from h instead of r h."""

    def du(self, h, r, da):
        return h.T @ da


@planted((2, 5, 2), cause=_TIME + "|child|cell|term")
class LSTMForgetsCell(LSTM):
    """The cell's gradient is not handed to the step before."""

    def passed(self, dh, dc, t, steps):
        return dh, np.zeros_like(dc)


@planted((2, 20, 2), cause=_TIME)
class LSTMTruncated(LSTM):
    """Only the last ten of twenty steps are connected."""

    def passed(self, dh, dc, t, steps):
        keep = t > steps - 10
        return dh * keep, dc * keep


@planted((3, 5, 2), cause="shift|off by one|rolled|order|moved")
class LSTMShifted(LSTM):
    """The input's gradient is shifted by one step."""

    def place(self, t, steps):
        return (t + 1) % steps
