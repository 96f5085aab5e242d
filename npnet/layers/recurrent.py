"""Recurrent layers: RNN, LSTM and GRU over sequences, and cells that make one step."""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.arguments import choice, whole_number
from npnet.context import Context
from npnet.recurrent import RecurrentCell, RecurrentStack
from npnet.typing import Array, DtypeLike, Rng

_KINDS = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}


class GRU(RecurrentStack):
    """Run gated recurrent units over sequences: (output, h_n) = gru(x, h0, lengths).

    From x_t and the last state h each step makes ::

        r = sigmoid(W_ir x_t + b_ir + W_hr h + b_hr)
        z = sigmoid(W_iz x_t + b_iz + W_hz h + b_hz)
        n = tanh(W_in x_t + b_in + r (W_hn h + b_hn))
        h' = (1 - z) n + z h

    Weights and biases start uniform in (-k, k) with k = hidden_size^(-1/2).

    A call takes x of T steps of N sequences, (T, N, input_size), or of one, (T, input_size), and,
    by position or by name, `h0` and `lengths`, which may be None. It returns all states of the last
    layer, (T, N, hidden_size), and the final state of every layer, (num_layers, N, hidden_size),
    the shape of `h0`, whose default is 0. With `lengths`, integers of shape (N,), a sequence ends
    after so many steps, whatever stands behind: there the output is 0, the final state is that of
    the last step, and the reverse direction begins there. PyTorch packs sequences for that.

    Parameters
    ----------
    input_size : int
        Features of a step.
    hidden_size : int
        Features of a state.
    num_layers : int
        Layers, each reading the states of the one below.
    bias : bool
        False leaves the biases out.
    batch_first : bool
        Whether x and the output are (N, T, features). States keep their axes.
    dropout : float
        Probability with which what a layer reads of the one below is dropped in training.
    bidirectional : bool
        Whether every layer also reads from the end. Its states are then those of both directions,
        in the output feature behind feature, and in `h0` and the final states one after the other:
        (2 num_layers, N, hidden_size).
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (3 hidden_size, input_size)
        W_ir, W_iz, W_in. In layers above, ``weight_ih_l1`` and so on, the input are states. Those
        of the reverse direction have names like ``weight_ih_l0_reverse``.
    weight_hh_l0 : Parameter, shape (3 hidden_size, hidden_size)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (3 hidden_size,)

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or a length in a call.
    ShapeError
        In a call, if an input has another shape.
    DtypeError
        In a call, if lengths are not integers.

    References
    ----------
    Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014, whose reset gate
    r stands inside the product: ``torch.nn.GRU``, as here, has it outside.

    Examples
    --------
    A layer with several outputs runs inside a layer of one's own; this one classifies texts, given
    as indices of words and how many there are of each text:

    >>> import numpy as np, npnet
    >>> class Classifier(npnet.Layer):
    ...     takes_integers = True
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.embedding = npnet.Embedding(100, 8)
    ...         self.gru = npnet.GRU(8, 16, batch_first=True)
    ...         self.out = npnet.Linear(16, 2)
    ...     def forward(self, ctx, words, lengths):
    ...         x = ctx.call(self.embedding, words)
    ...         _, h = ctx.call(self.gru, x, None, lengths)
    ...         return ctx.call(self.out, h[-1])
    ...     def backward(self, ctx, grad):
    ...         embedding, gru, out = ctx.calls
    ...         dx, *_ = gru.backward(None, out.backward(grad)[np.newaxis])
    ...         embedding.backward(dx)
    >>> logits, tape = Classifier().record([[5, 1, 7], [2, 9, 0]], [3, 2])
    >>> tape.backward(np.ones_like(logits))
    >>> logits.shape
    (2, 2)
    """

    takes_integers = (False, False, True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype,
            rng,
        )  # fmt: skip

    def forward(
        self, ctx: Context, x: Array, h0: Array | None = None, lengths: Array | None = None
    ) -> tuple[Array, ...]:
        """Run through time; keep the gates, the states and what the layers read."""
        return self.through(ctx, x, [h0], lengths)

    def backward(self, ctx: Context, dy: Array | None, dh: Array | None) -> Any:
        """Run through time in reverse."""
        return self.back(ctx, dy, dh)


class RNN(RecurrentStack):
    """Run simple recurrent units over sequences: (output, h_n) = rnn(x, h0, lengths).

    From x_t and the last state h each step makes h' = f(W_ih x_t + b_ih + W_hh h + b_hh), f being
    tanh or max(., 0). Weights and biases start uniform in (-k, k) with k = hidden_size^(-1/2).

    Inputs and outputs of a call are those of `npnet.GRU`.

    Parameters
    ----------
    input_size, hidden_size, num_layers : int
        As for `npnet.GRU`.
    nonlinearity : {"tanh", "relu"}
        f.
    bias, batch_first, dropout, bidirectional
        As for `npnet.GRU`.
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (hidden_size, input_size)
        Other layers and directions: as for `npnet.GRU`.
    weight_hh_l0 : Parameter, shape (hidden_size, hidden_size)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (hidden_size,)

    Raises
    ------
    ArgumentError, ShapeError, DtypeError
        As for `npnet.GRU`.

    References
    ----------
    Elman, "Finding Structure in Time", Cognitive Science 14, 1990; ``torch.nn.RNN``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> output, h = npnet.RNN(3, 4, num_layers=2)(np.zeros((7, 5, 3)))
    >>> output.shape, h.shape
    ((7, 5, 4), (2, 5, 4))
    """

    takes_integers = (False, False, True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        self.nonlinearity = choice(self, "nonlinearity", nonlinearity, tuple(_KINDS))
        self.mode = _KINDS[nonlinearity]
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype,
            rng,
        )  # fmt: skip

    def forward(
        self, ctx: Context, x: Array, h0: Array | None = None, lengths: Array | None = None
    ) -> tuple[Array, ...]:
        """Run through time; keep the states and what the layers read."""
        return self.through(ctx, x, [h0], lengths)

    def backward(self, ctx: Context, dy: Array | None, dh: Array | None) -> Any:
        """Run through time in reverse."""
        return self.back(ctx, dy, dh)


class LSTM(RecurrentStack):
    """Run long short-term memory over sequences: (output, h_n, c_n) = lstm(x, h0, c0, lengths).

    From x_t, the last state h and the last cell c each step makes ::

        i = sigmoid(W_ii x_t + b_ii + W_hi h + b_hi)
        f = sigmoid(W_if x_t + b_if + W_hf h + b_hf)
        g = tanh(W_ig x_t + b_ig + W_hg h + b_hg)
        o = sigmoid(W_io x_t + b_io + W_ho h + b_ho)
        c' = f c + i g
        h' = o tanh(c'), or W_hr (o tanh(c')) with a projection

    Weights and biases start uniform in (-k, k) with k = hidden_size^(-1/2).

    Inputs and outputs of a call are those of `npnet.GRU` and the cells: their initial values `c0`
    behind `h0`, their final ones behind those of the states. All three outputs are one flat tuple.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As for `npnet.GRU`.
    proj_size : int
        Features of a state, fewer than `hidden_size`, to which it is projected; 0 for none.
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (4 hidden_size, input_size)
        W_ii, W_if, W_ig, W_io. Other layers and directions: as for `npnet.GRU`.
    weight_hh_l0 : Parameter, shape (4 hidden_size, hidden_size or proj_size)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (4 hidden_size,)
    weight_hr_l0 : Parameter, shape (proj_size, hidden_size)
        With a projection.

    Raises
    ------
    ArgumentError, ShapeError, DtypeError
        As for `npnet.GRU`.

    References
    ----------
    Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997; Gers et al.,
    "Learning to Forget", 2000; Sak et al., "Long Short-Term Memory Based Recurrent Neural Network
    Architectures", 2014, for the projection; ``torch.nn.LSTM``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> lstm = npnet.LSTM(3, 4, batch_first=True, bidirectional=True)
    >>> output, h, c = lstm(np.ones((2, 7, 3)), lengths=[7, 4])
    >>> output.shape, h.shape, c.shape, output[1, 4:].any()
    ((2, 7, 8), (2, 2, 4), (2, 2, 4), np.False_)
    """

    mode = "LSTM"
    takes_integers = (False, False, False, True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        hidden_size = whole_number(self, "hidden_size", hidden_size, 1)
        self.proj_size = whole_number(self, "proj_size", proj_size, 0, hidden_size - 1)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype,
            rng, self.proj_size,
        )  # fmt: skip

    def forward(
        self,
        ctx: Context,
        x: Array,
        h0: Array | None = None,
        c0: Array | None = None,
        lengths: Array | None = None,
    ) -> tuple[Array, ...]:
        """Run through time; keep the gates, the states, the cells and what the layers read."""
        return self.through(ctx, x, [h0, c0], lengths)

    def backward(self, ctx: Context, dy: Array | None, dh: Array | None, dc: Array | None) -> Any:
        """Run through time in reverse."""
        return self.back(ctx, dy, dh, dc)


class GRUCell(RecurrentCell):
    """Make one step of a gated recurrent unit: h' = cell(x, h).

    The formulas are those of `npnet.GRU`. x is (N, input_size), or (input_size,), and h, 0 if it
    is None, (N, hidden_size), or (hidden_size,), the shape of h'.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of the input and of the state.
    bias : bool
        False leaves the biases out.
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight_ih : Parameter, shape (3 hidden_size, input_size)
    weight_hh : Parameter, shape (3 hidden_size, hidden_size)
    bias_ih, bias_hh : Parameter, shape (3 hidden_size,)

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if an input has another shape.

    References
    ----------
    ``torch.nn.GRUCell``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.GRUCell(3, 4)(np.zeros((5, 3)), np.ones((5, 4))).shape
    (5, 4)
    """

    def forward(self, ctx: Context, x: Array, h: Array | None = None) -> Array:
        """Make a step; keep the gates, both states and the input."""
        return self.through(ctx, x, h)[0]

    def backward(self, ctx: Context, grad: Array) -> Any:
        """Run the step in reverse."""
        return self.back(ctx, grad)


class RNNCell(RecurrentCell):
    """Make one step of a simple recurrent unit: h' = cell(x, h).

    The formula is that of `npnet.RNN`; shapes are those of `npnet.GRUCell`.

    Parameters
    ----------
    input_size, hidden_size, bias
        As for `npnet.GRUCell`.
    nonlinearity : {"tanh", "relu"}
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight_ih : Parameter, shape (hidden_size, input_size)
    weight_hh : Parameter, shape (hidden_size, hidden_size)
    bias_ih, bias_hh : Parameter, shape (hidden_size,)

    Raises
    ------
    ArgumentError, ShapeError
        As for `npnet.GRUCell`.

    References
    ----------
    ``torch.nn.RNNCell``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.RNNCell(3, 4)(np.zeros((5, 3))).shape
    (5, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        self.nonlinearity = choice(self, "nonlinearity", nonlinearity, tuple(_KINDS))
        self.mode = _KINDS[nonlinearity]
        super().__init__(input_size, hidden_size, bias, dtype=dtype, rng=rng)

    def forward(self, ctx: Context, x: Array, h: Array | None = None) -> Array:
        """Make a step; keep both states and the input."""
        return self.through(ctx, x, h)[0]

    def backward(self, ctx: Context, grad: Array) -> Any:
        """Run the step in reverse."""
        return self.back(ctx, grad)


class LSTMCell(RecurrentCell):
    """Make one step of long short-term memory: (h', c') = cell(x, h, c).

    The formulas are those of `npnet.LSTM`; shapes are those of `npnet.GRUCell`, that of c being
    that of h.

    Parameters
    ----------
    input_size, hidden_size, bias
        As for `npnet.GRUCell`.
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight_ih : Parameter, shape (4 hidden_size, input_size)
    weight_hh : Parameter, shape (4 hidden_size, hidden_size)
    bias_ih, bias_hh : Parameter, shape (4 hidden_size,)

    Raises
    ------
    ArgumentError, ShapeError
        As for `npnet.GRUCell`.

    References
    ----------
    ``torch.nn.LSTMCell``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> h, c = npnet.LSTMCell(3, 4)(np.zeros((5, 3)))
    >>> h.shape, c.shape
    ((5, 4), (5, 4))
    """

    mode = "LSTM"

    def forward(
        self, ctx: Context, x: Array, h: Array | None = None, c: Array | None = None
    ) -> tuple[Array, ...]:
        """Make a step; keep the gates, both states and cells, and the input."""
        return self.through(ctx, x, h, c)

    def backward(self, ctx: Context, dh: Array | None, dc: Array | None) -> Any:
        """Run the step in reverse."""
        return self.back(ctx, dh, dc)
