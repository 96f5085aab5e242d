"""What a diagnosis must not say, and the example that stands below it."""

import contextlib
import io
import re

import numpy as np
import pytest

import npnet
from npnet.gradcheck import check_gradients

X = np.random.default_rng(3).normal(size=(4, 6))


class Bent(npnet.Layer):
    """x^3 / 3, with a derivative that the cases below get wrong."""

    def __init__(self):
        super().__init__()
        self.gain = npnet.Parameter(np.ones(6))

    def forward(self, ctx, x):
        ctx.save(x)
        return self.gain.data * x**3 / 3

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        ctx.add_grad(self.gain, (grad * x**3 / 3).sum(0))
        return self.dx(grad, x)

    def dx(self, grad, x):
        return grad * self.gain.data * x**2


class OffByLittle(Bent):
    def dx(self, grad, x):
        return 1.00001 * super().dx(grad, x)


class Shifted(npnet.ReLU):
    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return grad * (np.roll(y, 1, axis=1) > 0)


class TwiceByChance(Bent):
    """The factor is 2, and so is the batch size that is given below."""

    def dx(self, grad, x):
        return 2 * super().dx(grad, x)


class ForgetsGain(Bent):
    def dx(self, grad, x):
        return grad * x**2


def said(layer, x=X):
    report = check_gradients(layer, x, raises=False)
    assert not report.ok
    return " ".join(d.message for d in report.diagnosis)


@pytest.mark.parametrize(
    ("layer", "x", "word", "not_a_word"),
    [
        (OffByLittle, X, "1.00001 times", "float32"),
        (Shifted, X, "shifted by one along axis 1", "inverted"),
        (TwiceByChance, X[:2], "2 times the true one", "batch"),
        (ForgetsGain, X, "the factor gain", "stale|earlier call"),
    ],
)
def test_right_and_not_wrong(layer, x, word, not_a_word):
    text = said(layer(), x)
    assert word in text
    assert not re.search(not_a_word, text)


class Mean(npnet.Layer):
    def forward(self, ctx, x):
        ctx.shape = x.shape
        return x.mean(axis=0)

    def backward(self, ctx, grad):
        return np.broadcast_to(grad, ctx.shape).copy()


def test_a_batch_size_is_named_if_the_factor_follows_it():
    assert "5 is the batch size" in said(Mean(), np.ones((5, 3)) * np.arange(3.0))


@pytest.mark.parametrize("layer", [TwiceByChance, ForgetsGain])
def test_the_example_runs_and_shows_the_fault(layer):
    made = layer()
    made.gain.data[...] = 3
    found = [check_gradients(made, X, raises=False).example]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(found[0].code, {"np": np, "layer": made})
    wrong, right = re.findall(r" is (-?[0-9.e+-]+)", found[0].says)
    assert float(out.getvalue()) == pytest.approx(float(wrong), rel=1e-5)
    assert abs(float(wrong) - float(right)) > 1e-3 * abs(float(right))
    assert "x (1, 6)" in found[0].shapes
