"""Checks of the arguments that users pass, with one wording for all errors.

Each function takes the owner of the argument (an object or class, whose name opens the error, or a
name), the argument's name and its value. It returns the value in one type, or raises
`ArgumentError`: "Dropout expects p to be a finite number of at least 0 and at most 1, got 1.5".
"""

from __future__ import annotations

import functools
import math
import operator
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from npnet.errors import (
    ArgumentError,
    DtypeError,
    NameTypoError,
    NpnetError,
    ShapeError,
    SignatureError,
)
from npnet.typing import DtypeLike

_F = TypeVar("_F", bound=Callable[..., Any])
_SHOWN = 120
"""Characters of a wrong value that an error shows at most."""

_NO_NUMBERS = (bool, np.timedelta64)
"""What Python counts among the integers, and nobody means as one."""


def refusal(
    owner: Any, name: str, kind: str, value: Any, hint: str = "", error: type[Any] = ArgumentError
) -> NpnetError:
    """Build the error about an argument: "Dropout expects p to be ..., got ..."."""
    text = f"{name_of(owner)} expects {name} to be {kind}, got {shown(value)}"
    if isinstance(value, np.ndarray) and getattr(owner, "takes_arrays", False):
        hint = hint or f"arrays are passed in the call: {name_of(owner)}(...)(x)"
    made: NpnetError = error(f"{text}; {hint}" if hint else text)
    return made


def name_of(owner: Any) -> str:
    """Return the name that opens an error: a class's, or the text itself."""
    if isinstance(owner, str):
        return owner
    return str(getattr(owner if callable(owner) else type(owner), "__name__", type(owner).__name__))


def shown(value: Any) -> str:
    """Return a value as an error shows it: on one line, not too long.

    Examples
    --------
    >>> import numpy as np
    >>> shown(0.5), shown(np.zeros((2, 3)))
    ('0.5', 'an array of shape (2, 3) and dtype float64')
    """
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    try:
        text = " ".join(repr(value).split())
    except RecursionError:
        raise  # else each level would try again
    except Exception:  # an integer of too many digits, or a repr that fails
        return f"something of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def real_number(
    owner: Any,
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return a finite number in an interval."""
    if not isinstance(value, _NO_NUMBERS) and isinstance(value, Real):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if (
            math.isfinite(number)
            and low <= number <= high
            and (above is None or number > above)
            and (below is None or number < below)
        ):
            return number
    bounds = [f"of at least {low:g}"] if low > -math.inf else []
    bounds += [f"above {above:g}"] if above is not None else []
    bounds += [f"at most {high:g}"] if high < math.inf else []
    bounds += [f"below {below:g}"] if below is not None else []
    kind = " ".join(["a finite number", " and ".join(bounds)]).strip()
    raise refusal(owner, name, kind, value)


def whole_number(
    owner: Any, name: str, value: Any, low: int | None = None, high: int = sys.maxsize
) -> int:
    """Return an integer in an interval."""
    if not isinstance(value, _NO_NUMBERS) and isinstance(value, Integral):
        number = operator.index(value)
        if (low is None or number >= low) and -sys.maxsize <= number <= high:
            return number
    kind = "a positive integer" if low == 1 else "an integer"
    kind += f" of at least {low}" if low not in (None, 1) else ""
    kind += f" up to {high}" if high < sys.maxsize else ""
    raise refusal(owner, name, kind, value)


def norm_order(owner: Any, name: str, value: Any) -> float:
    """Return the p of a p-norm, which may be infinite."""
    infinite = isinstance(value, float) and math.isinf(value)
    return value if infinite else real_number(owner, name, value)


def flag(owner: Any, name: str, value: Any) -> bool:
    """Return True or False; other objects, whose truth would be guessed, are refused."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise refusal(owner, name, "True or False", value)


def choice(owner: Any, name: str, value: Any, choices: Collection[str]) -> str:
    """Return one of some words."""
    if isinstance(value, str) and value in choices:
        return value
    words = list(map(repr, choices))
    kind = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    raise refusal(owner, name, kind, value, did_you_mean(value, choices))


def did_you_mean(value: Any, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for a misspelt name, or nothing."""
    from difflib import get_close_matches

    if not isinstance(value, str):
        return ""
    names = list(known)
    same = [name for name in names if str(name).lower() == value.lower()]
    close = same or get_close_matches(value, names, 1)
    return f"did you mean {close[0]!r}?" if close else ""


def absent(
    module: str, known: Collection[str], others: Mapping[str, str] = MappingProxyType({})
) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module, which answers to names that it does not have.

    `others` are names of other frameworks, each with a sentence that says what to use here.
    """

    def refuse(name: str) -> Any:
        asked = not name.startswith("__")  # by a user, and not by Python's import
        hint = others.get(name) or (did_you_mean(name, known) if asked else "")
        raise NameTypoError(f"{module} has no attribute {name!r}{hint and '; ' + hint}")

    return refuse


def float_dtype(owner: Any, name: str, value: DtypeLike) -> np.dtype[Any]:
    """Return a floating dtype in the machine's byte order."""
    return real_dtype(owner, name, value, "a floating dtype such as np.float32", "f")


def real_dtype(owner: Any, name: str, value: DtypeLike, kind: str, kinds: str) -> np.dtype[Any]:
    """Return a dtype whose kind is among NumPy's letters `kinds`; `kind` is the word for them."""
    dtype = None
    if isinstance(value, str | type | np.dtype):  # NumPy takes None, arrays and tuples as well
        try:
            dtype = np.dtype(value)
        except Exception:  # NumPy raises several kinds
            dtype = None
    if dtype is None or dtype.kind not in kinds:
        raise refusal(owner, name, kind, value, error=DtypeError)
    return dtype.newbyteorder("=")


def shape(owner: Any, name: str, value: Any) -> tuple[int, ...]:
    """Return the sizes of an array's axes; one integer stands for one axis."""
    if not isinstance(value, _NO_NUMBERS) and isinstance(value, Integral):
        return (whole_number(owner, name, value, 0),)
    if not isinstance(value, tuple | list):
        raise refusal(owner, name, "a shape, such as (784,)", value)
    return tuple(whole_number(owner, f"{name}[{i}]", n, 0) for i, n in enumerate(value))


def tuple_of(
    owner: Any, name: str, value: Any, count: int, low: int = 0, high: int = sys.maxsize
) -> tuple[int, ...]:
    """Return `count` integers in an interval; one integer stands for `count` equal ones."""
    if not isinstance(value, _NO_NUMBERS) and isinstance(value, Integral):
        return (whole_number(owner, name, value, low, high),) * count
    if not isinstance(value, tuple | list) or len(value) != count:
        kind = "an integer" if count == 1 else f"an integer, or one for each of {count} axes"
        raise refusal(owner, name, kind, value)
    return tuple(whole_number(owner, f"{name}[{i}]", n, low, high) for i, n in enumerate(value))


def axis_of(layer: Any, dim: int, shape: tuple[int, ...]) -> int:
    """Return the number of an axis, from 0, of inputs of a shape."""
    if not -len(shape) <= dim < len(shape):
        raise ShapeError(f"axis {dim} does not exist in an input of shape {shape}", layer)
    return dim % len(shape)


def items(owner: Any, name: str, value: Any, kind: str = "a list", hint: str = "") -> list[Any]:
    """Return what an iterable gives."""
    if not hasattr(type(value), "__iter__") and not hasattr(type(value), "__getitem__"):
        raise refusal(owner, name, kind, value, hint)
    try:
        return list(value)
    except NpnetError:  # of what a generator makes
        raise
    except Exception as error:
        hint = f"reading it raised {type(error).__name__}: {error}"
        raise refusal(owner, name, kind, value, hint) from error


def several(owner: Any, name: str, value: Any, one: Any, kind: str) -> list[Any]:
    """Return what an iterable gives; a function, or an object of the classes `one`, is one item."""
    if isinstance(value, one) or callable(value):
        return [value]
    if isinstance(value, str | Mapping | np.ndarray):
        raise refusal(owner, name, kind, value)
    return items(owner, name, value, kind)


def function_name(owner: Any, what: str, value: Any, kind: str, *takes: str) -> str:
    """Return the name of a function after a check that it takes these arguments."""
    if not callable(value):
        raise refusal(owner, f"a {what}", kind, value)
    name = str(getattr(value, "__name__", type(value).__name__))
    error = wrong_call(value, f"the {what} {name}, called with ({', '.join(takes)})", takes, {})
    if error is not None:
        raise error
    return name


def instance(owner: Any, name: str, value: Any, kind: type[Any], hint: str = "") -> Any:
    """Return an object of a class; the class itself in its place is a frequent mistake."""
    if isinstance(value, kind):
        return value
    if isinstance(value, type) and issubclass(value, kind):
        hint = f"add parentheses: {value.__name__}(...)"
    else:
        hint = _instead(value, kind) or hint
    article = "an" if kind.__name__[0] in "AEIO" else "a"
    raise refusal(owner, name, f"{article} {kind.__name__}", value, hint)


def _instead(value: Any, kind: type[Any]) -> str:
    """Return what to use in place of another framework's object, a function, or a name."""
    import inspect

    import npnet

    cls = value if isinstance(value, type) else type(value)
    origin = cls.__module__.partition(".")[0]
    hint = f"this is {origin}'s, not npnet's" if origin in ("torch", "keras", "tensorflow") else ""
    name = value if isinstance(value, str) else getattr(value, "__name__", cls.__name__)
    for found in (*vars(npnet).values(), *vars(npnet.optim).values()):
        if not isinstance(found, type) or not issubclass(found, kind):
            continue
        if found.__name__.lower() == str(name).replace("_", "").lower():
            needed = [p.default is p.empty for p in inspect.signature(found).parameters.values()]
            place = "npnet" if hasattr(npnet, found.__name__) else "npnet.optim"
            fix = f"use {place}.{found.__name__}({'...' if any(needed) else ''})"
            return f"{hint}; {fix}" if hint else fix
    return hint


def habit(owner: Any, name: str) -> str:
    """Return what a class says to those who look for a name of another framework, or nothing."""
    kinds = (owner if isinstance(owner, type) else type(owner)).__mro__
    hints = (vars(kind).get("habits", {}).get(name, "") for kind in kinds)
    return next(filter(None, hints), "")


def path(owner: Any, name: str, value: Any) -> str:
    """Return a path as text."""
    try:
        text = os.fsdecode(value)
    except Exception:  # of a path-like object's own as well
        text = "\0"
    if not text or "\0" in text:
        raise refusal(owner, name, "a path, as text or path-like", value)
    return text


def wrong_call(
    function: Callable[..., Any],
    owner: Any,
    args: Any,
    kwargs: Any,
    habits: Mapping[str, str] = MappingProxyType({}),
) -> SignatureError | None:
    """Return the error for arguments that a function does not take, None if it takes them.

    `habits` are keywords of other frameworks, each with a sentence that says what to use here.
    """
    import inspect

    try:
        signature = inspect.signature(function)
    except ValueError:  # of some built-in functions nobody knows it
        return None
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        parameters = list(signature.parameters.values())
        if parameters and parameters[0].name == "self":
            parameters = parameters[1:]
        plain = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
        named = [name for name in kwargs if f"'{name}'" in str(error)]  # unknown, or given twice
        named += [name for name in kwargs if name not in signature.parameters]
        hint = habits.get(named[0]) or habit(owner, named[0]) if named else ""
        if named and not hint and named[0] not in signature.parameters:
            hint = did_you_mean(named[0], [p.name for p in parameters])
        if not kwargs:
            hint = getattr(owner, "habits", {}).get("__init__", "")
        text = f"{name_of(owner)}: {error}; it takes {inspect.Signature(plain)}"
        arrays = any(isinstance(value, np.ndarray) for value in args)
        if not hint and arrays and getattr(owner, "takes_arrays", False):
            hint = f"arrays are passed in the call: {name_of(owner)}(...)(x)"
        return SignatureError(f"{text}; {hint}" if hint else text)
    return None


def checked_call(owner: str, habits: Mapping[str, str]) -> Callable[[_F], _F]:
    """Let a function refuse arguments that it does not take as constructors do."""

    def decorate(function: _F) -> _F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                raise wrong_call(function, owner, args, kwargs, habits) or error from None

        return call  # type: ignore[return-value]

    return decorate
