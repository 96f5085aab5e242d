"""check_gradients by itself: verdicts, modes, dtypes, conduct between calls, mistakes, pictures."""

import numpy as np
import pytest
from zoo.small import Scale, Square

import npnet
from npnet.errors import ArgumentError, DtypeError, GradientMismatch
from npnet.gradcheck import Verdict, check_gradients
from npnet.gradcheck.gradients import detection_probability

X = np.random.default_rng(0).normal(size=(5, 4))


def refuted(layer, *inputs, **options):
    """Check what must fail, and return the report."""
    with pytest.raises(GradientMismatch):
        check_gradients(layer, *(inputs or (X,)), **options)
    return check_gradients(layer, *(inputs or (X,)), raises=False, **options)


# --- modes


@pytest.mark.parametrize("mode", ["full", "sample", "directional"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_modes_pass_what_is_right(mode, dtype):
    model = npnet.Sequential(npnet.Linear(4, 4, rng=0), npnet.Tanh(), Scale())
    assert check_gradients(model, X, mode=mode, dtype=dtype, samples=5).ok


class OneElement(Scale):
    def backward(self, ctx, grad):
        dx = super().backward(ctx, grad)
        dx[2, 1] *= 1.001
        return dx


@pytest.mark.parametrize("mode", ["full", "directional"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_element_off_by_a_thousandth_is_seen(mode, dtype):
    report = refuted(OneElement(), mode=mode, dtype=dtype)
    if mode == "full":
        wrong = report.tensor("input")
        assert wrong.count(Verdict.WRONG) == 1
        assert wrong.worst(1)[0].index == (2, 1)
        assert [t.name for t in report.failing] == ["input"]


def test_a_sample_says_how_probably_it_misses_a_fault():
    report = check_gradients(npnet.Linear(40, 5, rng=0), np.ones((3, 40)), mode="sample", samples=9)
    assert [t.indices.size for t in report.tensors] == [9, 9, 5]
    full = check_gradients(npnet.Linear(40, 5, rng=0), np.ones((3, 40)))
    assert [t.indices.size for t in full.tensors] == [120, 200, 5]
    one, ten = (1 - detection_probability(200, 9, faulty) for faulty in (1, 10))
    text = f"one element is missed with probability {one:.4g}, one in 10 with {ten:.2g}"
    assert any(text in note and "9 of 200 elements of weight" in note for note in report.notes)


def test_the_detection_probability_is_that_of_drawing_without_replacement():
    rng = np.random.default_rng(0)
    met = np.mean([(rng.permutation(30)[:6] < 4).any() for _ in range(4000)])
    assert detection_probability(30, 6, 4) == pytest.approx(met, abs=0.03)
    assert detection_probability(30, 30, 1) == 1
    assert detection_probability(30, 6, 0) == 0


def test_a_direction_that_fails_is_followed_to_the_elements():
    report = refuted(OneElement(), mode="directional")
    assert [t.name for t in report.tensors] == ["input", "gain"]
    assert report.tensor("input").worst(1)[0].index == (2, 1)


class FarElement(npnet.Layer):
    """One of 40,000 elements of the weight's gradient is off."""

    def __init__(self):
        super().__init__()
        self.weight = npnet.Parameter(np.random.default_rng(1).normal(size=(200, 200)))

    def forward(self, ctx, x):
        ctx.save(x)
        return x @ self.weight.data

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        dw = x.T @ grad
        dw[150, 77] *= 1.1
        ctx.add_grad(self.weight, dw)
        return grad @ self.weight.data.T


def test_a_faulty_element_of_a_large_tensor_is_found_by_halving():
    report = refuted(FarElement(), np.random.default_rng(0).normal(size=(3, 200)),
                     mode="directional")  # fmt: skip
    wrong = report.tensor("weight")
    assert wrong.count(Verdict.WRONG) == 1
    assert wrong.worst(1)[0].index == (150, 77)


def test_a_direction_says_what_it_shows():
    report = check_gradients(npnet.Linear(40, 5, rng=0), np.ones((3, 40)), mode="directional")
    assert [t.name for t in report.tensors] == ["everything along one direction"]
    assert any("an error shows if it is more than" in note for note in report.notes)


# --- verdicts


def test_a_kink_passes_unless_it_may_not():
    x = np.array([[0.0, 1.0, -1.0]])
    report = check_gradients(npnet.ReLU(), x)
    assert report.tensor("input").verdicts.tolist() == [Verdict.KINK, Verdict.OK, Verdict.OK]
    refuted(npnet.ReLU(), x, allow_kinks=False)

    class Above(npnet.ReLU):
        def backward(self, ctx, grad):
            return super().backward(ctx, grad) + 1.5 * grad * (ctx.saved[0] == 0)

    assert refuted(Above(), x).tensor("input").verdicts[0] == Verdict.WRONG


class Bent(npnet.Layer):
    """slope * relu(x) - relu(-x): slopes of `slope` and 1 at 0, where backward says 0."""

    def __init__(self, slope):
        super().__init__()
        self.slope = slope
        self.up, self.down = npnet.ReLU(), npnet.ReLU()

    def forward(self, ctx, x):
        return self.slope * ctx.call(self.up, x) - ctx.call(self.down, -x)

    def backward(self, ctx, grad):
        down = ctx.calls.pop().backward(-grad)
        return ctx.calls.pop().backward(self.slope * grad) - down


@pytest.mark.parametrize("slope", [1, 2])
def test_kinks_inside_are_no_bug(slope):
    report = check_gradients(Bent(slope), np.array([0.0, 1.0]))
    assert report.tensor("input").verdicts.tolist() == [Verdict.KINK, Verdict.OK]

    class Wrong(Bent):
        def backward(self, ctx, grad):
            return 0.5 * super().backward(ctx, grad)

    assert refuted(Wrong(slope), np.array([0.0, 1.0])).tensor("input").count(Verdict.WRONG)


class Rough(npnet.Layer):
    """A staircase of fine steps around x, of which differences say little."""

    def forward(self, ctx, x):
        return np.where(x > 0, np.floor(x * 1e6) * 1e-6 + 1e-3 * (np.floor(x * 1e7) % 7), x)

    def backward(self, ctx, grad):
        return grad


def test_noise_fails_when_it_hides_too_much():
    x = np.array([-1.0, -2.0, 1.2345])
    report = refuted(Rough(), x)
    assert report.tensor("input").verdicts.tolist() == [Verdict.OK, Verdict.OK, Verdict.NOISE]
    assert check_gradients(Rough(), x, max_noise=0.5).ok


# --- the complex step


def test_the_complex_step_confirms_what_is_analytic_and_falls_back_elsewhere():
    (note,) = check_gradients(Square(), X).notes
    assert "complex steps confirm 16 of 16" in note
    assert check_gradients(Square(), X, complex_step=False).notes == []

    class Refuses(Square):
        def forward(self, ctx, x):
            if np.iscomplexobj(x):
                raise TypeError("real numbers, please")
            return super().forward(ctx, x)

    class Conjugate(Square):
        def forward(self, ctx, x):
            ctx.save(x)
            return np.abs(x) ** 2

    for layer in (Refuses(), Conjugate()):
        assert check_gradients(layer, X).notes == []


def test_what_rounding_hides_is_called_noise():
    speed = np.array([1.0, 1.0, 1.0, 1e12])

    class Fast(npnet.Layer):
        def forward(self, ctx, x):
            ctx.save(x)
            return np.sin(speed * x)

        def backward(self, ctx, grad):
            return grad * speed * np.cos(speed * ctx.saved[0])

    report = refuted(Fast(), X[0])
    assert report.tensor("input").verdicts.tolist() == [0, 0, 0, Verdict.NOISE]


# --- between calls


class OnSelf(Square):
    def forward(self, ctx, x):
        self.x = x
        return x * x

    def backward(self, ctx, grad):
        return 2 * grad * self.x


class ChangesUpstream(Square):
    def backward(self, ctx, grad):
        grad *= 2
        return grad * ctx.saved[0]


class ChangesInput(Square):
    def backward(self, ctx, grad):
        (x,) = ctx.saved
        x *= 2
        return grad * x


class ChangesOutput(npnet.Layer):
    def forward(self, ctx, x):
        ctx.y = np.exp(x)
        return ctx.y

    def backward(self, ctx, grad):
        ctx.y *= grad
        return ctx.y.copy()


class ChangesParameter(Scale):
    def backward(self, ctx, grad):
        dx = super().backward(ctx, grad)
        self.gain.data[...] *= 1.5
        return dx


class Overwrites(Scale):
    def backward(self, ctx, grad):
        self.gain.grad = (grad * ctx.saved[0]).sum(0)
        return grad * self.gain.data


class Halves(Scale):
    """What is there already counts half."""

    def backward(self, ctx, grad):
        if self.gain.grad is not None:
            self.gain.grad *= 0.5
        return super().backward(ctx, grad)


class SumsUp(Scale):
    def __init__(self):
        super().__init__()
        self.total = np.zeros(4)

    def backward(self, ctx, grad):
        self.total += (grad * ctx.saved[0]).sum(0)
        self.gain.grad = self.total.copy()
        return grad * self.gain.data


class Chance(Square):
    def backward(self, ctx, grad):
        return super().backward(ctx, grad) * np.random.default_rng().uniform(1, 2)


class NoParametersWithoutInput(Scale):
    def backward(self, ctx, grad):
        if not ctx.needs_input_grad:
            return None
        return super().backward(ctx, grad)


@pytest.mark.parametrize(
    ("layer", "kind", "sentence"),
    [
        (OnSelf, "stale state", "no state on self: a call makes the attribute x"),
        (OnSelf, "stale state", "the gradient of input of the first is"),
        (ChangesUpstream, "mutation", "ChangesUpstream changed its upstream gradient in place"),
        (ChangesInput, "mutation", "backward of ChangesInput changed its input in place"),
        (ChangesOutput, "mutation", "changed the output that forward returned in place"),
        (ChangesParameter, "mutation", "ChangesParameter changed the parameter gain in place"),
        (Overwrites, "overwritten", "gain instead of adding to it; use ctx.add_grad(self.gain"),
        (Halves, "stale state", "with a gradient already there, the gradient of gain is"),
        (SumsUp, "stale state", "the gradient of gain grows with every identical pass"),
        (Chance, "non-deterministic", "identical passes gave different gradients: that of in"),
        (NoParametersWithoutInput, "zero", "as in training, the gradient of gain is 0.0"),
    ],
)
def test_conduct(layer, kind, sentence):
    report = refuted(layer())
    assert sentence in " ".join(str(report).split())
    assert kind in {d.kind for d in report.diagnosis}


def test_a_loss_may_not_change_its_arguments_or_keep_state():
    class Loss(npnet.MSELoss):
        def terms(self, pred, target, with_grad):
            found = super().terms(pred, target, with_grad)
            self.last = pred
            pred += 1
            return found

    text = str(refuted(Loss(), X, np.zeros((5, 4))))
    assert "a call makes the attribute last" in text
    assert "changed its pred in place" in text

    class Uneven(npnet.MSELoss):
        def value_and_grad(self, pred, target, sample_weight=None):
            value, grad = super().value_and_grad(pred, target, sample_weight=sample_weight)
            return value + 1, grad

    text = str(refuted(Uneven(), X, np.zeros((5, 4))))
    assert "one value: from value_and_grad the value is" in text


def test_a_float64_layer_that_computes_in_float32():
    class Casts(Square):
        def forward(self, ctx, x):
            ctx.save(x)
            return (x.astype(np.float32) ** 2).astype(x.dtype)

    text = "precision: the output was rounded to float32"
    assert text in str(refuted(Casts()))


class SumsTheWrongAxis(npnet.Linear):
    def __init__(self):
        super().__init__(4, 5)

    def forward(self, ctx, x):
        ctx.save(x)
        return x @ self.weight.data.T + self.bias.data

    def backward(self, ctx, grad):
        ctx.add_grad(self.weight, grad.T @ ctx.saved[0])
        ctx.add_grad(self.bias, grad.sum(axis=1))
        return grad @ self.weight.data


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (
            SumsTheWrongAxis,
            "the gradient of bias is right for an upstream gradient that is transposed",
        ),
    ],
)
def test_diagnoses_that_no_mutant_of_npnet_needs(layer, sentence):
    assert sentence in refuted(layer()).diagnosis[0].message


# --- what forward and backward may not return


class Bad(npnet.Layer):
    def __init__(self, forward, backward=lambda grad: grad):
        super().__init__()
        self.calls = 0
        self.one, self.two = forward, backward

    def forward(self, ctx, x):
        self.calls += 1
        return self.one(x, self.calls)

    def backward(self, ctx, grad):
        return self.two(grad)


def _raise(*_):
    raise RuntimeError("no\nway")


@pytest.mark.parametrize(
    ("forward", "backward", "sentence"),
    [
        (_raise, None, r"raised RuntimeError: no way \(test_check_gradients.py, line \d+\), with"),
        (lambda x, n: None, None, "forward returned None; does it lack a return statement"),
        (lambda x, n: (), None, "forward returned an empty tuple"),
        (lambda x, n: [x, x], None, "forward returned a list; it must return an array or"),
        (lambda x, n: ((x, x), x), None, "forward returned a tuple"),
        (lambda x, n: x.astype(object), None, "forward returned an array of dtype object"),
        (lambda x, n: x > 0, None, r"forward returned integers \(bool\)"),
        (lambda x, n: x * np.nan, None, r"forward returned nan at \[0, 0\] of the output"),
        (lambda x, n: np.repeat(x, n, 0), None, r"shape \(\d+, 4\) in another call"),
        (lambda x, n: x, _raise, r"backward raised RuntimeError: no way \("),
        (lambda x, n: x, lambda g: None, "backward returned None as the gradient of input"),
        (lambda x, n: x, lambda g: [g], "backward returned a list"),
        (lambda x, n: x, lambda g: (g, g), r"backward returned 2 gradient\(s\) for 1 input"),
        (lambda x, n: x, lambda g: g[0], r"a gradient of shape \(4,\) for the input of shape"),
        (lambda x, n: x, lambda g: g * 1j, "backward returned an array of dtype complex128"),
        (lambda x, n: x * 1, lambda g: g * np.nan, r"the gradient of input is nan at \[0, 0\]"),
    ],
)
def test_bad_results_are_one_sentence(forward, backward, sentence):
    with pytest.raises(GradientMismatch, match="(?m)" + sentence):
        check_gradients(Bad(forward, backward or (lambda grad: grad)), X)


def test_points_that_forward_refuses_are_left_out():
    class Root(npnet.Layer):
        def forward(self, ctx, x):
            if (x < 0).any():
                raise ValueError("negative")
            ctx.save(np.sqrt(x))
            return ctx.saved[0] if ctx.saved else np.sqrt(x)

        def backward(self, ctx, grad):
            return grad / (2 * ctx.saved[0])

    report = check_gradients(Root(), np.array([1e-3, 0.5]))
    assert report.ok


# --- mistakes in the call


class Locked(Square):
    def __deepcopy__(self, memo):
        raise TypeError("no copies")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        ((3, X), {}, ArgumentError, "expects layer to be a Layer, got 3"),
        ((Square, X), {}, ArgumentError, r"add parentheses: Square\(\.\.\.\)"),
        ((lambda: Square(), X), {}, ArgumentError, "call it first, or use check_layer"),
        ((Square(),), {}, ArgumentError, "needs an input for Square"),
        ((Square(), X, X), {}, ArgumentError, r"forward of Square takes \(ctx, x\)"),
        ((Square(), np.arange(3)), {}, DtypeError, r"integers \(int64\).* give floats"),
        ((Square(), (5, 4)), {}, DtypeError, r"if it is a shape, .* np.ones\(\(5, 4\)\)"),
        ((Square(), X + 1j), {}, DtypeError, "expected real numbers, got dtype complex128"),
        ((Square(), np.ma.array(X)), {}, DtypeError, "a masked array would lose its mask"),
        ((Square(), ["a"]), {}, DtypeError, "got dtype <U1"),
        ((Square(), X * np.inf), {}, ArgumentError, r"holds -?inf at \[0, 0\]"),
        ((npnet.MSELoss(), X), {}, ArgumentError, r"takes \(pred, target\) .* got 1 argument\(s\)"),
        ((Locked(), X), {}, GradientMismatch, "deep copy: copy.deepcopy raised"),
        ((Square(), X), {"mode": "fast"}, ArgumentError, "'sample' or 'directional', got 'fast'"),
        ((Square(), X), {"samples": 0}, ArgumentError, "samples to be a positive integer, got 0"),
        ((Square(), X), {"dtype": "nope"}, DtypeError, "dtype to be .* got 'nope'"),
        ((Square(), X), {"dtype": np.float16}, ArgumentError, "float32 or float64, got the class"),
        ((Square(), X), {"max_noise": 2}, ArgumentError, "max_noise to be .*, got 2"),
        ((Square(), X), {"max_noise": "a"}, ArgumentError, "max_noise to be .*, got 'a'"),
        ((Square(), X), {"complex_step": X}, ArgumentError, "complex_step to be True or False"),
        ((Square(), X), {"training": "no"}, ArgumentError, "training to be True or False"),
        ((Square(), X), {"allow_kinks": 1}, ArgumentError, "allow_kinks to be True or False"),
        ((Square(), X), {"raises": "no"}, ArgumentError, "raises to be True or False"),
        ((Square(), X), {"rng": "a"}, ArgumentError, "rng to be"),
    ],
)
def test_mistakes_are_named(arguments, options, error, sentence):
    with pytest.raises(error, match=sentence):
        check_gradients(*arguments, **options)


# --- the report


def test_a_report_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    x = np.maximum(X, 0)
    x[2, 1] = 1
    report = refuted(npnet.Sequential(npnet.ReLU(), OneElement()), x)
    figure = report.plot(tmp_path / "gradients.png")
    assert (tmp_path / "gradients.png").stat().st_size > 10_000
    assert "FAILED" in figure.get_suptitle()
    above = figure.axes[: len(report.tensors)]
    assert above[0].get_title() == "input (5, 4)"  # what fails comes first
    assert above[0].get_xlabel() == "numerical"
    (legend,) = figure.legends
    assert {t.get_text() for t in legend.get_texts()} == {"ok", "kink", "wrong"}


def test_a_report_without_gradients_cannot_be_drawn():
    pytest.importorskip("matplotlib")
    report = check_gradients(Bad(_raise), X, raises=False)
    with pytest.raises(ArgumentError, match="nothing to draw"):
        report.plot()


def test_a_report_is_read_by_name():
    report = check_gradients(Scale(), X)
    assert report.tensor("gain").count(Verdict.OK) == 4
    with pytest.raises(KeyError, match="there are .'input', 'gain'."):
        report.tensor("bias")
    assert report.passed
