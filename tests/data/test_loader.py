import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npnet.random
from npnet.data import DataLoader
from npnet.errors import ArgumentError, DataError, DtypeError, NpnetError, ShapeError


@given(n=st.integers(1, 40), batch_size=st.integers(1, 45), shuffle=st.booleans())
def test_an_epoch_holds_every_sample_once_and_rows_stay_together(n, batch_size, shuffle):
    x, y = np.arange(3 * n).reshape(n, 3), 3 * np.arange(n)
    loader = DataLoader((x, y), batch_size, shuffle, rng=0)
    batches = list(loader)
    assert len(batches) == len(loader) == -(-n // batch_size)
    assert all(len(xb) == len(yb) == batch_size for xb, yb in batches[:-1])
    xs, ys = map(np.concatenate, zip(*batches, strict=True))
    assert np.array_equal(xs[:, 0], ys)
    assert np.array_equal(np.sort(ys) if shuffle else ys, y)


@given(n=st.integers(1, 40), batch_size=st.integers(1, 40), shuffle=st.booleans())
def test_drop_last_leaves_full_batches_only(n, batch_size, shuffle):
    if n < batch_size:
        with pytest.raises(ArgumentError, match="leaves no batch"):
            DataLoader(np.arange(n), batch_size, shuffle, drop_last=True)
        return
    loader = DataLoader(np.arange(n), batch_size, shuffle, drop_last=True)
    assert [len(batch) for batch in loader] == [batch_size] * (n // batch_size)
    assert len(loader) == n // batch_size


def test_batches_agree_with_pytorch_s_loader():
    torch = pytest.importorskip("torch")
    x, y = np.arange(22.0).reshape(11, 2), np.arange(11)
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    for drop_last in False, True:
        theirs = torch.utils.data.DataLoader(data, batch_size=4, drop_last=drop_last)
        ours = DataLoader((x, y), batch_size=4, drop_last=drop_last)
        assert len(ours) == len(theirs)
        for (xb, yb), (tx, ty) in zip(ours, theirs, strict=True):
            assert np.array_equal(xb, tx.numpy())
            assert np.array_equal(yb, ty.numpy())


def test_one_array_yields_arrays_and_a_tuple_yields_tuples():
    x = np.arange(4)
    assert isinstance(next(iter(DataLoader(x))), np.ndarray)
    (batch,) = next(iter(DataLoader((x,))))
    assert np.array_equal(batch, [0])
    assert [batch.tolist() for batch in DataLoader([[1, 2], [3, 4]], 1)] == [[[1, 2]], [[3, 4]]]
    three = next(iter(DataLoader((x, x + 1, x + 2), 4)))
    assert [int(part[0]) for part in three] == [0, 1, 2]


def test_unshuffled_batches_are_views_and_shuffled_ones_are_not():
    x = np.arange(12.0).reshape(6, 2)
    assert all(np.shares_memory(x, batch) for batch in DataLoader(x, 4))
    assert not any(np.shares_memory(x, batch) for batch in DataLoader(x, 4, shuffle=True))


def order(seed, epoch, n):
    """The documented order of an epoch, written out with NumPy alone."""
    sequence = np.random.SeedSequence(seed, spawn_key=(epoch,))
    return np.random.Generator(np.random.PCG64(sequence)).permutation(n)


def test_the_order_of_an_epoch_depends_on_seed_and_number_alone():
    loader = DataLoader(np.arange(50), 7, shuffle=True, rng=3)
    assert np.array_equal(np.concatenate(list(loader.epoch(3))), order(3, 3, 50))
    next(iter(loader))  # epoch 1, left after its first batch
    for epoch in 2, 3:
        assert np.array_equal(np.concatenate(list(loader)), order(3, epoch, 50))
    orders = [order(seed, epoch, 50).tolist() for seed in (3, 4) for epoch in (1, 2, 3)]
    assert len(set(map(tuple, orders))) == 6


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_a_batch_is_the_same_whether_or_not_those_before_it_were_asked_for(shuffle, drop_last):
    loader = DataLoader((np.arange(20), np.arange(20)), 3, shuffle, drop_last, rng=1)
    epochs = [[x.tolist() for x, _ in loader] for _ in range(3)]
    for epoch in 3, 1, 2:
        for start in 5, 0, len(loader):
            found = [x.tolist() for x, _ in loader.epoch(epoch, start)]
            assert found == epochs[epoch - 1][start:]
    for wrong in 0, -1, 1.0, None, True:
        with pytest.raises(ArgumentError, match="number to be a positive integer"):
            loader.epoch(wrong)
    for wrong in -1, 8, 0.0, None:
        with pytest.raises(ArgumentError, match="start to be an integer of at least 0 up to"):
            loader.epoch(1, wrong)


def test_without_a_seed_one_is_drawn_when_the_first_order_is_needed():
    def epochs(loader):
        return [np.concatenate(list(loader)).tolist() for _ in range(2)]

    early = DataLoader(np.arange(50), 7, shuffle=True)
    npnet.random.manual_seed(5)
    first = epochs(early)
    npnet.random.manual_seed(5)
    assert epochs(DataLoader(np.arange(50), 7, shuffle=True)) == first
    assert first[0] != first[1]
    assert epochs(DataLoader(np.arange(50), 7, shuffle=True)) != first
    rng = np.random.default_rng(8)
    seed = int(np.random.default_rng(8).integers(2**63))
    assert epochs(DataLoader(np.arange(50), 7, shuffle=True, rng=rng)) == [
        order(seed, epoch, 50).tolist() for epoch in (1, 2)
    ]


def test_unshuffled_iteration_draws_nothing():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    list(DataLoader(np.arange(5), 2, rng=rng))
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("shuffle", [False, True])
def test_several_iterations_at_once_do_not_disturb_each_other(shuffle):
    loader = DataLoader(np.arange(10), 3, shuffle=shuffle, rng=0)
    first, second = iter(loader), iter(loader)
    seen = ([], [])
    for a, b in zip(first, second, strict=True):
        seen[0].extend(a)
        seen[1].extend(b)
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(10))
    assert (seen[0] != seen[1]) is shuffle


def layouts():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((12, 5))
    frozen = base.copy()
    frozen.setflags(write=False)
    unaligned = np.frombuffer(b"\0" + base.tobytes(), np.uint8)[1:].view(base.dtype).reshape(12, 5)
    assert not unaligned.flags.aligned
    return {
        "c": base,
        "fortran": np.asfortranarray(base),
        "strided": rng.standard_normal((24, 10))[::2, ::2],
        "reversed": base[::-1],
        "broadcast": np.broadcast_to(base[:1], (12, 5)),
        "read-only": frozen,
        "big-endian": base.astype(">f8"),
        "unaligned": unaligned,
        "float32": base.astype(np.float32),
        "bool": base > 0,
        "empty rows": np.zeros((12, 0)),
        "vector": base[:, 0],
    }


@pytest.mark.parametrize("name", layouts())
@pytest.mark.parametrize("shuffle", [False, True])
def test_any_layout_and_real_dtype(name, shuffle):
    x = layouts()[name]
    batches = np.concatenate(list(DataLoader(x, 5, shuffle, rng=1)))
    rows = order(1, 1, 12) if shuffle else np.arange(12)
    assert np.array_equal(batches, x[rows])
    assert next(iter(DataLoader(x, 5, shuffle))).dtype == x.dtype


def test_nan_and_infinity_pass_through():
    x = np.array([np.nan, np.inf, -np.inf])
    (batch,) = DataLoader(x, 3)
    assert np.array_equal(batch, x, equal_nan=True)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_memory_mapped_array_is_not_read_as_a_whole(tmp_path, shuffle, order):
    shape = (64, 1 << 20)  # 64 MB of uint8, a hole in the file
    x = np.memmap(tmp_path / "x.bin", np.uint8, "w+", shape=shape, order=order)
    x[:, 0] = np.arange(64)
    tracemalloc.start()
    try:
        seen = []
        for batch in DataLoader(x, 4, shuffle, rng=0):
            assert batch.shape == (4, 1 << 20)
            seen.extend(batch[:, 0].tolist())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sorted(seen) == list(range(64))
    assert peak < 12 << 20 if shuffle else peak < 1 << 20  # two batches of 4 MB, or views


def test_repr_tells_shapes_and_settings():
    loader = DataLoader((np.zeros((5, 2)), np.arange(5)), 2, shuffle=True)
    assert repr(loader) == (
        "DataLoader((5, 2) float64, (5,) int64; batch_size=2, shuffle=True, drop_last=False)"
    )


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "8", True, None, np.float64(4), 10**30])
def test_a_bad_batch_size_is_refused(batch_size):
    with pytest.raises(ArgumentError, match="DataLoader expects batch_size to be a positive"):
        DataLoader(np.arange(5), batch_size)


@pytest.mark.parametrize("name", ["shuffle", "drop_last"])
@pytest.mark.parametrize("value", ["no", 1, None, np.ones(3)])
def test_flags_are_true_or_false(name, value):
    with pytest.raises(ArgumentError, match=f"DataLoader expects {name} to be True or False"):
        DataLoader(np.arange(5), **{name: value})


X, Y = np.zeros((5, 2)), np.arange(5)


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((X, Y), {}, r"batch_size .* shape \(5,\) .*one tuple: DataLoader\(\(x, y\), batch_size="),
        (
            (X, Y),
            {"batch_size": 4},
            r"multiple values .*one tuple: DataLoader\(\(x, y\), batch_size=",
        ),
        ((X,), {"y": Y}, r"one tuple: DataLoader\(\(x, y\)"),
        ((), {"dataset": X}, "the first argument is called arrays"),
        ((X,), {"num_workers": 2}, "there are no workers"),
        ((X,), {"seed": 2}, "use rng="),
        ((X,), {"bacth_size": 2}, "did you mean 'batch_size'"),
        ((), {}, "missing a required argument: 'arrays'"),
        (([X, Y],), {}, r"list of arrays; several arrays are one tuple, DataLoader\(\(x, y\)\)"),
    ],
)
def test_habits_get_the_fix_told(args, kwargs, words):
    with pytest.raises(NpnetError, match=words):
        DataLoader(*args, **kwargs)


def test_a_mistyped_attribute_raises():
    loader = DataLoader(X)
    with pytest.raises(AttributeError, match="did you mean 'batch_size'"):
        loader.bacth_size = 3
    with pytest.raises(AttributeError, match="each loop is the next epoch"):
        loader.set_epoch(3)


def test_a_loader_is_made_again_from_its_arguments():
    loader = DataLoader((X, Y), 2, shuffle=True, drop_last=True)
    assert repr(DataLoader.from_config(loader.get_config())) == repr(loader)


def test_a_numpy_integer_is_a_batch_size():
    assert len(DataLoader(np.arange(5), np.int64(2))) == 3


class Sparse:
    def toarray(self):
        return np.eye(3)


@pytest.mark.parametrize(
    ("arrays", "error", "words"),
    [
        ((), DataError, "at least one array"),
        (np.zeros((0, 3)), DataError, r"empty.*\(0, 3\)"),
        ([], DataError, "empty"),
        ((np.zeros((4, 2)), np.zeros(3)), DataError, r"same number.*\(4, 2\), \(3,\)"),
        ((np.zeros((4, 2)), np.zeros(0)), DataError, "same number"),
        (np.float64(3), ShapeError, "scalar"),
        ((np.zeros(3), 5), ShapeError, r"arrays\[1\]"),
        (np.zeros(3, complex), DtypeError, "complex128.*real and imaginary"),
        (np.array([1, None]), DtypeError, "object"),
        (None, DtypeError, "got None"),
        (np.array(["a", "b"]), DtypeError, "np.unique"),
        (np.array([b"a"]), DtypeError, "np.unique"),
        (np.zeros(3, "M8[s]"), DtypeError, "datetime64"),
        (np.zeros(3, [("a", "f4")]), DtypeError, "real number"),
        (Sparse(), DtypeError, "toarray"),
        ([[1, 2], [3]], ShapeError, "ragged"),
        ([np.zeros((4, 2)), np.zeros(4)], DataError, r"list of arrays.*DataLoader\(\(x, y\)\)"),
        ([np.zeros(4), np.zeros(4)], DataError, "list of arrays"),
    ],
)
def test_bad_data_is_refused(arrays, error, words):
    with pytest.raises(error, match=words):
        DataLoader(arrays)


def test_a_bad_generator_is_refused():
    with pytest.raises(ArgumentError, match="rng to be"):
        DataLoader(np.arange(3), shuffle=True, rng="seed")
