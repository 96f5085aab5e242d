"""TransformerEncoderLayer, attention and two Linear layers, and TransformerEncoder, a stack."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from npnet.arguments import flag, instance, real_number, refusal, whole_number
from npnet.containers.attention import MultiheadAttention
from npnet.containers.lists import LayerList
from npnet.context import Context
from npnet.layer import Layer
from npnet.layers.activation import GELU
from npnet.layers.dropout import Dropout
from npnet.layers.layer_norm import LayerNorm
from npnet.layers.linear import Linear
from npnet.layers.rectifier import ReLU
from npnet.random import as_generator
from npnet.typing import Array, DtypeLike, Rng

_ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "gelu": GELU}


class TransformerEncoderLayer(Layer):
    """Let positions attend to each other, and run two Linear layers on each, both with a shortcut.

    x <- norm1(x + dropout1(self_attn(x))) and x <- norm2(x + dropout2(linear2(dropout(activation(
    linear1(x)))))), or with `norm_first` x <- x + dropout1(self_attn(norm1(x))) and the same for
    the second part. Called as ``layer(src)``; as in PyTorch further inputs are ``src_mask``,
    ``src_key_padding_mask`` and ``is_causal``, which `MultiheadAttention` explains.

    Parameters
    ----------
    d_model : int
        Size of the last axis, a multiple of `nhead`.
    nhead : int
        Heads of the attention.
    dim_feedforward : int
        Outputs of `linear1`.
    dropout : float
        Probability of all four dropouts: of attention weights, after `activation`, after each part.
    activation : {"relu", "gelu"} or Layer
    layer_norm_eps : float
        The `eps` of both `LayerNorm`.
    batch_first : bool
        Whether inputs have shape (n, length, d_model); (length, n, d_model) otherwise. Those of
        shape (length, d_model) are one sample.
    norm_first : bool
        Whether to normalise before each part, not after its shortcut.
    bias : bool
        False leaves the biases of all layers out.
    is_causal : bool
        Whether positions attend to none after them, unless a call says otherwise.
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    self_attn : MultiheadAttention
    linear1, linear2 : Linear
    norm1, norm2 : LayerNorm
    dropout, dropout1, dropout2 : Dropout
    activation : Layer

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the shapes of the inputs do not fit.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", arXiv:1706.03762; Xiong et al., arXiv:2002.04745,
    on `norm_first`; ``torch.nn.TransformerEncoderLayer``.

    Examples
    --------
    >>> import npnet
    >>> layer = npnet.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> padding = np.array([[False, False, True], [False, False, False]])
    >>> layer(np.zeros((2, 3, 8)), src_key_padding_mask=padding).shape
    (2, 3, 8)
    """

    takes_integers = (False, True, True, True)

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Layer = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        is_causal: bool = False,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__()
        d_model = whole_number(self, "d_model", d_model, 1)
        nhead = whole_number(self, "nhead", nhead, 1)
        if d_model % nhead:
            raise refusal(self, "d_model", f"a multiple of nhead, which is {nhead}", d_model)
        size = whole_number(self, "dim_feedforward", dim_feedforward, 1)
        if isinstance(activation, str) and activation in _ACTIVATIONS:
            activation = _ACTIVATIONS[activation]()
        elif not isinstance(activation, Layer):
            kind, hint = "'relu', 'gelu' or a layer", "a function of one's own: npnet.Lambda(f, df)"
            raise refusal(self, "activation", kind, activation, hint)
        dropout = real_number(self, "dropout", dropout, 0, 1)
        layer_norm_eps = real_number(self, "layer_norm_eps", layer_norm_eps, 0)
        batch_first, bias = flag(self, "batch_first", batch_first), flag(self, "bias", bias)
        is_causal = flag(self, "is_causal", is_causal)
        self.norm_first, rng = flag(self, "norm_first", norm_first), as_generator(rng)
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, is_causal=is_causal,
            dtype=dtype, rng=rng,
        )  # fmt: skip
        self.linear1 = Linear(d_model, size, bias, dtype=dtype, rng=rng)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(size, d_model, bias, dtype=dtype, rng=rng)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = activation

    def forward(
        self,
        ctx: Context,
        src: Array,
        src_mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        is_causal: Any = None,
    ) -> Array:
        """Run both parts; keep nothing but the calls."""
        given = (src, src_mask, src_key_padding_mask, is_causal)
        ctx.inputs = max(i for i, x in enumerate(given) if x is not None) + 1
        masks = (None, None, src_key_padding_mask, False, src_mask, None, is_causal)
        x = ctx.call(self.norm1, src) if self.norm_first else src
        x = np.add(src, ctx.call(self.dropout1, ctx.call(self.self_attn, x, *masks)))
        if not self.norm_first:
            x = ctx.call(self.norm1, x)
        y = ctx.call(self.norm2, x) if self.norm_first else x
        for layer in (self.linear1, self.activation, self.dropout, self.linear2, self.dropout2):
            y = ctx.call(layer, y)
        y = np.add(x, y)
        z: Array = y if self.norm_first else ctx.call(self.norm2, y)
        return z

    def backward(self, ctx: Context, grad: Array) -> Any:
        """Run both parts in reverse, and add the gradients of the shortcuts."""

        def back(count: int, grad: Array) -> Array:
            for _ in range(count):
                grad = ctx.calls.pop().backward(grad)
            return grad

        after = not self.norm_first
        grad = back(1, grad) if after else grad
        grad = np.add(grad, back(5 if after else 6, grad))
        grad = back(1, grad) if after else grad
        needs = [ctx.needs_grad(0) or self.norm_first, *[False] * 5]
        needs[3], needs[5] = ctx.needs_grad(2), ctx.needs_grad(1)
        dy = back(1, grad)
        grads = ctx.calls.pop().backward(dy, needs_input_grad=needs)
        dx, _, _, dpadding, _, dmask = (*grads, None)[:6]
        if dx is not None:
            dx = np.add(grad, dx if after else back(1, dx))
        return (dx, dmask, dpadding, None)[: ctx.inputs] if ctx.inputs > 1 else dx

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor; the children have most of them."""
        attention = self.self_attn
        if name == "activation":
            kinds = [k for k, kind in _ACTIVATIONS.items() if repr(self.activation) == repr(kind())]
            return kinds[0] if kinds else self.activation
        found = {
            "d_model": attention.embed_dim, "nhead": attention.num_heads,
            "dim_feedforward": self.linear1.out_features, "dropout": self.dropout.p,
            "layer_norm_eps": self.norm1.eps, "batch_first": attention.batch_first,
            "bias": self.linear1.bias is not None, "is_causal": attention.is_causal,
        }  # fmt: skip
        return found[name] if name in found else super()._argument(name)


class TransformerEncoder(Layer):
    """Run several layers of the same kind one after the other, and a norm behind the last one.

    Called as ``encoder(src)``; as in PyTorch further inputs are ``mask``, ``src_key_padding_mask``
    and ``is_causal``, which are given to every layer.

    Parameters
    ----------
    encoder_layer : TransformerEncoderLayer
        Is copied; all layers start with its parameters' values, as in PyTorch. Other values for
        each: ``for layer in encoder.layers: ...``.
    num_layers : int
    norm : Layer, optional
        Behind the last layer, which `norm_first` layers want: ``npnet.LayerNorm(d_model)``.

    Attributes
    ----------
    layers : LayerList
    norm : Layer or None

    Raises
    ------
    ArgumentError
        If an argument is of the wrong kind.
    ShapeError
        In a call, if the shapes of the inputs do not fit.

    References
    ----------
    ``torch.nn.TransformerEncoder``.

    Examples
    --------
    >>> import npnet
    >>> layer = npnet.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> encoder = npnet.TransformerEncoder(layer, num_layers=2)
    >>> encoder(np.zeros((2, 3, 8)), is_causal=True).shape
    (2, 3, 8)
    >>> next(encoder.named_parameters())[0]
    'layers.0.self_attn.in_proj_weight'
    """

    takes_integers = (False, True, True, True)
    habits: ClassVar = dict.fromkeys(
        ("enable_nested_tensor", "mask_check"), "leave it out; masks are applied as they are"
    )

    def __init__(
        self, encoder_layer: TransformerEncoderLayer, num_layers: int, norm: Layer | None = None
    ) -> None:
        super().__init__()
        instance(self, "encoder_layer", encoder_layer, TransformerEncoderLayer)
        count = whole_number(self, "num_layers", num_layers, 1)
        self.layers = LayerList(copy.deepcopy(encoder_layer) for _ in range(count))
        self.norm = None if norm is None else instance(self, "norm", norm, Layer)

    def forward(
        self,
        ctx: Context,
        src: Array,
        mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        is_causal: Any = None,
    ) -> Array:
        """Run the layers in order; keep nothing but the calls."""
        inputs = (mask, src_key_padding_mask, is_causal)
        ctx.inputs = max((i + 2 for i, x in enumerate(inputs) if x is not None), default=1)
        for layer in self.layers:
            src = ctx.call(layer, src, *inputs[: ctx.inputs - 1])
        y: Array = src if self.norm is None else ctx.call(self.norm, src)
        return y

    def backward(self, ctx: Context, grad: Array) -> Any:
        """Run them in reverse; add up the gradients of masks."""
        if self.norm is not None:
            grad = ctx.calls.pop().backward(grad)
        totals: list[Any] = [None] * (ctx.inputs - 1)
        while ctx.calls:
            needs = [ctx.needs_grad(i) for i in range(ctx.inputs)]
            needs[0] |= len(ctx.calls) > 1
            grads = ctx.calls.pop().backward(grad, needs_input_grad=needs)
            grad, *dmasks = grads if totals else (grads,)
            for i, dmask in enumerate(dmasks):
                if dmask is not None:
                    totals[i] = dmask if totals[i] is None else totals[i] + dmask
        return (grad, *totals) if totals else grad

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor; the layers have most of them."""
        found = {"encoder_layer": self.layers[0], "num_layers": len(self.layers)}
        return found[name] if name in found else super()._argument(name)
