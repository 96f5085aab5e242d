import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from npnet.data import one_hot
from npnet.errors import ArgumentError, DataError, DtypeError, TargetError

LABELS = hnp.arrays(
    st.sampled_from([np.uint8, np.int64, np.uint64, np.float32, np.float64]),
    hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
    elements=st.integers(0, 6),
)


@given(labels=LABELS, num_classes=st.integers(7, 9) | st.none())
def test_one_stands_at_the_label_and_nowhere_else(labels, num_classes):
    encoded = one_hot(labels, num_classes)
    assert encoded.shape == (*labels.shape, num_classes or int(labels.max()) + 1)
    assert encoded.dtype == np.float32
    assert np.array_equal(encoded.argmax(axis=-1), labels)
    assert np.array_equal(encoded.sum(axis=-1), np.ones(labels.shape))
    assert set(np.unique(encoded)) <= {0, 1}


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 1, 3)])
def test_agrees_with_pytorch(shape):
    torch = pytest.importorskip("torch")
    labels = np.random.default_rng(0).integers(0, 4, shape)
    theirs = torch.nn.functional.one_hot(torch.as_tensor(labels), 4).numpy()
    assert np.array_equal(one_hot(labels, 4, dtype=np.int64), theirs)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int8, bool, "f4"])
def test_the_dtype_is_the_one_asked_for(dtype):
    encoded = one_hot([1, 0], dtype=dtype)
    assert encoded.dtype == np.dtype(dtype)
    assert np.array_equal(encoded, [[0, 1], [1, 0]])


def test_scalars_booleans_strides_and_frozen_arrays():
    assert np.array_equal(one_hot(2, 4), [0, 0, 1, 0])
    assert np.array_equal(one_hot([False, True]), np.eye(2))
    assert np.array_equal(one_hot(np.arange(6)[::-2]), np.eye(6)[[5, 3, 1]])
    grid = np.asfortranarray(np.arange(6).reshape(2, 3))
    assert np.array_equal(one_hot(grid), np.eye(6).reshape(2, 3, 6))
    grid.setflags(write=False)
    assert one_hot(grid).flags.writeable


def test_empty_labels_need_the_number_of_classes():
    assert one_hot(np.zeros((2, 0), int), 3).shape == (2, 0, 3)
    assert one_hot([], 3).shape == (0, 3)
    with pytest.raises(TargetError, match="pass num_classes"):
        one_hot([])


@pytest.mark.parametrize(
    ("labels", "num_classes", "words"),
    [
        ([0.5, 1.0], None, "whole numbers, got 0.5"),
        ([0.0, np.nan], None, "whole numbers, got nan"),
        ([0.0, np.inf], 3, "whole numbers, got inf"),
        ([0, -1], None, "got -1"),
        ([0, -100], 5, "between 0 and 4.*got -100"),
        ([0, 3], 3, r"between 0 and 2 \(num_classes=3\), got 3"),
        ([0.0, 1e300], 3, "between 0 and 2"),
        (np.array([2**64 - 1], np.uint64), 3, "between 0 and 2"),
    ],
)
def test_bad_labels_are_refused(labels, num_classes, words):
    with pytest.raises(TargetError, match=words):
        one_hot(labels, num_classes)


@pytest.mark.parametrize("num_classes", [0, -2, 2.0, True, "3", 10**30, np.array(3), [3]])
def test_a_bad_number_of_classes_is_refused(num_classes):
    with pytest.raises(ArgumentError, match="num_classes"):
        one_hot([0], num_classes)


@pytest.mark.parametrize(("labels", "num_classes"), [([0, 1], 2**60), ([2**60], None)])
def test_a_result_too_large_for_the_memory_is_refused(labels, num_classes):
    with pytest.raises(DataError, match="does not fit in memory"):
        one_hot(labels, num_classes)


@pytest.mark.parametrize("labels", [np.array(["cat"]), np.array([None]), np.array([1j])])
def test_labels_that_are_no_numbers_are_refused(labels):
    with pytest.raises(DtypeError, match="labels: expected real numbers"):
        one_hot(labels)


@pytest.mark.parametrize("dtype", [complex, object, "U3", None, "float99", 3, [], np.zeros(2)])
def test_a_result_that_is_not_real_is_refused(dtype):
    with pytest.raises(
        DtypeError, match="one_hot expects dtype to be a boolean, integer or floating dtype"
    ):
        one_hot([0], dtype=dtype)
