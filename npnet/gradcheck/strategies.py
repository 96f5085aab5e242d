"""Hypothesis strategies for testing layers: shapes named by their axes, arrays away from kinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from npnet.errors import ArgumentError, MissingDependency
from npnet.gradcheck.inputs import LAYOUTS, is_shape
from npnet.typing import Array, DtypeLike

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as extra
    from hypothesis.strategies import SearchStrategy
except ImportError as error:
    raise MissingDependency(
        'these strategies need hypothesis: pip install "npnet-framework[test]"'
    ) from error

Shape: TypeAlias = tuple[int, ...]
Size: TypeAlias = int | tuple[int, int]  # a length, or the smallest and the largest one


def shapes(
    axes: str, sizes: Mapping[str, Size] | None = None, *, low: int = 1, high: int = 5
) -> SearchStrategy[Shape]:
    """Draw shapes whose axes have names.

    Parameters
    ----------
    axes : str
        One letter for each axis: ``"NCHW"``. Equal letters have equal lengths.
    sizes : mapping of str to int or (int, int), optional
        The length, or the smallest and the largest one, of some of the axes.
    low, high : int
        The smallest and the largest length of the others.

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
) -> SearchStrategy[tuple[Shape, ...]]:
    """Draw several `shapes` whose common axes have equal lengths: ``["NK", "KM"]``."""
    bounds: dict[str, Size] = dict.fromkeys("".join(axes), (low, high))
    if unknown := ", ".join(sorted((sizes or {}).keys() - bounds)):
        known = ", ".join(bounds)
        raise ArgumentError(f"sizes names the axes {unknown}, but the shapes have {known}")
    lengths = {}
    for letter, size in {**bounds, **(sizes or {})}.items():
        ends = size if isinstance(size, tuple) else (size, size)
        if len(ends) != 2 or not is_shape(ends) or ends[0] > ends[1]:
            raise ArgumentError(f"axis {letter} expects lengths from 0 up, got {size!r}")
        lengths[letter] = st.integers(*ends)
    drawn = st.fixed_dictionaries(lengths)
    return drawn.map(lambda n: tuple(tuple(n[letter] for letter in one) for one in axes))


def arrays(
    shape: Shape | SearchStrategy[Shape],
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
    avoid, distance : sequence of float, float
        Where the function has kinks or jumps, and how far elements stay from there.
    distinct : bool
        Whether elements differ by `distance`: no ties. Some may be below `low` or above `high`.
    dtype : dtype

    Examples
    --------
    >>> from npnet.gradcheck import strategies
    >>> from hypothesis import given
    >>> @given(strategies.arrays((2, 3), avoid=[0.0, 1.0], distance=0.1))
    ... def test(x):
    ...     assert (abs(x) >= 0.1).all() and (abs(x - 1) >= 0.1).all()
    >>> test()
    """
    if np.dtype(dtype).kind != "f":
        raise ArgumentError(f"arrays expects a floating dtype, got {dtype!r}; see `indices`")
    if not 0 <= distance < math.inf or (distinct and distance == 0):
        raise ArgumentError(f"arrays expects a distance above 0, got {distance!r}")
    if np.ndim(avoid) != 1 or np.isnan(avoid).any():
        raise ArgumentError(f"avoid expects a list of numbers, [0.0, 1.0], got {avoid!r}")
    apart = distance * (1 + 1e-6)  # rounding, to float32 as well, must not come nearer
    kinks = np.sort(np.array(avoid, float))
    starts = np.maximum(low, [low, *kinks + apart])
    ends = np.minimum(high, [*kinks - apart, high])
    pieces = [(a, b) for a, b in zip(starts, ends, strict=True) if a <= b]
    if not pieces:
        raise ArgumentError(f"no number from {low} to {high} is {distance} away from {avoid}")

    def far_apart(size: Shape) -> SearchStrategy[Array]:
        count = math.prod(size)
        total = count + 2 * len(kinks)  # a kink rules out at most two of these places
        places = 1.5 * apart * (np.arange(total) - total // 2)
        places = places[(np.abs(places[:, None] - kinks) >= apart).all(axis=1)]
        return st.permutations(places[:count]).map(lambda order: np.reshape(order, size))

    # Hypothesis simplifies towards the first piece, positive numbers; `fill` makes elements equal.
    numbers = st.one_of([st.floats(*piece, allow_subnormal=False) for piece in pieces[::-1]])
    sizes = _sizes(shape)
    independent = extra.arrays(float, sizes, elements=numbers, fill=st.nothing())
    drawn = sizes.flatmap(far_apart) if distinct else independent
    return drawn.map(lambda array: array.astype(dtype))


def inputs(
    *axes: str, sizes: Mapping[str, Size] | None = None, **options: Any
) -> SearchStrategy[tuple[Array, ...]]:
    """Draw the inputs of a layer: one array for each string of axes.

    ``inputs("NA", "NB")`` gives two arrays with as many rows. `sizes` is as for `shapes`, the
    options are those of `arrays`.

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
    if not axes:
        raise ArgumentError('inputs expects the axes of each input: inputs("NC")')
    arrays((), **options)  # refuses wrong options here, not when the first example is drawn
    several = together(axes, sizes)
    return several.flatmap(lambda n: st.tuples(*(arrays(shape, **options) for shape in n)))


def indices(shape: Shape | SearchStrategy[Shape], count: int) -> SearchStrategy[Array]:
    """Draw arrays of whole numbers from 0 to ``count - 1``: labels, or rows of a table."""
    if not is_shape((count,)) or count == 0:
        raise ArgumentError(f"indices expects a positive count, got {count!r}")
    numbers = st.integers(0, count - 1)
    return extra.arrays(np.intp, _sizes(shape), elements=numbers, fill=st.nothing())


def layouts(array: Array) -> SearchStrategy[Array]:
    """Draw the same values in other memory: strided, reversed, Fortran-ordered, read-only."""
    arrangements: list[Callable[[Array], Array]] = [np.array, *LAYOUTS.values()]
    return st.sampled_from(arrangements).map(lambda arrange: arrange(array))


def _sizes(shape: Any) -> SearchStrategy[Shape]:
    """Return the strategy of a shape that is given or drawn."""
    if not isinstance(shape, SearchStrategy) and not is_shape(shape):
        raise ArgumentError(f"expected a shape, (2, 3), or a strategy of shapes, got {shape!r}")
    return shape if isinstance(shape, SearchStrategy) else st.just(tuple(map(int, shape)))
