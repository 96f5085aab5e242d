"""Optimizer, the base of all optimizers: parameter groups, rates, options, state dictionaries.

A subclass says what it keeps (`state_spec`), checks its options and writes `update`, which works
on flat vectors: a whole group when every parameter in it has a gradient, slices of it otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from npnet.arguments import did_you_mean, real_number, refusal, shown, whole_number, wrong_call
from npnet.configured import Configured
from npnet.errors import ArgumentError, MissingMethod, TapeError
from npnet.optim.group import Group, ParamSlice, StateSpec
from npnet.optim.state import load_state, read_state
from npnet.parameter import Parameter
from npnet.schedules import Schedule, as_schedule, with_steps_per_epoch
from npnet.store import as_list, unique

Params = Iterable[Parameter] | Iterable[dict[str, Any]]
"""What an optimizer is made for: parameters, or parameter groups."""

Rate = float | Schedule
"""A learning rate: a number, or a schedule, which is any function of the step."""


class Optimizer(Configured):
    """Base of all optimizers.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        A dictionary is a parameter group: its parameters under ``"params"``, and options that
        differ from the defaults.
    defaults : mapping
        Every option of the optimizer with its default.

    Attributes
    ----------
    state_spec : mapping of str to StateSpec
        Class attribute: what the optimizer keeps for every parameter, by name.
    takes_rows : bool
        Class attribute: whether a step of some rows alone is what a sparse gradient means, as of
        ``Embedding(sparse=True)``. `update` is then given these rows as vectors.
    param_groups : tuple of dict
        The options of each group, which may be changed between steps, and its ``"params"``.
    step_count : int
        Number of steps done: the argument of learning-rate schedules.

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
    ...     def __init__(self, params, lr=0.1, mass=0.9):
    ...         super().__init__(params, {"lr": lr, "mass": mass})
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
    habits: ClassVar[Mapping[str, str]] = {
        "learning_rate": "the rate is called lr",
        "state": "optimizer.state_dict()['state'] is a copy of it",
        "minimize": "call tape.backward(grad), optimizer.step() and optimizer.zero_grad()",
        "apply_gradients": "optimizer.step() uses the gradients that tape.backward(grad) filled",
        "apply": "optimizer.step() uses the gradients that tape.backward(grad) filled",
        "get_last_lr": "optimizer.lr is the rate of the next step",
    }

    def __init__(self, params: Params, defaults: Mapping[str, Any]) -> None:
        if not isinstance(defaults, Mapping) or "lr" not in defaults:
            raise refusal(self, "defaults", "a dict of options, with 'lr' among them", defaults)
        self.defaults = dict(defaults)
        self.groups: list[Group] = []
        self.step_count = 0
        self._steps_per_epoch: int | None = None
        given = as_list(params, self, (Parameter, Mapping))
        if not given:
            raise ArgumentError(f"{type(self).__name__} got no parameters")
        for group in given if isinstance(given[0], Mapping) else [{"params": given}]:
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
        schedule = self._check(options)
        made = Group(options, self.state_spec)
        made.accept(schedule)
        self.groups.append(made)

    # --- for subclasses

    def validate(self, options: dict[str, Any]) -> None:
        """Check the options of a group, other than its rate.

        Parameters
        ----------
        options : dict
            Plain Python values may be put in place of what is there: floats for NumPy's numbers, a
            tuple for a list.

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
        return self._rate(self.groups[0])

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

    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises
        ------
        ArgumentError
            If an option was changed to what it cannot be, or a schedule returns what is no rate, or
            a gradient is sparse and the optimizer cannot step rows, or has a weight decay.
        TapeError
            If no parameter has a gradient.
        """
        work = []
        for group in self.groups:
            lr = self._rate(group)
            due = group.due(lr)
            work += [(at, group.checked, self._by_rows(at, group.checked)) for at in due]
        if not work:
            frozen = not any(p.requires_grad for p in self.parameters)
            hint = "all parameters are frozen" if frozen else "call tape.backward(grad) first"
            raise TapeError(f"{type(self).__name__}.step found no gradient; {hint}")
        for at, options, by_rows in work:  # what can raise was above: all groups move or none
            at.step += 1
            if by_rows:
                part = at.gather()
                self.update(part, options)
                at.scatter(part)
            else:
                self.update(at, options)
            at.fresh = ()
        self.step_count += 1

    def _by_rows(self, at: ParamSlice, options: Mapping[str, Any]) -> bool:
        """Tell whether a step looks at the rows of a sparse gradient alone; refuse what cannot."""
        if at.rows is None:
            return False
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
            ``"step_count"`` the steps done. A schedule is represented by its present rate.
        """
        rates = [self._rate(group) for group in self.groups]
        return {**read_state(self.groups, rates), "step_count": self.step_count}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned, for the same parameters in the same order.

        A group whose rate is a schedule keeps it; the step count says where it goes on.

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
        return dict(self.defaults)

    def _rate(self, group: Group) -> float:
        """Return the rate of a group's next step, after a check of what was changed."""
        if not group.is_checked():
            given = group.options.get("params")
            if not isinstance(given, list) or [*map(id, given)] != [*map(id, group.parameters)]:
                raise ArgumentError(
                    f"{type(self).__name__}: the parameters of a group stay; "
                    "optimizer.add_param_group({'params': ...}) adds others"
                )
            group.accept(self._check(group.options))
        if group.schedule is None:
            rate: float = group.checked["lr"]
            return rate
        try:
            rate = group.schedule(self.step_count)
        except TypeError as error:
            name = f"the schedule {shown(group.schedule)}"
            raise wrong_call(group.schedule, name, (self.step_count,), {}) or error from None
        try:
            return real_number(self, "lr", rate, 0)
        except ArgumentError:
            name = f"the rate of {shown(group.schedule)} at step {self.step_count}"
            kind = "a finite number of at least 0"
            raise refusal(self, name, kind, rate) from None

    def _check(self, options: dict[str, Any]) -> Any:
        """Check the options of a group; return its schedule, None if its rate is a number."""
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
        lr = options["lr"]
        if not callable(lr):
            options["lr"] = real_number(self, "lr", lr, 0)
        else:
            as_schedule(self, "lr", lr, "a number or a function of the step")
        self.validate(options)
        if not callable(lr):
            return None
        steps = self._steps_per_epoch
        return lr if steps is None else with_steps_per_epoch(lr, steps)

    def __repr__(self) -> str:
        return "\n".join(f"{type(self).__name__}({group})" for group in self.groups)
