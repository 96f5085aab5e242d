import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, DataError, NpnetError, StateError
from npnet.io import load_weights, save_weights


class Odd(npnet.Layer):
    """Parameters and buffers of every shape and dtype that must survive."""

    def __init__(self, fill=None):
        super().__init__()
        values = np.array([0.1, -0.0, np.nan, np.inf, 5e-324, np.pi])
        self.file = npnet.Parameter(values.reshape(2, 3).T, dtype=np.float64)
        self.scalar = npnet.Parameter(2.5)
        self.empty = npnet.Parameter(np.zeros((0, 3)))
        self.count = npnet.Buffer(np.int64(2**62 + 1))
        self.flags = npnet.Buffer([True, False])
        if fill is not None:
            for value in (self.file, self.scalar):
                value.data[...] = fill
            self.count[...] = fill


def mlp():
    return npnet.Sequential(npnet.Linear(3, 4), npnet.ReLU(), npnet.Linear(4, 2))


def same(state, other):
    return list(state) == list(other) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(state.values(), other.values(), strict=True)
    )


@pytest.mark.parametrize("as_path", [str, lambda p: p, os.fsencode])
def test_the_round_trip_is_bit_exact(tmp_path, as_path):
    model, other = Odd(), Odd(fill=0)
    path = as_path(tmp_path / "weights")
    assert not same(model.state_dict(), other.state_dict())
    save_weights(model, path)
    assert load_weights(other, path) == ([], [])
    assert same(model.state_dict(), other.state_dict())


def test_the_path_is_used_as_it_is_given(tmp_path):
    save_weights(mlp(), tmp_path / "model.weights")
    assert os.listdir(tmp_path) == ["model.weights"]


def test_the_file_is_a_plain_npz_with_the_keys_of_the_state(tmp_path):
    model = mlp()
    save_weights(model, tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        assert same(dict(file), model.state_dict())


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_files_that_numpy_wrote_are_read(tmp_path, write):
    model, other = mlp(), mlp()
    write(tmp_path / "model.npz", **model.state_dict())
    load_weights(other, tmp_path / "model.npz")
    assert same(model.state_dict(), other.state_dict())


def test_the_same_weights_give_the_same_bytes(tmp_path):
    model = mlp()
    save_weights(model, tmp_path / "a")
    save_weights(model, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_optimizer_goes_on_with_the_weights_loaded(tmp_path):
    model = mlp()
    save_weights(model, tmp_path / "w")
    optimizer = npnet.optim.SGD(model.parameters(), lr=1.0)
    before = model.state_dict()
    for p in model.parameters():
        p.data[...] = 7
    load_weights(model, tmp_path / "w")
    for p in model.parameters():
        p.grad = np.ones(p.shape)
    optimizer.step()
    for name, value in model.state_dict().items():
        assert np.array_equal(value, before[name] - 1)


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    save_weights(mlp(), tmp_path / "w")
    assert (tmp_path / "w").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_is_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "real")
    save_weights(mlp(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    load_weights(mlp(), tmp_path / "folder" / "real")


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["write_array", "fsync", "replace"])
def test_a_failing_save_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, failure, step):
    path = tmp_path / "w"
    save_weights(mlp(), path)
    old = path.read_bytes()
    calls = []

    def fail(*args, **kwargs):
        calls.append(args)
        if step != "write_array" or len(calls) == 2:
            raise failure
        return original(*args, **kwargs)

    home = np.lib.format if step == "write_array" else os
    original = getattr(home, step)
    monkeypatch.setattr(home, step, fail)
    expected = DataError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if expected is DataError else None):
        save_weights(mlp(), path)
    assert calls
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["w"]


def test_what_cannot_be_written_to(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        save_weights(mlp(), tmp_path / "missing" / "w")
    with pytest.raises(DataError, match="not a regular file"):
        save_weights(mlp(), tmp_path)
    with pytest.raises(DataError, match="not a regular file"):
        save_weights(mlp(), os.devnull)
    assert not os.path.isfile(os.devnull)


def test_arguments_of_the_wrong_kind(tmp_path):
    with pytest.raises(ArgumentError, match="expects model to be a Layer.*the model comes first"):
        save_weights(tmp_path / "w", mlp())
    with pytest.raises(ArgumentError, match="expects model to be a Layer.*the model comes first"):
        load_weights(tmp_path / "w", mlp())
    for path in (3, None, ["w"], "a\0b", b"a\0b"):
        with pytest.raises(ArgumentError, match="expects path to be a path"):
            save_weights(mlp(), path)
        with pytest.raises(ArgumentError, match="expects path to be a path"):
            load_weights(mlp(), path)


def refused(model, path, error, match, strict=True):
    before = model.state_dict()
    with pytest.raises(error, match=match) as caught:
        load_weights(model, path, strict)
    assert str(path) in str(caught.value)
    assert same(model.state_dict(), before)


def test_files_that_are_not_npz(tmp_path):
    path = tmp_path / "w"
    refused(mlp(), path, DataError, "cannot read .*No such file")
    refused(mlp(), tmp_path, DataError, "cannot read .*directory")
    for content in b"", b"hello", pickle.dumps({"0.weight": np.ones(3)}):
        path.write_bytes(content)
        refused(mlp(), path, DataError, "not an NPZ file")
    with open(path, "wb") as file:
        np.save(file, np.ones(3))
    refused(mlp(), path, DataError, "not an NPZ file")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    refused(mlp(), path, DataError, "entry 'archive/data.pkl' is not an array")


def test_pickled_arrays_are_never_unpickled(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, **{"0.weight": np.array([print], dtype=object)})
    refused(mlp(), path, DataError, "[Oo]bject arrays cannot be loaded")


def test_files_of_another_model(tmp_path):
    path = tmp_path / "w"
    save_weights(npnet.Sequential(npnet.Linear(3, 4), npnet.Linear(5, 2)), path)
    refused(mlp(), path, StateError, r"missing: 2\.weight")
    refused(mlp(), path, StateError, r"unexpected: 1\.weight")
    model = mlp()
    assert load_weights(model, path, strict=False).missing == ["2.weight", "2.bias"]
    assert load_weights(model, path, strict=False).unexpected == ["1.weight", "1.bias"]
    save_weights(npnet.Sequential(npnet.Linear(3, 4), npnet.ReLU(), npnet.Linear(4, 3)), path)
    refused(mlp(), path, StateError, r"wrong shape: 2\.weight is \(2, 4\), got \(3, 4\)")


def wide():
    """Have so many numbers that a member is not read in one piece with its header."""
    return npnet.Sequential(npnet.Linear(3, 2000), npnet.ReLU(), npnet.Linear(1, 2000))


def damage(path, *names):
    """Change the last number of members, so that they cannot be read to their end."""
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
        ends = [info.header_offset for info in infos[1:]] + [archive.start_dir]
    for info, end in zip(infos, ends, strict=True):
        if info.filename.removesuffix(".npy") in names:
            raw[end - 1] ^= 0xFF
    path.write_bytes(raw)


def test_one_error_lists_everything_and_no_member_is_read(tmp_path):
    path = tmp_path / "w"
    state = wide().state_dict()
    del state["2.bias"]
    state["0.weight"], state["0.bias"] = state["0.weight"].T, state["0.bias"].astype("<c8")
    state["3.mean"] = np.zeros(2)
    with open(path, "wb") as file:
        np.savez(file, **state)
    damage(path, *state)
    refused(
        wide(),
        path,
        StateError,
        r"fit Sequential:\n  missing: 2\.bias\n  unexpected: 3\.mean\n"
        r"  wrong shape: 0\.weight is \(2000, 3\), got \(3, 2000\)\n"
        r"  not real numbers: 0\.bias has dtype complex64$",
    )


def test_what_the_model_does_not_want_is_not_read(tmp_path):
    path = tmp_path / "w"
    model, other = mlp(), mlp()
    model.append(npnet.Linear(2, 5))
    save_weights(model, path)
    damage(path, "3.weight", "3.bias")
    result = load_weights(other, path, strict=False)
    assert result == ([], ["3.weight", "3.bias"])
    assert same(other.state_dict(), {k: v for k, v in model.state_dict().items() if k[0] != "3"})


@pytest.mark.parametrize("strict", [True, False])
def test_nothing_is_changed_if_the_last_member_is_damaged(tmp_path, strict):
    save_weights(wide(), tmp_path / "w")
    damage(tmp_path / "w", "2.bias")
    refused(wide(), tmp_path / "w", DataError, r"2\.bias", strict)


@pytest.mark.parametrize("name", ["0.weight", "unknown"])
def test_a_bomb_is_not_inflated(tmp_path, name):
    path = tmp_path / "w.npz"
    np.savez_compressed(path, **{**mlp().state_dict(), name: np.zeros(1 << 24, np.float32)})
    assert path.stat().st_size < 1 << 17
    tracemalloc.start()
    try:
        refused(mlp(), path, StateError, name)
        if name == "unknown":
            assert load_weights(mlp(), path, strict=False).unexpected == ["unknown"]
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_complex_numbers_fit_complex_buffers_only(tmp_path):
    class Spectrum(npnet.Layer):
        def __init__(self, value):
            super().__init__()
            self.gain = npnet.Parameter([1.0])
            self.response = npnet.Buffer(np.array([value]))

    model, other = Spectrum(1 + 2j), Spectrum(0j)
    save_weights(model, tmp_path / "w")
    load_weights(other, tmp_path / "w")
    assert other.response.tolist() == [1 + 2j]
    refused(Spectrum(0.5), tmp_path / "w", StateError, "real numbers: response has dtype complex")
    before = other.state_dict()
    for name in ("gain", "response"):
        state = {**before, name: np.array([1j], dtype=object)}
        with pytest.raises(StateError, match=f"not real numbers: {name} has dtype object"):
            other.load_state_dict(state)
    with pytest.raises(StateError, match="not real numbers: gain has dtype complex128"):
        other.load_state_dict({**before, "gain": [1j], "response": [9.0]})
    assert same(other.state_dict(), before)


def test_a_state_may_be_an_open_npz_file(tmp_path):
    model, other = mlp(), mlp()
    save_weights(model, tmp_path / "w")
    with np.load(tmp_path / "w") as file:
        other.load_state_dict(file)
    assert same(other.state_dict(), model.state_dict())


def test_damaged_files_raise_our_error_or_load_the_same_values(tmp_path, rng):
    model = mlp()
    path = tmp_path / "w"
    save_weights(model, path)
    content = path.read_bytes()
    good = model.state_dict()
    refusals = 0
    for trial in range(400):
        damaged = bytearray(content)
        if trial % 4 == 0:
            damaged = damaged[: rng.integers(len(damaged))]
        else:
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged)
        other = mlp()
        before = other.state_dict()
        try:
            load_weights(other, path)
        except NpnetError:
            refusals += 1
            assert same(other.state_dict(), before)
        else:
            assert same(other.state_dict(), good)
    assert refusals > 200
