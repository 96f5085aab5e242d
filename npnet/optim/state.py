"""State dictionaries of optimizers, laid out like PyTorch's: written, and read after checks."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.arguments import did_you_mean, instance, real_number, refusal, shown, whole_number
from npnet.convert import real_array
from npnet.errors import ArgumentError, NpnetError, StateError
from npnet.optim.group import Group, StateSpec
from npnet.optim.options import UNSAVED, schedules_in, with_value
from npnet.parameter import Parameter
from npnet.store import FlatStore
from npnet.typing import Array

if TYPE_CHECKING:
    from npnet.optim.optimizer import Optimizer


def read_state(groups: Sequence[Group], present: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Copy steps, state and options, see `Optimizer.state_dict`."""
    state: dict[int, dict[str, Any]] = {}
    saved: list[dict[str, Any]] = []
    first = 0
    for group, options in zip(groups, present, strict=True):
        entries = group.read()
        numbers = list(range(first, first + len(group.parameters)))
        first += len(numbers)
        for number, p in zip(numbers, group.parameters, strict=True):
            if p in entries:
                state[number] = copy.deepcopy(entries[p])
        plain = {k: v for k, v in options.items() if k not in UNSAVED}
        saved.append({**copy.deepcopy(plain), "params": numbers})
    return {"state": state, "param_groups": saved}


def load_state(optimizer: Optimizer, state_dict: Any) -> int:
    """Put back what `read_state` returned, all or nothing; return the steps done."""
    reader = _Reader(optimizer)
    top = reader.mapping("the state", state_dict, ["state", "param_groups", "step_count"])
    reader.stop()
    step_count = reader.attempt(whole_number, "step_count", top["step_count"], 0)
    state = reader.attempt(instance, "state", top["state"], Mapping)
    saved = reader.attempt(_items, "param_groups", top["param_groups"], len(optimizer.groups))
    reader.stop()
    options = [reader.group(k, theirs) for k, theirs in enumerate(saved)]
    entries = {}
    for number, entry in state.items():
        if reader.attempt(whole_number, "every key of state", number, 0) in reader.members:
            entries[reader.members[number]] = reader.entry(number, entry)
        else:
            reader.problems.append(f"there is no parameter {shown(number)} in param_groups")
    reader.stop()
    for group in optimizer.groups:
        FlatStore.of(group.parameters)  # raises, if at all, before anything is changed
    for group, theirs in zip(optimizer.groups, options, strict=True):
        group.options.clear()
        group.options.update(theirs)
        group.lay_out(entries)
    return int(step_count)


class _Reader:
    """Reads what may be anything, and notes what is wrong, so that one error tells all of it."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.problems: list[str] = []
        self.members: dict[Any, Parameter] = {}  # by the numbers that the state gives them

    def stop(self) -> None:
        """Raise if something is wrong."""
        if self.problems:
            head = f"the state does not fit {type(self.optimizer).__name__}:"
            raise StateError("\n  ".join([head, *self.problems]))

    def attempt(self, check: Callable[..., Any], name: str, value: Any, *args: Any) -> Any:
        """Return what a check returns; where it raises, note why and return None."""
        try:
            return check(self.optimizer, name, value, *args)
        except NpnetError as error:
            self.problems.append(str(error))
            return None

    def mapping(
        self, name: str, value: Any, keys: Collection[str], more: Collection[str] = ()
    ) -> dict[Any, Any]:
        """Return a mapping's items; where one of `keys` is missing or one is unknown, note it."""
        items = self.attempt(instance, name, value, Mapping)
        if items is None:
            return {}
        self.problems += [f"{name} lacks {key!r}" for key in keys if key not in items]
        known = {*keys, *more}
        for key in items:
            if key not in known:
                hint = did_you_mean(key, known)
                self.problems.append(
                    f"{name} has an unknown key {shown(key)}{hint and '; ' + hint}"
                )
        return dict(items)

    def group(self, k: int, saved: Any) -> dict[str, Any]:
        """Return the options of a saved group, and note its parameters' numbers."""
        name, group = f"param_groups[{k}]", self.optimizer.groups[k]
        before = len(self.problems)
        known = [option for option in self.optimizer.defaults if option not in UNSAVED]
        options = self.mapping(name, saved, [*known, "params"])
        if len(self.problems) > before:
            return {}
        size = len(group.parameters)
        numbers = self.attempt(_items, f"{name}['params']", options["params"], size) or ()
        for number, p in zip(numbers, group.parameters, strict=False):
            whole = self.attempt(whole_number, f"{name}['params']", number, 0)
            if whole in self.members:
                self.problems.append(f"parameter {whole} is there twice")
            self.members[whole] = p
        if self.attempt(real_number, f"{name}['lr']", options["lr"], 0) is None:
            return {}
        self.problems += [f"{name}[{o!r}] is a function" for o in schedules_in(options)]
        options = copy.deepcopy(options)
        for option, schedule in group.schedules.items():  # a schedule goes on
            options[option] = with_value(options, option, schedule)
        options |= {"params": list(group.parameters), "constraints": group.checked["constraints"]}
        self.attempt(lambda *_: self.optimizer._check(options), name, options)
        return options

    def entry(self, number: int, saved: Any) -> dict[str, Any]:
        """Return the saved state of a parameter."""
        spec, of = self.optimizer.state_spec, f"of parameter {number}"
        shape = self.members[number].shape
        always = [n for n, each in spec.items() if not (each.when or each.of(shape) is None)]
        found = self.mapping(f"the state {of}", saved, ["step", *always], spec)
        for name, value in found.items():
            if name == "step":
                found[name] = self.attempt(_step, f"{name} {of}", value)
            elif name in spec:
                check = _scalar if spec[name].scalar else _vector
                args = (spec[name], self.members[number])
                found[name] = self.attempt(check, f"{name} {of}", value, *args)
        return found


def _items(owner: Any, name: str, value: Any, size: int) -> Sequence[Any]:
    if not isinstance(value, list | tuple) or len(value) != size:
        raise refusal(owner, name, f"a list of {size}", value)
    return value


def _number(value: Any) -> Any:
    """Return what an array of no axes holds: PyTorch keeps its numbers in such."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _step(owner: Any, name: str, value: Any) -> int:
    value = _number(value)
    if isinstance(value, float | np.floating) and value.is_integer():  # as PyTorch counts
        value = int(value)
    return whole_number(owner, name, value, 0)


def _scalar(owner: Any, name: str, value: Any, spec: StateSpec, p: Parameter) -> float:
    return real_number(owner, name, _number(value), 0 if spec.non_negative else -math.inf)


def _vector(owner: Any, name: str, value: Any, spec: StateSpec, p: Parameter) -> Array:
    array, shape = real_array(value, name), spec.of(p.shape)
    if array.shape != shape or array.dtype.kind == "b":
        raise refusal(owner, name, f"numbers of shape {shape}", array)
    with np.errstate(over="ignore"):
        array = array.astype(p.dtype)
    if not np.isfinite(array).all():
        raise ArgumentError(f"{name} is not finite everywhere")
    if spec.non_negative and (array < 0).any():
        raise ArgumentError(f"{name} is negative somewhere")
    return array
