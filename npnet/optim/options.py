"""Options of optimizers: their checks, those that are schedules, those that all optimizers have."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

from npnet.arguments import flag, real_number, refusal, shown, whole_number
from npnet.constraints import Constraint, as_constraints
from npnet.errors import ArgumentError
from npnet.schedules import Schedule, as_schedule

Rate = float | Schedule
"""A learning rate or a momentum: a number, or a schedule, which is any function of the step."""

Betas = tuple[Rate, float]
"""Decay of the two moments; the first one is the momentum."""

Check = Callable[[Any, str, Any], Any]
"""Takes the optimizer, the option's name and its value; returns the value in one type or raises."""

UNSAVED = ("params", "constraints")
"""Options that a state dictionary does not hold."""


class Common(TypedDict, total=False):
    """Keyword arguments that every optimizer takes, see `Optimizer`."""

    clip_norm: float | None
    clip_value: float | None
    constraints: Constraint | Iterable[Constraint]


COMMON: dict[str, Any] = {"clip_norm": None, "clip_value": None, "constraints": ()}
"""Their defaults."""


def show_common(init: Any) -> None:
    """Let the signature of a constructor that ends with ``**common`` name them."""
    signature = inspect.signature(init)
    parameters = list(signature.parameters.values())
    if parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
            for name, default in COMMON.items()
        ]
        init.__signature__ = signature.replace(parameters=[*parameters[:-1], *more])


# --- checks


def number(low: float = -math.inf, high: float = math.inf, **bounds: float) -> Check:
    """Return a check for a finite number in an interval, see `npnet.arguments.real_number`."""
    return lambda owner, name, value: real_number(owner, name, value, low, high, **bounds)


def whole(low: int, high: int = sys.maxsize) -> Check:
    """Return a check for an integer in an interval."""
    return lambda owner, name, value: whole_number(owner, name, value, low, high)


def rate(**bounds: float) -> Check:
    """Return a check for a number of at least 0 or a schedule."""
    check, kind = number(0, **bounds), "a number or a function of the step"
    return lambda owner, name, value: (
        as_schedule(owner, name, value, kind) if callable(value) else check(owner, name, value)
    )


def several(kind: str, *checks: Check) -> Check:
    """Return a check for a tuple with one entry for each of some checks."""

    def check(owner: Any, name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, tuple | list) or len(value) != len(checks):
            raise refusal(owner, name, kind, value)
        entries = enumerate(zip(checks, value, strict=True))
        return tuple(each(owner, f"{name}[{i}]", entry) for i, (each, entry) in entries)

    return check


CHECKS: dict[str, Check] = {
    "lr": rate(),
    "momentum": rate(),
    "betas": several("two numbers", rate(below=1), number(0, below=1)),
    "eps": number(0),
    "weight_decay": number(0),
    "decoupled_weight_decay": flag,
    "amsgrad": flag,
    "nesterov": flag,
    "maximize": flag,
}
"""Checks of the options that mean the same in every optimizer."""


def clipping(owner: Any, name: str, options: dict[str, Any]) -> float | None:
    """Take a limit of the gradients out of the options, and check it."""
    value = options.pop(name)
    return None if value is None else real_number(owner, name, value, 0)


def check_constraints(owner: Any, options: dict[str, Any]) -> None:
    """Check the constraints of a group for its parameters."""
    found = as_constraints(owner, "constraints", options["constraints"])
    options["constraints"] = found
    for constraint in found:
        for p in options["params"]:
            constraint.check(p.shape)


# --- schedules

SCHEDULED = ("lr", "momentum", "betas")
"""Options that may be schedules; of the betas it is the first."""


def schedules_in(options: Mapping[str, Any]) -> dict[str, Schedule]:
    """Return the schedules among the options, by the options' names."""
    found = {name: options[name] for name in SCHEDULED if name in options}
    first = {n: v[0] if isinstance(v, tuple) else v for n, v in found.items()}
    return {name: value for name, value in first.items() if callable(value)}


def with_value(options: Mapping[str, Any], name: str, value: Any) -> Any:
    """Return an option with a number or a schedule in its place, the first one of a tuple."""
    present = options[name]
    return (value, *present[1:]) if isinstance(present, tuple) else value


def scheduled_value(owner: Any, name: str, schedule: Schedule, step: int) -> float:
    """Return what a schedule says of a step, checked."""
    value = schedule(step)
    bounds: dict[str, Any] = {"below": 1} if name == "betas" else {}
    try:
        return real_number(owner, name, value, 0, **bounds)
    except ArgumentError:
        what = {"lr": "the rate", "betas": "betas[0]"}.get(name, f"the {name}")
        kind = "a finite number of at least 0" + " and below 1" * bool(bounds)
        raise refusal(owner, f"{what} of {shown(schedule)} at step {step}", kind, value) from None
