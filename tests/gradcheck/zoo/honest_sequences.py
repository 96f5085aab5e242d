"""Honest recurrences and attentions."""

from __future__ import annotations

import numpy as np

import npnet
from zoo.honest_base import Honest, Weighted, normal


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


class RNN(Weighted):
    """All states of h_t = tanh(x_t W + h_{t-1} U + b), and the last; the first may be given."""

    def __init__(self, size, hidden):
        super().__init__(w=(size, hidden), u=(hidden, hidden), b=hidden)
        self.u.data *= 0.4

    def forward(self, ctx, x, first=None):
        states = [np.zeros((len(x), self.b.data.size), x.dtype) if first is None else first]
        for t in range(x.shape[1]):
            states.append(np.tanh(x[:, t] @ self.w.data + states[-1] @ self.u.data + self.b.data))
        ctx.given = first is not None
        ctx.save(x, *states)
        return np.stack(states[1:], 1), states[-1].copy()

    def backward(self, ctx, dall, dlast):
        x, *states = ctx.saved
        dx = np.zeros_like(x)
        grad = np.zeros_like(states[0]) if dlast is None else dlast
        for t in reversed(range(x.shape[1])):
            if dall is not None:
                grad = grad + dall[:, t]
            grad = grad * (1 - states[t + 1] ** 2)
            ctx.add_grad(self.w, x[:, t].T @ grad)
            ctx.add_grad(self.u, states[t].T @ grad)
            ctx.add_grad(self.b, grad.sum(0))
            dx[:, t] = grad @ self.w.data.T
            grad = grad @ self.u.data.T
        return (dx, grad) if ctx.given else dx


class LSTM(Weighted):
    """States, last state and last cell; gates in the order input, forget, candidate, output."""

    def __init__(self, size, hidden):
        super().__init__(w=(4 * hidden, size), u=(4 * hidden, hidden), b=4 * hidden)
        self.u.data *= 0.5

    def forward(self, ctx, x):
        h = c = np.zeros((len(x), self.u.data.shape[1]), x.dtype)
        steps, states = [], []
        for t in range(x.shape[1]):
            z = x[:, t] @ self.w.data.T + h @ self.u.data.T + self.b.data
            i, f, g, o = np.split(z, 4, 1)
            i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
            before, c = (h, c), f * c + i * g
            h = o * np.tanh(c)
            steps.append((*before, i, f, g, o, np.tanh(c)))
            states.append(h)
        ctx.save(x, steps)
        return np.stack(states, 1), h.copy(), c.copy()

    def backward(self, ctx, *grads):
        x, steps = ctx.saved
        blank = np.zeros_like(steps[0][0])
        dall, dh, dc = grads
        dh, dc = (blank if d is None else d for d in (dh, dc))
        dx = np.zeros_like(x)
        for t in reversed(range(x.shape[1])):
            h, c, i, f, g, o, tanh_c = steps[t]
            dh = dh if dall is None else dh + dall[:, t]
            dc = dc + dh * o * (1 - tanh_c**2)
            parts = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g)
            dz = np.concatenate([*parts, dh * tanh_c * o * (1 - o)], 1)
            ctx.add_grad(self.w, dz.T @ x[:, t])
            ctx.add_grad(self.u, dz.T @ h)
            ctx.add_grad(self.b, dz.sum(0))
            dx[:, t], dh, dc = dz @ self.w.data, dz @ self.u.data, dc * f
        return dx


class GRU(Weighted):
    """The last state, from a first one; with lengths, each row stops after so many steps."""

    takes_integers = (False, False, True)

    def __init__(self, size, hidden):
        super().__init__(w=(3, size, hidden), u=(3, hidden, hidden))

    def forward(self, ctx, x, h, lengths=None):
        steps, (w, u) = [], (self.w.data, self.u.data)
        for t in range(x.shape[1]):
            r = sigmoid(x[:, t] @ w[0] + h @ u[0])
            z = sigmoid(x[:, t] @ w[1] + h @ u[1])
            n = np.tanh(x[:, t] @ w[2] + (r * h) @ u[2])
            live = np.ones((len(x), 1), bool) if lengths is None else (t < lengths)[:, None]
            steps.append((h, r, z, n, live))
            h = np.where(live, (1 - z) * n + z * h, h)
        ctx.save(x, steps)
        ctx.count = 2 if lengths is None else 3
        return h.copy()

    def backward(self, ctx, grad):
        x, steps = ctx.saved
        w, u = self.w.data, self.u.data
        dw, du, dx = np.zeros_like(w), np.zeros_like(u), np.zeros_like(x)
        for t in reversed(range(x.shape[1])):
            h, r, z, n, live = steps[t]
            g, stays = grad * live, grad * ~live
            dn = g * (1 - z) * (1 - n * n)
            drh = dn @ u[2].T
            dz, dr = g * (h - n) * z * (1 - z), drh * h * r * (1 - r)
            for k, (d, inner) in enumerate([(dr, h), (dz, h), (dn, r * h)]):
                dw[k] += x[:, t].T @ d
                du[k] += inner.T @ d
                dx[:, t] += d @ w[k].T
            grad = stays + g * z + drh * r + dr @ u[0].T + dz @ u[1].T
        ctx.add_grad(self.w, dw)
        ctx.add_grad(self.u, du)
        return (dx, grad, None)[: ctx.count]


class Smoothing(Weighted):
    """h_t = a h_{t-1} + (1 - a) x_t with a = sigmoid(parameter) for each feature."""

    def forward(self, ctx, x):
        a = sigmoid(self.rate.data)
        states = [np.zeros_like(x[:, 0])]
        for t in range(x.shape[1]):
            states.append(a * states[-1] + (1 - a) * x[:, t])
        y = np.stack(states, 1)
        ctx.save(x, y, a)
        return y[:, 1:]

    def backward(self, ctx, grad):
        x, y, a = ctx.saved
        dx, state, da = np.empty_like(x), np.zeros_like(x[:, 0]), np.zeros_like(a)
        for t in reversed(range(x.shape[1])):
            state = grad[:, t] + state
            da = da + (state * (y[:, t] - x[:, t])).sum(0)
            dx[:, t] = state * (1 - a)
            state = state * a
        ctx.add_grad(self.rate, da * a * (1 - a))
        return dx


class Cell(Weighted):
    """One step of a recurrence: relu(x W + h U)."""

    def forward(self, ctx, x, h):
        y = np.maximum(x @ self.w.data + h @ self.u.data, 0)
        ctx.save(x, h, y > 0)
        return y

    def backward(self, ctx, grad):
        x, h, on = ctx.saved
        grad = grad * on
        ctx.add_grad(self.w, x.T @ grad)
        ctx.add_grad(self.u, h.T @ grad)
        return grad @ self.w.data.T, grad @ self.u.data.T


class Unrolled(npnet.Layer):
    """A cell that is called once for each step, (n, t, d) -> the last state."""

    def __init__(self, hidden, cell):
        super().__init__()
        self.hidden, self.cell = hidden, cell

    def forward(self, ctx, x):
        h = np.zeros((len(x), self.hidden), x.dtype)
        for t in range(x.shape[1]):
            h = ctx.call(self.cell, x[:, t], h)
        ctx.shape = x.shape
        return h

    def backward(self, ctx, grad):
        dx = np.zeros(ctx.shape, grad.dtype)
        for t in reversed(range(ctx.shape[1])):
            dx[:, t], grad = ctx.calls.pop().backward(grad)
        return dx


class BothWays(npnet.Layer):
    """Two recurrences, one of them from the end, side by side."""

    def __init__(self, size, hidden):
        super().__init__()
        self.there, self.back = RNN(size, hidden), RNN(size, hidden)

    def forward(self, ctx, x):
        there, _ = ctx.call(self.there, x)
        back, _ = ctx.call(self.back, x[:, ::-1])
        return np.concatenate([there, back[:, ::-1]], -1)

    def backward(self, ctx, grad):
        a, b = np.split(grad, 2, -1)
        back = ctx.calls.pop().backward(b[:, ::-1], None)
        return back[:, ::-1] + ctx.calls.pop().backward(a, None)


class MultiHead(Weighted):
    """Attention of queries (n, t, d) to keys (n, s, d); a mask (n, s) says which keys are seen."""

    takes_integers = (False, False, True)

    def __init__(self, size, heads, causal=False):
        super().__init__(q=(size, size), k=(size, size), v=(size, size), o=(size, size))
        self.heads, self.causal = heads, causal

    def apart(self, x):
        return x.reshape(*x.shape[:2], self.heads, x.shape[2] // self.heads).swapaxes(1, 2)

    def together(self, x):
        x = x.swapaxes(1, 2)
        return x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])

    def forward(self, ctx, x, y=None, seen=None):
        ctx.count = 1 + (y is not None) + (seen is not None)
        y = x if y is None else y
        q, k, v = (self.apart(a @ w.data) for a, w in ((x, self.q), (y, self.k), (y, self.v)))
        scores = q @ k.swapaxes(2, 3) * q.shape[-1] ** -0.5
        if self.causal:
            scores = np.where(np.tri(*scores.shape[2:], dtype=bool), scores, -np.inf)
        if seen is not None:
            scores = np.where(seen[:, None, None].astype(bool), scores, -np.inf)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        joined = self.together(p @ v)
        ctx.save(x, y, q, k, v, p, joined)
        return joined @ self.o.data

    def backward(self, ctx, grad):
        x, y, q, k, v, p, joined = ctx.saved
        ctx.add_grad(self.o, np.einsum("nti,ntj->ij", joined, grad))
        grad = self.apart(grad @ self.o.data.T)
        dp = grad @ v.swapaxes(2, 3)
        ds = p * (dp - (dp * p).sum(-1, keepdims=True)) * q.shape[-1] ** -0.5
        dq, dk, dv = ds @ k, ds.swapaxes(2, 3) @ q, p.swapaxes(2, 3) @ grad
        dx, dy = np.zeros_like(x), np.zeros_like(y)
        for w, d, a, da in ((self.q, dq, x, dx), (self.k, dk, y, dy), (self.v, dv, y, dy)):
            d = self.together(d)
            ctx.add_grad(w, np.einsum("nti,ntj->ij", a, d))
            da += d @ w.data.T
        return dx + dy if ctx.count == 1 else (dx, dy, None)[: ctx.count]


class Pooled(Weighted):
    """An attention of one learned query, with its weights as a second output."""

    def forward(self, ctx, x):
        scores = np.tanh(x) @ self.query.data
        p = np.exp(scores - scores.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        ctx.save(x, p)
        return (p[..., None] * x).sum(1), p

    def backward(self, ctx, grad, grad_p):
        x, p = ctx.saved
        dx, dp = np.zeros_like(x), np.zeros_like(p)
        if grad is not None:
            dx += p[..., None] * grad[:, None]
            dp += (x * grad[:, None]).sum(-1)
        if grad_p is not None:
            dp += grad_p
        ds = p * (dp - (dp * p).sum(1, keepdims=True))
        ctx.add_grad(self.query, np.einsum("nt,ntd->d", ds, np.tanh(x)))
        return dx + ds[..., None] * self.query.data * (1 - np.tanh(x) ** 2)


class Rotary(npnet.Layer):
    """Pairs of features turned by an angle that grows with the position; cached by shape."""

    def __init__(self):
        super().__init__()
        self.turns = {}

    def forward(self, ctx, x):
        ctx.turn = self._turn(x.shape[1:], x.dtype)
        return self._turned(x, *ctx.turn)

    def backward(self, ctx, grad):
        cos, sin = ctx.turn
        return self._turned(grad, cos, -sin)

    def _turn(self, shape, dtype):
        if (shape, dtype) not in self.turns:
            rates = 10.0 ** -np.arange(shape[1] // 2)
            angles = np.arange(shape[0])[:, None] * rates
            self.turns[shape, dtype] = np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)
        return self.turns[shape, dtype]

    @staticmethod
    def _turned(x, cos, sin):
        a, b = x[..., ::2], x[..., 1::2]
        return np.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(x.shape)


_SEEN = np.array([[True, True, False], [True, False, True]])

CASES: dict[str, Honest] = {
    "recurrence, all states and the last": Honest(lambda: RNN(2, 3), ((3, 4, 2),)),
    "recurrence with a first state": Honest(lambda: RNN(2, 3), (normal(3, 4, 2), normal(3, 3))),
    "recurrence of twenty steps": Honest(lambda: RNN(3, 4), (normal(2, 20, 3),)),
    "lstm": Honest(lambda: LSTM(2, 3), ((3, 4, 2),)),
    "lstm, saturated": Honest(lambda: LSTM(2, 3), (normal(2, 3, 2, scale=20.0),)),
    "gru": Honest(lambda: GRU(2, 3), (normal(3, 4, 2), normal(3, 3))),
    "gru, saturated": Honest(lambda: GRU(2, 2), (normal(2, 3, 2, scale=40.0), normal(2, 2))),
    "gru with lengths": Honest(
        lambda: GRU(2, 3), (normal(3, 4, 2), normal(3, 3), np.array([4, 2, 1]))
    ),
    "exponential smoothing": Honest(lambda: Smoothing(rate=3), ((2, 5, 3),)),
    "cell called at each step": Honest(
        lambda: Unrolled(3, Cell(w=(2, 3), u=(3, 3))), (normal(3, 4, 2),)
    ),
    "recurrence both ways": Honest(lambda: BothWays(2, 3), ((2, 4, 2),)),
    "self-attention of two heads": Honest(lambda: MultiHead(4, 2), ((2, 3, 4),)),
    "attention, saturated": Honest(lambda: MultiHead(2, 1), (normal(2, 3, 2, scale=10.0),)),
    "causal attention, saturated": Honest(
        lambda: MultiHead(2, 2, causal=True), (np.array([[[10.0, 2.5], [10.0, 10.0]]]),)
    ),
    "causal attention": Honest(lambda: MultiHead(4, 2, causal=True), (normal(2, 3, 4),)),
    "cross-attention": Honest(lambda: MultiHead(4, 1), (normal(2, 2, 4), normal(2, 3, 4))),
    "cross-attention, saturated": Honest(
        lambda: MultiHead(2, 2),
        (
            np.array([[[3.77270918, 5.55295161]], [[4.37174059, 1.35828857]]]),
            np.array(
                [
                    [
                        [-0.39723836, 4.20430877],
                        [-10.66267598, 13.34774348],
                        [-5.84633915, 5.15503541],
                    ],
                    [
                        [7.27673735, 1.29580799],
                        [-1.03841859, -10.98207233],
                        [0.41631392, -2.0429086],
                    ],
                ]
            ),
        ),
    ),  # products that cancel in backward
    "attention with a mask": Honest(
        lambda: MultiHead(4, 2), (normal(2, 2, 4), normal(2, 3, 4), _SEEN)
    ),
    "attention of one query": Honest(lambda: Pooled(query=3), ((2, 4, 3),)),
    "rotary positions": Honest(Rotary, ((2, 5, 4),)),
}
