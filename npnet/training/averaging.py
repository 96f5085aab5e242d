"""AveragedModel, a copy of a model whose weights are an average over those of a training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from npnet.arguments import flag, function_name, instance, real_number, refusal
from npnet.context import Context
from npnet.errors import ArgumentError, ShapeError
from npnet.layer import Layer
from npnet.parameter import Parameter
from npnet.registry import Buffer
from npnet.state import named_state
from npnet.typing import Array

AverageFunction = Callable[[Array, Array, int], Array]
"""Takes the average so far, the present values and the number averaged; returns the new average."""

MultiAverageFunction = Callable[[list[Array], list[Array], int], None]
"""The same for all arrays at once, in place."""


def get_ema_avg_fn(decay: float = 0.999) -> AverageFunction:
    """Return the rule of an exponential moving average: decay a + (1 - decay) w.

    Parameters
    ----------
    decay : float
        From 0 to 1.

    Returns
    -------
    callable
        For `AveragedModel`.

    References
    ----------
    ``torch.optim.swa_utils.get_ema_avg_fn``.
    """
    decay = real_number("get_ema_avg_fn", "decay", decay, 0, 1)
    return lambda average, present, count: decay * average + (1 - decay) * present


def get_swa_avg_fn() -> AverageFunction:
    """Return the rule of the equal average: a + (w - a) / (count + 1).

    Returns
    -------
    callable
        For `AveragedModel`.

    References
    ----------
    ``torch.optim.swa_utils.get_swa_avg_fn``.
    """
    return lambda average, present, count: average + (present - average) / (count + 1)


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverageFunction:
    """Return the rule of `get_ema_avg_fn` for all arrays at once, in place.

    Parameters
    ----------
    decay : float
        From 0 to 1.

    Returns
    -------
    callable
        For `AveragedModel`.
    """
    return _all_at_once(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> MultiAverageFunction:
    """Return the rule of `get_swa_avg_fn` for all arrays at once, in place.

    Returns
    -------
    callable
        For `AveragedModel`.
    """
    return _all_at_once(get_swa_avg_fn())


def _all_at_once(rule: AverageFunction) -> MultiAverageFunction:
    def average_all(averages: list[Array], present: list[Array], count: int) -> None:
        for average, value in zip(averages, present, strict=True):
            average[...] = rule(average, value, count)

    return average_all


class AveragedModel(Layer):
    """A copy of a model, with an average of its weights in their place.

    `update_parameters` takes the present weights into the average; the first time it copies them.
    Calling the averaged model is calling the copy.

    Parameters
    ----------
    model : Layer
        Copied, so it may go on training.
    avg_fn : callable, optional
        ``avg_fn(average, present, count)`` returns the new average of one array, where `count`
        updates went into the present one; unless given, all count alike. See `get_ema_avg_fn`.
    multi_avg_fn : callable, optional
        The same for lists of all arrays, in place; not with `avg_fn`.
    use_buffers : bool
        Whether buffers, such as running statistics, are averaged too; else they are copied.

    Attributes
    ----------
    module : Layer
        The copy.
    n_averaged : ndarray of int64, shape ()
        The number of updates.

    Raises
    ------
    ArgumentError
        If both functions are given, or something is of the wrong kind.

    References
    ----------
    Izmailov et al., arXiv:1803.05407, for stochastic weight averaging; Polyak, Juditsky, 1992;
    ``torch.optim.swa_utils.AveragedModel``.

    Examples
    --------
    >>> import npnet
    >>> model = npnet.Linear(1, 1, bias=False)
    >>> averaged = npnet.training.AveragedModel(model)
    >>> for weight in (1.0, 2.0, 6.0):
    ...     model.weight.data[:] = weight
    ...     averaged.update_parameters(model)
    >>> averaged([[1.0]])
    array([[3.]], dtype=float32)
    """

    habits: ClassVar[Mapping[str, str]] = {
        "device": "npnet computes on the CPU",
        "update_bn": "use_buffers=True averages the running statistics",
    }

    def __init__(
        self,
        model: Layer,
        avg_fn: AverageFunction | None = None,
        multi_avg_fn: MultiAverageFunction | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        for name, function in (("avg_fn", avg_fn), ("multi_avg_fn", multi_avg_fn)):
            if function is not None:
                takes = ("average", "present", "count")
                function_name(self, name, function, "a function or None", *takes)
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError("AveragedModel expects avg_fn or multi_avg_fn, got both")
        self.module = copy.deepcopy(instance(self, "model", model, Layer))
        self.n_averaged: Any = Buffer(np.zeros((), np.int64))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = flag(self, "use_buffers", use_buffers)

    def _argument(self, name: str) -> Any:
        return self.module if name == "model" else super()._argument(name)

    @property
    def takes_integers(self) -> bool | tuple[bool, ...]:  # type: ignore[override]
        """Whether the model takes indices."""
        takes: bool | tuple[bool, ...] = self.module.takes_integers
        return takes

    @property
    def takes_sparse(self) -> bool:  # type: ignore[override]
        """Whether the model takes SciPy's sparse matrices."""
        takes: bool = self.module.takes_sparse
        return takes

    def forward(self, ctx: Context, *inputs: Any) -> Any:
        """Run the copy."""
        return ctx.call(self.module, *inputs)

    def backward(self, ctx: Context, *grads: Any) -> Any:
        """Run the copy's backward pass."""
        (call,) = ctx.calls
        return call.backward(*grads, needs_input_grad=ctx.needs_input_grad)

    def update_parameters(self, model: Layer) -> None:
        """Take a model's present weights into the average.

        Parameters
        ----------
        model : Layer
            The one that was copied, or one with the same parameters.

        Raises
        ------
        ArgumentError
            If the names of its parameters and buffers are others.
        ShapeError
            If a shape differs, or `avg_fn` returns another one; nothing is changed then.
        """
        ours, theirs = _arrays(self.module), _arrays(instance(self, "model", model, Layer))
        if ours.keys() != theirs.keys():
            names = ", ".join(sorted(ours.keys() ^ theirs.keys()))
            raise ArgumentError(f"AveragedModel got another model: only one of the two has {names}")
        for name, value in ours.items():
            if value.shape != theirs[name].shape:
                expected, got = value.shape, theirs[name].shape
                raise ShapeError(f"AveragedModel expected {name} of shape {expected}, got {got}")
        copied = [] if self.use_buffers else [*_arrays(self.module, parameters=False)]
        copied += [name for name, value in ours.items() if value.dtype.kind not in "fc"]
        averaged = [name for name in ours if name not in copied]
        mine, present = ([arrays[name] for name in averaged] for arrays in (ours, theirs))
        count = int(self.n_averaged)
        if count == 0:
            new = present
        elif self.multi_avg_fn is not None:
            new = [value.copy() for value in mine]
            returned: Any = self.multi_avg_fn(new, present, count)
            if returned is not None:
                raise refusal(
                    self, "multi_avg_fn", "a function that changes the averages in place and "
                    "returns None", returned, "one that returns a new average is avg_fn",
                )  # fmt: skip
        else:
            rule = self.avg_fn or get_swa_avg_fn()
            new = [rule(*pair, count) for pair in zip(mine, present, strict=True)]
        for name, old, value in zip(averaged, mine, new, strict=True):
            if value is None:
                raise ArgumentError(
                    "avg_fn returned None; a function that works in place on lists of arrays is "
                    "multi_avg_fn"
                )
            if np.shape(value) != old.shape:
                raise ShapeError(f"avg_fn made {name} of shape {np.shape(value)} from {old.shape}")
        for old, value in zip(mine, new, strict=True):
            old[...] = value
        for name in copied:
            ours[name][...] = theirs[name]
        self.n_averaged = np.int64(count + 1)


def _arrays(model: Layer, parameters: bool = True) -> dict[str, Array]:
    """Return the arrays of parameters, if wanted, and buffers, each once."""
    found: dict[int, tuple[str, Array]] = {}
    for name, value in named_state(model).items():
        if isinstance(value, Parameter):
            if parameters:
                found.setdefault(id(value), (name, value.data))
        else:
            found.setdefault(id(value), (name, value))
    return dict(found.values())
