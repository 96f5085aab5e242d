"""Recurrent networks: a step of each kind, its derivative, and passes through time.

The pre-activations of a step stand in an array of gates, in blocks of `hidden` columns. The step
turns them into the gates themselves, from which its derivative is computed, and the derivative
writes the gradients of the pre-activations over them. So the gradients of the weights and of the
input are one product each over all steps.

Blocks of the modes "RNN_TANH" and "RNN_RELU": h. Of "LSTM": i, f, g, o. Of "GRU": n, r, z, m, where
m is the state's part of n: the input gives n, r, z, the state r, z, m.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from npnet.ops.elementwise import constant, sigmoid
from npnet.ops.kernels import kernel
from npnet.typing import Array

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}
"""Blocks of `hidden` rows that the weights of a kind have."""


# --- one step: (n, hidden), and arrays of gates (n, blocks * hidden)


@kernel
def rnn_step(gates: Array, product: Array, relu: bool, h: Array) -> None:
    """Write f(gates + product), f being tanh or max(., 0), into h."""
    np.add(gates, product, out=h)
    if relu:
        np.maximum(h, 0, out=h)
    else:
        np.tanh(h, out=h)


@kernel
def rnn_step_grad(gates: Array, h: Array, relu: bool, dy: Array, dh: Array) -> None:
    """Write (dh + dy) f' over the gates."""
    dh += dy
    if relu:
        gates[...] = np.where(h <= 0, 0, dh)
    else:
        np.square(h, out=gates)
        np.subtract(1, gates, out=gates)
        gates *= dh


@kernel
def lstm_step(gates: Array, product: Array, c: Array, h_next: Array, c_next: Array) -> None:
    """Write c' = f c + i g and h' = o tanh(c'); turn the sums gates + product into i, f, g, o."""
    n = c.shape[1]
    gates += product
    g = np.tanh(gates[:, 2 * n : 3 * n])
    sigmoid(gates, gates)
    gates[:, 2 * n : 3 * n] = g
    i, f, o = gates[:, :n], gates[:, n : 2 * n], gates[:, 3 * n :]
    np.multiply(f, c, out=c_next)
    g *= i
    c_next += g
    np.tanh(c_next, out=h_next)
    h_next *= o


@kernel
def lstm_step_grad(gates: Array, c: Array, c_next: Array, dy: Array, dh: Array, dc: Array) -> None:
    """Write the gradients of the pre-activations over i, f, g, o, and that of c over that of c'."""
    n = c.shape[1]
    i, f, g, o = (gates[:, k * n : (k + 1) * n] for k in range(4))
    dh += dy
    t = np.tanh(c_next)
    slope = np.square(t)
    np.subtract(1, slope, out=slope)
    slope *= o
    slope *= dh
    dc += slope
    t *= dh  # the gradient of o
    np.subtract(1, o, out=slope)
    slope *= o
    np.multiply(t, slope, out=o)
    slopes = 1 - gates[:, : 2 * n]  # of i and f
    slopes *= gates[:, : 2 * n]
    np.multiply(dc, g, out=t)  # the gradient of i
    np.square(g, out=g)
    np.subtract(1, g, out=g)
    g *= i
    g *= dc
    np.multiply(t, slopes[:, :n], out=i)
    np.multiply(dc, c, out=t)  # of f
    dc *= f
    np.multiply(t, slopes[:, n:], out=f)


@kernel
def gru_step(gates: Array, product: Array, h: Array, h_next: Array) -> None:
    """Write h' = n + z (h - n) with n = tanh(n + r m); turn the sums into n, r, z, m."""
    n = h.shape[1]
    gates[:, n:] += product
    new, r, m = gates[:, :n], gates[:, n : 2 * n], gates[:, 3 * n :]
    sigmoid(gates[:, n : 3 * n], gates[:, n : 3 * n])
    new += r * m
    np.tanh(new, out=new)
    np.subtract(h, new, out=h_next)
    h_next *= gates[:, 2 * n : 3 * n]
    h_next += new


@kernel
def gru_step_grad(gates: Array, h: Array, dy: Array, dh: Array) -> None:
    """Write the gradients of the pre-activations over n, r, z, m, and z dh' over dh'."""
    n = h.shape[1]
    new, r, z, m = (gates[:, k * n : (k + 1) * n] for k in range(4))
    dh += dy
    dz = h - new
    dz *= dh
    slope = 1 - z
    dnew = dh * slope
    dh *= z
    slope *= z
    np.multiply(dz, slope, out=z)
    np.square(new, out=slope)
    np.subtract(1, slope, out=slope)
    np.multiply(dnew, slope, out=new)
    np.subtract(1, r, out=slope)
    slope *= r
    slope *= m
    np.multiply(new, r, out=m)
    np.multiply(new, slope, out=r)


# --- all steps


class Weights(NamedTuple):
    """The weights of one direction of one layer, in PyTorch's layout."""

    ih: Array  # (GATES * hidden, input_size)
    hh: Array  # (GATES * hidden, size)
    b_ih: Array | None  # (GATES * hidden,)
    b_hh: Array | None
    hr: Array | None  # (size, hidden), what an LSTM projects its state with


class Run(NamedTuple):
    """What one direction of one layer computed: steps T, a batch of n, in order of time."""

    mode: str  # a key of GATES
    gates: Array  # (T, n, blocks * hidden)
    states: Array  # (T + 1, n, size), the initial one included
    cells: Array | None  # (T + 1, n, hidden), of an LSTM
    unprojected: Array | None  # (T, n, hidden), of an LSTM with a projection
    lengths: Array | None  # (n,), descending: rows that are over take no part in a step
    reverse: bool  # whether time runs backward

    @property
    def y(self) -> Array:
        """The states after each step, 0 where a row is over: (T, n, size)."""
        y = self.states[:-1] if self.reverse else self.states[1:]
        if self.reverse and self.lengths is not None:  # initial states stand behind the ends
            over = np.arange(len(y))[:, np.newaxis] >= self.lengths
            if y[over].any():
                y = y.copy()
                y[over] = 0
        return y

    @property
    def start(self) -> Any:
        """Where the initial states stand among the states."""
        return self._end if self.reverse else 0

    @property
    def last(self) -> Any:
        """Where the final states stand among the states."""
        return 0 if self.reverse else self._end

    @property
    def ends(self) -> tuple[Array, ...]:
        """The state, and of an LSTM the cell, after the last step of each row."""
        return tuple(a[self.last] for a in (self.states, self.cells) if a is not None)

    @property
    def _end(self) -> Any:
        return -1 if self.lengths is None else (self.lengths, np.arange(len(self.lengths)))

    @property
    def steps(self) -> list[tuple[int, int, int, int]]:
        """Each step's number, its rows, and where the states before and after it stand."""
        count, rows = self.gates.shape[:2]
        sizes = [rows] * count
        if self.lengths is not None:
            sizes = np.searchsorted(-self.lengths, -np.arange(count)).tolist()
        order = range(count - 1, -1, -1) if self.reverse else range(count)
        return [(t, sizes[t], t + self.reverse, t + (not self.reverse)) for t in order]

    @property
    def of_input(self) -> Array:
        """The columns of the gates that the input has a part in, of all steps in rows."""
        flat = self.gates.reshape(-1, self.gates.shape[2])
        return flat[:, : flat.shape[1] // 4 * 3] if self.mode == "GRU" else flat

    @property
    def of_state(self) -> Array:
        """The columns of the gates that the state has a part in, of all steps in rows."""
        flat = self.gates.reshape(-1, self.gates.shape[2])
        return flat[:, flat.shape[1] // 4 :] if self.mode == "GRU" else flat


def forward(
    mode: str,
    x: Array,
    h0: Array | None,
    c0: Array | None,
    w: Weights,
    lengths: Array | None = None,
    reverse: bool = False,
) -> Run:
    """Run one direction of one layer through time.

    Parameters
    ----------
    mode : str
        A key of `GATES`.
    x : ndarray, shape (T, n, input_size)
    h0, c0 : ndarray, shape (n, size) and (n, hidden), or None
        None stands for zeros.
    w : Weights
    lengths : ndarray of intp, shape (n,), or None
        Steps of each row, descending; all of them if None. Behind them x is 0.
    reverse : bool
        Begin with the last step of each row.

    Returns
    -------
    Run
    """
    count, rows = x.shape[:2]
    width, size = w.hh.shape
    hidden = width // GATES[mode]
    make = np.empty if lengths is None else np.zeros
    gates = np.empty((count, rows, width + hidden * (mode == "GRU")), x.dtype)
    states = make((count + 1, rows, size), x.dtype)
    cells = make((count + 1, rows, hidden), x.dtype) if mode == "LSTM" else None
    free = None if w.hr is None else make((count, rows, hidden), x.dtype)
    run = Run(mode, gates, states, cells, free, lengths, reverse)
    for array, start in ((states, h0), (cells, c0)):
        if array is not None:
            array[run.start] = 0 if start is None else start
    _input_part(run, x, w)
    turned = np.ascontiguousarray(w.hh.T)  # with which small products take half the time
    product = np.empty((rows, width), x.dtype)
    for t, n, old, new in run.steps:
        now, h, h_next = gates[t, :n], states[old, :n], states[new, :n]
        hw = h.dot(turned, product[:n])
        if cells is None:
            if mode == "GRU":
                gru_step(now, hw, h, h_next)
            else:
                rnn_step(now, hw, mode == "RNN_RELU", h_next)
        elif w.hr is None or free is None:
            lstm_step(now, hw, cells[old, :n], h_next, cells[new, :n])
        else:
            lstm_step(now, hw, cells[old, :n], free[t, :n], cells[new, :n])
            np.dot(free[t, :n], w.hr.T, out=h_next)
    return run


def _input_part(run: Run, x: Array, w: Weights) -> None:
    """Write the input's part of all steps' gates, and the biases."""
    gates, rows = run.gates.reshape(-1, run.gates.shape[2]), x.reshape(-1, x.shape[2])
    if run.mode == "GRU":
        np.matmul(rows, _n_first(w.ih).T, out=run.of_input)
        gates[:, run.of_input.shape[1] :] = 0
    else:
        np.dot(rows, w.ih.T, out=gates)
    if w.b_ih is not None and w.b_hh is not None:
        bias = np.zeros(gates.shape[1], gates.dtype)
        if run.mode == "GRU":
            bias[: len(w.b_ih)] = _n_first(w.b_ih)
        else:
            bias += w.b_ih
        bias[-len(w.b_hh) :] += w.b_hh
        gates += bias


def _n_first(a: Array) -> Array:
    """Return the blocks r, z, n in the order n, r, z."""
    return np.roll(a, len(a) // 3, axis=0)


def _n_last(a: Array) -> Array:
    """Return the blocks n, r, z in the order r, z, n."""
    return np.roll(a, -(len(a) // 3), axis=0)


class Grads(NamedTuple):
    """What `backward` returns beside the gradients that it writes over the gates."""

    h0: Array  # (n, size)
    c0: Array | None  # (n, hidden), of an LSTM
    h: Array | None  # (T, n, size), of the states after each step, with a projection


def backward(run: Run, w: Weights, dy: Array | None, dh: Array | None, dc: Array | None) -> Grads:
    """Run through time in reverse; write the gradients of the pre-activations over the gates.

    Parameters
    ----------
    run : Run
        What `forward` returned.
    w : Weights
    dy : ndarray, shape (T, n, size), contiguous, or None
        Gradient of the states after each step.
    dh, dc : ndarray, shape (n, size) and (n, hidden), or None
        Gradients of the state and the cell after the last step.

    Returns
    -------
    Grads
    """
    gates, states, cells = run.gates, run.states, run.cells
    rows, size = states.shape[1:]
    hidden = w.hh.shape[0] // GATES[run.mode]
    dh = np.zeros((rows, size), gates.dtype) if dh is None else dh.copy()
    if cells is not None:
        dc = np.zeros((rows, hidden), gates.dtype) if dc is None else dc.copy()
    nothing = np.zeros((rows, hidden if w.hr is not None else size), gates.dtype)
    all_dh = None if w.hr is None else np.zeros((len(gates), rows, size), gates.dtype)
    for t, n, old, new in reversed(run.steps):
        now, d = gates[t, :n], dh[:n]
        if n < rows:
            gates[t, n:] = 0
        up = nothing[:n] if dy is None or all_dh is not None else dy[t, :n]
        if cells is None or dc is None:
            if run.mode == "GRU":
                gru_step_grad(now, states[old, :n], up, d)
                d += now[:, hidden:].dot(w.hh)
                continue
            rnn_step_grad(now, states[new, :n], run.mode == "RNN_RELU", up, d)
        else:
            if w.hr is None or all_dh is None:
                free = d
            else:
                all_dh[t, :n] = d if dy is None else d + dy[t, :n]
                free = all_dh[t, :n].dot(w.hr)
            lstm_step_grad(now, cells[old, :n], cells[new, :n], up, free, dc[:n])
        now.dot(w.hh, d)
    return Grads(dh, dc, all_dh)


def input_grad(run: Run, w: Weights) -> Array:
    """Return the gradient of x, after `backward`."""
    weight = _n_first(w.ih) if run.mode == "GRU" else w.ih
    dx: Array = run.of_input.dot(weight)
    return dx.reshape(*run.gates.shape[:2], weight.shape[1])


def weight_grad(name: str, run: Run, grads: Grads, x: Array | None) -> Array:
    """Return the gradient of the weight of this name in `Weights`, after `backward`."""
    columns = run.of_input if name.endswith("ih") else run.of_state
    if name.startswith("b_"):
        found = constant(1.0, columns.shape[:1], columns.dtype).dot(columns)  # the fastest sum
    elif name == "hr":
        return _product(grads.h, run.unprojected)
    else:
        found = _product(columns, x if name == "ih" else _before(run))
    return _n_last(found) if run.mode == "GRU" and name.endswith("ih") else found


def _before(run: Run) -> Array:
    """Return the states that the steps began with: (T, n, size)."""
    return run.states[1:] if run.reverse else run.states[:-1]


def _product(a: Any, b: Any) -> Array:
    """Return the sum over steps and rows of the outer products of two arrays' last axes."""
    product: Array = a.reshape(-1, a.shape[-1]).T.dot(b.reshape(-1, b.shape[-1]))
    return product
