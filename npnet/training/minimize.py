"""minimize, which fits a model on all data at once by one of SciPy's optimizers."""

from __future__ import annotations

import functools
import math
import sys
from typing import Any

import numpy as np

from npnet.arguments import instance, refusal
from npnet.data.batches import evaluation_source
from npnet.errors import ArgumentError, DataError
from npnet.layer import Layer
from npnet.losses import Loss
from npnet.random import as_seed
from npnet.store import FlatStore
from npnet.training.metric_tracker import MetricTracker
from npnet.training.updates import as_penalties, refuse_others, total
from npnet.typing import Array, ArrayLike, Rng

_NO_GRADIENT = ("nelder-mead", "powell", "cobyla", "cobyqa")
_OURS = {
    "fun": "the function is the loss of the model",
    "x0": "it starts from the model's present parameters",
    "jac": "the gradient is the model's backward pass",
    "args": "the data are x and y",
}


def minimize(
    model: Layer,
    loss: Loss,
    x: Any,
    y: Any,
    method: Any = "L-BFGS-B",
    *,
    sample_weight: ArrayLike | None = None,
    penalties: Any = (),
    rng: Rng = None,
    **arguments: Any,
) -> Any:
    """Minimize the loss over all data by `scipy.optimize.minimize`.

    SciPy is given the parameters that are not frozen as one vector in float64, where the model
    computes in its dtype; ``model.astype(np.float64)`` lets it come closer to a minimum. What the
    model draws, as for dropout, is the same in all evaluations.

    Parameters
    ----------
    model : Layer
        Trained in place, from its present parameters.
    loss : Loss
        With a reduction other than ``"none"``.
    x : array_like, shape (n, ...), or a tuple of them
        One array for each input of the model.
    y : array_like, shape (n, ...), or tuple of them
        Targets, as the loss wants them.
    method : str
        SciPy's name: ``"L-BFGS-B"``, ``"BFGS"``, ``"CG"``, ``"TNC"``, ...
    sample_weight : array_like, optional
        Factors of the samples' losses.
    penalties : list of Penalty
        What is added to the loss: ``penalty()`` is a value, ``penalty.backward()`` adds its
        gradient. See `npnet.penalties`.
    rng : numpy.random.Generator, int or None
        An integer is the seed of what the model draws; a generator draws one.
    **arguments
        The other arguments of `scipy.optimize.minimize`: ``tol``, ``bounds``, ``callback``,
        ``options={"maxiter": 200}``.

    Returns
    -------
    scipy.optimize.OptimizeResult
        With the loss as ``fun``, the parameters as ``x``, ``nit``, ``nfev``, ``success`` and
        ``message``.

    Raises
    ------
    ArgumentError
        If an argument is of the wrong kind, or SciPy refuses one. After any error, or Ctrl-C, the
        model has the best parameters that were tried.

    References
    ----------
    `scipy.optimize.minimize`.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(50, 3))
    >>> y = x @ [[1.0], [2.0], [3.0]] + 4.0
    >>> model = npnet.Linear(3, 1, dtype=np.float64)
    >>> result = npnet.training.minimize(model, npnet.MSELoss(), x, y)
    >>> result.success, result.fun < 1e-8
    (True, True)
    >>> model.weight.data.round(3), model.bias.data.round(3)
    (array([[1., 2., 3.]]), array([4.]))
    """
    from scipy import optimize

    instance("minimize", "model", model, Layer)
    if instance("minimize", "loss", loss, Loss).reduction == "none":
        raise refusal("minimize", "loss", "one number", loss, "use reduction='mean' or 'sum'")
    for name in _OURS.keys() & arguments.keys():
        raise ArgumentError(f"minimize takes no {name}: {_OURS[name]}")
    if not (isinstance(method, str) or callable(method)) or isinstance(method, type):
        raise refusal("minimize", "method", "the name of a method of SciPy's", method)
    problem = _Problem(model, loss, x, y, sample_weight, penalties, as_seed(rng))
    if isinstance(method, str) and method.lower() in _NO_GRADIENT:
        function: Any = problem.value
        gradient = None
    else:
        function, gradient = problem.value_and_grad, True
    start = problem.store.data.astype(np.float64)
    raised: list[Exception] = []  # by the model, the loss or the callback, not by SciPy
    if callable(arguments.get("callback")):
        arguments["callback"] = _noting(arguments["callback"], raised)
    function = _noting(function, raised)
    try:
        result = optimize.minimize(function, start, method=method, jac=gradient, **arguments)
    except (TypeError, ValueError) as error:
        if error in raised:
            raise
        raise ArgumentError(f"scipy.optimize.minimize: {error}") from error
    finally:
        problem.finish()
    problem.store.data[:] = result.x
    return result


def _noting(function: Any, raised: list[Exception]) -> Any:
    """Return a function that notes what it raises."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raised.append(error)
            raise

    return call


class _Problem:
    """The loss of all data as a function of the flat vector of parameters."""

    def __init__(
        self, model: Layer, loss: Loss, x: Any, y: Any, weight: Any, penalties: Any, seed: int
    ) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        if not parameters:
            raise ArgumentError("minimize found no parameters in the model that are not frozen")
        self.model, self.loss, self.seed = model, loss, seed
        self.penalties = as_penalties("minimize", penalties)
        refuse_others("minimize", self.penalties, model.parameters())
        (batch,) = evaluation_source(x, y, sys.maxsize, weight).epoch(1)
        inputs, self.target, self.weight = batch
        self.inputs: Any = model._as_inputs(inputs)  # once, and not in every evaluation
        self.store = FlatStore.of(parameters)
        self.best = math.inf, self.store.data.copy()

    def value_and_grad(self, vector: Array) -> tuple[float, Array]:
        """Return the loss and its gradient."""
        store = self.store
        store.data[:] = vector
        for p in store.parameters:
            p.zero_grad()
        value, tape, grad = self._record()
        tape.backward(*grad if type(grad) is tuple else (grad,))
        for penalty in self.penalties:
            penalty.backward()
        for p, place in zip(store.parameters, store.slices, strict=True):
            if p._grad is None:
                store.grad[place] = 0
        return value, store.grad.astype(np.float64)

    def value(self, vector: Array) -> float:
        """Return the loss."""
        self.store.data[:] = vector
        return self._record(with_grad=False)[0]

    def _record(self, with_grad: bool = True) -> tuple[float, Any, Any]:
        """Return the loss, the tape, and the loss's gradient by the outputs."""
        outputs, tape = self.model.record(*self.inputs, rng=self.seed)
        result = MetricTracker(self.loss, []).add(
            outputs, self.target, self.weight, with_grad=with_grad
        )
        if not result.weight:
            raise DataError(
                "minimize found nothing that counts: all sample weights are 0, or all labels are "
                "ignored"
            )
        value = float(result.value) + total(self.penalties)
        if value < self.best[0]:
            self.best = value, self.store.data.copy()
        return value, tape, result.grad

    def finish(self) -> None:
        """Leave the best parameters, and no gradients."""
        self.store.data[:] = self.best[1]
        for p in self.store.parameters:
            p.zero_grad()
