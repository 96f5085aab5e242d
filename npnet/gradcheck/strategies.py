"""Hypothesis strategies for testing layers: shapes named by their axes, arrays away from kinks.

Hypothesis (the ``test`` extra) is imported when a strategy is made, never before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from npnet.errors import ArgumentError, MissingDependency
from npnet.gradcheck.rules.arrays import LAYOUTS
from npnet.typing import Array, DtypeLike

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Size: TypeAlias = int | tuple[int, int]
"""A length, or the smallest and the largest one."""


def shapes(
    axes: str, sizes: Mapping[str, Size] | None = None, *, low: int = 1, high: int = 5
) -> SearchStrategy[tuple[int, ...]]:
    """Draw shapes whose axes have names.

    Parameters
    ----------
    axes : str
        One letter for each axis: ``"NCHW"``. Equal letters have equal lengths.
    sizes : mapping of str to int or (int, int), optional
        Lengths, or the smallest and largest length, of some of the axes.
    low, high : int
        The smallest and largest length of the others.

    Returns
    -------
    SearchStrategy of tuple of int

    Raises
    ------
    ArgumentError
        If `sizes` names an axis that is not there, or a range is empty.

    Examples
    --------
    >>> from npnet.gradcheck import strategies
    >>> from hypothesis import given
    >>> @given(strategies.shapes("NDD", {"N": 3}))
    ... def test(shape):
    ...     assert shape[0] == 3 and shape[1] == shape[2]
    >>> test()
    """
    return together([axes], sizes, low=low, high=high).map(lambda found: found[0])


def together(
    axes: Sequence[str], sizes: Mapping[str, Size] | None = None, *, low: int = 1, high: int = 5
) -> SearchStrategy[tuple[tuple[int, ...], ...]]:
    """Draw several shapes that share the lengths of their common axes.

    Parameters
    ----------
    axes : sequence of str
        The letters of each shape: ``["NK", "KM"]`` for a matrix product.
    sizes, low, high
        As for `shapes`.

    Returns
    -------
    SearchStrategy of tuple of tuple of int
    """
    st = _strategies()
    letters = list(dict.fromkeys("".join(axes)))
    unknown = sorted(set(sizes or {}) - set(letters))
    if unknown:
        raise ArgumentError(
            f"sizes names the axes {', '.join(unknown)}, but the shapes have {', '.join(letters)}"
        )
    lengths = {}
    for letter in letters:
        size = (sizes or {}).get(letter, (low, high))
        ends = size if isinstance(size, tuple) else (size, size)
        if len(ends) != 2 or not all(map(_is_length, ends)) or ends[0] > ends[1]:
            raise ArgumentError(f"axis {letter} expects lengths from 0 up, got {size!r}")
        lengths[letter] = st.integers(*ends)
    drawn: SearchStrategy[dict[str, int]] = st.fixed_dictionaries(lengths)
    return drawn.map(lambda n: tuple(tuple(n[letter] for letter in one) for one in axes))


def arrays(
    shape: tuple[int, ...] | SearchStrategy[tuple[int, ...]],
    *,
    low: float = -2.0,
    high: float = 2.0,
    avoid: Sequence[float] = (0.0,),
    distance: float = 0.05,
    distinct: bool = False,
    dtype: DtypeLike = np.float64,
) -> SearchStrategy[Array]:
    """Draw arrays whose elements keep a safe distance from the kinks of a function.

    Parameters
    ----------
    shape : tuple of int or strategy of such
    low, high : float
        The smallest and largest element.
    avoid : sequence of float
        Where the function has kinks or jumps: 0 for ReLU.
    distance : float
        How far elements stay from `avoid`, and from each other if they are `distinct`.
    distinct : bool
        Whether all elements differ by at least `distance`, as a maximum needs that must not
        have ties; they may then lie outside of `low` to `high`.
    dtype : dtype

    Returns
    -------
    SearchStrategy of ndarray

    Raises
    ------
    ArgumentError
        If nothing is left between `low` and `high`, or an argument is of the wrong kind.

    Examples
    --------
    >>> from npnet.gradcheck import strategies
    >>> from hypothesis import given
    >>> @given(strategies.arrays((2, 3), avoid=[0.0, 1.0], distance=0.1))
    ... def test(x):
    ...     assert (abs(x) >= 0.1).all() and (abs(x - 1) >= 0.1).all()
    >>> test()
    """
    st = _strategies()
    if np.dtype(dtype).kind != "f":
        raise ArgumentError(f"arrays expects a floating dtype, got {dtype!r}; see `indices`")
    if not distance >= 0 or (distinct and distance == 0):
        raise ArgumentError(f"arrays expects a distance above 0, got {distance!r}")
    pieces = _allowed(low, high, avoid, distance)
    # Hypothesis simplifies towards the first: positive numbers.
    elements = st.one_of([st.floats(a, b, allow_subnormal=False) for a, b in pieces[::-1]])

    def values(count: int) -> SearchStrategy[list[float]]:
        if distinct:
            ranks: SearchStrategy[list[int]] = st.permutations(range(count))
            return ranks.map(lambda order: _spread(order, avoid, distance))
        found: SearchStrategy[list[float]] = st.lists(elements, min_size=count, max_size=count)
        return found

    return _shaped(shape, values, dtype)


def inputs(
    *axes: str,
    sizes: Mapping[str, Size] | None = None,
    low: float = -2.0,
    high: float = 2.0,
    avoid: Sequence[float] = (0.0,),
    distance: float = 0.05,
    distinct: bool = False,
    dtype: DtypeLike = np.float64,
) -> SearchStrategy[tuple[Array, ...]]:
    """Draw the inputs of a layer: one array for each string of axes.

    Parameters
    ----------
    *axes : str
        ``inputs("NA", "NB")`` gives two arrays with as many rows.
    sizes
        As for `shapes`.
    low, high, avoid, distance, distinct, dtype
        As for `arrays`.

    Returns
    -------
    SearchStrategy of tuple of ndarray

    Examples
    --------
    >>> import npnet
    >>> from hypothesis import given, settings
    >>> from npnet.gradcheck import check_layer, strategies
    >>> @settings(max_examples=5, deadline=None)
    ... @given(strategies.inputs("NI", sizes={"I": 3}))
    ... def test(x):
    ...     check_layer(npnet.Linear(3, 2), *x)
    >>> test()
    """
    st = _strategies()
    if not axes:
        raise ArgumentError('inputs expects the axes of each input: inputs("NC")')
    options: dict[str, Any] = {
        "low": low, "high": high, "avoid": avoid, "distance": distance, "distinct": distinct,
        "dtype": dtype,
    }  # fmt: skip

    def of_shapes(found: tuple[tuple[int, ...], ...]) -> SearchStrategy[tuple[Array, ...]]:
        several: SearchStrategy[tuple[Array, ...]] = st.tuples(
            *(arrays(shape, **options) for shape in found)
        )
        return several

    return together(axes, sizes).flatmap(of_shapes)


def indices(
    shape: tuple[int, ...] | SearchStrategy[tuple[int, ...]], count: int
) -> SearchStrategy[Array]:
    """Draw arrays of whole numbers from 0 to ``count - 1``: labels, or rows of a table.

    Parameters
    ----------
    shape : tuple of int or strategy of such
    count : int

    Returns
    -------
    SearchStrategy of ndarray of int
    """
    st = _strategies()
    if not _is_length(count) or count == 0:
        raise ArgumentError(f"indices expects a positive count, got {count!r}")
    numbers = st.integers(0, count - 1)
    return _shaped(shape, lambda n: st.lists(numbers, min_size=n, max_size=n), np.intp)


def layouts(array: Array) -> SearchStrategy[Array]:
    """Draw the same values in different memory: strided, reversed, Fortran-ordered, read-only.

    Parameters
    ----------
    array : ndarray

    Returns
    -------
    SearchStrategy of ndarray
    """
    st = _strategies()
    arrangements = [lambda x: x, *LAYOUTS.values()]
    chosen: SearchStrategy[Any] = st.sampled_from(arrangements)
    return chosen.map(lambda arrange: arrange(np.array(array)))


def _shaped(
    shape: tuple[int, ...] | SearchStrategy[tuple[int, ...]],
    values: Callable[[int], SearchStrategy[Any]],
    dtype: DtypeLike,
) -> SearchStrategy[Array]:
    """Draw as many values as a shape, or a drawn one, has elements."""

    def of_shape(size: tuple[int, ...]) -> SearchStrategy[Array]:
        return values(math.prod(size)).map(lambda v: np.array(v, dtype).reshape(size))

    if isinstance(shape, tuple) and all(map(_is_length, shape)):
        return of_shape(shape)
    if not hasattr(shape, "flatmap"):
        raise ArgumentError(f"expected a shape, (2, 3), or a strategy of shapes, got {shape!r}")
    return shape.flatmap(of_shape)


def _is_length(n: object) -> bool:
    return isinstance(n, int | np.integer) and not isinstance(n, bool) and int(n) >= 0


def _allowed(
    low: float, high: float, avoid: Sequence[float], distance: float
) -> list[tuple[float, float]]:
    """Return the closed intervals that are left of low to high."""
    distance *= 1 + 1e-6  # rounding, to float32 as well, must not come nearer
    if isinstance(avoid, int | float):
        raise ArgumentError(f"avoid expects a list of numbers, [{avoid}], got {avoid!r}")
    pieces, start = [], low
    for kink in sorted(avoid):
        end = min(kink - distance, high)
        if start <= end:
            pieces.append((start, end))
        start = max(start, kink + distance)
    if start <= high:
        pieces.append((start, high))
    if not pieces:
        raise ArgumentError(
            f"no number from {low} to {high} keeps a distance of {distance} from {list(avoid)}"
        )
    return pieces


def _spread(order: Sequence[int], avoid: Sequence[float], distance: float) -> list[float]:
    """Place as many numbers as there are ranks, in the order of the ranks, apart from all kinks."""
    places: list[float] = []
    place = -0.5 * distance * len(order)
    while len(places) < len(order):
        if all(abs(place - kink) >= distance for kink in avoid):
            places.append(place)
            place += 1.5 * distance
        else:
            place += 0.5 * distance
    return [places[rank] for rank in order]


def _strategies() -> Any:
    try:
        import hypothesis.strategies
    except ImportError as error:
        raise MissingDependency(
            'these strategies need hypothesis: pip install "npnet-framework[test]"'
        ) from error
    return hypothesis.strategies
