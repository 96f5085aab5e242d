"""What a diagnosis must not say, and the example that stands below it."""

import contextlib
import importlib
import io
import re
import sys
import warnings

import numpy as np
import pytest

import npnet
from npnet.gradcheck import check_gradients
from npnet.gradcheck.diagnosis.diagnose import diagnose
from npnet.gradcheck.diagnosis.expressions import Expressions
from npnet.gradcheck.diagnosis.matrices import true_matrix
from npnet.gradcheck.numeric.function import Function

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


def said(layer, *x):
    report = check_gradients(layer, *x or (X,), raises=False)
    assert not report.ok
    return " ".join(d.message for d in report.diagnosis)


@pytest.mark.parametrize(
    ("layer", "x", "word", "not_a_word"),
    [
        (OffByLittle, X, "1.00001 times", "float32"),
        (Shifted, X, "shifted by 1 (rolled) along axis 1", "inverted"),
        (TwiceByChance, X[:2], "2 times the true one", "batch"),
        (ForgetsGain, X, "lacks the factor `self.gain.data`", "stale|earlier call"),
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


class OneElement(Bent):
    def dx(self, grad, x):
        found = super().dx(grad, x)
        found[3, 5] *= 1.1
        return found


def test_one_element_of_many_is_named_and_no_small_term():
    x = np.random.default_rng(0).normal(size=(50, 6 * 20))
    layer = OneElement()
    layer.gain = npnet.Parameter(np.ones(120))
    report = check_gradients(layer, x, mode="directional", raises=False)
    text = " ".join(d.message for d in report.diagnosis)
    assert (
        "only 1 of 65 elements tried (of 6000) of the gradient of input is wrong, at [3, 5]" in text
    )
    assert "11/10 times the true one" in text
    assert "eps" not in text


class Rectified(npnet.Layer):
    """A ReLU with half of its derivative."""

    def forward(self, ctx, x):
        ctx.save(x)
        return np.maximum(x, 0)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad * (x > 0) / 2


def test_kinks_are_left_out():
    x = X.copy()
    x[0, :3] = 0
    function = Function(Rectified(), [x])
    found = true_matrix(function, function.variables[0], np.arange(24), 24)
    expected = np.diag((x > 0).reshape(-1).astype(float))
    expected[[0, 1, 2], [0, 1, 2]] = np.nan
    np.testing.assert_allclose(found, expected, atol=1e-10)
    report = check_gradients(Rectified(), x, raises=False)
    assert [d.message for d in report.diagnosis] == ["the gradient of input is 1/2 of the true one"]
    assert report.example.says.endswith("forward it is 1")


class Fussy(Bent):
    """It raises far from the point that is checked."""

    def forward(self, ctx, x):
        if x.shape != X.shape or np.abs(x - X).max() > 0.1:
            raise ValueError("not these numbers")
        return super().forward(ctx, x)

    def dx(self, grad, x):
        return 2 * grad * x


def test_what_experiments_raise_is_not_noted(monkeypatch):
    refusals = []

    def spy(point, evidence, known):
        point.function.refusal = None
        found = diagnose(point, evidence, known)
        refusals.append(point.function.refusal)
        return found

    monkeypatch.setattr("npnet.gradcheck.gradients.diagnose", spy)
    assert said(Fussy())
    assert refusals == [None]


def test_passes_are_limited_by_their_number(monkeypatch):
    monkeypatch.setattr("npnet.gradcheck.diagnosis.diagnose._PASSES", 20)
    assert "in no pattern known here" in said(ForgetsGain())


@pytest.mark.parametrize("layer", [TwiceByChance, ForgetsGain])
def test_the_example_runs_and_shows_the_fault(layer):
    made = layer()
    made.gain.data[...] = 3
    found = check_gradients(made, X, raises=False).example
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(found.code, {"np": np, "layer": made})
    wrong, right = re.findall(r" is (-?[0-9.e+-]+)", found.says)
    assert float(out.getvalue()) == pytest.approx(float(wrong), rel=1e-5)
    assert abs(float(wrong) - float(right)) > 1e-3 * abs(float(right))
    assert "x (1, 6)" in found.shapes


class WithoutLabel(npnet.CrossEntropyLoss):
    def value_and_grad(self, pred, target, sample_weight=None):
        value, _ = super().value_and_grad(pred, target, sample_weight=sample_weight)
        e = np.exp(pred - pred.max(axis=1, keepdims=True))
        return value, e / e.sum(axis=1, keepdims=True) / len(pred)


def test_a_missing_term_of_a_loss_is_no_missing_derivative_of_a_sum():
    text = said(WithoutLabel(), X, np.array([0, 5, 2, 2]))
    assert re.search("a term .* is missing or wrong", text)
    assert "constant for" not in text


class LosesBody(npnet.Layer):
    def __init__(self):
        super().__init__()
        self.body = Bent()

    def forward(self, ctx, x):
        return x + ctx.call(self.body, x)

    def backward(self, ctx, grad):
        ctx.calls.pop().backward(grad)
        return grad


def test_a_missing_path_through_a_child_that_saves():
    assert "lacks what comes through `ctx.call(self.body, x)`" in said(LosesBody())


class PReLUs(npnet.Layer):
    """A slope for each column, with gradients of the slope that the cases below get wrong."""

    def __init__(self, slope_grad, start=0.25):
        super().__init__()
        self.a, self.slope_grad = npnet.Parameter(np.full(6, start)), slope_grad

    def forward(self, ctx, x):
        ctx.save(x)
        return np.where(x > 0, x, 1 / (1 + np.exp(-self.a.data)) * x)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        s = 1 / (1 + np.exp(-self.a.data))
        ctx.add_grad(self.a, self.slope_grad(grad, x, s))
        return np.where(x > 0, grad, s * grad)


@pytest.mark.parametrize(
    ("slope_grad", "says"),
    [
        (
            lambda g, x, s: (g * x * (x < 0)).sum(0),
            "is off by a factor that differs from element to element",
        ),
        (
            lambda g, x, s: (g * x * (x > 0)).sum(0) * s * (1 - s),
            "(line 229) the condition is inverted",
        ),
        (
            lambda g, x, s: (g * x * (x < 0)).sum() * s * (1 - s),
            "takes in outputs that do not depend on it (where the true one is zero): a mask",
        ),
    ],
)
def test_the_gradient_of_a_parameter_that_is_new(slope_grad, says):
    assert says in said(PReLUs(slope_grad, start=0.0))


class Quantile(npnet.losses.Loss):
    def __init__(self, q):
        super().__init__()
        self.q = q

    def terms(self, pred, target, with_grad):
        e = target - pred
        grad = np.where(e > 0, self.q - 1, self.q)
        return npnet.losses.Terms(np.where(e > 0, self.q, self.q - 1) * e, None, grad)


def test_what_backward_would_be_right_for():
    text = said(Quantile(0.1), X, np.roll(X, 1, 0))
    assert "is what it would be if `self.q` were 1 minus that" in text


class DividesByWhatIsZero(Bent):
    def dx(self, grad, x):
        return grad * self.gain.data * x**3 / (x - x)


def test_an_example_of_values_that_are_not_finite():
    report = check_gradients(DividesByWhatIsZero(), X, raises=False)
    assert "inf" in report.example.says or "nan" in report.example.says


class Recurrent(npnet.Layer):
    """h_t = tanh(x_t + h_{t-1} u) * scale, with a wrong backward pass."""

    def __init__(self, **wrong):
        super().__init__()
        self.u = npnet.Parameter(np.random.default_rng(1).normal(size=(3, 3)))
        self.scale, self.wrong = 0.7, wrong

    def forward(self, ctx, x):
        states = [np.zeros_like(x[:, 0])]
        for t in range(x.shape[1]):
            states.append(np.tanh(x[:, t] + states[-1] @ self.u.data))
        ctx.save(*states)
        return np.stack(states[1:], 1) * self.scale

    def backward(self, ctx, grad):
        states, carry, dx = ctx.saved, 0, np.zeros_like(grad)
        for t in reversed(range(grad.shape[1])):
            slope = self.wrong.get("slope", lambda h: 1 - h * h)(states[t + 1])
            dx[:, t] = dz = (grad[:, t] * self.scale + carry) * slope
            ctx.add_grad(self.u, states[t + self.wrong.get("later", lambda: 0)()].T @ dz)
            carry = self.wrong.get("carry", lambda d, u, t: d @ u.T)(dz, self.u.data, t)
        return dx


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            {"carry": lambda d, u, t: 0},
            "lacks what comes through `states[-1] @ self.u.data` (line 296), each of the 4 times",
        ),
        ({"carry": lambda d, u, t: d @ u.T * (t != 2)}, "is missing in no. 3 of the 4 times"),
        (
            {"carry": lambda d, u, t: d @ u},
            "derivative by `states[-1]` has `self.u.data` transposed",
        ),
        (
            {"slope": lambda h: 1},
            "the derivative of `np.tanh(x[:, t] + states[-1] @ self.u.data)` (line 296) "
            "(1 - y y of its value y) is missing",
        ),
        ({"later": lambda: 1}, "is that of the next step, shifted by one"),
    ],
)
def test_the_wrong_expression_is_named(wrong, says):
    text = said(Recurrent(**wrong), np.random.default_rng(5).normal(size=(2, 4, 3)))
    assert says in text


class Centred(npnet.Layer):
    """x - its mean - its largest, along an axis; backward knows less of it."""

    def __init__(self, dx):
        super().__init__()
        self.dx = dx

    def mean(self, x):
        return x.mean(axis=1, keepdims=True)

    def forward(self, ctx, x):
        ctx.save(x)
        return x - 3 * self.mean(x) - np.abs(x).sum(axis=1, keepdims=True)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return self.dx(grad, x)


class CalledByChild(Centred):
    def forward(self, ctx, x):
        return 2 * super().forward(ctx, x)


def _part(m, axis=1):
    return m.sum(axis=axis, keepdims=True)


@pytest.mark.parametrize("layer", [Centred, CalledByChild])
@pytest.mark.parametrize(
    ("dx", "says"),
    [
        (
            lambda g, x: g - np.sign(x) * _part(g),
            "lacks what comes through `3 * self.mean(x)` (line",
        ),
        (lambda g, x: g, "and through"),
        (
            lambda g, x: g - 3 * g.mean(0) - np.sign(x) * _part(g),
            "takes in outputs that do not depend on it",
        ),
        (
            lambda g, x: g - g.mean(1, keepdims=True) * 1.5 - np.sign(x) * _part(g),
            "that is 1/2 of the true one",
        ),
    ],
)
def test_statistics_that_are_constants_for_backward(layer, dx, says):
    by = 1 if layer is Centred else 2
    text = said(layer(lambda g, x: by * dx(g, x)), X)
    assert says in text


# --- forward is run with changed expressions: not the user's own, and not for ever


class Wrong(npnet.Layer):
    """What the layers below share: a backward that no change of forward explains."""

    def backward(self, ctx, grad):
        return grad * np.linspace(0.3, 1.2, grad.size).reshape(grad.shape) ** 2


SEEN = []


class Remembers(Wrong):
    table = {}  # noqa: RUF012

    def forward(self, ctx, x, kept=[]):  # noqa: B006
        y = 2 * np.tanh(x)
        for places in (SEEN, kept, self.table.setdefault("all", [])):
            places.append((x.copy(), y.copy()))
        return y


def test_changed_values_stay_out_of_what_outlives_a_pass():
    said(Remembers())
    kept = Remembers.forward.__defaults__[0]
    for places in (SEEN, kept, Remembers.table["all"]):
        assert places
        for x, y in places:
            np.testing.assert_array_equal(y, 2 * np.tanh(x))


class Fills(npnet.Layer):
    def forward(self, ctx, x):
        y = np.empty_like(x)
        np.multiply(x, 2.0, out=y)
        return y + 1.0


def test_what_memory_holds_is_no_value():
    layer = Fills()
    source = Expressions([layer])
    source.keep(lambda: layer(np.arange(3.0)))
    values = dict(zip([e.text for e in source.found], source.values, strict=True))
    assert values["np.empty_like(x)"] == [None]
    np.testing.assert_array_equal(values["y + 1.0"][0], [1.0, 3.0, 5.0])


class Iterates(Wrong):
    def __init__(self):
        super().__init__()
        self.tol = 1e-3

    def forward(self, ctx, x):
        tol, z, count = self.tol, x, 0
        while np.abs(z).max() > tol:
            z = z * 0.25
            count += 1
            if count > 10_000:
                pytest.fail("the loop does not end")
        return np.tanh(x) + z


def test_a_loop_ends_that_a_change_makes_endless():
    assert said(Iterates())


class WarnsOfSign(Wrong):
    def __init__(self):
        super().__init__()
        self.scale = 2.0

    def forward(self, ctx, x):
        scale = self.scale
        if scale < 0:
            warnings.warn("a negative scale", stacklevel=2)
        return scale * np.tanh(x)


def test_warnings_of_changed_expressions_are_not_shown():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        said(WarnsOfSign())
    assert not shown


_SOURCE = """
import numpy as np
import npnet

class Read(npnet.Layer):
    def forward(self, ctx, x):
        ctx.save(x)
        return x * np.tanh(x)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad * np.tanh(x)
"""


def test_source_that_is_not_what_runs_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "read_layer.py"
    path.write_text(_SOURCE)
    read = importlib.import_module("read_layer")
    assert "lacks what comes through `np.tanh(x)` (line 8)" in said(read.Read())
    path.write_text(_SOURCE.replace("ctx.save(x)\n", "ctx.save(x); open('no such file')\n"))
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("it was run"), raising=True)
    assert "line" not in said(read.Read())
    del sys.modules["read_layer"]


def test_layers_without_source_are_diagnosed_by_their_numbers():
    scope = {"__name__": "__main__"}
    exec(_SOURCE.replace("grad * np.tanh(x)", "3 * grad * (np.tanh(x) + x / np.cosh(x)**2)"), scope)
    assert "3 times the true one" in said(scope["Read"]())
    exec(_SOURCE, scope)
    report = check_gradients(scope["Read"](), X, raises=False)
    assert "line" not in report.diagnosis[0].message
    assert report.example is not None
