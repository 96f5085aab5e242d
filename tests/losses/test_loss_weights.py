"""Weights of samples, classes and elements: the very large, the very small, the wrong."""

import re

import numpy as np
import pytest

import npnet
from cases import LOSSES
from npnet.errors import ArgumentError, NpnetError

CASES = [pytest.param(case, id=f"{i}-{case.id}") for i, case in enumerate(LOSSES)]
WEIGHTS = np.array([1.0, 3.0, 0.0, 2.0, 1.0, 2.0, 3.0])


def draw(case, dtype=np.float64):
    shape = next(s for s in case.shapes if len(s) > 1)
    rng = np.random.default_rng(2)
    shape = (len(WEIGHTS), *shape[1:])
    return rng.normal(size=shape).astype(dtype), case.target(rng, shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("power", [-1074, -1030, -140, 100, 127, 1018])
@pytest.mark.parametrize("case", CASES)
def test_a_mean_does_not_depend_on_the_size_of_the_weights(case, power, dtype):
    loss, (pred, target) = case.make(reduction="mean"), draw(case, dtype)
    value, grad, weight = loss.evaluate(pred, target, sample_weight=WEIGHTS)
    scaled = loss.evaluate(pred, target, sample_weight=WEIGHTS * 2.0**power)
    assert scaled.value == value
    np.testing.assert_array_equal(scaled.grad, grad)
    assert scaled.weight == weight * 2.0**power


@pytest.mark.parametrize("reduction", ["sum", "none"])
@pytest.mark.parametrize("power", [-60, 60])
@pytest.mark.parametrize("case", CASES)
def test_sums_and_terms_are_multiplied(case, power, reduction):
    loss, (pred, target) = case.make(reduction=reduction), draw(case)
    value, grad = loss.value_and_grad(pred, target, sample_weight=WEIGHTS)
    scaled, its_grad = loss.value_and_grad(pred, target, sample_weight=WEIGHTS * 2.0**power)
    np.testing.assert_array_equal(scaled, value * 2.0**power)
    np.testing.assert_array_equal(its_grad, grad * 2.0**power)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("case", CASES)
def test_a_sample_of_weight_zero_may_hold_anything(case, reduction):
    loss, (pred, target) = case.make(reduction=reduction), draw(case)
    value, grad = loss.value_and_grad(pred, target, sample_weight=WEIGHTS)
    for odd in (np.nan, np.inf, -np.inf):
        pred[2] = odd
        same, its_grad = loss.value_and_grad(pred, target, sample_weight=WEIGHTS)
        np.testing.assert_array_equal(same, value)
        np.testing.assert_array_equal(its_grad, grad)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, -1.0])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("case", CASES)
def test_wrong_sample_weights_are_named(case, reduction, wrong):
    loss, (pred, target) = case.make(reduction=reduction), draw(case)
    weight = WEIGHTS.copy()
    weight[3] = wrong
    sentence = rf"expects sample_weight\[3\] to be a finite number of at least 0, got {wrong}"
    with pytest.raises(ArgumentError, match=sentence):
        loss(pred, target, sample_weight=weight)
    full = np.ones(loss(pred, target).shape) if reduction == "none" else None
    if full is not None:
        full.reshape(-1)[-1] = wrong
        with pytest.raises(ArgumentError, match=r"sample_weight\[6"):
            loss(pred, target, sample_weight=full)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_weight_of_a_single_sample(reduction):
    loss, pred = npnet.CrossEntropyLoss(reduction=reduction), np.array([1, 2, 3], np.float32)
    value, grad = loss.value_and_grad(pred, 1, sample_weight=2)
    plain, its_grad = loss.value_and_grad(pred, 1)
    times = 1 if reduction == "mean" else 2
    assert value == times * plain
    assert grad.dtype == np.float32
    np.testing.assert_array_equal(grad, times * its_grad)
    _, grad = loss.value_and_grad(np.full(3, np.nan), 1, sample_weight=0)
    assert not grad.any()


def test_odd_sample_weights():
    pred, target = np.ones((3, 2)), np.zeros((3, 2))
    assert npnet.MSELoss("sum")(pred, target, sample_weight=[True, False, True]) == 4
    for weight, sentence in (
        ([1e308] * 3, "the sum of the sample weights is infinite"),
        ([[1.0], [1.0], [1.0]], r"did you mean sample_weight.reshape\(-1\)"),
        ([1.0, 2.0], r"sample_weight of shape \(3,\) or \(3, 2\), got \(2,\)"),
        (["a"] * 3, "sample_weight: expected real numbers"),
        ([10**400] * 3, "sample_weight: expected real numbers"),
    ):
        with pytest.raises(NpnetError, match=sentence):
            npnet.MSELoss()(pred, target, sample_weight=weight)
    value, grad = npnet.MSELoss().value_and_grad(pred, target, sample_weight=np.zeros(3))
    assert np.isnan(value)
    assert not grad.any()


KINDS = [
    (npnet.CrossEntropyLoss, "weight"),
    (npnet.NLLLoss, "weight"),
    (npnet.BCEWithLogitsLoss, "pos_weight"),
    (npnet.BCEWithLogitsLoss, "weight"),
    (npnet.BCELoss, "weight"),
    (npnet.MultiLabelSoftMarginLoss, "weight"),
    (npnet.MultiMarginLoss, "weight"),
]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0, 5e-324, 1e-40, 1e39])
@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_wrong_weights_of_classes_are_named(kind, name, wrong):
    if wrong == -1 and name == "weight":  # PyTorch takes them
        assert kind(**{name: [1.0, wrong, 2.0]}).weight[1] == -1
        return
    sentence = f"{kind.__name__} expects {name}[1] to be 0 or .*, got {wrong}"
    with pytest.raises(ArgumentError, match=re.escape(sentence).replace(r"\.\*", ".*")):
        kind(**{name: [1.0, wrong, 2.0]})


def test_weights_of_classes_are_copied():
    weight = np.array([1.0, 2.0])
    loss = npnet.CrossEntropyLoss(weight)
    weight[:] = 5
    assert loss.weight.tolist() == [1, 2]


@pytest.mark.parametrize("weight", [1e-30, 1e30])
@pytest.mark.parametrize("kind", [npnet.CrossEntropyLoss, npnet.NLLLoss])
def test_extreme_weights_of_classes_are_right_in_float32(kind, weight):
    rng = np.random.default_rng(3)
    pred, labels = rng.normal(size=(5, 3)).astype(np.float32), rng.integers(0, 3, 5)
    value, grad = kind([weight] * 3).value_and_grad(pred, labels, sample_weight=np.full(5, 1e-30))
    plain, its_grad = kind().value_and_grad(pred, labels)
    np.testing.assert_allclose(value, plain, rtol=1e-6)
    np.testing.assert_allclose(grad, its_grad, rtol=1e-6)
