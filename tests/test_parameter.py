import copy
import itertools
import pickle

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npnet
from npnet.errors import ArgumentError, DtypeError, ShapeError
from npnet.store import FlatStore, flat_grads, unique


def test_the_array_is_copied_and_keeps_its_floating_dtype():
    array = np.ones(3)
    p = npnet.Parameter(array)
    p.data[0] = 5
    assert array[0] == 1
    assert p.dtype == np.float64
    assert npnet.Parameter([1.0]).dtype == np.float32
    assert npnet.Parameter(np.arange(3)).dtype == np.float32
    assert npnet.Parameter(np.ones(2), dtype=np.float32).dtype == np.float32
    assert npnet.Parameter(3.0).shape == ()


@pytest.mark.parametrize("bad", [[1j], ["a"], [object()]])
def test_other_dtypes_are_refused(bad):
    with pytest.raises(DtypeError):
        npnet.Parameter(bad)


def test_gradient_is_none_then_copied_then_added():
    p = npnet.Parameter(np.zeros(2))
    assert p.grad is None
    first = np.array([1.0, 2.0])
    p.add_grad(first)
    p.add_grad(first)
    assert p.grad.tolist() == [2, 4]
    assert first.tolist() == [1, 2]
    p.zero_grad()
    assert p.grad is None


def test_a_gradient_is_never_broadcast():
    p = npnet.Parameter(np.zeros((2, 3)))
    for bad in (np.zeros(3), np.zeros((1, 3)), np.float64(0)):
        with pytest.raises(ShapeError, match=r"\(2, 3\)"):
            p.add_grad(np.asarray(bad))
    with pytest.raises(ShapeError):
        p.add_product(np.ones((2, 4)), np.ones((4, 2)))
    with pytest.raises(ShapeError):
        p.grad = np.zeros(3)
    with pytest.raises(ShapeError):
        p.data = np.zeros(3)
    assert p.grad is None


def test_gradients_outside_a_store_are_not_reused():
    p = npnet.Parameter(np.zeros(2))
    p.add_grad(np.ones(2))
    kept = p.grad
    p.zero_grad()
    p.add_grad(np.full(2, 7.0))
    assert kept.tolist() == [1, 1]


def test_products_are_written_then_added(rng):
    a, b = rng.normal(size=(3, 5)), rng.normal(size=(5, 2))
    p = npnet.Parameter(np.zeros((3, 2)))
    p.add_product(a, b)
    p.add_product(a, b)
    np.testing.assert_allclose(p.grad, 2 * a @ b)


def test_manual_descent_in_place():
    p = npnet.Parameter(np.ones(2))
    store = FlatStore([p])
    p.grad = np.ones(2)
    p.data -= 0.5 * p.grad
    assert store.data.tolist() == [0.5, 0.5]


def test_assigning_keeps_the_array():
    p = npnet.Parameter(np.ones(2))
    held = p.data
    p.data = [3.0, 4.0]
    assert held.tolist() == [3, 4]
    with pytest.raises(DtypeError):
        p.data = np.array([1j, 2j])


shapes = st.lists(hnp.array_shapes(min_dims=0, max_dims=3, max_side=4), min_size=1, max_size=6)


@given(shapes)
def test_a_store_holds_every_parameter_as_a_view(shapes):
    parameters = [npnet.Parameter(np.full(s, float(i))) for i, s in enumerate(shapes)]
    parameters[0].grad = np.ones(shapes[0])
    store = FlatStore(parameters)
    assert store.data.tolist() == [float(i) for i, s in enumerate(shapes) for _ in range(
        int(np.prod(s)))]  # fmt: skip
    for p in parameters:
        assert p.data.base is store.data
    assert parameters[0].grad.base is store.grad
    assert (parameters[0].grad == 1).all()
    store.data += 1
    assert all((p.data == i + 1).all() for i, p in enumerate(parameters))


def test_a_parameter_given_twice_is_stored_once():
    p, q = npnet.Parameter(np.ones(2)), npnet.Parameter(np.ones(3))
    assert FlatStore([p, q, p]).data.size == 5


def test_a_store_needs_one_dtype():
    with pytest.raises(DtypeError, match="float32, float64"):
        FlatStore([npnet.Parameter([1.0]), npnet.Parameter(np.ones(1))])
    with pytest.raises(DtypeError, match="no parameters"):
        FlatStore([])


def test_the_same_parameters_share_a_store():
    p, q = npnet.Parameter(np.ones(2)), npnet.Parameter(np.ones(2))
    store = FlatStore.of([p, q])
    assert FlatStore.of(iter([p, q])) is store
    assert store.is_current()
    FlatStore.of([p])
    assert not store.is_current()


@given(st.lists(st.sampled_from([None, 1, 2]), min_size=1, max_size=8))
def test_runs_join_neighbours_with_equal_keys(keys):
    store = FlatStore([npnet.Parameter(np.zeros(i + 1)) for i in range(len(keys))])
    covered = [None] * store.data.size
    runs = list(store.runs(keys))
    for among, place in runs:
        (key,) = set(keys[among])
        covered[place] = [key] * (place.stop - place.start)
    for (_, a), (_, b) in itertools.pairwise(runs):
        assert a.stop < b.start or covered[a.start] != covered[b.start]
    expected = [k for k, s in zip(keys, store.slices, strict=True) for _ in range(s.stop - s.start)]
    assert covered == expected


def test_flat_gradients_are_live_views_of_neighbours():
    ps = [npnet.Parameter(np.zeros(2)) for _ in range(4)]
    FlatStore(ps)
    for p in (ps[0], ps[1], ps[3]):
        p.grad = np.ones(2)
    grads = flat_grads(ps)
    assert [g.size for g in grads] == [4, 2]
    grads[0] *= 3
    assert ps[1].grad.tolist() == [3, 3]


def test_unique_refuses_other_things():
    with pytest.raises(ArgumentError, match="got an array of shape"):
        unique([np.zeros(2)])
    with pytest.raises(ArgumentError, match="Parameter objects, got 'ab'"):
        unique("ab")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_stand_alone(duplicate):
    p = npnet.Parameter(np.ones(2))
    FlatStore([p])
    p.grad = np.ones(2)
    twin = duplicate(p)
    twin.data += 1
    twin.grad += 1
    assert p.data.tolist() == p.grad.tolist() == [1, 1]
    assert twin.dtype == p.dtype


def test_conversion_keeps_value_and_gradient():
    p = npnet.Parameter(np.array([1.5, 2.5]))
    p.grad = np.array([0.5, 0.25])
    p.astype(np.float32)
    assert p.data.dtype == p.grad.dtype == np.float32
    assert p.grad.tolist() == [0.5, 0.25]
    assert np.asarray(p).tolist() == [1.5, 2.5]
    with pytest.raises(DtypeError):
        p.astype(int)
