"""AveragedModel against PyTorch's, and by its formulas."""

import copy

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, NameTypoError, ShapeError
from npnet.training import (
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    get_swa_avg_fn,
    get_swa_multi_avg_fn,
)


class Counting(npnet.Layer):
    """A layer with a floating and an integer buffer."""

    def __init__(self):
        super().__init__()
        self.linear = npnet.Linear(3, 2, rng=0)
        self.mean = npnet.Buffer(np.zeros(2, np.float32))
        self.count = npnet.Buffer(np.zeros((), np.int64))

    def forward(self, ctx, x):
        return ctx.call(self.linear, x)

    def backward(self, ctx, grad):
        (call,) = ctx.calls
        return call.backward(grad, needs_input_grad=ctx.needs_input_grad)


def change(model, rng):
    for p in model.parameters():
        p.data = rng.normal(size=p.shape)
    model.mean = rng.normal(size=2)
    model.count = model.count + 1


@pytest.fixture
def torch():
    """PyTorch, which has the share of the present values in its default dtype."""
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(torch.float32)


RULES = {
    "none": ({}, lambda torch: {}),
    "swa": ({"avg_fn": get_swa_avg_fn()}, lambda u: {"avg_fn": u.get_swa_avg_fn()}),
    "swa at once": (
        {"multi_avg_fn": get_swa_multi_avg_fn()},
        lambda u: {"multi_avg_fn": u.get_swa_multi_avg_fn()},
    ),
    "ema": ({"avg_fn": get_ema_avg_fn(0.9)}, lambda u: {"avg_fn": u.get_ema_avg_fn(0.9)}),
    "ema at once": (
        {"multi_avg_fn": get_ema_multi_avg_fn(0.9)},
        lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.9)},
    ),
    "own": ({"avg_fn": lambda a, w, n: 0.3 * a + 0.7 * w / n},) * 2,
}


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_like_pytorch(torch, rule, use_buffers, rng):
    ours, theirs = RULES[rule]
    theirs = theirs(torch.optim.swa_utils) if callable(theirs) else theirs

    class TorchCounting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(3, 2)
            self.register_buffer("mean", torch.zeros(2))

    model, twin = Counting().astype(np.float64), TorchCounting().double()
    mine = AveragedModel(model, use_buffers=use_buffers, **ours)
    reference = torch.optim.swa_utils.AveragedModel(twin, use_buffers=use_buffers, **theirs)
    for _ in range(6):
        change(model, rng)
        state = {k: torch.tensor(v) for k, v in model.state_dict().items() if k != "count"}
        twin.load_state_dict(state)
        mine.update_parameters(model)
        reference.update_parameters(twin)
        got = mine.state_dict()
        assert got.pop("module.count") == model.count  # copied: an average is no count
        expected = reference.state_dict()
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(got[name], value.numpy(), rtol=1e-12)


def test_it_is_a_layer_of_its_own(rng):
    model = Counting().astype(np.float64)
    averaged = AveragedModel(model)
    x = rng.normal(size=(4, 3))
    np.testing.assert_array_equal(averaged(x), model(x))
    before = model.state_dict()
    for p in averaged.parameters():
        p.data += 1
    assert all(np.array_equal(before[n], v) for n, v in model.state_dict().items())
    y, tape = averaged.record(x)
    dx = tape.backward(np.ones_like(y), input_grad=True)
    np.testing.assert_allclose(dx, np.ones_like(y) @ averaged.module.linear.weight.data)
    npnet.gradcheck.check_layer(averaged, x)
    other = AveragedModel(Counting().astype(np.float64))
    averaged.update_parameters(model)
    other.load_state_dict(averaged.state_dict())
    assert other.n_averaged == 1
    np.testing.assert_array_equal(other(x), averaged(x))
    twin = copy.deepcopy(averaged)
    twin.update_parameters(model)
    assert (averaged.n_averaged, twin.n_averaged) == (1, 2)


def test_it_takes_what_the_model_takes():
    sparse = pytest.importorskip("scipy.sparse")
    averaged = AveragedModel(npnet.Sequential(npnet.Linear(3, 2)))
    x = np.eye(3)
    np.testing.assert_array_equal(averaged(sparse.csr_matrix(x)), averaged(x))
    words = AveragedModel(npnet.Embedding(3, 2))
    assert words([[0, 2]]).shape == (1, 2, 2)


def test_shared_parameters_are_averaged_once():
    linear = npnet.Linear(2, 2, rng=0)
    model = npnet.Sequential(linear, linear)
    averaged = AveragedModel(model)
    for value in (1.0, 3.0, 8.0):
        linear.weight.data[:] = value
        averaged.update_parameters(model)
    assert (averaged.module[1].weight.data == 4).all()


def test_of_a_model_that_an_optimizer_gathered(rng):
    model = npnet.Linear(3, 2, rng=0)
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.5)
    averaged = AveragedModel(model, get_ema_avg_fn(0.5))
    expected = None
    for _ in range(4):
        model.weight.grad = rng.normal(size=(2, 3))
        optimizer.step()
        averaged.update_parameters(model)
        weight = model.weight.data.copy()
        expected = weight if expected is None else 0.5 * expected + 0.5 * weight
    np.testing.assert_allclose(averaged.module.weight.data, expected, rtol=1e-6)
    assert averaged.module.weight.dtype == np.float32


def test_mistakes():
    model = npnet.Linear(3, 2, rng=0)
    averaged = AveragedModel(model)
    for bad, kind, match in [
        (lambda: AveragedModel(npnet.Linear), ArgumentError, "Layer"),
        (lambda: AveragedModel(model, 0.9), ArgumentError, "avg_fn"),
        (lambda: AveragedModel(model, lambda a: a), ArgumentError, "avg_fn"),
        (lambda: AveragedModel(model, use_buffers=1), ArgumentError, "use_buffers"),
        (lambda: AveragedModel(model, device="cpu"), ArgumentError, "CPU"),
        (
            lambda: AveragedModel(model, get_swa_avg_fn(), get_swa_multi_avg_fn()),
            ArgumentError,
            "got both",
        ),
        (lambda: get_ema_avg_fn(1.5), ArgumentError, "decay"),
        (lambda: get_ema_multi_avg_fn(-1), ArgumentError, "decay"),
        (lambda: averaged.update_parameters(None), ArgumentError, "model"),
        (
            lambda: averaged.update_parameters(npnet.Linear(3, 2, bias=False)),
            ArgumentError,
            "only one of the two has bias",
        ),
        (lambda: averaged.update_parameters(npnet.Linear(2, 2)), ShapeError, "weight of shape"),
        (lambda: averaged.update_bn, NameTypoError, "use_buffers"),
    ]:
        with pytest.raises(kind, match=match):
            bad()
    wrong = AveragedModel(model, lambda a, w, n: a.sum())
    wrong.update_parameters(model)
    before = wrong.state_dict()
    with pytest.raises(ShapeError, match="avg_fn made weight"):
        wrong.update_parameters(model)
    np.testing.assert_equal(wrong.state_dict(), before)
    new_list = AveragedModel(model, multi_avg_fn=lambda a, w, n: [each * 2 for each in a])
    new_list.update_parameters(model)
    with pytest.raises(ArgumentError, match="multi_avg_fn to be a function that changes .* avg_fn"):
        new_list.update_parameters(model)
    in_place = AveragedModel(model, lambda a, w, n: None)
    in_place.update_parameters(model)
    with pytest.raises(ArgumentError, match="avg_fn returned None; .* multi_avg_fn"):
        in_place.update_parameters(model)
