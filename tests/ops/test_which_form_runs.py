"""Which form of the kernels runs, when it is compiled, and what happens if that fails."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import npnet

needs_numba = pytest.mark.skipif(
    find_spec("numba") is None, reason="Numba (extra 'fast') is not installed"
)
ROOT = Path(npnet.__file__).parents[1]
COMPILED = """
def compiled():
    from npnet.ops.kernels import families
    found = ((name.split(".")[-1], family.dtypes) for name, family in families.items())
    return ",".join("-".join(each) for each in found if each[1])
"""


def run(code, folder=ROOT, **env):
    """Run a script beside npnet; return the words it prints, and what it says on stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", COMPILED + code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(folder))), **env},
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
    assert "got 'fortran'" in caught.value.stderr


def test_unknown_implementation():
    with pytest.raises(npnet.errors.ArgumentError, match="'fortran'"):
        npnet.ops.use("fortran")


@needs_numba
def test_a_family_is_compiled_when_it_is_first_used_and_for_the_dtype_that_computes():
    code = """
import numpy as np, npnet
from npnet.ops import elementwise
print("-" + compiled())
elementwise.relu(x=np.ones(2, "e"), out=np.ones(2, "e"))
print("-" + compiled())
elementwise.relu(x=np.ones(2), out=np.ones(2))
print(compiled())
loss = npnet.CrossEntropyLoss()
loss(np.ones((1, 2), "f"), [0])
elementwise.relu(np.ones(2, "f"), np.ones(2, "f"))
print(compiled())
npnet.ops.use("numpy")
loss(np.ones((1, 2)), [0])
print(compiled())
npnet.ops.use("numba")
npnet.ops.prepare(np.float64)
print(all("d" in family.dtypes for family in npnet.ops.kernels.families.values()))
"""
    assert run(code, NPNET_OPS="numba")[0] == [
        "-", "-", "elementwise-d", "elementwise-df,softmax-f", "elementwise-df,softmax-f",
        "True",
    ]  # fmt: skip


@needs_numba
@pytest.mark.parametrize(
    ("loss", "families"),
    [
        ("CrossEntropyLoss", "elementwise-f,softmax-f,update-f"),
        ("MSELoss", "elementwise-f,update-f"),
    ],
)
def test_fit_compiles_what_it_needs_before_the_first_callback(loss, families):
    code = f"""
import numpy as np, npnet
class Say(npnet.training.Callback):
    def on_train_begin(self, trainer):
        print(compiled())
class Mine(npnet.Linear):
    pass
model = npnet.Sequential(Mine(2, 3))
trainer = npnet.Trainer(model, npnet.{loss}(), npnet.optim.Adam(model.parameters()))
y = np.zeros(4, int) if {loss!r} == "CrossEntropyLoss" else np.zeros((4, 3))
trainer.fit(np.ones((4, 2)), y, epochs=1, callbacks=[Say()], progress=False)
print(compiled())
"""
    assert run(code, NPNET_OPS="numba")[0] == [families, families]


FAMILY = """
from npnet.ops.kernels import kernel

@kernel
def scale(x, out):
    out[...] = x * {factor}
    return out
"""
LOOP = """
from npnet.ops.jit import loop

@loop(lambda t: (t[::1], t[::1]))
def scale(x, out):
    for i in range(x.size):
        out[i] = {expression}
    return True
"""


@needs_numba
def test_kernels_of_one_name_in_two_modules_are_two(tmp_path):
    for name, factor in (("first", 2), ("second", 3)):
        (tmp_path / f"{name}.py").write_text(FAMILY.format(factor=factor))
        text = LOOP.format(expression=f"-{factor} * x[i]")  # to tell the forms apart
        (tmp_path / f"{name}_compiled.py").write_text(text)
    code = """
import numpy as np, npnet, first, second
for dtype in ("f", "d", "e"):
    x = np.ones(2, dtype)
    print(*(family.scale(x, np.empty_like(x))[0] for family in (first, second)))
    wide = np.ones(4, dtype)[::2]
    print(*(family.scale(wide, np.empty_like(x))[0] for family in (first, second)))
npnet.ops.use("numpy")
print(first.scale(x, np.empty_like(x))[0])
npnet.ops.use("numba")
x = np.ones(2)
print(first.scale(x, np.empty_like(x))[0])
"""
    out, _ = run(code, tmp_path, NPNET_OPS="numba", NUMBA_CACHE_DIR=str(tmp_path))
    compiled, fallback = ["-2.0", "-3.0"], ["2.0", "3.0"]
    assert out == [*(compiled + fallback) * 2, *fallback * 2, "2.0", "-2.0"]


def test_a_family_that_is_read_after_the_choice_runs_too(tmp_path):
    (tmp_path / "late.py").write_text(FAMILY.format(factor=2))
    code = """
import numpy as np, npnet
npnet.ReLU()([1.0])
import late
print(npnet.ops.active(), late.scale(np.ones(2), np.empty(2))[0])
"""
    assert run(code, tmp_path, NPNET_OPS="numpy")[0] == ["numpy", "2.0"]


@needs_numba
def test_a_loop_that_cannot_be_compiled_leaves_all_to_numpy(tmp_path):
    (tmp_path / "wrong.py").write_text(FAMILY.format(factor=2))
    (tmp_path / "wrong_compiled.py").write_text(LOOP.format(expression="x.no_such_thing"))
    code = """
import numpy as np, npnet, wrong
npnet.ReLU()([1.0])
x = np.ones(2)
print(npnet.ops.active(), wrong.scale(x, np.empty_like(x))[0], npnet.ops.active())
print(npnet.ReLU()([1.0])[0])
"""
    out, err = run(code, tmp_path, NPNET_OPS="numba", NUMBA_CACHE_DIR=str(tmp_path))
    assert out == ["numba", "2.0", "numpy", "1.0"]
    assert err.count("Numba cannot be used") == 1


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


@needs_numba
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_corrupt_cache_is_passed_over_and_told(suffix, tmp_path):
    code = """
import numpy as np, npnet
print(npnet.ReLU()(np.ones(2)).tolist())
print(npnet.Linear(2, 2, dtype=np.float64)(np.ones((1, 2))).dtype, npnet.ops.active())
"""
    folder = {"NUMBA_CACHE_DIR": str(tmp_path), "NPNET_OPS": "numba"}
    expected, err = run(code, **folder)
    assert expected == ["[1.0,", "1.0]", "float64", "numba"]
    assert "cannot" not in err
    for path in tmp_path.rglob("*" + suffix):
        path.write_bytes(path.read_bytes()[:10])
    out, err = run(code, **folder)
    assert out == expected
    assert err.count("cannot be read from or written to") == 1
    assert str(tmp_path) in err


def test_kernels_that_are_read_after_the_choice_take_numpys_form():
    code = """
import numpy as np, npnet
npnet.ReLU()([1.0])
for layer in npnet.MaxPool1d(2), npnet.Upsample(scale_factor=2), npnet.Conv1d(1, 1, 2):
    print(*layer(np.ones((1, 1, 2))).shape)
from npnet.ops import pool, resample
print(pool.maxima.__code__.co_name, resample.gather.__code__.co_name)
"""
    out, _ = run(code, NPNET_OPS="numpy")
    assert out == [*"111", *"114", *"111", "maxima", "gather"]


@needs_numba
def test_threads_may_need_the_kernels_at_once():
    code = """
import threading, time, numpy as np, npnet
from npnet.ops import jit
compile_loop, calls = jit._compile, []
def slow(loop, dtypes):
    calls.append((loop.function.__name__, dtypes[-1]))
    time.sleep(0.02)
    return compile_loop(loop, dtypes)
jit._compile = slow
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
print(len(results), npnet.ops.active(), len(calls) - len(set(calls)))
"""
    out, err = run(code, NPNET_OPS="numba")
    assert out == ["4", "numba", "0"]  # nothing is compiled twice
    assert "cannot" not in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["numpy", "auto"])
def test_a_family_that_is_imported_after_the_choice_runs(name):
    code = f"""
import numpy as np, npnet
npnet.ops.use({name!r})
print(*npnet.Conv2d(1, 1, 1)(np.ones((1, 1, 2, 2))).shape)
print(*npnet.Conv2d(16, 16, 3)(np.ones((1, 16, 8, 8))).shape)
"""
    assert run(code)[0] == ["1", "1", "2", "2", "1", "16", "6", "6"]
