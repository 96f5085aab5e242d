"""Strategies: shapes by axes, distances from kinks, shared lengths, memory layouts."""

import subprocess
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npnet
from npnet.errors import ArgumentError
from npnet.gradcheck import check_layer, strategies


@given(strategies.shapes("NCHH", {"C": 3, "H": (2, 4)}, high=6))
def test_shapes_are_named_by_axes(shape):
    n, c, height, width = shape
    assert c == 3
    assert height == width
    assert 2 <= height <= 4
    assert 1 <= n <= 6


@given(strategies.together(["NK", "KM", "M"], low=0, high=3))
def test_shapes_share_their_axes(shapes):
    (_, k), (k2, m), (m2,) = shapes
    assert (k, m) == (k2, m2)


def test_every_length_occurs():
    shapes = strategies.shapes("N", {"N": (0, 2)})
    found = {hypothesis.find(shapes, lambda s, n=n: s[0] == n) for n in range(3)}
    assert found == {(0,), (1,), (2,)}


@given(st.sampled_from([np.float32, np.float64]), st.data())
def test_elements_keep_their_distance(dtype, data):
    x = data.draw(strategies.arrays((3, 4), low=-1, high=3, avoid=[2.0, 0.0, -1.0], distance=0.25,
                                    dtype=dtype))  # fmt: skip
    assert x.shape == (3, 4)
    assert x.dtype == dtype
    assert ((x >= -1) & (x <= 3)).all()
    for kink in (-1.0, 0.0, 2.0):
        assert (np.abs(x - np.float64(kink)) >= 0.25).all()


@given(st.sampled_from([np.float32, np.float64]), st.data())
def test_distinct_elements_differ(dtype, data):
    kinks = [0.0, 0.15, 0.3]
    x = data.draw(strategies.arrays((3, 5), avoid=kinks, distance=0.1, distinct=True, dtype=dtype))
    values = np.sort(x.reshape(-1)).astype(np.float64)
    assert x.dtype == dtype
    assert (np.diff(values) >= 0.1).all()
    assert (np.abs(np.subtract.outer(values, kinks)) >= 0.1).all()


@pytest.mark.parametrize("draw", [strategies.arrays, lambda n: strategies.indices(n, 999)])
def test_elements_are_drawn_one_by_one(draw):
    """Equal elements hide mistakes: rows that are mixed up, ties, a mean of equal numbers."""
    seen = []

    @hypothesis.seed(0)
    @hypothesis.settings(max_examples=30, database=None)
    @given(draw((60,)))
    def look(x):
        seen.append(len(set(x)))

    look()
    assert max(seen) > 45


def test_distinct_elements_come_in_any_order():
    x = strategies.arrays((4,), distinct=True)
    assert hypothesis.find(x, lambda v: v.argmax() == 0 and v.argmin() == 1).shape == (4,)


@given(strategies.arrays(strategies.shapes("NC", low=0), avoid=[]))
def test_shapes_may_be_drawn_too(x):
    assert x.ndim == 2
    assert np.isfinite(x).all()


def test_the_simplest_array_is_of_ones():
    np.testing.assert_array_equal(hypothesis.find(strategies.arrays((2, 3)), lambda x: True), 1)


@given(strategies.inputs("NI", "NO", sizes={"I": 2}, distance=0.2))
def test_inputs_have_as_many_rows(both):
    a, b = both
    assert len(a) == len(b)
    assert a.shape[1] == 2
    assert (np.abs(b) >= 0.2).all()


@given(strategies.indices(strategies.shapes("N", low=0), 4))
def test_indices_are_in_range(index):
    assert index.dtype == np.intp
    assert ((index >= 0) & (index < 4)).all()


@given(strategies.layouts(np.arange(6.0).reshape(2, 3)))
def test_layouts_keep_the_values(x):
    np.testing.assert_array_equal(x, np.arange(6.0).reshape(2, 3))


def test_every_layout_occurs():
    layouts = strategies.layouts(np.arange(6.0).reshape(2, 3))
    for wanted in (
        lambda x: x.flags.c_contiguous and x.flags.writeable,
        lambda x: not x.flags.writeable,
        lambda x: x.flags.f_contiguous,
        lambda x: x.strides[0] < 0,
        lambda x: x.strides[1] == 16,
    ):
        hypothesis.find(layouts, wanted)


@hypothesis.settings(max_examples=5)
@given(strategies.inputs("NI", sizes={"I": 3}))
def test_they_serve_check_layer(x):
    check_layer(lambda: npnet.Sequential(npnet.Linear(3, 2), npnet.Tanh()), *x)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: strategies.shapes("NC", {"K": 2}), "sizes names the axes K, but .* N, C"),
        (lambda: strategies.shapes("N", {"N": (3, 2)}), "axis N expects lengths from 0 up"),
        (lambda: strategies.shapes("N", {"N": -1}), "axis N expects lengths from 0 up"),
        (
            lambda: strategies.arrays((2,), low=-1, high=1, distance=2),
            "no number from -1 to 1 is 2 away",
        ),
        (lambda: strategies.shapes("N", {"N": 2.5}), "axis N expects lengths from 0 up, got 2.5"),
        (lambda: strategies.shapes("N", {"N": (1, 2, 3)}), "axis N expects lengths from 0 up"),
        (lambda: strategies.arrays([2, 3]), r"expected a shape, \(2, 3\), or a strategy .*got \[2"),
        (lambda: strategies.arrays((2, -1)), "expected a shape"),
        (lambda: strategies.arrays((2,), avoid=0.0), r"avoid expects a list of numbers"),
        (lambda: strategies.arrays((2,), avoid=[np.nan]), "avoid expects a list of numbers"),
        (lambda: strategies.arrays((2,), distance=np.inf, distinct=True), "distance above 0"),
        (lambda: strategies.inputs("N", avoid=0.0), "avoid expects a list of numbers"),
        (lambda: strategies.arrays((2,), dtype=int), "floating dtype, got .*see `indices`"),
        (lambda: strategies.arrays((2,), distance=-1), "distance above 0, got -1"),
        (lambda: strategies.arrays((2,), distance=0, distinct=True), "distance above 0, got 0"),
        (lambda: strategies.inputs(), "the axes of each input"),
        (lambda: strategies.indices((2,), 0), "positive count"),
        (lambda: strategies.indices((2,), 2.5), "positive count"),
    ],
)
def test_mistakes_are_named(make, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        make()


def test_only_the_strategies_need_hypothesis():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import npnet.gradcheck.testing\n"
        "try: from npnet.gradcheck import strategies\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "npnet-framework[test]"' in done.stdout
