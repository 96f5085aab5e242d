"""Losses: gradients, reductions, sample weights, bad input."""

import copy
import inspect

import numpy as np
import pytest

import npnet
from cases import LOSSES, LossCase
from npnet.errors import ArgumentError, DtypeError, ShapeError, SignatureError, TargetError
from numerics import central_differences

CASES = [
    pytest.param(case, shape, id=f"{i}-{case.id}-{shape}")
    for i, case in enumerate(LOSSES)
    for shape in case.shapes
]


def draw(case: LossCase, shape, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape), case.target(rng, shape)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("case", "shape"), CASES)
def test_gradient_matches_central_differences(case, shape, reduction):
    loss = case.make(reduction=reduction)
    pred, target = draw(case, shape)
    before, target_before = pred.copy(), np.array(target)
    _, grad = loss.value_and_grad(pred, target)
    numeric = central_differences(lambda: np.sum(loss(pred, target)), pred)
    np.testing.assert_allclose(grad, numeric, rtol=1e-6, atol=1e-9)
    assert (pred == before).all()
    assert (np.asarray(target) == target_before).all()


@pytest.mark.parametrize(("case", "shape"), CASES)
def test_reductions_agree(case, shape):
    pred, target = draw(case, shape)
    mean, total, each = (case.make(reduction=r) for r in ("mean", "sum", "none"))
    terms, summed = each(pred, target), total(pred, target)
    np.testing.assert_allclose(terms.sum(), summed, rtol=1e-12)
    weight = mean.evaluate(pred, target).weight
    np.testing.assert_allclose(mean(pred, target) * weight, summed, rtol=1e-12)


@pytest.mark.parametrize(("case", "shape"), [c for c in CASES if len(c.values[1]) > 1])
def test_whole_sample_weights_repeat_samples(case, shape):
    loss = case.make(reduction="mean")
    pred, target = draw(case, shape)
    times = np.arange(len(pred)) % 3 + 1
    weighted, grad = loss.value_and_grad(pred, target, sample_weight=times)
    repeated = loss(np.repeat(pred, times, axis=0), np.repeat(target, times, axis=0))
    np.testing.assert_allclose(weighted, repeated, rtol=1e-12)
    numeric = central_differences(lambda: loss(pred, target, sample_weight=times), pred)
    np.testing.assert_allclose(grad, numeric, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("case", "shape"), CASES)
def test_gradient_has_the_prediction_s_dtype(case, shape, dtype):
    pred, target = draw(case, shape)
    value, grad = case.make(reduction="mean").value_and_grad(pred.astype(dtype), target)
    assert grad.dtype == dtype
    assert grad.shape == shape
    np.testing.assert_allclose(value, case.make(reduction="mean")(pred, target), rtol=1e-5)


def test_targets_are_never_broadcast():
    for loss in (npnet.MSELoss(), npnet.L1Loss(), npnet.BCEWithLogitsLoss()):
        with pytest.raises(ShapeError, match=r"\(4, 1\), got \(4,\).*reshape"):
            loss(np.zeros((4, 1)), np.zeros(4))


def test_labels_out_of_range_fractional_or_misshapen():
    loss, logits = npnet.CrossEntropyLoss(), np.zeros((2, 3))
    for wrong, sentence in (
        ([0, 3], r"from 0 to 2 for 3 classes, got 3 at target\[1\]"),
        ([1, 3], r"got 3 at target\[1\]; labels count from 0: target - 1"),
        ([-1, 0], r"got -1 at target\[0\]"),
        ([0.5, 1], r"whole labels, got 0.5 at target\[0\]"),
        ([1, np.nan], r"whole labels, got nan at target\[1\]"),
        ([1, np.inf], "from 0 to 2 for 3 classes, got inf"),
        ([1, 1e300], "got 1e.300 at target"),
        (np.array([0, 2**64 - 100], np.uint64), r"got 18446744073709551516 at target\[1\]"),
        ([True, False], "labels of 3 classes, got booleans"),
        (np.full((2, 3), -1.0), r"probabilities from 0 to 1, got -1.0 at target\[0, 0\]"),
        ([[0.0, 1.0, 0.0], [0.0, np.nan, 0.0]], r"got nan at target\[1, 1\]"),
        (np.full((2, 3), 2), r"got 2 at target\[0, 0\]; labels have shape \(2,\)"),
        ([[1, 0, 0], [1, 0, 1]], "one class for each row.*BCEWithLogitsLoss"),
    ):
        with pytest.raises(TargetError, match=sentence):
            loss(logits, wrong)
    with pytest.raises(TargetError, match=r"got 3 at target\[0, 1\]"):
        loss(np.zeros((1, 3, 2)), [[0, 3]])
    with pytest.raises(TargetError, match="for 1 classes, got 1 .*BCEWithLogitsLoss"):
        loss(np.zeros((2, 1)), [0, 1])
    with pytest.raises(ShapeError, match=r"shape \(2,\), got \(2, 1\); .*target.reshape\(-1\)"):
        loss(logits, [[0], [1]])
    with pytest.raises(DtypeError):
        loss(logits, ["cat", "dog"])
    assert loss(logits[:, :2], [True, False]) == loss(logits[:, :2], [1, 0])
    assert loss(logits, [0.0, 1.0]) == loss(logits, np.array([0, 1], np.uint8))


def test_one_hot_and_boolean_targets_count_as_probabilities(rng):
    logits, labels = rng.normal(size=(5, 3)), np.array([0, 1, 2, 1, 0])
    expected = npnet.CrossEntropyLoss()(logits, labels)
    for dtype in (float, int, bool):
        onehot = np.eye(3, dtype=dtype)[labels]
        np.testing.assert_allclose(npnet.CrossEntropyLoss()(logits, onehot), expected, rtol=1e-12)


def test_masked_logits_of_minus_infinity():
    logits = np.array([[0.0, -np.inf, 0.0]])
    value, grad = npnet.CrossEntropyLoss().value_and_grad(logits, [0])
    np.testing.assert_allclose(value, np.log(2))
    np.testing.assert_allclose(grad, [[-0.5, 0, 0.5]])
    dense, same = npnet.CrossEntropyLoss().value_and_grad(logits, [[1.0, 0.0, 0.0]])
    np.testing.assert_allclose(dense, value)
    np.testing.assert_allclose(same, grad)


def test_ignored_rows_may_hold_anything():
    logits = np.array([[0.0, 1.0], [1e300, -np.inf]])
    value, grad = npnet.CrossEntropyLoss().value_and_grad(logits, [0, -100])
    np.testing.assert_allclose(value, np.log1p(np.e))
    assert (grad[1] == 0).all()


def test_published_values():
    assert npnet.MSELoss()([0.25, 0.6, 0.3], [0.2, 0.7, 0.1]) == pytest.approx(0.0175)
    logits = [[1.95, -0.6, -0.3], [-0.25, -0.6, 2.3], [0.05, 3.6, -0.3], [3.7, -1.1, -1.2]]
    assert round(npnet.CrossEntropyLoss()(logits, [0, 2, 1, 0]), 4) == 0.0892


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="reduction"):
        npnet.MSELoss("average")
    with pytest.raises(ArgumentError, match="label_smoothing"):
        npnet.CrossEntropyLoss(label_smoothing=2)
    with pytest.raises(ShapeError, match="weight"):
        npnet.CrossEntropyLoss(weight=[1.0, 2.0])(np.zeros((2, 3)), [0, 1])
    with pytest.raises(TypeError):
        npnet.MSELoss(reducton="mean")
    with pytest.raises(ShapeError, match="empty batch"):
        npnet.MSELoss()(np.zeros((0, 3)), np.zeros((0, 3)))
    for wrong, sentence in (
        (2.0, r"from 0 to 1, got 2.0 at target\[0\]; class numbers need CrossEntropyLoss"),
        (-1.0, r"\(target \+ 1\) / 2"),
        (np.nan, "got nan"),
        (np.inf, "got inf"),
    ):
        with pytest.raises(TargetError, match=sentence):
            npnet.BCEWithLogitsLoss()([0.3], [wrong])
    with pytest.raises(DtypeError):
        npnet.MSELoss()(np.ones(2) * 1j, np.ones(2))
    with pytest.raises(DtypeError):
        npnet.MSELoss()(np.ones(2), np.ones(2) * 1j)
    with pytest.raises(ShapeError, match="sample_weight"):
        npnet.MSELoss()(np.ones((2, 3)), np.ones((2, 3)), sample_weight=np.ones(3))


def test_changed_attributes_count_and_typos_raise():
    pred, target = np.array([[1.0, 2.0, 0.0]]), np.array([0])
    loss = npnet.CrossEntropyLoss()
    loss.label_smoothing = 0.2
    assert loss(pred, target) == npnet.CrossEntropyLoss(label_smoothing=0.2)(pred, target)
    loss.weight = [1.0, 2.0, 0.5]
    assert loss(pred, target) == npnet.CrossEntropyLoss([1, 2, 0.5], label_smoothing=0.2)(
        pred, target
    )
    with pytest.raises(npnet.errors.NameTypoError, match="did you mean 'reduction'"):
        loss.reducton = "sum"
    for name, value in (
        ("reduction", "avg"),
        ("weight", [1, np.nan]),
        ("label_smoothing", 2),
        ("ignore_index", 0.5),
    ):
        with pytest.raises(ArgumentError, match=f"CrossEntropyLoss expects {name}"):
            setattr(loss, name, value)
    with pytest.raises(ValueError, match="read-only"):
        loss.weight[0] = np.nan


def test_odd_targets_and_arguments():
    with pytest.raises(ShapeError, match="ragged"):
        npnet.MSELoss()([[1.0, 2.0]], [[1.0], [2.0, 3.0]])
    with pytest.raises(DtypeError, match="mask"):
        npnet.MSELoss()([1.0, 2.0], np.ma.masked_array([1.0, 2.0], [True, False]))
    with pytest.raises(ShapeError, match=r"weight to be an array of shape \(num_classes,\)"):
        npnet.CrossEntropyLoss(weight=1.0)
    for options in ({"ignore_index": "a"}, {"label_smoothing": "a"}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            npnet.CrossEntropyLoss(**options)
    value, grad = npnet.CrossEntropyLoss([0, 1, 1], label_smoothing=0.1).value_and_grad(
        [[1.0, 2.0, 3.0]], [0]
    )
    assert np.isnan(value)
    assert np.isnan(grad).all()


def test_big_endian_arrays(rng):
    pred, target = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    swapped = npnet.MSELoss().value_and_grad(pred.astype(">f8"), target.astype(">f8"))
    value, grad = npnet.MSELoss().value_and_grad(pred, target)
    assert swapped[0] == value
    np.testing.assert_array_equal(swapped[1], grad)
    assert npnet.CrossEntropyLoss()(pred, np.array([0, 1, 2, 0], ">i4")) > 0


def test_sum_over_an_empty_batch_is_zero():
    loss = npnet.CrossEntropyLoss(reduction="sum")
    value, grad = loss.value_and_grad(np.zeros((0, 3)), np.zeros(0, int))
    assert value == 0
    assert grad.shape == (0, 3)


@pytest.mark.parametrize(("case", "shape"), CASES)
def test_made_again_from_its_arguments(case, shape):
    for reduction in ("mean", "sum", "none"):
        loss = case.make(reduction=reduction)
        arguments = list(inspect.signature(type(loss)).parameters)
        assert list(loss.get_config()) == arguments
        again = type(loss).from_config(loss.get_config())
        assert repr(again) == repr(loss) == repr(copy.deepcopy(loss))
        np.testing.assert_array_equal(again(*draw(case, shape)), loss(*draw(case, shape)))


def test_repr_shows_what_is_not_the_default():
    assert repr(npnet.MSELoss()) == "MSELoss()"
    assert repr(npnet.CrossEntropyLoss([1, 2], reduction="sum")) == (
        "CrossEntropyLoss(weight=[1.0, 2.0], reduction='sum')"
    )


def test_terms_must_be_terms():
    class Bare(npnet.losses.Loss):
        def terms(self, pred, target, with_grad):
            return pred - target

    with pytest.raises(ArgumentError, match="must return .*Terms.*returned ndarray"):
        Bare()([1.0], [0.0])


def test_a_subclass_with_other_terms_is_not_passed_by(rng):
    class Doubled(npnet.CrossEntropyLoss):
        def terms(self, pred, target, with_grad):
            found = super().terms(pred, target, with_grad)
            return found._replace(values=2 * found.values, grad=2 * found.grad)

    pred, target = rng.normal(size=(4, 3)), np.array([0, 2, 1, 1])
    value, grad = Doubled().value_and_grad(pred, target)
    once, grad_once = npnet.CrossEntropyLoss().value_and_grad(pred, target)
    assert value == pytest.approx(2 * once, rel=1e-14)
    np.testing.assert_allclose(grad, 2 * grad_once, rtol=1e-14)


def test_arrays_are_given_by_name_too():
    loss = npnet.GaussianNLLLoss()
    value, (dpred, dvar) = loss.value_and_grad([3.0], var=[1.0], target=[1.0])
    assert (value, dpred.tolist(), dvar.tolist()) == (2.0, [2.0], [-1.5])
    assert loss(pred=[3.0], var=[1.0], target=[1.0]) == 2
    for wrong in ({"input": [1.0]}, {"target": [1.0]}, {"var": [1.0], "pred": [1.0]}):
        with pytest.raises(SignatureError, match=r"takes \(pred, target, var\), got 1 array"):
            loss([3.0], **wrong)
