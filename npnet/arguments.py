"""Checks of the arguments that users pass, with one wording for all errors."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Collection, Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

from npnet.errors import ArgumentError, DtypeError, NpnetError, SignatureError
from npnet.typing import DtypeLike

_SHOWN = 120
"""Characters of a wrong value that an error shows at most."""


def refusal(
    owner: Any, name: str, kind: str, value: Any, hint: str = "", error: type[Any] = ArgumentError
) -> NpnetError:
    """Build the error about an argument: "Dropout expects p to be ..., got ...".

    Parameters
    ----------
    owner : object
        Whose argument it is: an object or a class, whose name opens the text, or a name.
    name : str
        The argument.
    kind : str
        What it should be.
    value : object
        What it is.
    hint : str
        How to mend it.
    error : type
        Of the exception.

    Returns
    -------
    NpnetError
        To be raised by the caller.
    """
    text = f"{name_of(owner)} expects {name} to be {kind}, got {shown(value)}"
    made: NpnetError = error(f"{text}; {hint}" if hint else text)
    return made


def name_of(owner: Any) -> str:
    """Return the name that opens an error: a class's, or the text itself."""
    if isinstance(owner, str):
        return owner
    return str(getattr(owner if callable(owner) else type(owner), "__name__", type(owner).__name__))


def shown(value: Any) -> str:
    """Return a value as an error shows it: on one line, not too long.

    Parameters
    ----------
    value : object

    Returns
    -------
    str

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
    except Exception:  # an integer of too many digits, or a repr that fails
        return f"a {type(value).__name__}"
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
    """Return a finite number in an interval.

    Parameters
    ----------
    owner, name
        See `refusal`.
    value : float
        Python's or NumPy's; no boolean, no array.
    low, high : float
        Bounds that are included.
    above, below : float, optional
        Bounds that are not.

    Returns
    -------
    float

    Raises
    ------
    ArgumentError
        If it is no number, not finite, or out of range.
    """
    if not isinstance(value, bool) and isinstance(value, Real):
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
    """Return an integer in an interval.

    Parameters
    ----------
    owner, name
        See `refusal`.
    value : int
        Python's or NumPy's; no boolean, no array, no float.
    low, high : int, optional
        Both included.

    Returns
    -------
    int

    Raises
    ------
    ArgumentError
        If it is no integer, or out of range.
    """
    if not isinstance(value, bool) and isinstance(value, Integral):
        number = operator.index(value)
        if (low is None or number >= low) and -sys.maxsize <= number <= high:
            return number
    kind = "a positive integer" if low == 1 else "an integer"
    kind += f" of at least {low}" if low not in (None, 1) else ""
    kind += f" up to {high}" if high < sys.maxsize else ""
    raise refusal(owner, name, kind, value)


def flag(owner: Any, name: str, value: Any) -> bool:
    """Return True or False; other objects, whose truth would be guessed, are refused.

    Parameters
    ----------
    owner, name
        See `refusal`.
    value : bool

    Returns
    -------
    bool

    Raises
    ------
    ArgumentError
        If it is neither.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise refusal(owner, name, "True or False", value)


def choice(owner: Any, name: str, value: Any, choices: Collection[str]) -> str:
    """Return one of some words.

    Parameters
    ----------
    owner, name
        See `refusal`.
    value : str
    choices : collection of str

    Returns
    -------
    str

    Raises
    ------
    ArgumentError
        If it is none of them; the text suggests the closest.
    """
    if isinstance(value, str) and value in choices:
        return value
    words = list(map(repr, choices))
    kind = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    raise refusal(owner, name, kind, value, did_you_mean(value, choices))


def did_you_mean(value: Any, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for a misspelt name, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(value, list(known), 1) if isinstance(value, str) else []
    return f"did you mean {close[0]!r}?" if close else ""


def float_dtype(owner: Any, name: str, value: DtypeLike) -> np.dtype[Any]:
    """Return a floating dtype in the machine's byte order.

    Parameters
    ----------
    owner, name
        See `refusal`.
    value : dtype
        None, which NumPy takes for float64, is refused, as are arrays, whose dtype it takes.

    Returns
    -------
    dtype

    Raises
    ------
    DtypeError
        If it is not floating, or no dtype at all.
    """
    try:
        dtype = np.dtype(value) if isinstance(value, str | type | np.dtype) else None
    except Exception:  # NumPy raises several kinds
        dtype = None
    if dtype is None or dtype.kind != "f":
        kind = "a floating dtype such as np.float32"
        raise refusal(owner, name, kind, value, error=DtypeError)
    return dtype.newbyteorder("=")


def shape(owner: Any, name: str, value: Any) -> tuple[int, ...]:
    """Return the sizes of an array's axes; one integer stands for one axis.

    Parameters
    ----------
    owner, name
        See `refusal`.
    value : int or sequence of int

    Returns
    -------
    tuple of int

    Raises
    ------
    ArgumentError
        If it is something else, or a size is negative.
    """
    if not isinstance(value, bool) and isinstance(value, Integral):
        return (whole_number(owner, name, value, 0),)
    if not isinstance(value, tuple | list):
        raise refusal(owner, name, "a shape, such as (784,)", value)
    return tuple(whole_number(owner, f"{name}[{i}]", n, 0) for i, n in enumerate(value))


def instance(owner: Any, name: str, value: Any, kind: type[Any], hint: str = "") -> Any:
    """Return an object of a class; the class itself in its place is a frequent mistake.

    Parameters
    ----------
    owner, name
        See `refusal`.
    value : object
    kind : type
    hint : str
        How to mend it, where no class was given.

    Returns
    -------
    object

    Raises
    ------
    ArgumentError
        If it is no instance.
    """
    if isinstance(value, kind):
        return value
    if isinstance(value, type) and issubclass(value, kind):
        hint = f"add parentheses: {value.__name__}(...)"
    article = "an" if kind.__name__[0] in "AEIO" else "a"
    raise refusal(owner, name, f"{article} {kind.__name__}", value, hint)


def wrong_call(
    function: Callable[..., Any], owner: Any, args: Any, kwargs: Any
) -> SignatureError | None:
    """Return the error for arguments that a function does not take, None if it takes them.

    Parameters
    ----------
    function : callable
    owner : object
        See `refusal`.
    args, kwargs
        What it was called with, an object first if it is a method.

    Returns
    -------
    SignatureError or None
    """
    import inspect

    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        parameters = list(signature.parameters.values())
        if parameters and parameters[0].name == "self":
            parameters = parameters[1:]
        plain = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
        unknown = [name for name in kwargs if name not in signature.parameters]
        habits, names = getattr(owner, "habits", {}), [p.name for p in parameters]
        hint = habits.get(unknown[0]) or did_you_mean(unknown[0], names) if unknown else ""
        text = f"{name_of(owner)}: {error}; it takes {inspect.Signature(plain)}"
        return SignatureError(f"{text}; {hint}" if hint else text)
    return None
