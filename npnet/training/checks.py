"""What `Trainer` checks: all parameters train, predictions fit the loss, the data is finite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from npnet.containers.fused import LinearRun
from npnet.context import Context
from npnet.convert import is_sparse
from npnet.data.batches import BatchSource
from npnet.errors import ArgumentError
from npnet.layer import Layer
from npnet.layers import Flatten, Identity, LogSoftmax, ReLU, Sigmoid, Softmax
from npnet.losses import BCELoss, CrossEntropyLoss, Loss, NLLLoss
from npnet.losses.binary import BinaryLoss
from npnet.optim.optimizer import Optimizer
from npnet.schedules import with_steps_per_epoch
from npnet.typing import Array

_BLOCK = 1 << 20
"""Numbers that are looked at in one piece: data may be larger than the memory."""


# --- parameters


def untrained(model: Layer, optimizer: Optimizer) -> str:
    """Return what to say of parameters that would not train by mistake, or nothing.

    If none would train, that is an error.
    """
    named = {p: name for name, p in model.named_parameters()}
    held = set(optimizer.parameters)
    if held.isdisjoint(named):
        raise ArgumentError(
            "the optimizer holds none of the model's parameters; make it of this very model: "
            f"{type(optimizer).__name__}(model.parameters(), ...)"
        )
    if not any(p.requires_grad for p in named if p in held):
        raise ArgumentError(
            "all parameters that the optimizer holds are frozen; "
            "model.requires_grad_(True) lets them train"
        )
    missing = [name for p, name in named.items() if p.requires_grad and p not in held]
    foreign = [str(p.shape) for p in optimizer.parameters if p.requires_grad and p not in named]
    found = []
    if missing:
        found.append(f"does not hold {_some(missing)} of the model, which will not train")
    if foreign:
        found.append(f"holds parameters that are not the model's, of shapes {_some(foreign)}")
    if not found:
        return ""
    return (
        f"the optimizer {', and '.join(found)}; make it when the model is complete, or, if this is "
        "on purpose, freeze what is not to train: layer.requires_grad_(False)"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def unreached(model: Layer) -> str:
    """Return what to say of parameters that a backward pass gave no gradient, or nothing."""
    names = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if not names:
        return ""
    return (
        f"the backward pass gave no gradient to {', '.join(names[:3])}"
        f"{', ...' * (len(names) > 3)}, which will not train; does a layer leave out the backward "
        "pass of a call in ctx.calls? requires_grad_(False) freezes on purpose"
    )


# --- predictions


def misfit(loss: Loss, pred: Array, ctx: Context) -> str:
    """Return what to say of predictions that are not what a loss expects, or nothing.

    `pred` is the output of a recorded pass, or the first of several, and `ctx` its context before
    the backward pass. A single output for a loss of classes is an error.
    """
    kind = type(loss).__name__
    axis = min(1, pred.ndim - 1)
    if isinstance(loss, CrossEntropyLoss | NLLLoss):
        if pred.ndim and pred.shape[axis] == 1:
            raise ArgumentError(
                f"{kind} needs an output for each class, and the model has one, in predictions of "
                f"shape {pred.shape}; use BCEWithLogitsLoss for a yes or no, or two outputs"
            )
    elif not isinstance(loss, BinaryLoss) or isinstance(loss, BCELoss):
        return ""
    if pred.size == 0 or not np.isfinite(pred).all():
        return ""
    last = _last_layer(ctx)
    low, high = float(pred.min()), float(pred.max())
    if isinstance(loss, NLLLoss):
        with np.errstate(over="ignore"):
            sums = np.exp(pred, dtype=np.float64).sum(axis)
        if (np.abs(sums - 1) < 0.01).all():
            return ""
        instead = " in place of Softmax" if last == "Softmax" else ""
        return (
            f"{kind} expects log-probabilities, and the model's outputs are none: exp of them does "
            f"not sum to 1; end the model with LogSoftmax(dim=1){instead}, or let it return logits "
            "and use CrossEntropyLoss"
        )
    if not last and low >= 0 and isinstance(loss, CrossEntropyLoss):
        sums = pred.sum(axis, dtype=np.float64)
        last = "probabilities" if (np.abs(sums - 1) < 1e-3).all() else ""
    bounds = {"LogSoftmax": (-math.inf, 0.0), "ReLU": (0.0, math.inf), "": (1.0, 0.0)}
    least, most = bounds.get(last, (0.0, 1.0))
    if not least <= low <= high <= most:  # something else came after that layer
        return ""
    own = "sigmoid" if isinstance(loss, BinaryLoss) else "softmax"
    return (
        f"{kind} expects logits and applies the {own} itself, but the model ends with {last}; "
        "leave it out for training" + (", or use NLLLoss" if last == "LogSoftmax" else "")
    )


def _last_layer(ctx: Context) -> str:
    """Return the name of the activation that a pass ended with, if its outputs betray it."""
    for call in reversed(ctx.calls):
        if not isinstance(call.layer, Identity | Flatten):
            return _last_layer(call)
    layer: Any = ctx.layer
    if isinstance(layer, LinearRun):
        return "ReLU" if layer.steps[-1][1] else ""
    kinds = (Softmax, LogSoftmax, Sigmoid, ReLU)
    return next((kind.__name__ for kind in kinds if isinstance(layer, kind)), "")


# --- numbers that are not finite


def first_nonfinite(named: Mapping[str, Any], dtype: np.dtype[Any] | None) -> str:
    """Return the first place where data is not finite, or nothing.

    What `dtype`, in which the model computes, cannot hold is not finite either.

    Examples
    --------
    >>> first_nonfinite({"x": np.array([[0.0, 1.0], [2.0, np.inf]])}, None)
    'x[1, 1] is inf'
    """
    for name, value in named.items():
        array = np.asarray(value.data if is_sparse(value) else value)
        if array.dtype.kind != "f":
            continue
        small = dtype is not None and np.finfo(dtype).max < np.finfo(array.dtype).max
        limit = array.dtype.type(np.finfo(dtype if small else array.dtype).max)
        rows = max(1, _BLOCK // max(1, math.prod(array.shape[1:])))
        for start in range(0, len(array) if array.ndim else 0, rows):
            part = array[start : start + rows]
            bad = ~(np.abs(part) <= limit)
            if bad.any():
                row, *rest = np.unravel_index(int(bad.argmax()), bad.shape)
                number = part[(row, *rest)]
                index = (start + row, *rest)
                if is_sparse(value):
                    row = np.searchsorted(value.indptr, index[0], "right") - 1
                    index = (row, value.indices[index[0]])
                place = ", ".join(str(int(i)) for i in index)
                large = f", too large for {dtype}" if np.isfinite(number) else ""
                return f"{name}[{place}] is {number}{large}"
    return ""


def place_in_data(source: BatchSource, batch: Any, number: int, dtype: np.dtype[Any] | None) -> str:
    """Return where data is not finite: the whole data, or a batch where only that is known."""
    named: dict[str, Any] = source.named_arrays()
    if named:
        return first_nonfinite(named, dtype)
    inputs, target, weight = batch
    several = {"x": inputs, "y": target if isinstance(target, tuple) else (target,)}
    named = {
        name if len(arrays) == 1 else f"{name}[{i}]": array
        for name, arrays in several.items()
        for i, array in enumerate(arrays)
    }
    if weight is not None:
        named["sample_weight"] = weight
    place = first_nonfinite(named, dtype)
    return place and f"{place}, in batch {number}"


# --- schedules in epochs


def count_epochs(optimizer: Optimizer, steps: int | None) -> str:
    """Tell an optimizer the steps of an epoch; return what to say of a schedule that differs."""
    if steps is None:
        return ""
    before, optimizer.steps_per_epoch = optimizer.steps_per_epoch, steps
    rates = [options["lr"] for options in optimizer.param_groups if callable(options["lr"])]
    open_ended = any(with_steps_per_epoch(rate, steps) != rate for rate in rates)
    if open_ended and optimizer.step_count and before not in (None, steps):
        return (
            f"an epoch had {before} steps and now has {steps}; the schedule takes the number of "
            f"the epoch for the steps done divided by {steps}"
        )
    for rate in rates:
        given = getattr(rate, "steps_per_epoch", None)
        if isinstance(given, int) and given != steps:
            return (
                f"the schedule counts {given} steps as an epoch, and an epoch of these data has "
                f"{steps}; leave steps_per_epoch out, and fit fills it in"
            )
    return ""
