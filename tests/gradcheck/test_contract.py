"""check_layer: npnet's own layers, what may be passed, what is said, and what is left alone."""

import copy
import itertools

import numpy as np
import pytest
from zoo import honest
from zoo.bugs import MUTANTS
from zoo.safeguards import GAUSSIAN, TRIPLET, GaussianNLL, Triplet
from zoo.small import Scale, Square

import npnet
from cases import LAYERS, LOSSES
from npnet.errors import ArgumentError, DtypeError, GradientMismatch
from npnet.gradcheck import Verdict, check_gradients, check_layer
from npnet.losses import Terms

LAYER_CASES = [
    pytest.param(case, shape, id=f"{case.id}-{'x'.join(map(str, shape))}")
    for case in LAYERS
    for shape in case.shapes
]
LOSS_CASES = [
    pytest.param(case, shape, id=f"{case.id}-{'x'.join(map(str, shape))}")
    for case in LOSSES
    for shape in case.shapes
]


def on_one_line(report):
    """Return the text of a report without its line breaks."""
    return " ".join(str(report).split())


@pytest.mark.parametrize(("case", "shape"), LAYER_CASES)
def test_every_public_layer_keeps_the_contract(case, shape):
    assert check_layer(case.make, shape).ok


@pytest.mark.parametrize(("case", "shape"), LAYER_CASES)
def test_every_public_layer_computes_right_gradients_in_float32(case, shape):
    assert check_layer(case.make, shape, dtype=np.float32, only=["gradients"]).ok


@pytest.mark.parametrize(("case", "shape"), LOSS_CASES)
def test_every_public_loss_computes_right_gradients_in_float32(case, shape, rng):
    arguments = shape, case.target(rng, shape)
    assert check_layer(
        case.make(reduction="mean"), *arguments, dtype=np.float32, only=["gradients"]
    ).ok


@pytest.mark.parametrize(("case", "shape"), LOSS_CASES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_every_public_loss_keeps_the_contract(case, shape, reduction, rng):
    assert check_layer(case.make(reduction=reduction), shape, case.target(rng, shape)).ok


# --- what may be passed


@pytest.mark.parametrize(
    "layer", [npnet.Tanh, npnet.Tanh(), lambda: npnet.Tanh()], ids=["class", "instance", "function"]
)
@pytest.mark.parametrize(
    "x",
    [(3, 4), np.ones((3, 4)), np.ones((3, 4), np.float32), [[0.5, 1.0]], (), np.array(0.5)],
    ids=["shape", "float64", "float32", "list", "scalar shape", "scalar"],
)
def test_forms_of_layers_and_inputs(layer, x):
    assert check_layer(layer, x).ok


@pytest.mark.parametrize("arrange", [np.asfortranarray, lambda x: x[::-1, ::-1]])
def test_inputs_in_any_memory_layout(arrange):
    x, target = arrange(np.random.default_rng(0).normal(size=(5, 3))), np.ones((5, 3))
    assert check_layer(npnet.Tanh, x).ok
    assert check_layer(npnet.MSELoss, x, target).ok
    assert check_gradients(npnet.Tanh(), x).ok
    assert check_gradients(npnet.MSELoss(), x, target).ok


def test_indices_are_drawn_for_a_layer_that_takes_them():
    assert check_layer(honest.Embedding, (4, 2)).ok


def test_sample_weights_of_a_loss():
    pred, target = np.ones((3, 2)), np.zeros((3, 2))
    assert check_layer(npnet.MSELoss, pred, target, [1.0, 0.0, 2.5]).ok


def test_the_report_says_what_was_checked():
    report = check_layer(npnet.Linear(3, 2, rng=0), (4, 3))
    assert report.check == "check_layer"
    assert [t.name for t in report.tensors] == ["input", "weight", "bias"]
    assert str(report).startswith("check_layer: Linear(in_features=3, out_features=2, bias=True)")


def test_only_and_skip():
    class Wrong(npnet.Tanh):
        def forward(self, ctx, x):
            x += 1
            return super().forward(ctx, x)

    assert check_layer(Wrong, (3, 4), only=["zero gradient"]).ok
    report = check_layer(Wrong, (3, 4), skip=["input unchanged", "memory layout"], raises=False)
    assert not {"input unchanged", "memory layout"} & {v.rule for v in report.violations}
    report = check_layer(Wrong, (3, 4), skip=["input unchanged"], raises=False)
    assert "memory layout" in {v.rule for v in report.violations}


def test_gradients_that_cannot_be_checked_do_not_pass():
    for name, sentence in (
        ("DropFreshGenerator", "gradients: not checked, because two passes"),
        ("StepsBySelf", "gradients: not checked, because two passes"),
    ):
        mutant = MUTANTS[name]
        with pytest.raises(GradientMismatch, match=sentence):
            check_layer(mutant.make, *mutant.inputs, only=["gradients"])


def test_every_violation_is_reported_once_on_lines_of_at_most_100_characters():
    for name in ("InputOnSelf", "StepsBySelf", "AdoptsUpstream", "OneBuffer"):
        mutant = MUTANTS[name]
        report = check_layer(mutant.make, *mutant.inputs, raises=False)
        assert len(report.violations) > 1
        assert len(set(report.violations)) == len(report.violations)
        assert not any("\n" in str(v) for v in report.violations)
        for violation in report.violations:
            assert f"- {violation.rule}: {violation.message}" in on_one_line(report)
        assert max(map(len, str(report).split("\n"))) <= 100


def test_large_layers_are_checked_along_a_direction():
    model = npnet.Sequential(npnet.Linear(60, 30), npnet.ReLU(), npnet.Linear(30, 10))
    report = check_layer(model, (8, 60))
    assert report.ok
    assert [t.shape for t in report.tensors] == [()]
    full = check_layer(npnet.Linear(3, 2), (4, 3), only=["gradients"], mode="sample")
    assert full.ok


# --- what would hide a bug


def test_constant_parameters_are_moved_in_the_copy():
    seen = []

    class Spy(npnet.Identity):
        def __init__(self):
            super().__init__()
            self.gain = npnet.Parameter(np.ones(4))
            self.bias = npnet.Parameter(np.zeros(4))
            self.factor = npnet.Parameter(2.0)
            self.weight = npnet.Parameter([1.0, 2.0, 3.0, 4.0])
            self.mean = npnet.Buffer(np.zeros(4))
            self.count = npnet.Buffer(0.0)

        def forward(self, ctx, x):
            seen.append(self.state_dict())
            return x

    layer = Spy()
    check_layer(layer, (3, 4), only=["zero gradient"])
    state = seen[-1]
    assert len(set(state["gain"])) == 4
    assert ((state["gain"] >= 0.7) & (state["gain"] <= 1.3)).all()
    assert (np.abs(state["bias"]) >= 0.1).all()
    assert (state["mean"] >= 0.1).all()
    assert state["factor"] == 2
    assert state["count"] == 0
    np.testing.assert_array_equal(state["weight"], [1, 2, 3, 4])
    assert (layer.gain.data == 1).all()
    assert (layer.mean == 0).all()


def test_a_layer_that_takes_nothing_else_keeps_its_parameters():
    class Strict(npnet.Identity):
        def __init__(self):
            super().__init__()
            self.gain = npnet.Parameter(np.ones(4))

        def forward(self, ctx, x):
            if (self.gain.data != 1).any():
                raise ValueError("a gain of one, please")
            return x

    assert check_layer(Strict, (3, 4), only=["zero gradient", "repeatable"]).ok


class HalfInEvaluation(Square):
    """The same function in both modes, but not the same gradient."""

    def backward(self, ctx, grad):
        return super().backward(ctx, grad) * (1 if ctx.training else 0.5)


def test_gradients_are_checked_in_evaluation_mode():
    report = check_layer(HalfInEvaluation, (3, 4), raises=False)
    assert {v.rule for v in report.violations} == {"gradients in evaluation mode"}
    assert not report.failing


# --- causes and consequences


def test_what_is_raised_is_told_once():
    report = check_layer(OnlyWithInputGradient, (5, 4), raises=False)
    rules = [v.rule for v in report.violations]
    assert rules == ["parameter gradients without input gradient"]


class SquareInPlace(Square):
    def forward(self, ctx, x):
        x *= 1
        x += 1e-3
        return super().forward(ctx, x)


def test_what_follows_from_changed_inputs_is_not_told():
    report = check_layer(SquareInPlace, (3, 4), raises=False, skip=["gradients"])
    assert [(v.rule, v.follows) for v in report.violations] == [("input unchanged", "")]
    assert [d.kind for d in report.diagnosis] == ["mutation"]
    alone = check_layer(SquareInPlace, (3, 4), raises=False, only=["memory layout"])
    assert [v.follows for v in alone.violations] == [""]


class TwoFaults(npnet.Layer):
    """y = gain x^2, with the faults that are named by the rules that they break."""

    def __init__(self, faults):
        super().__init__()
        self.gain = npnet.Parameter([0.5, -1.0, 2.0, 1.5])
        self.faults, self.last = faults, None

    def forward(self, ctx, x):
        y = self.gain.data * x * x
        if "input unchanged" in self.faults:
            x += 1e-3
            y = self.gain.data * x * x
        if "no state on self" in self.faults:
            self.last = x.sum()
        if "randomness" in self.faults:
            np.random.random()
        if "nothing kept alive" in self.faults:
            _KEPT.append(y + 1)
        if "recorded equals inference" in self.faults and not ctx.recording:
            y = y * 1.001
        if "batch independence" in self.faults and len(x) > 1:
            y += 1e-3 * y[:1]
        ctx.save(x, y)
        return y

    def backward(self, ctx, grad):
        x, y = ctx.saved
        dgain, dx = (grad * x * x).sum(0), 2 * grad * self.gain.data * x
        if "upstream gradient unchanged" in self.faults:
            grad *= 2
        if "output unchanged" in self.faults:
            y *= 2
        if "zero gradient" in self.faults:
            dx += np.sign(x)
        if "memory layout" in self.faults and not grad.flags.c_contiguous:
            dx = dx * 2
        if "gradients accumulate" in self.faults:
            self.gain.grad = dgain
        else:
            ctx.add_grad(self.gain, dgain)
        return dx


FAULTS = (
    "input unchanged",
    "upstream gradient unchanged",
    "output unchanged",
    "no state on self",
    "randomness",
    "gradients accumulate",
    "nothing kept alive",
    "recorded equals inference",
    "zero gradient",
    "memory layout",
    "batch independence",
)


@pytest.mark.parametrize("faults", list(itertools.combinations(FAULTS, 2)), ids="-".join)
def test_two_faults_are_two_causes(faults):
    report = check_layer(TwoFaults(faults), (3, 4), raises=False, skip=["gradients"])
    _KEPT.clear()
    assert {v.rule for v in report.violations if not v.follows} == set(faults)


class RunsChild(npnet.Layer):
    def __init__(self, directly):
        super().__init__()
        self.child = npnet.Sequential(npnet.Tanh(), npnet.Linear(4, 4, rng=0))
        self.directly = directly

    def forward(self, ctx, x):
        return x + self.directly(self.child, ctx, x)

    def backward(self, ctx, grad):
        return grad


@pytest.mark.parametrize(
    ("directly", "how"),
    [
        (lambda child, ctx, x: child.forward(ctx, x), r"self.child.forward\(...\)"),
        (lambda child, ctx, x: child(x), r"self.child\(x\)"),
    ],
)
def test_a_child_that_is_run_without_the_context_is_named(directly, how):
    sentence = f"a child is not run by the context: Sequential 'child', by {how} instead of ctx"
    sentence = sentence.replace(" ", r"\s+")
    report = check_layer(RunsChild(directly), (3, 4), raises=False, skip=["gradients"])
    assert len([v for v in report.violations if v.rule == "children through ctx.call"]) == 1
    with pytest.raises(GradientMismatch, match=sentence):
        report.raise_if_failed()


# --- batches


def test_coupled_samples_must_be_declared():
    with pytest.raises(GradientMismatch, match=r"pass\s+batch_independence=False"):
        check_layer(honest.Center, (5, 4))
    assert check_layer(honest.Center, (5, 4), batch_independence=False).ok
    assert check_layer(honest.Center, (5, 4), batch_axis=None).ok

    class Declared(honest.Center):
        batch_independent = False

    assert check_layer(Declared, (5, 4)).ok
    assert check_layer(lambda: npnet.Sequential(npnet.Linear(3, 4), Declared()), (5, 3)).ok


def test_the_batch_axis_is_the_first_unless_it_is_given():
    with pytest.raises(GradientMismatch, match="sample 0 alone"):
        check_layer(lambda: npnet.Softmax(1), (3, 4), batch_axis=1)
    assert check_layer(lambda: npnet.Softmax(0), (3, 4), batch_axis=1).ok


def test_a_note_says_that_there_is_no_batch():
    (note,) = (n for n in check_layer(npnet.Tanh, (5,)).notes if "batch" in n)
    assert "no common batch axis" in note
    assert not any("batch" in n for n in check_layer(npnet.Tanh, (5, 2)).notes)


# --- what is left alone


def test_nothing_that_is_passed_is_changed():
    layer = npnet.Sequential(honest.BatchNorm(4), npnet.Linear(4, 3, rng=0), npnet.Dropout(0.5))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    y, tape = layer.record(x)
    tape.backward(np.ones_like(y))
    grads = [p.grad for p in layer.parameters()]
    before = x.copy(), layer.state_dict(), [g.copy() for g in grads]
    dtypes = [p.dtype for p in layer.parameters()]
    npnet.manual_seed(5)
    states = [copy.deepcopy(npnet.random.default_generator().bit_generator.state),
              str(np.random.get_state())]  # fmt: skip
    check_layer(layer, x)
    np.testing.assert_array_equal(x, before[0])
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[1][name])
    for p, grad, value in zip(layer.parameters(), grads, before[2], strict=True):
        assert p.grad is grad
        np.testing.assert_array_equal(grad, value)
    assert [p.dtype for p in layer.parameters()] == dtypes
    assert npnet.random.default_generator().bit_generator.state == states[0]
    assert str(np.random.get_state()) == states[1]


def test_a_layer_whose_copies_share_parameters_is_left_alone():
    class Shares(npnet.Linear):
        def __init__(self):
            super().__init__(4, 3)

        def __deepcopy__(self, memo):
            return copy.copy(self)

    layer = Shares()
    before = layer.weight.data.copy()
    report = check_layer(layer, (5, 4), raises=False)
    assert "shares parameters with the original" in str(report)
    assert layer.weight.dtype == np.float32
    np.testing.assert_array_equal(layer.weight.data, before)
    assert "deep copy" in {v.rule for v in check_layer(Shares, (5, 4), raises=False).violations}


def test_a_check_repeats_itself():
    texts = {str(check_layer(npnet.Linear(3, 2, rng=0), (4, 3), seed=s)) for s in (0, 0)}
    assert len(texts) == 1


# --- bad layers: violations, each a sentence


class _Bad(npnet.Layer):
    def __init__(self, result):
        super().__init__()
        self.result = result
        self.calls = 0

    def forward(self, ctx, x):
        self.calls += 1
        return self.result(x, self.calls)

    def backward(self, ctx, grad):
        return grad


def _raise(x, n):
    raise RuntimeError("no way")


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (_raise, r"forward raised RuntimeError: no way \(test_contract.py, line \d+\), with inp"),
        (lambda x, n: None, "forward returned None; does it lack a return statement"),
        (lambda x, n: (x, None), "forward returned None as output 1"),
        (lambda x, n: (), "forward returned an empty tuple"),
        (lambda x, n: [x], "forward returned a list; it must"),
        (lambda x, n: "text", "forward returned a str"),
        (lambda x, n: x.astype(object), "forward returned an array of dtype object"),
        (lambda x, n: x + 1j, "forward returned an array of dtype complex128"),
        (lambda x, n: x * np.nan, r"forward returned nan at \[0, 0\] of the output"),
        (lambda x, n: x / 0, "forward returned -?inf"),
        (lambda x, n: np.repeat(x, n, 0), r"shape \(6, 4\) in another call, \(3, 4\) in the"),
    ],
)
def test_bad_forward(result, sentence):
    with pytest.raises(GradientMismatch, match=sentence):
        check_layer(lambda: _Bad(result), (3, 4))
    with pytest.raises(GradientMismatch, match="no other rule was checked"):
        check_layer(_Bad(result), (3, 4))


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (lambda g: 1 / 0, "backward raised ZeroDivisionError"),
        (lambda g: None, "backward returned None as the gradient of input"),
        (lambda g: (g, g), r"backward returned 2 gradient\(s\) for 1 input"),
        (lambda g: (g,), "backward returned a tuple for the one input"),
        (lambda g: "text", "backward returned a str as the gradient of input"),
        (lambda g: g + 1j, "backward returned an array of dtype complex128"),
        (lambda g: g * np.inf, "gradient of input is -?inf"),
        (lambda g: g[0], r"backward returned a gradient of shape \(4,\)"),
    ],
)
def test_bad_backward(result, sentence):
    class Bad(npnet.Identity):
        def backward(self, ctx, grad):
            return result(grad)

    with pytest.raises(GradientMismatch, match=sentence):
        check_layer(Bad, (3, 4))


def test_unfinished_layers():
    class Empty(npnet.Layer):
        pass

    class Half(npnet.Layer):
        def forward(self, ctx, x):
            return x * 2

    with pytest.raises(GradientMismatch, match="it has no forward"):
        check_layer(Empty, (3, 4))
    with pytest.raises(GradientMismatch, match="it has no backward"):
        check_layer(Half, (3, 4))


def test_a_parameter_gradient_of_the_wrong_shape():
    class Bad(npnet.Linear):
        def __init__(self):
            super().__init__(4, 3)

        def backward(self, ctx, grad):
            ctx.add_grad(self.bias, grad)

    with pytest.raises(GradientMismatch, match=r"gradient of shape \(3,\), got \(5, 3\)"):
        check_layer(Bad, (5, 4))


def test_the_cause_is_kept():
    with pytest.raises(GradientMismatch) as caught:
        check_layer(_Bad(_raise), (3, 4))
    assert isinstance(caught.value.__cause__, RuntimeError)


class _BadLoss(npnet.MSELoss):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def terms(self, pred, target, with_grad):
        return self.change(super().terms(pred, target, with_grad))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: 1 / 0, "the call raised ZeroDivisionError"),
        (lambda t: t._replace(grad=None), "value_and_grad raised ArgumentError"),
        (lambda t: t._replace(values=t.values * np.nan), "forward returned nan of the value"),
        (lambda t: t._replace(grad=t.values * np.inf), "the gradient of pred is inf at"),
        (lambda t: t._replace(grad=t.values[0]), r"gradient [^=]*\(3,\)"),
    ],
)
def test_bad_losses(change, sentence):
    with pytest.raises(GradientMismatch, match=sentence):
        check_layer(_BadLoss(change), (4, 3), np.ones((4, 3)))


# --- mistakes in the call of check_layer


def _broken():
    raise OSError("no disk")


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((npnet.Linear, (4, 3)), ArgumentError, r"Linear needs arguments \(in_features, out_fea"),
        ((lambda n: npnet.ReLU(), (4, 3)), ArgumentError, r"<lambda> needs arguments \(n\)"),
        ((lambda: None, (4, 3)), ArgumentError, r"returned None, not a layer or a loss"),
        ((_broken, (4, 3)), ArgumentError, r"_broken\(\) raised OSError: no disk"),
        ((3, (4, 3)), ArgumentError, "expected a layer, a loss, .* got 3"),
        (
            (npnet.ReLU,),
            ArgumentError,
            r"forward of ReLU takes \(ctx, x\); it is called with ctx and 0 input",
        ),
        (
            (npnet.ReLU, (2,), (2,)),
            ArgumentError,
            r"takes \(ctx, x\); it is called with ctx and 2 input",
        ),
        ((npnet.ReLU, 3), ArgumentError, r"is the number 3; pass a tuple for a shape, \(3,\)"),
        ((npnet.ReLU, np.arange(3)), DtypeError, "input 0 holds integers"),
        (
            (npnet.ReLU, np.array(["a"])),
            DtypeError,
            "input 0: expected real numbers, got dtype <U1",
        ),
        ((npnet.ReLU, np.ones(3, complex)), DtypeError, "real numbers, got dtype complex128"),
        ((npnet.ReLU, [[1.0], [2.0, 3.0]]), npnet.errors.ShapeError, "ragged"),
        ((npnet.ReLU, np.array([1.0, np.nan])), ArgumentError, r"holds nan at \[1\]"),
        (
            (npnet.MSELoss, (4, 3)),
            ArgumentError,
            r"takes \(pred, target\) and, if wanted, sample weights; got 1",
        ),
        ((npnet.MSELoss, np.arange(3), np.ones(3)), DtypeError, "MSELoss: pred holds integers"),
    ],
)
def test_mistakes_are_named(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        check_layer(*arguments)


def test_unknown_rules():
    with pytest.raises(ArgumentError, match="mode to be .*auto.* got 'fast'"):
        check_layer(npnet.ReLU, (3,), mode="fast", only=["zero gradient"])
    with pytest.raises(ArgumentError, match="no rule is named 'inputs'; there are gradients, inp"):
        check_layer(npnet.ReLU, (3,), skip=["inputs"])
    with pytest.raises(ArgumentError, match="only expects a list of rule names, got 'gradients'"):
        check_layer(npnet.ReLU, (3,), only="gradients")


# --- one bug for each thing that a rule looks for and no mutant of npnet's layers shows


_KEPT = []


class MakesAttribute(Square):
    def forward(self, ctx, x):
        self.x = x
        return super().forward(ctx, x)


class MakesAttributeInBackward(Square):
    def backward(self, ctx, grad):
        self.grad = grad.shape
        return super().backward(ctx, grad)


class KeepsArrayOfItsOwn(Square):
    def forward(self, ctx, x):
        _KEPT.append(np.exp(x))
        return super().forward(ctx, x)


class KeepsGradientOfItsOwn(Square):
    def backward(self, ctx, grad):
        _KEPT.append(np.exp(grad))
        return super().backward(ctx, grad)


class SignOfTheLastCall(npnet.Layer):
    positive = {}  # noqa: RUF012

    def forward(self, ctx, x):
        self.positive["mask"] = x > 0
        return x * (x > 0)

    def backward(self, ctx, grad):
        return grad * self.positive["mask"]


class Stack(Square):
    last = -1

    def __init__(self):
        super().__init__()
        self.pending = []

    def forward(self, ctx, x):
        if ctx.recording:
            self.pending.append(x)
        return x * x

    def backward(self, ctx, grad):
        return 2 * grad * self.pending.pop(self.last)


class Queue(Stack):
    last = 0

    def forward(self, ctx, x):
        self.pending = self.pending[-1:]
        return super().forward(ctx, x)


class Reseeds(Square):
    def forward(self, ctx, x):
        np.random.seed(0)
        return super().forward(ctx, x)


class MakesWritable(Square):
    def forward(self, ctx, x):
        x.flags.writeable = True
        return super().forward(ctx, x)


class UndeclaredStatistics(honest.BatchNorm):
    batch_independent = True

    def __init__(self):
        super().__init__(4)


class DrawsInBackward(Square):
    def forward(self, ctx, x):
        ctx.rng.random()
        return super().forward(ctx, x)

    def backward(self, ctx, grad):
        ctx.rng.random()
        return super().backward(ctx, grad)


class NoStateDict(Scale):
    def state_dict(self):
        raise RuntimeError("no state")


class LiveStateDict(Scale):
    def state_dict(self):
        return {"gain": self.gain.data}


class LoadsNothing(Scale):
    def load_state_dict(self, state, strict=True):
        raise RuntimeError("no loading")


class CannotBeCopied(Scale):
    def __deepcopy__(self, memo):
        raise RuntimeError("no copies")


class ReturnsFloat(Square):
    def backward(self, ctx, grad):
        return 1.0


class ReturnsList(Square):
    def backward(self, ctx, grad):
        return [super().backward(ctx, grad)]


class OnlyWithInputGradient(Scale):
    def backward(self, ctx, grad):
        if not ctx.needs_input_grad:
            raise ValueError("not without")
        return super().backward(ctx, grad)


class ShapeOfOneDropped(Square):
    def backward(self, ctx, grad):
        grad = super().backward(ctx, grad)
        return grad[0] if len(grad) == 1 else grad


class NotSummed(Scale):
    def backward(self, ctx, grad):
        ctx.add_grad(self.gain, grad * ctx.saved[0])


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (MakesAttribute, "no state on self: a call makes the attribute x"),
        (MakesAttributeInBackward, "no state on self: a call makes the attribute grad"),
        (KeepsArrayOfItsOwn, "nothing kept alive: after inference an array that it made"),
        (KeepsGradientOfItsOwn, "nothing kept alive: after a finished backward pass an array"),
        (SignOfTheLastCall, "calls do not disturb each other: with two calls"),
        (Stack, "in the order of the calls, the gradient of input of the first is"),
        (Queue, "in reverse order, the gradient of input of the second is"),
        (Reseeds, "randomness: a recorded pass with a generator given draws from NumPy's glob"),
        (MakesWritable, "memory layout: with read-only inputs forward raised ValueError"),
        (UndeclaredStatistics, "batch independence: for sample 0 alone"),
        (DrawsInBackward, "randomness: backward draws random numbers"),
        (NoStateDict, "state dict: state_dict raised RuntimeError: no state"),
        (LiveStateDict, "state dict: state_dict returned a parameter's own array"),
        (LoadsNothing, "state dict: load_state_dict raised RuntimeError: no loading"),
        (CannotBeCopied, "deep copy: copy.deepcopy raised RuntimeError: no copies"),
        (CannotBeCopied, "note: no other rule was checked"),
        (ReturnsFloat, "calls: backward returned a float as the gradient of input"),
        (ReturnsList, "calls: backward returned a list; it must return an array or"),
        (OnlyWithInputGradient, "=False, as in training, backward raised ValueError: not"),
        (ShapeOfOneDropped, "batch of one: with a batch of one in training the gradient"),
        (NotSummed, "calls: the gradient of gain is not summed over the batch: it has shape"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_violations_are_named(layer, sentence):
    text = str(check_layer(layer, (5, 4), raises=False))
    assert sentence in on_one_line(text)
    assert "raised NameTypoError" not in text
    assert len(set(text.split("\n"))) == len(text.split("\n"))
    _KEPT.clear()


def test_the_sign_of_another_call_shows_without_a_batch():
    report = check_layer(SignOfTheLastCall, (6,), batch_axis=None, raises=False)
    assert "calls do not disturb each other" in {v.rule for v in report.violations}


def test_another_call_shows_with_one_number():
    class KeepsLast(Square):
        last = {}  # noqa: RUF012

        def forward(self, ctx, x):
            self.last["x"] = x
            return x * x

        def backward(self, ctx, grad):
            return 2 * grad * self.last["x"]

    report = check_layer(KeepsLast, np.array([[0.7]]), raises=False)
    assert "calls do not disturb each other" in {v.rule for v in report.violations}


def test_global_generators_are_put_back():
    import random

    np.random.seed(3)
    random.seed(3)
    npnet.manual_seed(3)
    check_layer(Reseeds, (3, 4), raises=False, only=["randomness"])
    assert random.random() == random.Random(3).random()
    assert npnet.random.default_generator().random() == np.random.default_rng(3).random()


def test_a_loss_that_broadcasts_its_target_is_checked_as_it_is_called():
    class Broadcasts(npnet.MSELoss):
        def terms(self, pred, target, with_grad):
            return super().terms(pred, np.broadcast_to(target, pred.shape), with_grad)

    report = check_layer(Broadcasts, (5, 4), np.ones(4), raises=False)
    assert not any("stopped" in v.message for v in report.violations)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("self.last = pred", "no state on self: a call makes the attribute last"),
        ("np.random.random()", "randomness: a call draws from NumPy's global generator"),
        ("kept.append(pred)", "nothing kept alive: after a call the pred is still alive"),
    ],
)
def test_violations_of_losses_are_named(change, sentence):
    kept = []

    class Loss(npnet.MSELoss):
        def terms(self, pred, target, with_grad):
            exec(change, {"self": self, "pred": pred, "np": np, "kept": kept})
            return super().terms(pred, target, with_grad)

    assert sentence in str(check_layer(Loss, (5, 4), np.ones((5, 4)), raises=False))


@pytest.mark.parametrize(
    ("loss", "inputs", "name"),
    [(GaussianNLL, GAUSSIAN, name) for name in GaussianNLL.predictions]
    + [(Triplet, TRIPLET, name) for name in Triplet.predictions],
)
def test_a_wrong_gradient_of_each_prediction_is_named(loss, inputs, name):
    wrong = loss()
    wrong.factors = [0.5 if other == name else 1.0 for other in loss.predictions]
    report = check_layer(wrong, *inputs, raises=False)
    assert {t.name for t in report.tensors if t.count(Verdict.WRONG)} == {name}
    assert f"the gradient of {name} is 1/2 of the true one" in str(report)
    gradients = check_gradients(wrong, *inputs, raises=False)
    assert {t.name for t in gradients.tensors if t.count(Verdict.WRONG)} == {name}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("var += 1", "input unchanged: a call changed its var in place"),
        ("grads[1][0] *= len(mean)", "batch independence: for sample 0 alone the gradient of var"),
        (
            "grads[1] = grads[1].astype(np.float32).astype(var.dtype)",
            "precision: the gradient of var was rounded",
        ),
        ("grads[1] = var", "gradients not shared: the gradient of var shares memory with the var"),
        (
            "grads[1] = grads[0]",
            "gradients not shared: the gradient of var shares memory with the g",
        ),
        ("grads[1] = grads[1].astype(float)", "returned float64 as the gradient of the var"),
        ("kept.append(var)", "nothing kept alive: after a call the var is still alive"),
        ("var = np.ravel(var, 'K').reshape(var.shape)", "memory layout: with Fortran-ordered inp"),
    ],
)
def test_what_a_loss_does_to_one_of_its_predictions_is_named(change, sentence):
    kept = []

    class Wrong(GaussianNLL):
        def terms(self, mean, target, var, with_grad):
            names = {"mean": mean, "var": var, "np": np, "kept": kept, "grads": [None, None]}
            if "grads" not in change:
                exec(change, names)
            found = super().terms(mean, target, names["var"], with_grad)
            names["grads"] = list(found.grad)
            if "grads" in change:
                exec(change, names)
            return found._replace(grad=tuple(names["grads"]))

    wrong = Wrong("sum")
    assert sentence in str(check_layer(wrong, *GAUSSIAN, raises=False, skip=["gradients"]))


class Undecided:
    """Has no truth, as pandas.NA."""

    def __bool__(self):
        raise TypeError


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((npnet.ReLU, (-1, 4)), {}, r"input 0 expects a shape of lengths from 0 up, got \(-1, 4\)"),
        ((npnet.ReLU, [5, 4]), {}, r"if it is a shape, pass an array of that shape"),
        ((npnet.MSELoss, (5, 4), (5, 4)), {}, r"the target \(5, 4\) is taken for its values"),
        ((npnet.ReLU, (5, 4)), {"seed": -1}, "seed to be an integer of at least 0, got -1"),
        ((npnet.ReLU, (5, 4)), {"seed": "a"}, "seed to be an integer of at least 0, got 'a'"),
        (
            (npnet.ReLU, (5, 4)),
            {"batch_axis": -1},
            "batch_axis to be an integer of at least 0, got -1",
        ),
        (
            (npnet.ReLU, (5, 4)),
            {"batch_axis": "a"},
            "batch_axis to be an integer of at least 0, got 'a'",
        ),
        ((npnet.ReLU, (5, 4)), {"skip": None}, "skip expects a list of rule names, got None"),
        ((npnet.ReLU, (5, 4)), {"only": np.ones(2)}, "no rule is named"),
        ((npnet.ReLU, (5, 4)), {"only": [np.ones(2)]}, "no rule is named an array"),
        ((npnet.ReLU, (5, 4)), {"only": Undecided()}, "only expects a list of rule names"),
        ((npnet.ReLU, (5, 4)), {"raises": "no"}, "raises to be True or False, got 'no'"),
        ((npnet.ReLU, (5, 4)), {"batch_independence": 0}, "independence to be True or False"),
        ((npnet.ReLU, (5, 4)), {"only": []}, "no rule to check"),
        ((npnet.ReLU, (5, 4)), {"dtype": "nope"}, "dtype to be a floating dtype .*, got 'nope'"),
    ],
)
def test_more_mistakes_are_named(arguments, options, sentence):
    with pytest.raises(npnet.errors.NpnetError, match=sentence):
        check_layer(*arguments, **options)


# --- outputs that nobody used


class Split(npnet.Layer):
    """Two outputs, 2 x and 3 x, with what stands for the gradient of an unused one."""

    def __init__(self, missing):
        super().__init__()
        self.missing = missing

    def forward(self, ctx, x):
        return 2 * x, 3 * x

    def backward(self, ctx, a, b):
        a = self.missing(b) if a is None else a
        return 2 * a + 3 * b if b is not None else 2 * a


def test_none_stands_for_zeros():
    report = check_layer(lambda: Split(np.zeros_like), (4, 3))
    assert not any("None" in note for note in report.notes)
    with pytest.raises(
        GradientMismatch, match="unused outputs: with None as the gradient of output 0"
    ):
        check_layer(lambda: Split(np.ones_like), (4, 3))


def test_a_layer_that_takes_no_none_is_told():
    def refuse(grad):
        raise TypeError("no None, please")

    report = check_layer(lambda: Split(refuse), (4, 3))
    (note,) = (note for note in report.notes if "None" in note)
    assert "output 0, which nobody used, backward raised TypeError" in note
    assert "None stands for zeros" in note


def test_rules_of_layers_speak_of_losses_in_their_words():
    class Noisy(npnet.MSELoss):
        def terms(self, pred, target, with_grad):
            return super().terms(pred + np.random.normal(size=pred.shape), target, with_grad)

    text = str(check_layer(Noisy, (5, 4), np.ones((5, 4)), raises=False))
    assert "in a second call with the same arguments the value is" in text
    assert "two calls with the same arguments differ" in text

    def refuse(terms):
        raise ValueError("no output of input 0")  # the user's own words stay

    report = check_layer(_BadLoss(refuse), (4, 3), np.ones((4, 3)), raises=False)
    assert "the call raised ValueError: no output of input 0" in str(report)


class Contrast(npnet.Loss):
    """Each sample's prediction beside the mean of the batch."""

    def terms(self, pred, target, with_grad):
        error = pred - pred.mean(axis=0) - target.astype(pred.dtype)
        return Terms(error**2, None, 2 * (error - error.mean(axis=0)) if with_grad else None)


def test_a_loss_may_couple_samples_if_it_says_so():
    arrays = np.random.default_rng(0).normal(size=(2, 4, 3))
    broken = {v.rule for v in check_layer(Contrast, *arrays, raises=False).violations}
    assert "batch independence" in broken
    assert check_layer(Contrast, *arrays, batch_independence=False).ok

    class Declares(Contrast):
        batch_independent = False

    assert check_layer(Declares, *arrays).ok


@pytest.mark.parametrize("layer", [npnet.Linear(5, 2), npnet.LayerNorm(5), npnet.BatchNorm1d(5)])
def test_a_layer_can_be_checked_without_samples(layer):
    assert check_layer(layer, np.zeros((0, 5))).ok


def test_a_formula_may_depend_on_the_dtype_if_the_layer_says_so():
    class Normalised(npnet.RMSNorm):
        depends_on_dtype = False

    assert check_layer(npnet.RMSNorm(3), (4, 3)).ok
    report = check_layer(Normalised(3), (4, 3), raises=False)
    assert "in float32 the gradient of input is" in str(report)
