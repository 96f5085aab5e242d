"""Where formulas are delicate: PyTorch's values and gradients, or an error that says why."""

import contextlib
import warnings

import numpy as np
import pytest

import npnet
from cases import LOSSES, LOSSES_OF_ARRAYS
from npnet.errors import ArgumentError, NpnetError, ShapeError, TargetError

INF, NAN = np.inf, np.nan
STEPS = [-2.0, -1.0, -0.5, -5e-324, 0.0, 5e-324, 0.3, 0.5, 1.0, 2.0, 1e200, -1e200, INF, NAN]
CERTAIN = [0.0, 1.0, 5e-324, 1e-320, 1e-44, 1e-12, 1 - 1e-16, 0.5]
ROWS = [[0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0], [NAN, 0.0, 1.0], [INF, 0.0, 0.0]]
ONE, ZERO, AWAY = [[1.0, 2.0]], [[0.0, 0.0]], [[2.0, -1.0]]


def crossed(a, b):
    return [x.ravel() for x in np.meshgrid(a, b)]


CASES = [
    ("SmoothL1Loss", {}, (STEPS, [0.0] * len(STEPS))),
    ("SmoothL1Loss", {"beta": 0.0}, (STEPS[:-1], [0.0] * len(STEPS[:-1]))),
    ("SmoothL1Loss", {"beta": 1e-300}, (STEPS, [0.0] * len(STEPS))),
    ("SmoothL1Loss", {"beta": 1e100}, (STEPS, [0.0] * len(STEPS))),
    ("HuberLoss", {"delta": 0.5}, (STEPS, [0.0] * len(STEPS))),
    ("BCELoss", {}, crossed(CERTAIN, [0.0, 1.0, 0.25])),
    ("BCELoss", {"weight": [0.0, 0.0]}, ([[0.0, 1.0]], [[1.0, 1.0]])),
    ("BCELoss", {}, (0.25, 1.0)),
    ("KLDivLoss", {}, crossed([-1.0, 0.0, -1e300, NAN], [0.0, 1.0, 0.5, 1e-320, -0.5, NAN])),
    ("KLDivLoss", {"log_target": True}, crossed([-1.0, 0.0, -1e300], [0.0, -1.0, -1e3, NAN])),
    ("KLDivLoss", {"reduction": "batchmean"}, (-1.0, 0.5)),
    ("PoissonNLLLoss", {"full": True}, crossed([0.0, 1e3, -1e3, NAN], [0.0, 1.0, 1.5, 2.0, 1e9])),
    ("PoissonNLLLoss", {"log_input": False}, crossed([0.0, 1e-8, -1.0, 1e9, NAN], [0.0, 1.0, 3.0])),
    ("GaussianNLLLoss", {}, ([1.0, 2.0, 3.0, 1.0], [1.0] * 4, [0.0, 1e-7, 1e-6, 1e-5])),
    ("GaussianNLLLoss", {}, (ROWS, np.ones((5, 3)), [[0.5, 1.0, 0.0]])),
    ("GaussianNLLLoss", {}, ([1.0, NAN, INF], [0.0] * 3, [1.0, 1.0, NAN])),
    ("HingeEmbeddingLoss", {}, crossed(STEPS, [-1.0, 1.0])),
    ("HingeEmbeddingLoss", {"margin": -0.5}, crossed(STEPS, [-1.0, 1.0])),
    ("HingeEmbeddingLoss", {}, (1.0, -1.0)),
    ("SoftMarginLoss", {}, crossed([0.0, 300.0, -300.0, NAN], [1.0])),
    ("MultiMarginLoss", {}, (ROWS[:3], [1, 2, 2])),
    ("MultiMarginLoss", {"p": 2, "margin": 2.0}, (ROWS[:3], [1, 2, 0])),
    ("MultiMarginLoss", {"margin": -1.0}, (ROWS[:3], [1, 2, 0])),
    ("MultiMarginLoss", {"weight": [0.0, 0.0, 0.0]}, (ROWS[:3], [1, 2, 0])),
    ("MultiMarginLoss", {}, (ROWS[0], 1)),
    ("MultiLabelMarginLoss", {}, (ROWS[:3], [[-1, 0, 1], [0, 1, 2], [2, 2, -1]])),
    ("MultiLabelMarginLoss", {}, (ROWS[:3], [[0, -1, 2], [1, 1, 1], [2, 0, 2]])),
    ("MultiLabelMarginLoss", {}, (ROWS[0], [1, -1, 0])),
    ("MultiLabelSoftMarginLoss", {}, ([[1e4, -1e4, 0.0], [-1e4, 1e4, NAN]], [[0, 0, 1.0]] * 2)),
    ("MultiLabelSoftMarginLoss", {"weight": [0.0, 0.0]}, (ONE, [[0.0, 1.0]])),
    ("MarginRankingLoss", {}, (STEPS[:8] * 3, [0.5] * 24, [1.0] * 8 + [-1.0] * 8 + [0.0] * 8)),
    ("MarginRankingLoss", {"margin": 0.5}, ([0.0, 0.5, 1.0], [0.5] * 3, [1.0, 1.0, -1.0])),
    ("CosineEmbeddingLoss", {}, (ONE * 6, ONE * 2 + ZERO * 2 + AWAY * 2, [1.0, -1.0] * 3)),
    ("CosineEmbeddingLoss", {}, (ZERO * 2, ZERO * 2, [1.0, -1.0])),
    ("CosineEmbeddingLoss", {}, ([[1e-9, 2e-9]], [[3e-9, 1e-9]], [-1.0])),
    ("CosineEmbeddingLoss", {}, (ONE[0], AWAY[0], 1.0)),
    ("TripletMarginLoss", {}, (ONE, ONE, ONE)),
    ("TripletMarginLoss", {"eps": 0.0}, (ONE, ONE, ONE)),
    ("TripletMarginLoss", {"eps": 0.0, "p": 1.0}, (ZERO, [[1.0, 0.0]], [[0.0, 2.0]])),
    ("TripletMarginLoss", {"eps": 0.0, "swap": True}, (ZERO, [[1.0, 0.0]], [[0.5, 1.0]])),
    ("TripletMarginLoss", {"eps": 0.0, "p": INF}, (ZERO, [[1.0, -1.0]], [[0.5, 0.5]])),
    ("TripletMarginLoss", {"eps": 0.0, "p": 0.5}, (ZERO, [[1.0, 0.0]], [[0.25, 0.25]])),
    ("TripletMarginLoss", {}, (ONE[0], ZERO[0], AWAY[0])),
    ("TripletMarginLoss", {"eps": 0.0}, ([[1e-150, 0.0]], ZERO, [[0.0, 0.5]])),
    ("TripletMarginLoss", {"eps": 0.0, "p": 3.0}, (ZERO, [[0.0, 0.0]], [[0.0, 0.5]])),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize(
    ("name", "options", "given"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)]
)
def test_edges_are_those_of_torch(name, options, given, reduction):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    options = {"reduction": reduction, **options}
    tensors = {k: torch.tensor(v).double() if k == "weight" else v for k, v in options.items()}
    loss = getattr(npnet, name)(**options)
    arrays = [np.asarray(a, np.float64 if np.asarray(a).dtype.kind == "f" else None) for a in given]
    given = [torch.from_numpy(a.copy()) for a in arrays]
    wanted = [given[loss.arguments.index(p)].requires_grad_() for p in loss.predictions]
    expected = getattr(torch.nn, name)(**tensors)(*given)
    expected.sum().backward()
    value, grads = loss.value_and_grad(*arrays)
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-9, atol=1e-15)
    for grad, tensor in zip(grads if isinstance(grads, tuple) else [grads], wanted, strict=True):
        np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-9, atol=1e-15)


def test_where_torch_has_nan_or_infinity_without_need():
    value, grad = npnet.SoftMarginLoss("none").value_and_grad(np.array([800.0, -800.0]), [-1, 1])
    np.testing.assert_array_equal(value, [800, 800])
    np.testing.assert_array_equal(grad, [1, -1])
    loss = npnet.KLDivLoss("none")
    np.testing.assert_array_equal(loss([-INF, -1.0], [0.0, 0.0]), [0, 0])
    loss = npnet.KLDivLoss("none", log_target=True)
    value, grad = loss.value_and_grad([-INF, -1.0], [-INF, -INF])
    np.testing.assert_array_equal(value, [0, 0])
    np.testing.assert_array_equal(grad, [0, 0])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_loss_of_certain_logits(gamma):
    loss = npnet.FocalLoss(gamma, None, "none")
    x = np.array([-1e4, 1e4, -800.0, 800.0, -INF, INF])
    value, grad = loss.value_and_grad(x[:4], [0, 1, 0, 1])
    np.testing.assert_array_equal(value, np.zeros(4))
    np.testing.assert_array_equal(grad, np.zeros(4))
    value, grad = loss.value_and_grad(x[:4], [1, 0, 1, 0])
    np.testing.assert_array_equal(value, np.abs(x[:4]))
    np.testing.assert_array_equal(grad, [-1, 1, -1, 1])


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_between_certain_and_undecided(gamma):
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    reference = pytest.importorskip("torch_losses").FocalLoss(gamma, 0.3, "sum")
    x, t = (np.ravel(a) for a in np.meshgrid(np.linspace(-9, 9, 13), [0.0, 0.1, 1.0]))
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    expected = reference(tensor, torch.from_numpy(t))
    expected.backward()
    value, grad = npnet.FocalLoss(gamma, 0.3, "sum").value_and_grad(x, t)
    np.testing.assert_allclose(value, expected.item(), rtol=1e-9)
    np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-9)


def test_focal_loss_without_focus_is_the_cross_entropy(rng):
    x, t = rng.normal(size=(4, 3)), rng.uniform(size=(4, 3))
    mine, reference = npnet.FocalLoss(0, None), npnet.BCEWithLogitsLoss()
    np.testing.assert_allclose(mine(x, t), reference(x, t), rtol=1e-14)


def test_dice_loss_without_positives():
    x, t = np.full((1, 3), -800.0), np.zeros((1, 3))
    for smooth in (0.0, 1.0):
        value, grad = npnet.DiceLoss(smooth).value_and_grad(x, t)
        assert value == 0
        np.testing.assert_array_equal(grad, np.zeros((1, 3)))
    assert npnet.DiceLoss(0)(np.zeros((1, 3)), t) == 1
    assert npnet.DiceLoss(0)(-x, t + 1) == 0
    assert npnet.DiceLoss(0)(-x, t) == 1


def test_the_best_constants_are_quantiles_and_expectiles(rng):
    y, q = rng.normal(size=(501, 1)), [0.2, 0.5, 0.9]
    for loss, best in (
        (npnet.QuantileLoss(q, "sum"), np.quantile(y, q)),
        (npnet.ExpectileLoss(0.5, "sum"), np.array([y.mean()])),
    ):
        several = len(best) > 1
        constant, target = np.tile(best, (501, 1)), y[:, 0] if several else y
        _, grad = loss.value_and_grad(constant, target)
        np.testing.assert_allclose(grad.sum(0), 0, atol=1.0 if several else 1e-9)


def test_chi_square_of_known_numbers():
    loss = npnet.ChiSquareLoss("sum")
    assert loss([1.0, 2.0, 4.0], [0.0, 2.0, 1.0], [1.0, 5.0, 2.0]) == 1 + 0 + 2.25
    rows = np.array([[1.0, 2.0], [3.0, 5.0]])
    assert loss(rows, np.zeros((2, 2)), [1.0, 2.0]) == 1 + 4 + 9 / 4 + 25 / 4
    assert loss([1.0, 2.0], [0.0, 0.0], [INF, 1.0]) == 4


def test_a_variance_that_is_too_small_can_grow_again():
    loss = npnet.GaussianNLLLoss(reduction="sum")
    _, (_, dvar) = loss.value_and_grad([1.0], [0.0], [1e-9])
    assert dvar[0] < 0
    assert loss([1.0], [0.0], [1e-9]) == loss([1.0], [0.0], [2e-9])


WRONG = [
    (npnet.BCELoss(), ([1.5], [1]), ArgumentError, r"probabilities.*1.5 at pred\[0\]; logits need"),
    (npnet.BCELoss(), ([NAN], [1]), ArgumentError, "got nan at pred"),
    (npnet.BCELoss(), ([0.5], [2]), TargetError, r"got 2.0 at target\[0\]"),
    (npnet.FocalLoss(), ([0.5], [-1]), TargetError, "makes 0 and 1 of -1 and 1"),
    (npnet.DiceLoss(), ([0.5], [2]), TargetError, "class numbers need CrossEntropyLoss"),
    (npnet.MultiLabelSoftMarginLoss(), ([[0.5]], [[2]]), TargetError, "targets from 0 to 1"),
    (npnet.MultiLabelSoftMarginLoss(), (0.5, 1), ShapeError, r"\(n, num_classes\)"),
    (npnet.PoissonNLLLoss(), ([0.5], [-1]), TargetError, r"at least 0, got -1.0 at target\[0\]"),
    (npnet.HingeEmbeddingLoss(), ([0.5], [0]), TargetError, r"-1 or 1, got 0.*2 \* target - 1"),
    (npnet.SoftMarginLoss(), ([0.5, 1.0], [1, 0.5]), TargetError, r"got 0.5 at target\[1\]"),
    (npnet.MarginRankingLoss(), ([1.0], [2.0], [2]), TargetError, "-1, 0 or 1, got 2"),
    (npnet.MarginRankingLoss(), ([1.0], [2.0, 1.0], [1]), ShapeError, "input2 of shape"),
    (npnet.CosineEmbeddingLoss(), ([[1.0]], [[2.0]], [0]), TargetError, "targets -1 or 1"),
    (npnet.CosineEmbeddingLoss(), ([[1.0]], [[2.0]], [[1]]), ShapeError, r"\(1,\), got \(1, 1\)"),
    (npnet.CosineEmbeddingLoss(), (1.0, 2.0, 1), ShapeError, r"\(n, d\) or \(d,\)"),
    (npnet.TripletMarginLoss(), ([[1.0]], [[1.0]], [1.0]), ShapeError, "negative of shape"),
    (npnet.TripletMarginLoss(), (1.0, 1.0, 1.0), ShapeError, r"\(..., d\)"),
    (npnet.GaussianNLLLoss(), ([1.0], [1.0], [-1.0]), ArgumentError, r"-1.0 at var\[0\]"),
    (npnet.GaussianNLLLoss(), (ROWS, ROWS, [1.0] * 3), ShapeError, r"var of shape \(5, 3\) or"),
    (npnet.GaussianNLLLoss(), (ROWS, ROWS, [[1.0]]), ShapeError, "with 1 in place of one size"),
    (npnet.MultiMarginLoss(), (ROWS, [0, 1, 2, 3, 0]), TargetError, "from 0 to 2 for 3 classes"),
    (npnet.MultiMarginLoss(), (ROWS, [0, 1, 2, -1, 0]), TargetError, r"got -1 at target\[3\]"),
    (npnet.MultiMarginLoss(), (ROWS, [0, 1, 2, -100, 0]), TargetError, "got -100"),
    (npnet.MultiMarginLoss(), (ROWS, [0, 1, 0.5, 1, 0]), TargetError, "whole labels"),
    (npnet.MultiMarginLoss(), (ROWS, [0, 1, 2]), ShapeError, r"\(5,\), got \(3,\)"),
    (npnet.MultiMarginLoss(), ([ROWS], [ROWS]), ShapeError, r"target of shape|num_classes"),
    (npnet.MultiMarginLoss(weight=[1, 1]), (ROWS, [0] * 5), ShapeError, "weight of shape"),
    (npnet.MultiLabelMarginLoss(), (ROWS[:1], [[3, 0, 0]]), TargetError, r"0 to 2, or -1, got 3"),
    (npnet.MultiLabelMarginLoss(), (ROWS[:1], [[-2, 0, 0]]), TargetError, "got -2"),
    (npnet.MultiLabelMarginLoss(), (ROWS[:1], [[0.5, 0, 0]]), TargetError, "got 0.5"),
    (npnet.MultiLabelMarginLoss(), (ROWS[:1], [0, 1, 2]), ShapeError, r"\(1, 3\), got \(3,\)"),
    (npnet.ChiSquareLoss(), ([1.0], [1.0], [0.0]), TargetError, r"positive.*0.0 at error\[0\]"),
    (npnet.ChiSquareLoss(), ([1.0], [1.0], [NAN]), TargetError, "got nan"),
    (npnet.ChiSquareLoss(), (ROWS, ROWS, [1.0] * 3), ShapeError, r"error of shape \(5,\) or"),
    (npnet.QuantileLoss([0.1, 0.9]), (ROWS, [1.0] * 5), ShapeError, r"\(..., 2\), got \(5, 3\)"),
    (npnet.QuantileLoss([0.1, 0.9]), (ONE, ONE), ShapeError, "several quantiles have one target"),
    (npnet.QuantileLoss([0.1, 0.9]), (ONE, [[1.0]]), ShapeError, r"target.reshape\(-1\)"),
    (npnet.QuantileLoss(0.1), (ONE, [1.0]), ShapeError, "never broadcast"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "arrays", "error", "sentence"), WRONG, ids=[f"{i}-{w[0]}" for i, w in enumerate(WRONG)]
)
def test_wrong_arrays_are_answered(loss, arrays, error, sentence):
    with pytest.raises(error, match=sentence):
        loss(*arrays)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (npnet.HuberLoss, {"delta": 0}),
        (npnet.HuberLoss, {"delta": INF}),
        (npnet.SmoothL1Loss, {"beta": -1}),
        (npnet.GaussianNLLLoss, {"eps": 0}),
        (npnet.PoissonNLLLoss, {"eps": 0}),
        (npnet.TripletMarginLoss, {"margin": 0}),
        (npnet.TripletMarginLoss, {"p": 0}),
        (npnet.MultiMarginLoss, {"p": 3}),
        (npnet.FocalLoss, {"gamma": -1}),
        (npnet.FocalLoss, {"alpha": 1.5}),
        (npnet.DiceLoss, {"smooth": -1}),
        (npnet.QuantileLoss, {"q": 1}),
        (npnet.QuantileLoss, {"q": []}),
        (npnet.QuantileLoss, {"q": [0.5, 0]}),
        (npnet.ExpectileLoss, {"q": "0.5"}),
    ],
)
def test_wrong_options_are_named(kind, options):
    (name,) = options
    with pytest.raises(ArgumentError, match=f"{kind.__name__} expects {name}"):
        kind(**options)
    with pytest.raises(ArgumentError, match=f"{kind.__name__} expects {name}"):
        setattr(kind(), name, options[name])


def drawn(reduction):
    """Every loss with its arrays; the first axis counts samples in all of them."""
    rng = np.random.default_rng(4)
    for case in LOSSES:
        shape = next((s for s in case.shapes if len(s) > 1), None)
        yield case.make(reduction=reduction), (rng.normal(size=shape), case.target(rng, shape))
    for case in LOSSES_OF_ARRAYS:
        yield case.make(reduction), case.arrays(rng)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_empty_batches(reduction):
    for loss, arrays in drawn(reduction):
        empty = [np.asarray(a)[:0] for a in arrays]
        if reduction == "mean":
            with pytest.raises(ShapeError, match="mean over an empty batch is undefined"):
                loss(*empty)
            continue
        value, grads = loss.value_and_grad(*empty)
        assert np.sum(value) == 0
        assert np.shape(value)[:1] == ((0,) if reduction == "none" else ())
        for name, grad in zip(
            loss.predictions, grads if isinstance(grads, tuple) else [grads], strict=True
        ):
            assert grad.shape == empty[loss.arguments.index(name)].shape


def test_arrays_that_may_not_be_written_or_lie_in_another_order():
    for loss, arrays in drawn("mean"):
        value, grads = loss.value_and_grad(*arrays)
        for change in (np.asfortranarray, lambda a: np.repeat(a, 2, 0)[::2]):
            other = [change(np.asarray(a)) for a in arrays]
            for a in other:
                a.flags.writeable = False
            same, its_grads = loss.value_and_grad(*other)
            np.testing.assert_allclose(same, value, rtol=1e-14)
            for g, h in zip(grads, its_grads, strict=True):
                np.testing.assert_allclose(g, h, rtol=1e-12, atol=1e-16)


def test_predictions_of_two_dtypes():
    a, b = np.ones((2, 3), np.float32), np.full((2, 3), 2.0)
    for loss, arrays in (
        (npnet.TripletMarginLoss(), (a, b, b)),
        (npnet.CosineEmbeddingLoss(), (b, a, [1, -1])),
        (npnet.GaussianNLLLoss(), (a, b, b)),
        (npnet.MarginRankingLoss(), (a, b, np.ones((2, 3)))),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _, grads = loss.value_and_grad(*arrays)
        given = [arrays[loss.arguments.index(name)] for name in loss.predictions]
        assert [g.dtype for g in grads] == [x.dtype for x in given]


def test_all_errors_are_of_npnet():
    for loss, arrays in drawn("mean"):
        for i in range(len(arrays)):
            given = list(arrays)
            given[i] = np.asarray(given[i])[..., None, None]
            with pytest.raises(NpnetError):
                loss(*given)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_infinities_nan_and_huge_numbers_give_a_value_or_an_error_of_npnet(reduction, rng):
    for loss, arrays in drawn(reduction):
        for _ in range(10):  # warnings are errors here
            given = list(arrays)
            for name in loss.predictions:
                i = loss.arguments.index(name)
                shape = np.shape(arrays[i])
                special = rng.choice([INF, -INF, NAN, 1e308, -1e308, 5e-324, 0.0, 1.0], shape)
                given[i] = np.where(rng.random(shape) < 0.4, special, arrays[i])
            with contextlib.suppress(ArgumentError):  # of those that take probabilities, say
                value, grads = loss.value_and_grad(*given)
                assert np.asarray(value).dtype == np.float64
                grads = grads if isinstance(grads, tuple) else (grads,)
                for name, grad in zip(loss.predictions, grads, strict=True):
                    assert grad.shape == np.shape(given[loss.arguments.index(name)])
