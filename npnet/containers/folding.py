"""fold_batchnorm, which puts batch norms into the weights of the layers before them."""

from __future__ import annotations

import collections
import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from npnet.arguments import instance
from npnet.containers.sequential import Sequential
from npnet.layer import Layer
from npnet.layers.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from npnet.layers.conv import Conv1d, Conv2d, Conv3d
from npnet.layers.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from npnet.layers.linear import Linear
from npnet.ops.warn import warn_once
from npnet.parameter import Parameter
from npnet.typing import Array

_NORMS: dict[type[Layer], type[Layer]] = {
    Linear: BatchNorm1d,
    **dict.fromkeys((Conv1d, ConvTranspose1d), BatchNorm1d),
    **dict.fromkeys((Conv2d, ConvTranspose2d), BatchNorm2d),
    **dict.fromkeys((Conv3d, ConvTranspose3d), BatchNorm3d),
}
_TRANSPOSED = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)

Place = tuple[Layer, str, Layer]  # a container, the name of a layer in it, and the layer


def fold_batchnorm(model: Layer) -> Layer:
    """Return a copy of a model for inference in which batch norms are part of other weights.

    With running statistics a batch norm is a factor and an offset for each channel. Where it
    stands right behind a `Linear`, `Conv1d`, `Conv2d`, `Conv3d` or transposed convolution in a
    `Sequential`, or in chains inside one another, these go into that layer's weight and bias, and
    the batch norm is left out. The other layers keep their names. The copy gives the same numbers
    to rounding in inference, and is faster.

    What stays is named on the standard error stream, with the reason: a batch norm behind another
    layer, one without running statistics, one that several places share.

    Parameters
    ----------
    model : Layer
        Is not changed. A Linear layer before a batch norm has inputs (n, in_features).

    Returns
    -------
    Layer

    Raises
    ------
    ArgumentError
        If it is not a layer.

    References
    ----------
    Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-
    only inference", CVPR 2018, section 3.2; ``torch.nn.utils.fusion.fuse_conv_bn_eval``.

    Examples
    --------
    >>> import npnet
    >>> model = npnet.Sequential(npnet.Linear(3, 4), npnet.BatchNorm1d(4), npnet.ReLU())
    >>> npnet.fold_batchnorm(model)
    Sequential(
      (0): Linear(in_features=3, out_features=4, bias=True)
      (2): ReLU()
    )
    """
    model = copy.deepcopy(instance("fold_batchnorm", "model", model, Layer))
    uses = collections.Counter(id(layer) for _, layer in model.named_layers())
    reasons: dict[int, str] = {}
    for chain in _chains(model):
        before: Layer | None = None
        for parent, name, layer in chain:
            if isinstance(layer, BatchNorm1d | BatchNorm2d | BatchNorm3d):
                reason = _obstacle(before, layer, uses)
                if not reason:
                    _fold(before, layer)
                    delattr(parent, name)
                    continue  # another batch norm may follow
                reasons[id(layer)] = reason
            before = layer
    for name, layer in model.named_layers():
        if isinstance(layer, BatchNorm1d | BatchNorm2d | BatchNorm3d):
            reason = reasons.get(id(layer), "it is not in a Sequential")
            what = f"{type(layer).__name__} {name!r}" if name else type(layer).__name__
            warn_once(f"fold_batchnorm leaves {what} as it is: {reason}")
    return model


def _is_chain(layer: Layer) -> bool:
    return type(layer) is Sequential and _is_plain(layer)


def _is_plain(layer: Layer) -> bool:
    """Tell whether nobody has given this layer another forward pass than its class's."""
    return "forward" not in vars(layer)


def _chains(layer: Layer) -> Iterator[list[Place]]:
    """Yield the layers that run one after the other, for each chain at any depth."""
    pending = [layer]
    while pending:
        outer = pending.pop()
        if _is_chain(outer):
            places = list(_places(outer))
            yield places
            pending += [one for _, _, one in places]
        else:
            pending += outer._layers.values()


def _places(chain: Layer) -> Iterator[Place]:
    """Yield the layers of a chain, and of chains inside it, in the order in which they run."""
    for name, layer in chain._layers.items():
        if _is_chain(layer):
            yield from _places(layer)
        else:
            yield chain, name, layer


def _obstacle(before: Layer | None, norm: Any, uses: collections.Counter[int]) -> str:
    """Return why a batch norm cannot be folded into what stands before it, or nothing."""
    if before is None:
        return "no layer stands before it"
    kind: Any = _NORMS.get(type(before))
    if kind is None or not _is_plain(before):
        return f"it stands behind a {type(before).__name__}"
    if kind is not type(norm) or not _is_plain(norm):
        return f"behind a {type(before).__name__} only a {kind.__name__} is folded"
    if uses[id(norm)] > 1 or uses[id(before)] > 1:
        return "it, or the layer before it, is used in several places"
    if norm.running_mean is None:
        return "it has no running statistics"
    if norm.num_features != _outputs(before):
        return "it has another number of channels than the layer before it"
    return ""


def _outputs(layer: Any) -> int:
    """Return how many features or channels a layer's output has."""
    outputs: int = layer.out_features if type(layer) is Linear else layer.out_channels
    return outputs


def _fold(layer: Any, norm: Any) -> None:
    """Multiply a layer's weight and bias by the factor of a batch norm, and add its offset."""
    factor = 1 / np.sqrt(norm.running_var.astype(np.float64) + norm.eps)
    factor *= 1 if norm.weight is None else norm.weight.data
    bias = (0 if layer.bias is None else layer.bias.data) - norm.running_mean.astype(np.float64)
    bias = bias * factor + (0 if norm.bias is None else norm.bias.data)
    weight: Array = layer.weight.data
    if type(layer) in _TRANSPOSED:
        # (inputs, outputs / groups, ...), the inputs of a group in a row
        groups = layer.groups
        each = weight.reshape(groups, len(weight) // groups, weight.shape[1], -1)
        scaled = each * factor.reshape(groups, 1, -1, 1)
    else:
        scaled = weight.reshape(len(weight), -1) * factor[:, np.newaxis]
    trains = layer.weight.requires_grad
    layer.weight = Parameter(scaled.reshape(weight.shape), weight.dtype).requires_grad_(trains)
    layer.bias = Parameter(bias, weight.dtype).requires_grad_(trains)
