"""Every contender computes what it should; the check that says so notices if not."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

import npnet
from benchmarks.check import WrongResult, check
from benchmarks.contenders import NAMES, Contender, contender
from benchmarks.isolate import Child, ChildError, Children, RemoteRun
from benchmarks.results import Skip
from benchmarks.timing import Run
from benchmarks.workloads import MLP, OPTIMIZERS, Epochs, Inference, Updates, network

# Keras's own.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

HERE = [name for name in NAMES if name != "torch-compile"]  # its compiler takes half a minute


def installed(name):
    who = contender(name)
    if who.missing():
        pytest.skip(who.missing())
    return who


@pytest.mark.parametrize("name", HERE)
def test_steps(name, tiny):
    run = installed(name).build(tiny)
    assert (run.result is None) == (name == "bare")
    check(run, tiny)
    assert run.turn(3) > 0


def test_two_classes_are_another_network_to_scikit_learn():
    mlp = MLP((2, 5, 2), 4)
    run = installed("sklearn").build(mlp)
    assert "logistic" in run.note
    check(run, mlp)
    assert run.turn(2) > 0


@pytest.mark.parametrize("name", HERE)
def test_outputs(name, tiny):
    if name == "torch-fused":
        pytest.skip("it is torch's")
    run = installed(name).build(Inference(tiny))
    check(run, Inference(tiny))
    assert run.turn(3) > 0


@pytest.mark.parametrize("method", OPTIMIZERS)
@pytest.mark.parametrize("name", ["npnet", "npnet-fast", "torch", "torch-fused", "jax"])
def test_updates(name, method, tiny):
    updates = Updates(method, tiny.shapes)
    run = installed(name).build(updates)
    check(run, updates)
    assert run.turn(3) > 0


def test_what_is_not_offered_is_skipped(tiny):
    with pytest.raises(Skip, match="no matrix products"):
        contender("bare").build(Updates("adam", tiny.shapes))


@pytest.mark.parametrize("name", HERE)
def test_epochs_learn(name, monkeypatch):
    who = installed(name)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    x = rng.standard_normal((600, 5), np.float32) + 3 * np.eye(3, 5, dtype=np.float32)[y]
    monkeypatch.setattr(network, "mnist", lambda images: ((x[:500], y[:500]), (x[500:], y[500:])))
    epochs = Epochs(MLP((5, 16, 3), 8))
    run = who.build(epochs)
    run.turn(5)
    if run.result is not None:
        assert epochs.accuracy(run.result()) > max(0.8, epochs.accuracy(epochs.initial()))


@pytest.mark.parametrize("what", ["lr", "loss", "frozen"])
def test_a_contender_that_computes_something_else_is_found_out(what, tiny, monkeypatch):
    def wrong_lr(params, lr):
        return right(params, lr=lr * 2)

    def other_loss(self, logits, y):
        value, grad = mean(self, logits, y)
        return value, -grad

    right, mean = npnet.optim.Adam, npnet.CrossEntropyLoss.value_and_grad
    if what == "lr":
        monkeypatch.setattr(npnet.optim, "Adam", wrong_lr)
    elif what == "loss":
        monkeypatch.setattr(npnet.CrossEntropyLoss, "value_and_grad", other_loss)
    else:
        monkeypatch.setattr(npnet.optim.Adam, "step", lambda self: None)
    with pytest.raises(WrongResult, match="off by"):
        check(contender("npnet").build(tiny), tiny)


def test_wrong_outputs_are_found_out(tiny, monkeypatch):
    right = npnet.Sequential.forward
    monkeypatch.setattr(npnet.Sequential, "forward", lambda *args: abs(right(*args)))
    with pytest.raises(WrongResult, match="outputs"):
        check(contender("npnet").build(Inference(tiny)), Inference(tiny))


def test_another_dtype_is_found_out(tiny):
    model = npnet.Sequential(npnet.Linear(6, 3, dtype=np.float64))
    wide = Run(lambda: None, result=lambda: [model(tiny.batches()[0][0])])
    with pytest.raises(WrongResult, match="float64"):
        check(wide, Inference(tiny))
    narrow = Run(lambda: None, result=lambda: [np.zeros((7, 1), np.float32)])
    with pytest.raises(WrongResult, match=r"\(7, 1\), not float32 \(7, 3\)"):
        check(narrow, Inference(tiny))
    params = [value.astype(float) for value in tiny.initial()]
    with pytest.raises(WrongResult, match="float64"):
        check(Run(lambda: None, result=lambda: params), tiny)


def test_numpy_is_not_measured_under_the_name_of_numba(tiny, monkeypatch):
    monkeypatch.setattr(npnet.ops, "active", lambda: "numpy")
    with pytest.raises(RuntimeError, match="computes with numpy, not numba"):
        contender("npnet-fast").build(tiny).turn(1)


def test_the_kernels_are_put_back(tiny):
    npnet.ops.use("auto")
    before = npnet.ops.active()
    contender("npnet").build(tiny).turn(1)
    assert npnet.ops.active() == before


def test_nothing_heavy_is_imported_before_something_is_built():
    code = (
        "import sys\n"
        "from benchmarks.contenders import NAMES, contender\n"
        "from benchmarks import groups\n"
        "for name in NAMES: contender(name).missing()\n"
        "heavy = {'torch', 'sklearn', 'jax', 'keras', 'numba', 'matplotlib', 'scipy'}\n"
        "print(heavy & set(sys.modules))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout == "set()\n", run.stderr


# --- contenders in processes of their own


def die(who):
    os._exit(3)


def blow_up(who, text):
    raise ValueError(text)


def add(who, a, b):
    return who.name, a + b


def test_a_child_answers_fails_and_dies(tiny):
    child = Child("npnet")
    try:
        assert child.ask(add, 1, 2) == ("npnet", 3)
        with pytest.raises(ChildError, match="ValueError: pardon"):
            child.ask(blow_up, "pardon")
        run = RemoteRun(child, tiny)
        check(run, tiny)
        assert run.turn(2) > 0
    finally:
        child.close()


def test_a_child_skips_what_its_contender_does_not_offer(tiny):
    child = Child("bare")
    try:
        with pytest.raises(Skip, match="no matrix products"):
            RemoteRun(child, Updates("adam", tiny.shapes))
    finally:
        child.close()


def test_a_child_that_ends_is_replaced(tiny):
    who = contender("bare")
    who.isolated = True
    with Children() as children:
        run = children.build(who, tiny)
        assert run.turn(1) > 0
        with pytest.raises(ChildError, match="code 3"):
            run._child.ask(die)
        assert children.build(who, tiny).turn(1) > 0


def test_missing_contenders_say_so(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("numba", "torch") else find(name)
    )
    assert contender("torch").missing() == "torch is not installed"
    assert contender("npnet-fast").missing() == "numba is not installed"
    assert contender("npnet").missing() is None
    assert isinstance(contender("bare"), Contender)


# --- the problem


def test_mlp():
    mlp = MLP.parse("784-256-128-10", 128)
    assert str(mlp) == "784-256-128-10@128"
    assert str(Updates("adam", mlp.shapes)) == "adam@235146"
    assert mlp.needed == 4 * (4 * 235_146 + 128 * (256 + 128 + 10))
    for text in ("784", "784--10", "0-3", "a-b", ""):
        with pytest.raises(ValueError):  # noqa: PT011
            MLP.parse(text, 128)
    with pytest.raises(ValueError, match="rows"):
        MLP.parse("3-2", 0)


def test_what_is_needed():
    mlp = MLP((3, 4, 2), 5)  # 26 parameters
    assert mlp.needed == Epochs(mlp).needed == 4 * (4 * 26 + 5 * (4 + 2))
    assert Inference(mlp).needed == 4 * 26
    found = {method: Updates(method, mlp.shapes).needed for method in OPTIMIZERS}
    assert found == {"sgd": 4 * 26, "momentum": 8 * 26, "adam": 12 * 26, "adamw": 12 * 26}


def test_everyone_gets_the_same_data(tiny):
    assert tiny.batches() is tiny.batches()
    assert tiny.initial() is tiny.initial()
    assert len({y.tobytes() for _, y in tiny.batches()}) > 1
    x, y = tiny.batches()[0]
    assert (x.dtype, x.shape, y.shape) == (np.float32, (7, 6), (7,))
    assert [value.shape for value in tiny.initial()] == list(tiny.shapes)
    assert all(value.dtype == np.float32 for value in tiny.initial())


def test_mnist_needs_data(monkeypatch):
    monkeypatch.delenv("NPNET_DATA", raising=False)
    network.mnist.cache_clear()
    with pytest.raises(Skip, match="no MNIST: FileNotFoundError: set NPNET_DATA"):
        network.mnist(3)


def test_bare_products_are_those_of_a_call(tiny, monkeypatch):
    part = np.ones((17, 6), np.float32), np.zeros(17, int)
    monkeypatch.setattr(network, "mnist", lambda images: (part, part))
    done, dot = [], np.dot

    def counted(a, b, out):
        done.append(a.shape[0] * a.shape[1] * b.shape[1])
        return dot(a, b, out=out)

    monkeypatch.setattr(np, "dot", counted)
    forward, rest = 6 * 5 + 5 * 4 + 4 * 3, (6 * 5 + 5 * 4 + 4 * 3) + (5 * 4 + 4 * 3)
    for workload, rows in ((Inference(tiny), 0), (tiny, 7), (Epochs(tiny), 17)):
        done.clear()
        workload.products()()
        assert sum(done) == (rows or 7) * forward + rows * rest
