"""Optimizer, the base of all optimizers: parameter groups, rates, options, state dictionaries.

A subclass says what it keeps (`state_spec`), checks its options and writes `update`, which works
on flat vectors: a whole group when every parameter in it has a gradient, slices of it otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from npnet.arguments import checked_call, did_you_mean, function_name, refusal, whole_number
from npnet.configured import Configured
from npnet.errors import ArgumentError, MissingMethod, TapeError
from npnet.optim import options as opt
from npnet.optim.clip import clip_grad_norm, clip_grad_value
from npnet.optim.group import Group, ParamSlice, StateSpec
from npnet.optim.options import Rate
from npnet.optim.state import load_state, read_state
from npnet.parameter import Parameter
from npnet.schedules import Schedule, with_steps_per_epoch
from npnet.store import as_list, unique

Params = Iterable[Parameter] | Iterable[dict[str, Any]]
"""What an optimizer is made for: parameters, or parameter groups."""

Closure = Callable[[], float]
"""Clears the gradients, computes the loss and its gradients, and returns the loss."""


_ONE_FORM = "leave it out: there is one form, over all parameters at once"


class Optimizer(Configured):
    """Base of all optimizers.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        A dictionary is a parameter group: its parameters under ``"params"``, and options that
        differ from the defaults.
    defaults : mapping
        Every option of the optimizer with its default; `locals()` of the constructor will do.
    clip_norm : float, optional
        A keyword of every optimizer: the largest joint norm of all gradients, see
        `clip_grad_norm`, which each step applies.
    clip_value : float, optional
        A keyword of every optimizer: the largest magnitude of a gradient, see `clip_grad_value`,
        which each step applies, before the norm is taken.
    constraints : Constraint or list of Constraint
        A keyword of every optimizer, and an option of every group: applied to the parameters after
        each step, see `npnet.constraints`.

    Attributes
    ----------
    state_spec : mapping of str to StateSpec
        Class attribute: what the optimizer keeps for every parameter, by name.
    takes_rows : bool
        Class attribute: whether a step of some rows alone is what a sparse gradient means, as of
        ``Embedding(sparse=True)``. `update` is then given these rows as vectors.
    checks : mapping of str to callable
        Class attribute: checks of options that not all optimizers have, each called with the
        optimizer, the option's name and its value. See `npnet.optim.options`.
    param_groups : tuple of dict
        The options of each group, which may be changed between steps, and its ``"params"``.
    step_count : int
        Number of steps done: the argument of schedules, which may stand in place of a rate, a
        momentum or the first beta.

    Raises
    ------
    ArgumentError
        If there is no parameter, a parameter is in two groups, or an option is unknown or out of
        range.

    Examples
    --------
    An optimizer is its state, its options and its rule:

    >>> import npnet
    >>> class Heavy(npnet.optim.Optimizer):
    ...     state_spec = {"velocity": npnet.optim.StateSpec()}
    ...
    ...     def __init__(self, params, lr=0.1, mass=0.9, **common):
    ...         super().__init__(params, locals())
    ...
    ...     def update(self, at, options):
    ...         at.state["velocity"] *= options["mass"]
    ...         at.state["velocity"] += at.grad
    ...         at.data -= at.lr * at.state["velocity"]
    >>> p = npnet.Parameter([1.0])
    >>> p.grad = [2.0]
    >>> Heavy([p]).step()
    >>> p.data
    array([0.8], dtype=float32)
    """

    state_spec: ClassVar[Mapping[str, StateSpec]] = {}
    takes_rows: ClassVar[bool] = False
    checks: ClassVar[Mapping[str, opt.Check]] = {}
    habits: ClassVar[Mapping[str, str]] = {
        "learning_rate": "the rate is called lr",
        "state": "optimizer.state_dict()['state'] is a copy of it",
        "minimize": "call tape.backward(grad), optimizer.step() and optimizer.zero_grad()",
        "apply_gradients": "optimizer.step() uses the gradients that tape.backward(grad) filled",
        "apply": "optimizer.step() uses the gradients that tape.backward(grad) filled",
        "get_last_lr": "optimizer.lr is the rate of the next step",
        "foreach": _ONE_FORM, "fused": _ONE_FORM,
        "capturable": _ONE_FORM, "differentiable": "npnet does not differentiate steps",
        "clipnorm": "clip_norm is the joint norm of all gradients",
        "global_clipnorm": "it is called clip_norm", "clipvalue": "it is called clip_value",
        "use_ema": "npnet.training.AveragedModel averages weights",
    }  # fmt: skip

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let the constructor's signature name what all optimizers take."""
        if "__init__" in vars(cls):
            opt.show_common(vars(cls)["__init__"])
        super().__init_subclass__(**kwargs)

    def __init__(self, params: Params, defaults: Mapping[str, Any]) -> None:
        if not isinstance(defaults, Mapping) or "lr" not in defaults:
            raise refusal(self, "defaults", "a dict of options, with 'lr' among them", defaults)
        given = {k: v for k, v in defaults.items() if k not in ("self", "params", "__class__")}
        common = given.pop("common", {})
        if common.keys() - opt.COMMON:
            raise TypeError("an unexpected keyword argument")  # Configured tells which
        self.defaults = given | opt.COMMON | common
        self.clip_norm: float | None = opt.clipping(self, "clip_norm", self.defaults)
        self.clip_value: float | None = opt.clipping(self, "clip_value", self.defaults)
        self.groups: list[Group] = []
        self.step_count = 0
        self._steps_per_epoch: int | None = None
        members = as_list(params, self, (Parameter, Mapping))
        if not members:
            raise ArgumentError(f"{type(self).__name__} got no parameters")
        for group in members if isinstance(members[0], Mapping) else [{"params": members}]:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add a group of parameters with options of its own.

        Parameters
        ----------
        group : mapping
            ``"params"`` and options.
        """
        if not isinstance(group, Mapping) or "params" not in group:
            raise refusal(self, "a parameter group", "a dict with a 'params' key", group)
        parameters = unique(group["params"], self)
        if not parameters:
            raise ArgumentError(f"{type(self).__name__} got an empty parameter group")
        if set(self.parameters).intersection(parameters):
            raise ArgumentError(f"{type(self).__name__}: a parameter is in more than one group")
        options = {**self.defaults, **group, "params": parameters}
        schedules = self._check(options)
        made = Group(options, self.state_spec)
        made.accept(schedules)
        self.groups.append(made)

    # --- for subclasses

    def validate(self, options: dict[str, Any]) -> None:
        """Check what `checks` cannot: options that depend on one another or on the parameters.

        Parameters
        ----------
        options : dict
            The options of a group, and its ``"params"``. Plain Python values may be put in place
            of what is there: floats for NumPy's numbers, a tuple for a list.

        Raises
        ------
        ArgumentError
            If one is out of range.
        """

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Change the values and the state in place.

        Parameters
        ----------
        at : ParamSlice
            Values, gradients, state and rate.
        options : mapping
            The group's options.
        """
        raise MissingMethod(f"{type(self).__name__} has no update(self, at, options)")

    # --- for users

    @property
    def param_groups(self) -> tuple[dict[str, Any], ...]:
        """The options of each group, which may be changed between steps, and its ``"params"``.

        `add_param_group` adds one.
        """
        return tuple(group.options for group in self.groups)

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters, group after group."""
        return [p for group in self.groups for p in group.parameters]

    @property
    def lr(self) -> float:
        """The learning rate of the next step (of the first group, if there are several)."""
        rate: float = self._present(self.groups[0])["lr"]
        return rate

    @lr.setter
    def lr(self, value: Rate) -> None:
        self._check({**self.groups[0].options, "lr": value})
        for options in self.param_groups:
            options["lr"] = value

    @property
    def steps_per_epoch(self) -> int | None:
        """Number of steps in an epoch, for schedules made by `per_epoch` without it.

        `Trainer` sets it.
        """
        return self._steps_per_epoch

    @steps_per_epoch.setter
    def steps_per_epoch(self, value: int | None) -> None:
        if value is not None:
            value = whole_number(self, "steps_per_epoch", value, 1)
        self._steps_per_epoch = value
        for group in self.groups:
            group.checked = {}  # so that its schedule is filled in anew

    def step(self, closure: Closure | None = None) -> float | None:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Called first, without arguments: clears the gradients, computes the loss and its
            gradients, and returns the loss.

        Returns
        -------
        float or None
            What the closure returned.

        Raises
        ------
        ArgumentError
            If an option was changed to what it cannot be, or a schedule returns what is no rate, or
            a gradient is sparse and the optimizer cannot step rows, or has a weight decay.
        TapeError
            If no parameter has a gradient.
        """
        loss = None
        if closure is not None:
            function_name(self, "closure", closure, "a function without arguments")
            loss = closure()
        work = []
        for group in self.groups:
            options = self._present(group)
            for at in group.due(options["lr"]):
                work.append((at, options, at.rows is not None and self._by_rows(at, options)))
        if not work:
            frozen = not any(p.requires_grad for p in self.parameters)
            hint = "all parameters are frozen" if frozen else "call tape.backward(grad) first"
            raise TapeError(f"{type(self).__name__}.step found no gradient; {hint}")
        self._clip()
        self._move(work)  # what can raise was above: all groups move or none
        self.step_count += 1
        return loss

    def _clip(self) -> None:
        """Clip the gradients in place."""
        if self.clip_value is not None:
            clip_grad_value(self.parameters, self.clip_value)
        if self.clip_norm is not None:
            clip_grad_norm(self.parameters, self.clip_norm)

    @np.errstate(all="ignore")  # compiled or not, infinity and NaN go their way
    def _move(self, work: list[tuple[ParamSlice, Mapping[str, Any], bool]]) -> None:
        """Do one step of these slices with their options, some by the rows of their gradients."""
        for at, options, by_rows in work:
            at.step += 1
            if by_rows:
                part = at.gather()
                self.update(part, options)
                at.scatter(part)
            else:
                self.update(at, options)
            at.fresh = ()
            if options["constraints"]:
                at.constrain(options["constraints"])

    def _by_rows(self, at: ParamSlice, options: Mapping[str, Any]) -> bool:
        """Tell whether a step looks at the rows of a sparse gradient alone; refuse what cannot."""
        if not self.takes_rows:
            raise ArgumentError(
                f"{type(self).__name__} takes no sparse gradients; SGD, Adagrad and SparseAdam do, "
                "and a layer made with sparse=False has none"
            )
        if options.get("weight_decay"):
            raise ArgumentError(
                f"{type(self).__name__} takes no weight_decay with sparse gradients, got "
                f"{options['weight_decay']!r}: it would move the other rows, too"
            )
        return True

    @checked_call("zero_grad", {"set_to_none": "leave it out: a gradient of None is what is left"})
    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.groups:
            for p in group.parameters:
                p._grad = None

    def state_dict(self) -> dict[str, Any]:
        """Copy options, step counts and state into plain dictionaries, laid out like PyTorch's.

        Returns
        -------
        dict
            ``"state"`` maps a parameter's number to its ``"step"`` and state arrays,
            ``"param_groups"`` holds the options with the parameters' numbers, and
            ``"step_count"`` the steps done. A schedule is represented by its present value.
        """
        present = [self._present(group) for group in self.groups]
        return {**read_state(self.groups, present), "step_count": self.step_count}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned, for the same parameters in the same order.

        A group keeps its schedules, and the step count says where they go on. It keeps its
        constraints, too, and the optimizer its clipping.

        Parameters
        ----------
        state_dict : mapping

        Raises
        ------
        StateError
            If something in it is missing, unknown, of another shape or not a value that it can
            have; the error lists what, and nothing is changed.
        """
        self.step_count = load_state(self, state_dict)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments but for the parameters.

        Returns
        -------
        dict of str to object
        """
        clipping = {"clip_norm": self.clip_norm, "clip_value": self.clip_value}
        config = {**self.defaults, **clipping}
        return {k: v for k, v in config.items() if k not in opt.COMMON or v not in (None, ())}

    def _present(self, group: Group) -> Mapping[str, Any]:
        """Return the options of a group's next step, after a check of what was changed."""
        if not group.is_checked():
            given = group.options.get("params")
            if not isinstance(given, list) or [*map(id, given)] != [*map(id, group.parameters)]:
                raise ArgumentError(
                    f"{type(self).__name__}: the parameters of a group stay; "
                    "optimizer.add_param_group({'params': ...}) adds others"
                )
            group.accept(self._check(group.options))
        if not group.schedules:
            return group.checked
        present = dict(group.checked)
        for name, schedule in group.schedules.items():
            value = opt.scheduled_value(self, name, schedule, self.step_count)
            present[name] = opt.with_value(present, name, value)
        group.want(present)
        return present

    def _check(self, options: dict[str, Any]) -> dict[str, Schedule]:
        """Check the options of a group; return those that are schedules."""
        known = [*self.defaults, "params"]
        for name in options:
            if name not in known:
                kind = "an option, " + ", ".join(self.defaults)
                raise refusal(
                    self, "a key of a parameter group", kind, name, did_you_mean(name, known)
                )
        missing = [name for name in known if name not in options]
        if missing:
            raise ArgumentError(f"{type(self).__name__}: a parameter group lacks {missing}")
        for name, check in {**opt.CHECKS, **self.checks}.items():
            if name in options:
                options[name] = check(self, name, options[name])
        opt.check_constraints(self, options)
        self.validate(options)
        schedules, steps = opt.schedules_in(options), self._steps_per_epoch
        if steps is None:
            return schedules
        return {name: with_steps_per_epoch(each, steps) for name, each in schedules.items()}

    def __repr__(self) -> str:
        return "\n".join(f"{type(self).__name__}({group})" for group in self.groups)
