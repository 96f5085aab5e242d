"""LBFGS, which learns the curvature from the gradients of its last iterations."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

import numpy as np

from npnet.arguments import (
    choice,
    function_name,
    instance,
    real_number,
    refusal,
    shown,
    whole_number,
)
from npnet.convert import real_array
from npnet.errors import ArgumentError, NpnetError, StateError, TapeError
from npnet.optim.line_search import Point, strong_wolfe
from npnet.optim.optimizer import Closure, Optimizer, Params
from npnet.optim.options import Common, Rate, number, whole
from npnet.parameter import Parameter
from npnet.typing import Array

_VECTORS = ("d", "prev_flat_grad")
_LISTS = ("old_dirs", "old_stps")
_COUNTS = ("func_evals", "n_iter")
_NUMBERS = ("t", "H_diag", "prev_loss")


class LBFGS(Optimizer):
    """L-BFGS: steps along -H g, with H an inverse Hessian from the last changes of x and g.

    One step does up to `max_iter` iterations. It needs a closure that computes loss and gradients
    of the same data each time, as a rule all of them. The state is one history for all parameters.

    Parameters
    ----------
    params : iterable of Parameter
        One group.
    lr : float or schedule
        Length of an iteration's step; with a line search, of the first one it tries.
    max_iter : int
        Most iterations of a step.
    max_eval : int, optional
        Most evaluations of the closure in a step; 5/4 of `max_iter` unless given.
    tolerance_grad : float
        A step ends where no gradient is larger.
    tolerance_change : float
        A step ends when neither the loss nor a parameter changes by more in an iteration.
    history_size : int
        How many changes are kept.
    line_search_fn : {None, "strong_wolfe"}
        Whether the length of each step is searched for, so that the loss falls.
    **common
        `clip_norm`, `clip_value` and `constraints`, see `Optimizer`; gradients are clipped after
        each evaluation, and constraints are applied when all iterations are done.

    Raises
    ------
    ArgumentError
        If an option is out of range, or there are several groups.

    References
    ----------
    Nocedal, Wright, "Numerical Optimization", 2006, section 7.2; ``torch.optim.LBFGS``, with the
    iterations of which it agrees.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter(np.zeros(2))
    >>> optimizer = npnet.optim.LBFGS([p], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     p.grad = 2 * np.array([1.0, 100.0]) * (p.data - 3.0)
    ...     return float(np.sum(np.array([1.0, 100.0]) * (p.data - 3.0) ** 2))
    >>> optimizer.step(closure)
    909.0
    >>> p.data.round(6)
    array([3., 3.])
    """

    checks: ClassVar = {
        "max_iter": whole(1),
        "max_eval": whole(1),
        "tolerance_grad": number(0),
        "tolerance_change": number(0),
        "history_size": whole(1),
        "line_search_fn": lambda owner, name, value: (
            None if value is None else choice(owner, name, value, ("strong_wolfe",))
        ),
    }

    def __init__(
        self,
        params: Params,
        lr: Rate = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        if max_eval is None:
            max_eval = max(1, whole_number(self, "max_iter", max_iter, 1) * 5 // 4)
        self._memory: dict[str, Any] = {"func_evals": 0, "n_iter": 0}
        self._of: list[Parameter] = []  # whom it is about
        super().__init__(params, locals())

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add the only group."""
        if self.groups:
            raise ArgumentError("LBFGS takes one parameter group: its history is of all parameters")
        super().add_param_group(group)

    def step(self, closure: Closure | None = None) -> float | None:
        """Do some iterations.

        Parameters
        ----------
        closure : callable
            Called without arguments: clears the gradients, computes the loss and its gradients, and
            returns the loss.

        Returns
        -------
        float
            The loss before the step.

        Raises
        ------
        ArgumentError
            Without a closure, or if it does not return a number.
        TapeError
            If no parameter has a gradient.
        """
        if closure is None:
            raise ArgumentError(
                "LBFGS.step needs a function that clears the gradients, computes the loss and its "
                "gradients, and returns the loss: optimizer.step(closure); "
                "npnet.training.minimize(model, loss, x, y) does all of it"
            )
        function_name(self, "closure", closure, "a function without arguments")
        (group,) = self.groups
        options = self._present(group)
        loss, g = self._evaluate(closure)
        first = loss
        if group.store.parameters != self._of:
            if self._of:  # others were frozen meanwhile, so the history is of other numbers
                self._memory = {"func_evals": 0, "n_iter": 0}
            self._of = list(group.store.parameters)
        memory = self._memory
        memory["func_evals"] += 1
        evaluations = 1
        for iteration in range(1, options["max_iter"] + 1):
            if iteration == 1 and np.abs(g).max(initial=0.0) <= options["tolerance_grad"]:
                break
            memory["n_iter"] += 1
            d = self._direction(g, options["history_size"])
            first_ever = memory["n_iter"] == 1
            t = (
                min(1.0, 1 / float(np.abs(g).sum())) * options["lr"]
                if first_ever
                else options["lr"]
            )
            slope, before = float(np.dot(g, d)), loss
            memory.update(d=d, t=t, prev_flat_grad=g, prev_loss=loss)
            if slope > -options["tolerance_change"]:
                break
            new = 0
            if options["line_search_fn"]:
                x = group.store.data.copy()

                def at(t: float, x: Array = x, d: Array = d) -> Point:
                    np.add(x, d * t, out=group.store.data)
                    f, slopes = self._evaluate(closure)
                    return Point(t, f, slopes, float(np.dot(slopes, d)))

                start, width = Point(0.0, loss, g, slope), float(np.abs(d).max())
                limit = options["max_eval"] - evaluations
                (t, loss, g, _), new = strong_wolfe(at, start, t, width, limit)
                memory["t"] = t
                np.add(x, d * t, out=group.store.data)
            else:
                group.store.data += d * t
                if iteration < options["max_iter"]:  # else there is no use of it
                    loss, g = self._evaluate(closure)
                    new = 1
            evaluations += new
            memory["func_evals"] += new
            if evaluations >= options["max_eval"]:
                break
            if np.abs(g).max() <= options["tolerance_grad"]:
                break
            if np.abs(d * t).max() <= options["tolerance_change"]:
                break
            if abs(loss - before) < options["tolerance_change"]:
                break
        for at_slice in group.slices:
            at_slice.constrain(options["constraints"])
        self.step_count += 1
        return first

    def _evaluate(self, closure: Closure) -> tuple[float, Array]:
        """Return loss and gradients."""
        value: Any = closure()
        if isinstance(value, str | bytes) or not hasattr(value, "__float__") or np.ndim(value):
            raise ArgumentError(f"LBFGS expects the closure to return the loss, got {shown(value)}")
        loss = float(value)
        self._clip()
        (group,) = self.groups
        if not group.store.is_current():
            group.lay_out({})
        store = group.store
        missing = [p._grad is None for p in store.parameters]
        if all(missing):
            raise TapeError("LBFGS.step found no gradient; the closure calls tape.backward(grad)")
        g = store.grad.copy()
        for absent, place in zip(missing, store.slices, strict=True):
            if absent:
                g[place] = 0
        return loss, g

    def _direction(self, g: Array, history_size: int) -> Array:
        """Return -H g, after the last iteration went into the history."""
        memory = self._memory
        if memory["n_iter"] == 1:
            memory.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -g
        ys, ss, ro = memory["old_dirs"], memory["old_stps"], memory["ro"]
        y, s = g - memory["prev_flat_grad"], memory["d"] * memory["t"]
        product = float(np.dot(y, s))
        if product > 1e-10:
            for kept, new in ((ys, y), (ss, s), (ro, 1 / product)):
                del kept[: max(0, len(kept) + 1 - history_size)]
                kept.append(new)
            memory["H_diag"] = product / float(np.dot(y, y))
        d = -g
        weights = []
        for y, s, r in zip(reversed(ys), reversed(ss), reversed(ro), strict=True):
            weights.append(float(np.dot(s, d)) * r)
            d -= y * weights[-1]
        d *= memory["H_diag"]
        for y, s, r in zip(ys, ss, ro, strict=True):
            d += s * (weights.pop() - float(np.dot(y, d)) * r)
        return d

    # --- state

    def state_dict(self) -> dict[str, Any]:
        """Copy options and history, under PyTorch's names and for parameter 0 as there.

        Returns
        -------
        dict
        """
        state = {0: copy.deepcopy(self._memory)} if self._memory["func_evals"] else {}
        return {**super().state_dict(), "state": state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned, for the same parameters in the same order.

        Parameters
        ----------
        state_dict : mapping

        Raises
        ------
        StateError
            If something in it does not fit; nothing is changed.
        """
        top = instance(self, "state_dict", state_dict, Mapping)
        saved = top.get("state")
        try:
            memory = self._checked_memory(saved)
        except StateError:
            raise
        except NpnetError as error:
            raise StateError(f"the state does not fit LBFGS: {error}") from None
        super().load_state_dict({**top, "state": {}} if saved is not None else top)
        self._memory, self._of = memory, []

    def _checked_memory(self, saved: Any) -> dict[str, Any]:
        """Return a history in the parameters' dtype, after checks."""
        empty = {"func_evals": 0, "n_iter": 0}
        if saved is None or saved == {}:
            return empty
        entry = instance(self, "state", saved, Mapping).get(0)
        entry = dict(instance(self, "state[0]", entry, Mapping))
        entry.pop("al", None)  # PyTorch's scratch
        found: dict[str, Any] = {n: whole_number(self, n, entry.pop(n, None), 0) for n in _COUNTS}
        if not found["n_iter"]:
            return found
        (group,) = self.groups
        data = group.store.data

        def vector(name: str, value: Any) -> Array:
            array = real_array(value, name)
            if array.shape != data.shape or not np.isfinite(array).all():
                raise refusal(self, name, f"finite numbers of shape {data.shape}", array)
            return array.astype(data.dtype)

        for name in _VECTORS:
            found[name] = vector(name, entry.pop(name, None))
        for name in _NUMBERS:
            found[name] = real_number(self, name, _plain(entry.pop(name, None)))
        ro = self._list("ro", entry.pop("ro", None))
        found["ro"] = [real_number(self, "ro", _plain(each), above=0) for each in ro]
        for name in _LISTS:
            vectors = self._list(name, entry.pop(name, None))
            if len(vectors) != len(ro):
                raise refusal(self, name, f"a list of {len(ro)}, as ro is", vectors)
            found[name] = [vector(name, each) for each in vectors]
        if entry:
            raise ArgumentError(f"unknown keys {sorted(map(str, entry))}")
        return found

    def _list(self, name: str, value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise refusal(self, name, "a list", value)
        return list(value)


def _plain(value: Any) -> Any:
    """Return what an array of no axes holds."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
