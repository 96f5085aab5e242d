"""Loss, the base of all losses: reduction, sample weights and the checks they share."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from npnet.arguments import flag, name_of
from npnet.configured import Configured, Habit
from npnet.convert import csr, floating_dtype, is_sparse
from npnet.errors import ArgumentError, MissingMethod, ShapeError, SignatureError, shape_error
from npnet.losses.checks import MADE_FIRST, as_array, as_factor, as_reduction, cast, reshaped
from npnet.typing import Array, ArrayLike

_DTYPE = "a loss computes in the dtype of the predictions, on the CPU"
_MODE = "a loss has no modes and nothing that is trained"
_REDUCTION = "reduction='mean', 'sum' or 'none' says what becomes of the terms"


class Terms(NamedTuple):
    """What a loss computes before it is reduced.

    ``values`` are the terms of the loss; ``weights`` of the same shape are what the mean divides
    by the sum of, None for all ones. ``grad`` is the gradient of the terms' sum with respect to
    the prediction, for several predictions a tuple with one array for each, None if nobody asked;
    it belongs to whoever receives it. The gradient of a prediction that was broadcast over the
    terms has their shape. ``axes`` are the axes of the prediction that one term stands for, if
    they are not its last ones, so that a term's factor can be stretched over them.
    """

    values: Array
    weights: Array | None
    grad: Array | tuple[Array, ...] | None
    axes: tuple[int, ...] = ()


class LossValue(NamedTuple):
    """A reduced loss.

    ``value`` is the loss, ``grad`` its gradient (for several predictions a tuple of them) or
    None, and ``weight`` what a mean was divided by, so that the means of batches can be joined
    exactly.
    """

    value: Any
    grad: Array | tuple[Array, ...] | None
    weight: float


class _Number(float):
    """A loss, a plain number; what tensors have is answered."""

    backward = Habit(
        "backward", "loss, grad = loss_fn.value_and_grad(pred, y); tape.backward(grad)"
    )
    item = Habit("item", "it is a number already")
    detach = Habit("detach", "it is a number already")


class Loss(Configured):
    """Base of all losses.

    A subclass writes ``terms(self, pred, target, with_grad)``. One with other arguments names
    them in `arguments`, and in `predictions` those that have a gradient. NumPy gives no
    floating-point warnings there: infinities and NaN are values like others.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the terms by the sum of their weights (their number,
        unless there are class or sample weights).

    Attributes
    ----------
    arguments : tuple of str
        Class attribute: the arrays that a call takes, in order.
    predictions : tuple of str
        Class attribute: those of them that are a model's outputs, in the outputs' order.
    takes_sparse : tuple of str
        Class attribute: those that may be sparse matrices of SciPy's format CSR.
    means : mapping of str to callable
        Class attribute: the reductions that divide, each with a function of the terms' shape that
        says how many terms count as one. So ``"batchmean"``, which counts samples, is
        ``{**Loss.means, "batchmean": lambda shape: math.prod(shape[1:])}``.
    checks : mapping of str to callable
        Class attribute: by the name of an attribute, the function ``check(loss, name, value)``
        that returns what is assigned to it, or raises.

    Examples
    --------
    >>> import numpy as np
    >>> from npnet.losses import Loss, Terms
    >>> class Gaussian(Loss):
    ...     arguments, predictions = ("mean", "target", "var"), ("mean", "var")
    ...     def terms(self, mean, target, var, with_grad):
    ...         error = mean - target.astype(mean.dtype)
    ...         grad = error / var, 0.5 * (1 - error**2 / var) / var
    ...         return Terms(0.5 * (np.log(var) + error**2 / var), None, grad)
    >>> value, (dmean, dvar) = Gaussian().value_and_grad([3.0], [1.0], [1.0])
    >>> value, dmean.tolist(), dvar.tolist()
    (2.0, [2.0], [-1.5])
    """

    arguments: ClassVar[tuple[str, ...]] = ("pred", "target")
    predictions: ClassVar[tuple[str, ...]] = ("pred",)
    takes_sparse: ClassVar[tuple[str, ...]] = ()
    means: ClassVar[Mapping[str, Callable[[tuple[int, ...]], float]]] = {"mean": lambda shape: 1}
    checks: ClassVar[Mapping[str, Callable[[Any, str, Any], Any]]] = {"reduction": as_reduction}

    _shows_defaults = False
    takes_arrays = True

    habits: ClassVar[Mapping[str, str]] = {
        "__init__": MADE_FIRST,
        "backward": "loss, grad = loss_fn.value_and_grad(pred, target); tape.backward(grad)",
        "forward": "call the loss: loss_fn(pred, target)",
        "to": _DTYPE, "cuda": _DTYPE, "cpu": _DTYPE, "double": _DTYPE, "float": _DTYPE,
        "train": _MODE, "eval": _MODE, "parameters": _MODE, "state_dict": _MODE,
        "size_average": _REDUCTION, "reduce": _REDUCTION,
    }  # fmt: skip

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check that `arguments`, `predictions` and `terms` belong together."""
        super().__init_subclass__(**kwargs)
        names, predictions, signature = cls.arguments, cls.predictions, inspect.signature(cls.terms)
        if not set(predictions) <= set(names):
            raise ArgumentError(
                f"{cls.__name__}: arguments and predictions are tuples of names, the second some "
                f"of the first, got {names!r} and {predictions!r}"
            )
        try:
            signature.bind(None, *names, True)
        except TypeError:
            raise SignatureError(
                f"{cls.__name__}.terms takes {signature}; by its class attribute `arguments` it is "
                f"called with {', '.join(names)}, with_grad"
            ) from None

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def __setattr__(self, name: str, value: Any) -> None:
        check = self.checks.get(name)
        super().__setattr__(name, value if check is None else check(self, name, value))

    def __call__(
        self, *arrays: ArrayLike, sample_weight: ArrayLike | None = None, **named: ArrayLike
    ) -> Any:
        """Compute the loss.

        Parameters
        ----------
        *arrays : array_like
            As `arguments` names them: in most losses the model's output `pred`, and `target`,
            what it should have been; see the class for its shape.
        sample_weight : array_like, shape (n,) or that of the terms, optional
            Non-negative factors of the samples' terms. A mean divides by their sum, so that a
            weight of 2 equals the sample given twice, and 0 leaves it out.
        **named : array_like
            Arrays by their names in `arguments`.

        Returns
        -------
        float, or ndarray with ``reduction="none"``
        """
        arrays = self._in_order(arrays, named) if named else arrays
        value = self.evaluate(*arrays, sample_weight=sample_weight, with_grad=False).value
        return _Number(value) if type(value) is float else value

    def value_and_grad(
        self, *arrays: ArrayLike, sample_weight: ArrayLike | None = None, **named: ArrayLike
    ) -> tuple[Any, Any]:
        """Compute the loss and its gradient with respect to the predictions.

        Parameters
        ----------
        *arrays, sample_weight, **named
            As for a call.

        Returns
        -------
        value : float, or ndarray with ``reduction="none"``
        grad : ndarray, shape of the prediction; for several predictions a tuple of them
            Of the sum of the terms with ``reduction="none"``.
        """
        arrays = self._in_order(arrays, named) if named else arrays
        if sample_weight is None:  # the usual call; keywords beside a star cost time
            value, grad, _ = self.evaluate(*arrays)
        else:
            value, grad, _ = self.evaluate(*arrays, sample_weight=sample_weight)
        if grad is None:
            raise ArgumentError(f"{type(self).__name__}.terms returned no gradient")
        return value, grad

    @np.errstate(all="ignore")
    def evaluate(
        self,
        *arrays: ArrayLike,
        sample_weight: ArrayLike | None = None,
        with_grad: bool = True,
    ) -> LossValue:
        """Compute value, gradient and the weight of the mean in one go.

        Parameters
        ----------
        *arrays, sample_weight
            As for a call.
        with_grad : bool
            Whether to compute the gradient.

        Returns
        -------
        LossValue
        """
        given = self._as_arrays(arrays)
        terms = self.terms(*given.values(), flag(self, "with_grad", with_grad))
        if not isinstance(terms, Terms):
            raise ArgumentError(
                f"{type(self).__name__}.terms must return npnet.losses.Terms(values, weights, "
                f"grad, axes), it returned {type(terms).__name__}"
            )
        values, weights, grad, axes = terms
        values, factor, scale = np.asarray(values), None, 1.0
        if sample_weight is not None:
            factor, scale = as_factor(self, sample_weight, values.shape)
            weights = factor if weights is None else weights * factor
        weight = float(values.size if weights is None else weights.sum(dtype=np.float64))
        mean = self.reduction in self.means
        if mean and values.size == 0:
            shapes = ", ".join(str(given[name].shape) for name in self.predictions)
            text = f"the mean over an empty batch is undefined (predictions of shape {shapes})"
            raise ShapeError(text, self)
        if mean:
            weight /= self.means[self.reduction](values.shape)
        unit = 1 / (weight or 1.0) if mean else scale
        by: Any = (unit if mean else None) if factor is None else np.asarray(factor * unit)
        total_weight = weight * scale
        if total_weight == math.inf:
            raise ArgumentError("the sum of the sample weights is infinite", self)
        grads = self._scaled(grad, by, axes, given) if with_grad and grad is not None else None
        if factor is not None:
            values = _times(values, by if self.reduction == "none" else factor)
        value: Any = values
        if self.reduction != "none":
            value = float(np.add.reduce(values, axis=None, dtype=np.float64))
            value = value * scale if not mean else value / weight if weight else math.nan
        if grads is not None and mean and not weight:  # as in PyTorch: nothing counts
            grads = tuple(np.where(g == 0, g, np.nan) for g in grads)
        if grads is None or isinstance(grad, tuple):
            return LossValue(value, grads, total_weight)
        return LossValue(value, grads[0], total_weight)

    def terms(self, *arrays: Any) -> Terms:
        """Compute the terms of the loss, their weights and the gradient of their sum.

        A subclass names its parameters: ``terms(self, pred, target, with_grad)``.

        Parameters
        ----------
        *arrays : ndarray
            As `arguments` names them; predictions are of a floating dtype, others unchecked. At
            the end stands `with_grad`, whether the gradient is wanted.

        Returns
        -------
        Terms
        """
        raise MissingMethod("it has no terms(self, pred, target, with_grad)", self)

    def _in_order(self, arrays: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
        names = self.arguments[len(arrays) :]
        if set(names) != set(named):
            raise SignatureError(
                f"{name_of(self)} takes ({', '.join(self.arguments)}), got {len(arrays)} array(s) "
                f"and {', '.join(named)}"
            )
        return (*arrays, *(named[name] for name in names))

    def _as_arrays(self, arrays: tuple[ArrayLike, ...]) -> dict[str, Array]:
        """Return the arrays by name, predictions in a floating dtype."""
        names = self.arguments
        if len(arrays) != len(names):
            hint = "; weights are a keyword, sample_weight=" if len(arrays) > len(names) else ""
            raise SignatureError(
                f"{name_of(self)} takes ({', '.join(names)}), got {len(arrays)} array(s){hint}"
            )
        given = {}
        for name, value in zip(names, arrays, strict=True):
            if name in self.takes_sparse and is_sparse(value):
                given[name] = csr(value, f"{name_of(self)}: {name}")
                continue
            given[name] = as_array(self, name, value)
            if name in self.predictions:
                given[name] = cast(self, name, given[name], floating_dtype(value))
        return given

    def _scaled(
        self, grad: Any, by: Any, axes: tuple[int, ...], given: dict[str, Array]
    ) -> tuple[Array, ...]:
        """Multiply gradients by a number or by a factor for each term; check their shapes."""
        grads = grad if isinstance(grad, tuple) else (grad,)
        if len(grads) != len(self.predictions):
            raise ArgumentError(
                f"{type(self).__name__}.terms must return a gradient for each of "
                f"{self.predictions}, it returned {len(grads)}"
            )
        mixed = len({given[name].dtype for name in self.predictions}) > 1
        scaled = []
        for name, g in zip(self.predictions, grads, strict=True):
            g = np.asarray(g)
            g = g.astype(given[name].dtype, copy=False) if mixed or g.dtype.kind != "f" else g
            if isinstance(by, float):
                alone = len(grads) == 1 and g.flags.writeable  # two predictions may share g
                g = np.multiply(g, by, out=g if alone else None)
            elif by is not None:
                new = tuple(range(by.ndim, g.ndim))  # the last axes, unless others are said
                try:
                    g = _times(g, np.expand_dims(by, axes if len(axes) == len(new) else new))
                except ValueError:  # do not broadcast
                    raise self._wrong_gradient(name, g, given[name]) from None
            scaled.append(self._summed(name, g, given[name]))
        return tuple(scaled)

    def _summed(self, name: str, grad: Array, pred: Array) -> Array:
        """Sum a gradient over the axes along which its prediction was broadcast."""
        if grad.shape == pred.shape:
            return grad
        aligned = pred.shape + (1,) * (grad.ndim - pred.ndim)
        pairs = enumerate(zip(grad.shape, aligned, strict=False))
        total = grad.sum(axis=tuple(i for i, (n, m) in pairs if m == 1 != n), keepdims=True)
        if total.shape != aligned:
            raise self._wrong_gradient(name, grad, pred)
        return np.reshape(total, pred.shape)

    def _wrong_gradient(self, name: str, grad: Array, pred: Array) -> ShapeError:
        expected = f"{pred.shape} or that of the terms"
        return shape_error(self, expected, grad.shape, what=f"gradient from terms for {name}")

    def _same_shape(self, pred: Array, target: Array, name: str = "target") -> Array:
        """Check an array that must look like the prediction; never broadcast."""
        if target.shape != pred.shape:
            hint = "targets are never broadcast" if name == "target" else "nothing is broadcast"
            if target.size == pred.size:
                hint += f"; did you mean {reshaped(name, pred.shape)}?"
            elif (
                pred.ndim > 1
                and target.dtype.kind in "iub"
                and target.shape == without_axis(pred.shape)
            ):
                hint = (
                    "class numbers need CrossEntropyLoss, or one column for each class: "
                    f"npnet.data.one_hot(target, {pred.shape[1]})"
                )
            raise shape_error(self, str(pred.shape), target.shape, hint, what=name)
        return cast(self, name, target, pred.dtype)


def without_axis(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a prediction's shape without the class axis, which is axis 1 if there is one."""
    axis = min(1, len(shape) - 1)
    return shape[:axis] + shape[axis + 1 :]


def _times(array: Array, factor: Array) -> Array:
    """Return array * factor in the array's dtype; 0 where the factor is, whatever stands there."""
    return np.multiply(array, factor, out=np.zeros_like(array), where=factor != 0)
