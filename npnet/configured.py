"""Configured, the base of layers, losses and optimizers: constructor arguments, and no typos.

An object can be made again from its constructor's arguments, shows them, and takes no new
attributes once it is made, so that a misspelt name raises.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from npnet.arguments import (
    did_you_mean,
    habit,
    instance,
    items,
    refusal,
    shown,
    wrong_call,
)
from npnet.errors import NameTypoError, StateError


def _constructor(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap an `__init__`: while the outermost one runs, new attributes may be made."""

    @functools.wraps(init)
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        if self._open:  # called by the constructor of a subclass
            init(self, *args, **kwargs)
            return
        object.__setattr__(self, "_open", True)
        self._prepare()
        try:
            init(self, *args, **kwargs)
        except TypeError as error:
            raise wrong_call(init, self, (self, *args), kwargs) or error from None
        finally:
            object.__setattr__(self, "_open", False)

    return construct


_FEW = 20
"""Numbers of an array that `repr` shows at most."""


class Habit:
    """An attribute that other frameworks have: reading it raises and says what to use here.

    A `__getattr__` would do the same and make every other attribute slower to read.
    """

    def __init__(self, name: str, sentence: str) -> None:
        self.name = name
        self.sentence = sentence

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        raise NameTypoError(f"{owner.__name__} has no attribute {self.name!r}; {self.sentence}")


class Configured:
    """Base of what is made from its constructor's arguments.

    Attributes
    ----------
    habits : mapping of str to str
        Class attribute: names that users of other frameworks look for, each with a sentence that
        says what to use here.
    """

    habits: ClassVar[Mapping[str, str]] = {}
    _shows_defaults: ClassVar[bool] = True
    _open = False  # whether new attributes may be made
    takes_arrays: ClassVar[bool] = False
    """Whether objects are called with arrays, as layers and losses are."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Wrap the constructor; make attributes that raise of the habits."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _constructor(cls.__init__)  # type: ignore[method-assign]
        for name, sentence in vars(cls).get("habits", {}).items():
            if name not in vars(cls) and not name.startswith("__"):
                setattr(cls, name, Habit(name, sentence))

    @_constructor
    def __init__(self) -> None:
        """Make the object; the class says from what."""

    def _prepare(self) -> None:
        """Make what must be there before the first line of any constructor runs."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Not by vars(self): from then on Python reads all attributes more slowly. The class comes
        # first, lest a property is read.
        if not (self._open or hasattr(type(self), name) or hasattr(self, name)):
            hint = habit(self, name) or did_you_mean(name, dir(self))
            raise NameTypoError(
                f"{type(self).__name__} has no attribute {name!r}{hint and '; ' + hint} "
                "(new attributes are made in __init__ only)"
            )
        object.__setattr__(self, name, value)

    # --- how it is made again

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments with which this object is made again.

        By default each argument is the attribute of its name; a class that differs overrides this
        method. Arguments named ``rng`` are left out. `repr` shows them, and `from_config` makes
        the object again.

        Returns
        -------
        dict of str to object

        Raises
        ------
        StateError
            If an argument is no attribute.
        """
        return {name: self._argument(name) for name in _parameters(type(self))}

    def _argument(self, name: str) -> Any:
        """Return one argument of the constructor."""
        if not hasattr(self, name):
            raise StateError(
                f"{type(self).__name__} cannot tell its argument {name!r}: assign it to "
                f"self.{name} in __init__, or override get_config"
            )
        return getattr(self, name)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make an object from what `get_config` returned.

        Parameters
        ----------
        config : mapping of str to object

        Returns
        -------
        object
        """
        hint = "as get_config returns it"
        rest, args = dict(instance(cls, "config", config, Mapping, hint)), []
        if not all(isinstance(name, str) for name in rest):
            raise refusal(cls, "config", "arguments by name", config, hint)
        parameters = _parameters(cls)
        if any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
            for name, p in parameters.items():
                if p.kind is p.VAR_POSITIONAL:
                    args += items(cls, name, rest.pop(name, ()))
                elif p.kind is p.POSITIONAL_OR_KEYWORD and name in rest:
                    args.append(rest.pop(name))
        return cls(*args, **rest)

    def _checked_argument(self, name: str, value: Any) -> Any:
        """Return what is assigned to an argument's attribute as the constructor would take it."""
        if self._open or name not in _parameters(type(self)):
            return value
        return getattr(type(self).from_config({**self.get_config(), name: value}), name)

    def __dir__(self) -> list[str]:
        """List the attributes that exist, for completion; habits do not."""
        own, names = vars(self), super().__dir__()
        return [n for n in names if n in own or not isinstance(_static(type(self), n), Habit)]

    def extra_repr(self) -> str:
        """Return the arguments as `repr` shows them; an unknown one is an ellipsis.

        Returns
        -------
        str
        """
        parameters = _parameters(type(self))
        try:
            config = self.get_config()
        except StateError:
            config = {name: getattr(self, name) for name in parameters if hasattr(self, name)}
        parts = []
        for name, p in parameters.items():
            optional = p.kind is p.KEYWORD_ONLY or not self._shows_defaults
            if name not in config:
                parts.append(f"{name}=...")
            elif not (optional and _same(config[name], p.default)):
                value = config[name]
                if isinstance(value, np.ndarray):
                    text = str(value.tolist()) if value.size <= _FEW else shown(value)
                else:
                    text = repr(value)
                parts.append(f"{name}={text}")
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


def _static(cls: type[Any], name: str) -> Any:
    return next((vars(c)[name] for c in cls.__mro__ if name in vars(c)), None)


def _parameters(cls: type[Any]) -> dict[str, inspect.Parameter]:
    """Return a constructor's parameters by name, but for its source of random numbers."""
    parameters = inspect.signature(cls).parameters.values()
    return {p.name: p for p in parameters if p.name != "rng" and p.kind is not p.VAR_KEYWORD}


def _same(value: Any, default: Any) -> bool:
    try:
        return value is default or bool(value == default)
    except (TypeError, ValueError):  # arrays
        return False
