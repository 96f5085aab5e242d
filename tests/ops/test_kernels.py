"""Both implementations of the kernels agree with each other and with float64 formulas."""

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest

import npnet
from npnet.ops import choose, elementwise, update

try:
    import numba  # noqa: F401

    HAS_NUMBA = True
except ImportError:
    HAS_NUMBA = False

needs_numba = pytest.mark.skipif(not HAS_NUMBA, reason="Numba (extra 'fast') is not installed")
IMPLEMENTATIONS = ["numpy", pytest.param("numba", marks=needs_numba)]


@pytest.fixture
def implementation(request):
    before = npnet.ops.active()
    npnet.ops.use(request.param)
    yield request.param
    npnet.ops.use(before)


def both(name, make, rtol, atol=0.0):
    """Run the reference and the twin on equal arguments; compare results and changed arrays."""
    from npnet.ops import compiled

    outcomes = []
    for function in (
        choose.reference[name],
        compiled.twins(choose.reference, np.dtype(np.float32))[name],
    ):
        args, kwargs = make()
        result = function(*args, **kwargs)
        arrays = [a for a in args if isinstance(a, np.ndarray)]
        results = result if isinstance(result, tuple) else (result,)
        outcomes.append([*arrays, *(r for r in results if r is not None)])
    for one, two in zip(*outcomes, strict=True):
        np.testing.assert_allclose(one, two, rtol=rtol, atol=atol)


SHAPES = [(), (1,), (0, 3), (4, 3), (2, 3, 5), (128, 256)]
RTOL = {np.float32: 1e-6, np.float64: 1e-14}


@needs_numba
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("name", ["relu", "relu_grad", "dropout"])
def test_elementwise_twins_agree(name, dtype, shape, layout):
    def array(seed):
        rng = np.random.default_rng(seed)
        a = rng.normal(size=shape).astype(dtype)
        if a.ndim and layout == "strided":
            wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), dtype)
            wide[..., ::2] = a
            return wide[..., ::2]
        return np.array(a, order="F" if layout == "F" else "C")

    def make():
        x = array(0)
        if x.size:
            x.reshape(-1)[:1] = 0
        if name == "relu":
            return (x, np.empty_like(x)), {}
        if name == "relu_grad":
            return (array(1), np.maximum(x, 0), np.empty_like(x)), {}
        noise = np.random.default_rng(2).random(shape).astype(dtype)
        return (x, np.asarray(noise), 0.25, 1 / 0.75, np.empty_like(x)), {}

    both(name, make, RTOL.get(dtype, 1e-3))


@needs_numba
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (4, 3), (300, 256)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("name", ["add_bias", "add_bias_relu"])
def test_bias_twins_agree(name, dtype, shape):
    def make():
        rng = np.random.default_rng(0)
        y, bias = rng.normal(size=shape).astype(dtype), rng.normal(size=shape[1]).astype(dtype)
        if y.size:
            y[0, 0], y[-1, -1] = np.nan, -bias[-1]
        return (y, bias), {}

    both(name, make, 0)


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(dtype):
    values = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-38, -1e-38, 1, -1], dtype)
    both("relu", lambda: ((values.copy(), np.empty_like(values)), {}), 0)
    for upstream in (1.0, np.inf, np.nan):
        grad = np.full_like(values, upstream)
        y = np.maximum(values[2:], 0)
        both("relu_grad", lambda g=grad, y=y: ((g[2:].copy(), y, np.empty_like(y)), {}), 0)


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "classes"), [(1, 1), (1, 7), (32, 2), (128, 10), (3, 1000)])
@pytest.mark.parametrize("scale", [1.0, 50.0, 1e4])
def test_cross_entropy_twins_agree(rows, classes, scale, dtype):
    def make():
        rng = np.random.default_rng(rows)
        x = (rng.normal(size=(rows, classes)) * scale).astype(dtype)
        labels = rng.integers(0, classes, rows)
        return (x, labels, np.empty(rows, dtype), np.empty_like(x), 0.125), {}

    both("cross_entropy", make, 2 * RTOL[dtype], atol=1e-7 if dtype == np.float32 else 1e-15)


@needs_numba
@pytest.mark.parametrize("bad", [-1, 3, -(2**40), 2**40])
def test_both_refuse_labels_out_of_range(bad):
    x, labels = np.zeros((2, 3)), np.array([0, bad])

    def make():
        return (x, labels, np.zeros(2), np.zeros((2, 3)), 1.0), {}

    from npnet.ops import compiled

    for function in (choose.reference["cross_entropy"], compiled.cross_entropy):
        assert function(*make()[0]) == (False, 0.0)


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 1000, update.BLOCK + 7])
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_update_twins_agree(size, weight_decay, maximize, dtype):
    def vectors(n):
        rng = np.random.default_rng(0)
        signed = rng.normal(size=(2, size)).astype(dtype)
        return [*signed, *rng.uniform(0.1, 1, (n, size)).astype(dtype)]

    common = {"lr": 0.1, "weight_decay": weight_decay, "maximize": maximize}
    for first, momentum, nesterov in [(True, 0.9, False), (False, 0.9, True), (False, 0.5, False)]:
        options = {"momentum": momentum, "dampening": 0.0 if nesterov else 0.2,
                   "nesterov": nesterov, "first": first, **common}  # fmt: skip
        start = vectors(1)
        if first:
            start[2][:] = 0
        both("sgd", lambda s=start, o=options: ([a.copy() for a in s], o), RTOL[dtype], 1e-7)
    options = {"momentum": 0, "dampening": 0, "nesterov": False, "first": False, **common}
    both("sgd", lambda o=options: ((*vectors(0), None), o), RTOL[dtype], 1e-7)
    for decoupled in (False, True):
        options = {"betas": (0.9, 0.999), "eps": 1e-8, "decoupled": decoupled, "step": 7, **common}
        both("adam", lambda o=options: ((*vectors(2), None), o), RTOL[dtype], 1e-7)
        both("adam", lambda o=options: (vectors(3), o), RTOL[dtype], 1e-7)


@needs_numba
def test_every_kernel_has_a_twin_with_its_arguments():
    from npnet.ops import compiled

    for name, function in choose.reference.items():
        twin = getattr(compiled, name)
        assert inspect.signature(function) == inspect.signature(twin)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, indirect=True)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 3), (300, 256)])
def test_relu_grad_in_place(implementation, shape, dtype, rng):
    grad, y = rng.normal(size=(2, *shape)).astype(dtype)
    y = np.maximum(y, 0)
    expected = np.where(y > 0, grad, 0)
    over = y.copy()
    assert npnet.ops.elementwise.relu_grad(grad, over, over) is over
    np.testing.assert_array_equal(over, expected)
    assert npnet.ops.elementwise.relu_grad(grad, y, grad) is grad
    np.testing.assert_array_equal(grad, expected)
    assert npnet.ops.active() == implementation


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, indirect=True)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relu_against_the_formula(implementation, dtype, rng):
    x = rng.normal(size=(5, 4)).astype(dtype)
    y, tape = npnet.ReLU().record(x)
    assert (y == np.where(x > 0, x, 0)).all()
    assert (tape.backward(x, input_grad=True) == np.where(x > 0, x, 0)).all()
    assert npnet.ops.active() == implementation


@needs_numba
def test_training_ends_in_the_same_place():
    ends = []
    before = npnet.ops.active()
    for name in ("numpy", "numba"):
        npnet.ops.use(name)
        npnet.manual_seed(0)
        x, y = npnet.datasets.digits()
        model = npnet.Sequential(
            npnet.Flatten(), npnet.Linear(64, 32), npnet.ReLU(), npnet.Dropout(0.1),
            npnet.Linear(32, 10),
        )  # fmt: skip
        loss, optimizer = npnet.CrossEntropyLoss(), npnet.optim.Adam(model.parameters())
        steps = 0
        while steps < 200:
            for xb, yb in npnet.data.DataLoader((x, y), 64, shuffle=True):
                logits, tape = model.record(xb)
                value, grad = loss.value_and_grad(logits, yb)
                tape.backward(grad)
                optimizer.step()
                optimizer.zero_grad()
                steps += 1
        ends.append((value, model.state_dict()))
    npnet.ops.use(before)
    (value, state), (other_value, other_state) = ends
    assert other_value == pytest.approx(value, rel=1e-4)
    for name, array in state.items():
        norm = np.linalg.norm(array)
        assert np.linalg.norm(other_state[name] - array) <= 1e-4 * norm


def run(code, **env):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split(), done.stderr


BROKEN = """
import sys

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "numba":
            raise {error}
sys.meta_path.insert(0, Broken())
import npnet
npnet.ReLU()([1.0])
npnet.ops.use({name!r})
npnet.ReLU()([1.0])
print(npnet.ops.active())
"""


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("auto", "ModuleNotFoundError('numba', name='numba')", 0),
        ("numba", "ModuleNotFoundError('numba', name='numba')", 1),
        ("auto", "ModuleNotFoundError('llvmlite', name='llvmlite')", 1),
        ("auto", "OSError('libLLVM is broken')", 1),
    ],
)
def test_without_a_working_numba_numpy_computes_and_npnet_says_so_once(name, error, told):
    out, err = run(BROKEN.format(name=name, error=error), NPNET_OPS=name)
    assert out == ["numpy"]
    assert err.count("Numba cannot be used") == told


def test_the_environment_chooses():
    code = "import npnet; print(npnet.ops.active())"
    assert run(code, NPNET_OPS="numpy")[0] == ["numpy"]
    assert run(code, NPNET_OPS="")[0] == run(code, NPNET_OPS="auto")[0]
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(code, NPNET_OPS="fortran")
    assert "NPNET_OPS is 'fortran'" in caught.value.stderr


@needs_numba
def test_without_a_cache_folder_kernels_are_compiled_each_time():
    code = """
import numba.core.caching as caching
for locator in list(caching.CacheImpl._locator_classes):
    locator.ensure_cache_path = lambda self: (_ for _ in ()).throw(OSError("read-only"))
import npnet
print(npnet.ReLU()([1.0]).tolist(), npnet.ops.active())
"""
    out, err = run(code, NPNET_OPS="numba")
    assert out == ["[1.0]", "numba"]
    assert err.count("NUMBA_CACHE_DIR") == 1


def test_unknown_implementation():
    with pytest.raises(npnet.errors.ArgumentError, match="'fortran'"):
        npnet.ops.use("fortran")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, indirect=True)
def test_arrays_that_do_not_fit_are_never_read_beyond_their_end(implementation, rng):
    y = rng.normal(size=(4, 6)).astype(np.float32)
    before = y.copy()
    for kernel in (elementwise.add_bias, elementwise.add_bias_relu):
        with pytest.raises(ValueError, match="broadcast"):
            kernel(y, np.ones(2, np.float32))
    np.testing.assert_array_equal(y, before)
    elementwise.add_bias(y, np.ones(1, np.float32))
    np.testing.assert_array_equal(y, before + 1)
    for shape in ((4, 6), (4, 3, 2)):
        kept = np.ones(shape, np.float32)
        with pytest.raises(ValueError, match="broadcast"):
            short = np.ones((2, *shape[1:]), np.float32)
            elementwise.relu_grad(short, kept, np.empty_like(kept))


_RACE = """
import threading, numpy as np, npnet
barrier = threading.Barrier(4)
results = {}
def work(k, dtype):
    model = npnet.Sequential(npnet.Linear(3, 3, dtype=dtype), npnet.ReLU(), npnet.Tanh())
    barrier.wait()
    results[k] = model(np.ones((2, 3)))
dtypes = (np.float32, np.float64) * 2
threads = [threading.Thread(target=work, args=each) for each in enumerate(dtypes)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(results), npnet.ops.active())
"""


@needs_numba
def test_threads_may_need_the_kernels_at_once():
    environment = {**os.environ, "NPNET_OPS": "numba"}
    done = subprocess.run(
        [sys.executable, "-c", _RACE], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == ["4", "numba"]
    assert "cannot" not in done.stderr
    assert "Traceback" not in done.stderr


_FLOAT64 = """
import numpy as np, npnet
print(npnet.ReLU()(np.ones(2)).tolist())
print(npnet.Linear(2, 2, dtype=np.float64)(np.ones((1, 2))).dtype, npnet.ops.active())
"""


@needs_numba
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_corrupt_cache_is_passed_over_and_told(suffix, tmp_path):
    folder = {"NUMBA_CACHE_DIR": str(tmp_path), "NPNET_OPS": "numba"}
    expected, err = run(_FLOAT64, **folder)
    assert expected == ["[1.0,", "1.0]", "float64", "numba"]
    assert "cannot" not in err
    for path in tmp_path.rglob("*" + suffix):
        path.write_bytes(path.read_bytes()[:10])
    out, err = run(_FLOAT64, **folder)
    assert out == expected
    assert err.count("cannot be read from or written to") == 1
    assert str(tmp_path) in err


@needs_numba
def test_only_the_dtype_that_computes_is_compiled():
    code = """
import numpy as np, npnet
from npnet.ops import elementwise
elementwise.relu(x=np.ones(2), out=np.ones(2))
from npnet.ops import compiled
print(*compiled.ready)
"""
    assert run(code, NPNET_OPS="numba")[0] == ["d"]
