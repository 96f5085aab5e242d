"""Each tool, through its wrapper, tells a right layer from a wrong one."""

import sys

import numpy as np
import pytest

import npnet
from benchmarks.gradient_checkers.__main__ import main
from benchmarks.gradient_checkers.reference import gradient_is_wrong
from benchmarks.gradient_checkers.tools import TOOLS, ask, installed
from benchmarks.gradient_checkers.wrapped import Subject, Wrapped, filled
from npnet.losses.loss import Terms


class TwoInputs(npnet.Layer):
    """Two outputs of two inputs, one parameter, and rows chosen by an index."""

    takes_integers = (False, False, True)
    factor = 1

    def __init__(self):
        super().__init__()
        self.gain = npnet.Parameter(np.array([0.5, -1.5, 2.0]))

    def forward(self, ctx, a, b, index):
        ctx.save(a, b, index)
        return a[index] * self.gain.data, np.sin(b)

    def backward(self, ctx, da, db):
        a, b, index = ctx.saved
        dx = np.zeros_like(a)
        if da is not None:
            np.add.at(dx, index, da * self.gain.data)
            ctx.add_grad(self.gain, self.factor * (da * a[index]).sum(0))
        return dx, None if db is None else db * np.cos(b), None


class WrongGain(TwoInputs):
    factor = 2


class WrongLoss(npnet.MSELoss):
    def terms(self, pred, target, with_grad):
        values, weights, grad, axes = super().terms(pred, target, with_grad)
        return Terms(values, weights, grad / 2 if with_grad else None, axes)


_RNG = np.random.default_rng(0)
_LOSS = (_RNG.normal(size=(4, 3)), _RNG.normal(size=(4, 3)), np.array([1.0, 2.0, 0.5, 1.0]))
_SCIPY = "scipy.optimize.check_grad"
_LAYER = (_RNG.normal(size=(4, 3)), _RNG.normal(size=(2, 5)), np.array([0, 2, 2]))


@pytest.fixture(params=TOOLS)
def tool(request):
    if request.param not in installed():
        pytest.skip(f"needs {TOOLS[request.param].package}")
    return request.param


@pytest.mark.parametrize(
    ("right", "wrong", "inputs", "options"),
    [(TwoInputs, WrongGain, _LAYER, {"batch_axis": None}), (npnet.MSELoss, WrongLoss, _LOSS, {})],
    ids=["layer", "loss"],
)
def test_right_and_wrong(tool, right, wrong, inputs, options):
    assert ask(tool, Subject(right, inputs, options)).says is None
    says = ask(tool, Subject(wrong, inputs, options)).says
    told = {"jax": "Not equal to tolerance", "npnet": "FAILED", "torch": "Jacobian mismatch"}
    assert told.get(TOOLS[tool].package, "") in says
    if TOOLS[tool].package == "scipy":
        assert float(says) > 0.01


def test_a_loss_is_given_its_sample_weights():
    wrapped = Wrapped(Subject(npnet.MSELoss, _LOSS, {}))
    pred, target, weight = _LOSS
    terms = ((pred - target) ** 2) * weight[:, None]
    (value,) = wrapped.outputs(wrapped.variables)
    assert value == pytest.approx(terms.sum() / (3 * weight.sum()))


def test_shapes_are_filled_with_what_the_layer_takes():
    kinds = [x.dtype.kind for x in filled(TwoInputs(), [(4, 3), (2, 5), (7,)])]
    assert kinds == ["f", "f", "i"]


class Counts(npnet.Layer):
    """Each pass in training multiplies by another number."""

    def __init__(self):
        super().__init__()
        self.passes = npnet.Buffer(np.array(0.0))

    def forward(self, ctx, x):
        if ctx.training:
            self.passes += 1
        ctx.factor = float(self.passes)
        return x * ctx.factor

    def backward(self, ctx, grad):
        return grad * ctx.factor


@pytest.mark.parametrize("make", [lambda: npnet.Dropout(0.5), Counts])
def test_passes_are_the_same(tool, make):
    assert ask(tool, Subject(make, ((4, 3),), {})).says is None


class WritesInput(npnet.Layer):
    def forward(self, ctx, x):
        x *= 1.0
        return x

    def backward(self, ctx, grad):
        return grad


class Noisy(npnet.Layer):
    def forward(self, ctx, x):
        return x

    def backward(self, ctx, grad):
        return grad * np.random.default_rng().uniform(size=grad.shape)


class Absolute(npnet.Layer):
    def forward(self, ctx, x):
        ctx.save(np.sign(x) + (x == 0) * self.at_zero)
        return np.abs(x)

    def backward(self, ctx, grad):
        return grad * ctx.saved[0]

    at_zero = 1.5


class NotANumber(Absolute):
    def backward(self, ctx, grad):
        return grad * np.nan


@pytest.mark.parametrize(
    ("make", "inputs", "wrong"),
    [
        (WrongGain, _LAYER, True),
        (WrongLoss, _LOSS, True),
        (Absolute, (np.zeros(3),), True),
        (Absolute, ((3,),), False),
        (NotANumber, ((3,),), True),
        (TwoInputs, _LAYER, False),
        (npnet.ReLU, (np.zeros((2, 3)) + np.eye(2, 3),), False),
        (npnet.MSELoss, _LOSS, False),
        (WritesInput, ((4, 3),), False),
        (Noisy, ((4, 3),), False),
        (npnet.Linear, (), False),
    ],
)
def test_which_bugs_are_wrong_gradients(make, inputs, wrong):
    assert gradient_is_wrong(Subject(make, inputs, {})) == wrong


def test_the_page_counts(capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("benchmarks.gradient_checkers.__main__.installed", lambda: [_SCIPY])
    assert main(["--filter", "WeightAveraged"]) == 0
    page = capsys.readouterr().out
    assert f"| `{_SCIPY}` | 1 of 1 | 0 of 0 | 0 of 0 |" in page
    assert "### WeightAveraged: The weight's gradient is divided by the batch size." in page
    assert "Not installed, and left out: npnet check_layer, npnet check_gradients, torch" in page
    with pytest.raises(SystemExit):
        main(["--filter", "no such layer"])
