import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npnet
from npnet.errors import ArgumentError, DtypeError, ShapeError, SignatureError, TargetError
from npnet.training import (
    Accuracy,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    R2Score,
    Trainer,
)


def by_batches(metric, pred, target, size):
    for start in range(0, len(pred), size):
        metric.update(pred[start : start + size], target[start : start + size])
    return metric.result()


def loop_r2(pred, target):
    """The definition in exact arithmetic, an output at a time."""
    scores = []
    for p, t in zip(pred.reshape(len(pred), -1).T, target.reshape(len(pred), -1).T, strict=True):
        p, t = [Fraction(float(v)) for v in p], [Fraction(float(v)) for v in t]
        mean = sum(t) / len(t)
        residual = sum((a - b) ** 2 for a, b in zip(p, t, strict=True))
        spread = sum((b - mean) ** 2 for b in t)
        scores.append(float(1 - residual / spread) if spread else float(residual == 0))
    return sum(scores) / len(scores)


@given(
    n=st.integers(2, 30),
    size=st.integers(1, 31),
    trailing=st.sampled_from([(), (1,), (3,), (2, 2)]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 10**6),
)
def test_regression_metrics_are_those_of_the_whole_set(n, size, trailing, dtype, seed):
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(n, *trailing)).astype(dtype)
    pred = (target + rng.normal(size=target.shape)).astype(dtype)
    wide = pred.astype(np.float64) - target
    assert by_batches(MeanAbsoluteError(), pred, target, size) == pytest.approx(
        np.abs(wide).mean(), rel=1e-13
    )
    assert by_batches(MeanSquaredError(), pred, target, size) == pytest.approx(
        (wide**2).mean(), rel=1e-13
    )
    assert by_batches(R2Score(), pred, target, size) == pytest.approx(
        loop_r2(pred, target), rel=1e-11, abs=1e-11
    )


@pytest.mark.parametrize("offset", [1e4, 1e8, -1e12])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_r2_survives_a_large_offset(rng, offset, size):
    target = offset + rng.normal(size=100)
    pred = target + 0.1 * rng.normal(size=100)
    assert by_batches(R2Score(), pred, target, size) == pytest.approx(
        loop_r2(pred, target), rel=1e-12
    )


def test_r2_of_published_examples():
    # scikit-learn's documentation of r2_score
    pred, target = np.array([2.5, 0.0, 2, 8]), np.array([3, -0.5, 2, 7])
    assert by_batches(R2Score(), pred, target, 3) == pytest.approx(0.948608137)
    target = np.array([[0.5, 1], [-1, 1], [7, -6]])
    pred = np.array([[0, 2], [-1, 2], [8, -5]])
    assert by_batches(R2Score(), pred, target, 2) == pytest.approx(0.9368005)


def test_r2_where_it_is_not_defined():
    two = np.array([2.0, 2.0])
    assert by_batches(R2Score(), two, two, 1) == 1.0
    assert by_batches(R2Score(), two + 1, two, 1) == 0.0
    both = np.array([[2.0, 0.0], [2.0, 1.0]])
    assert by_batches(R2Score(), both + np.array([[1, 0], [1, 0]]), both, 1) == 0.5
    assert math.isnan(by_batches(R2Score(), two[:1], two[:1], 1))
    for kind in R2Score, MeanAbsoluteError, MeanSquaredError, Accuracy:
        assert math.isnan(kind().result())


def test_integers_and_booleans_are_subtracted_as_numbers():
    assert by_batches(MeanAbsoluteError(), np.uint8([1, 2]), np.uint8([3, 1]), 2) == 1.5
    assert by_batches(MeanSquaredError(), np.array([True, False]), np.array([False, False]), 1) == (
        0.5
    )


@given(
    n=st.integers(1, 20),
    classes=st.integers(2, 4),
    trailing=st.sampled_from([(), (1,), (2, 3)]),
    size=st.integers(1, 21),
    seed=st.integers(0, 10**6),
)
def test_accuracy_of_labels_and_of_rows(n, classes, trailing, size, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes, *trailing))
    labels = rng.integers(classes, size=(n, *trailing))
    right = 0
    for place in np.ndindex(labels.shape):
        sample = logits[place[0], :, *place[1:]]
        right += max(range(classes), key=lambda c, s=sample: s[c]) == labels[place]
    expected = right / labels.size
    rows = np.moveaxis(np.eye(classes)[labels], -1, 1)
    for target in (
        labels,
        labels.astype(np.float32),
        rows,
        0.8 * rows + 0.2 / classes,
        2 * rows - 1,
    ):
        assert by_batches(Accuracy(), logits, target, size) == expected


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 1, 2)])
def test_binary_accuracy(rng, shape):
    logits, target = rng.normal(size=shape), rng.integers(2, size=shape)
    expected = np.mean([(z > 0) == (t == 1) for z, t in zip(logits.flat, target.flat, strict=True)])
    assert by_batches(Accuracy(), logits, target, 4) == expected
    sigmoid = 1 / (1 + np.exp(-logits))
    assert by_batches(Accuracy(threshold=0.5), sigmoid, target, 4) == expected
    assert by_batches(Accuracy(), np.zeros(shape), target, 4) == np.mean(target == 0)


def test_several_labels_at_once_need_to_be_asked_for():
    logits = np.array([[1.0, -1.0, 2.0], [-1.0, 3.0, 1.0]])
    target = np.array([[1, 0, 1], [0, 1, 0]])
    with pytest.raises(TargetError, match=r"Accuracy\(binary=True\)"):
        Accuracy().update(logits, target)
    assert by_batches(Accuracy(binary=True), logits, target, 1) == 5 / 6


@pytest.mark.parametrize("ignore_index", [-100, 1])
def test_ignored_labels_are_not_counted(rng, ignore_index):
    logits = rng.normal(size=(30, 3))
    labels = rng.integers(3, size=30)
    labels[::4] = ignore_index
    kept = labels != ignore_index
    expected = np.mean(logits[kept].argmax(1) == labels[kept])
    assert by_batches(Accuracy(ignore_index=ignore_index), logits, labels, 7) == expected


@pytest.mark.parametrize(
    ("pred", "target"),
    [((4, 3), (4, 1)), ((4, 1), (4,)), ((4,), (4, 1)), ((4, 3), (3,)), ((4, 3, 2), (4, 3))],
)
def test_shapes_that_do_not_match_are_refused(pred, target):
    for kind in Accuracy, MeanAbsoluteError, MeanSquaredError, R2Score:
        with pytest.raises(ShapeError, match=rf"{kind.name}.*got \({target[0]},"):
            kind().update(np.zeros(pred), np.zeros(target))


def test_inputs_stay_as_they_are(rng):
    pred, target = rng.normal(size=(5, 3)), np.eye(3)[[0, 2, 1, 1, 0]]
    copies = pred.copy(), target.copy()
    for kind in Accuracy, MeanAbsoluteError, MeanSquaredError, R2Score:
        kind().update(pred, target)
    assert np.array_equal(pred, copies[0])
    assert np.array_equal(target, copies[1])


# --- metrics of a Trainer


def make(metrics, loss=None, outputs=2):
    model = npnet.Linear(3, outputs)
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
    return Trainer(model, npnet.CrossEntropyLoss() if loss is None else loss, optimizer, metrics)


def largest_error(y_pred, y_true):
    return np.abs(y_pred - y_true).max()


@pytest.mark.parametrize("size", [1, 4, 100])
def test_all_kinds_of_metrics_in_one_trainer(rng, size):
    x, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 2))
    trainer = make(["MAE", "mse", "R2", largest_error], npnet.MSELoss())
    result = trainer.evaluate(x, y, batch_size=size)
    error = trainer.model(x).astype(np.float64) - y
    assert list(result) == ["loss", "mae", "mse", "r2", "largest_error"]
    assert all(type(value) is float for value in result.values())
    assert result["mse"] == pytest.approx((error**2).mean(), rel=1e-6)
    assert result["largest_error"] == pytest.approx(np.abs(error).max(), rel=1e-6)


def test_a_single_metric_needs_no_list(rng):
    x, y = rng.normal(size=(5, 3)), rng.integers(2, size=5)
    assert list(make("accuracy").evaluate(x, y)) == ["loss", "accuracy"]
    assert list(make(Accuracy()).evaluate(x, y)) == ["loss", "accuracy"]


def test_a_function_sees_everything_once_even_if_a_loader_reuses_its_arrays(rng):
    x, y = rng.normal(size=(2, 10, 2)).astype(np.float32)
    seen = []

    def spy(y_pred, y_true):
        seen.append((y_pred, y_true))
        return 0

    class Reusing:
        def __iter__(self):
            xb, yb = np.empty((5, 2), np.float32), np.empty((5, 2))
            for start in 0, 5:
                xb[...], yb[...] = x[start : start + 5], y[start : start + 5]
                yield xb, yb

    trainer = make([spy], npnet.MSELoss())
    trainer.model = npnet.Flatten()  # gives its input back
    trainer.evaluate(Reusing())
    ((y_pred, y_true),) = seen
    assert np.array_equal(y_true, y)
    assert np.array_equal(y_pred, x)


def test_a_metric_of_the_user_starts_anew_for_every_pass(rng):
    class Count(Metric):
        name = "count"

        def __init__(self):
            self.rows = []

        def update(self, pred, target):
            self.rows.append(len(pred))

        def result(self):
            return sum(self.rows)

    x, y = rng.normal(size=(10, 3)), rng.integers(2, size=10)
    count = Count()
    trainer = make([count])
    history = trainer.fit(x, y, epochs=2, validation_split=0.3)
    assert history["count"] == [7, 7]
    assert history["val_count"] == [3, 3]
    assert trainer.evaluate(x, y)["count"] == 10
    assert count.rows == []


def test_evaluating_within_training_does_not_disturb_its_metrics(rng):
    x, y = rng.normal(size=(40, 3)), rng.integers(2, size=40)

    class Peek(npnet.training.Callback):
        def on_batch_end(self, trainer, loss):
            trainer.evaluate(x[:3], y[:3])

    histories = []
    for callbacks in [], [Peek()]:
        npnet.manual_seed(1)
        histories.append(make(["accuracy"]).fit(x, y, rng=0, callbacks=callbacks))
    assert dict(histories[0]) == dict(histories[1])


@pytest.mark.parametrize(
    ("loss", "target", "expected"),
    [
        (npnet.BCEWithLogitsLoss(), [[1, 0], [1, 1], [0, 1], [0, 0]], 5 / 8),
        (npnet.FocalLoss(), [[1, 0], [1, 1], [0, 1], [0, 0]], 5 / 8),
        (npnet.SoftMarginLoss(), [[1, -1], [1, 1], [-1, 1], [-1, -1]], 5 / 8),
        (npnet.MSELoss(), [[1, 0], [1, 0], [0, 1], [0, 1]], 3 / 4),
        (npnet.CrossEntropyLoss(), [0, 0, 1, -100], 3 / 3),
    ],
)
def test_accuracy_depends_on_the_loss(loss, target, expected):
    trainer = make(["accuracy"], loss)
    trainer.model.weight.data = [[1, 0, 0], [0, 1, 0]]
    trainer.model.bias.data = [0, 0]
    x = np.array([[0.4, 0.3, 0], [0.3, 0.2, 0], [-1, 0.2, 0], [0.3, 0.2, 0]])
    assert trainer.evaluate(x, np.array(target))["accuracy"] == expected


@pytest.mark.parametrize(("loss", "threshold"), [(npnet.MSELoss(), 0.5),
                                                 (npnet.BCEWithLogitsLoss(), 0.0)])  # fmt: skip
def test_the_binary_threshold_depends_on_the_loss(rng, loss, threshold):
    x, y = rng.normal(size=(40, 3)), rng.integers(2, size=(40, 1))
    trainer = make(["accuracy"], loss, outputs=1)
    trainer.model.weight.data *= 3
    expected = np.mean((trainer.model(x) > threshold) == y)
    assert trainer.evaluate(x, y)["accuracy"] == expected


def test_the_threshold_of_probabilities(rng):
    x, y = rng.normal(size=(40, 3)), rng.integers(2, size=(40, 2))
    model = npnet.Sequential(npnet.Linear(3, 2), npnet.Sigmoid())
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
    trainer = npnet.Trainer(model, npnet.BCELoss(), optimizer, metrics=["accuracy"])
    assert trainer.evaluate(x, y)["accuracy"] == np.mean((model(x) > 0.5) == y)


def test_bad_metrics():
    with pytest.raises(ArgumentError, match="one of .*, got 'accurcy'; did you mean 'accuracy'\\?"):
        make(["accurcy"])
    with pytest.raises(ArgumentError, match=r"add parentheses: Accuracy\(...\)"):
        make([Accuracy])
    with pytest.raises(ArgumentError, match="a metric to be a name, a Metric or .*, got 3"):
        make([3])
    with pytest.raises(ArgumentError, match="metrics to be a list of names, .* got 3"):
        make(3)
    with pytest.raises(ArgumentError, match="'mae' is taken"):
        make(["mae", "MAE"], npnet.MSELoss())
    for name in "loss", "lr", "epoch", "val_mae":
        metric = MeanAbsoluteError()
        metric.name = name
        with pytest.raises(ArgumentError, match=f"'{name}' is taken"):
            make([metric])

    class Nameless(Metric):
        pass

    with pytest.raises(ArgumentError, match="Nameless needs a name"):
        make([Nameless()])


@pytest.mark.parametrize("value", [np.ones(3), 1j, "x", None, [1.0]])
def test_a_function_must_return_a_number(rng, value):
    def strange(y_pred, y_true):
        return value

    with pytest.raises(ArgumentError, match="the metric strange to be one real number"):
        make([strange]).evaluate(rng.normal(size=(4, 3)), np.zeros(4, int))


@pytest.mark.parametrize(
    ("name", "right"),
    [("acc", "accuracy"), ("binary_accuracy", "accuracy"), ("mean_squared_error", "mse"),
     ("r2_score", "r2"), ("maee", "mae")],
)  # fmt: skip
def test_names_of_other_frameworks_are_answered(name, right):
    with pytest.raises(ArgumentError, match=f"got '{name}'; did you mean '{right}'"):
        make([name], npnet.MSELoss())


def test_a_function_of_other_arguments_is_refused_at_once():
    def precision(y_true, y_pred):
        return 0.0

    with pytest.raises(ArgumentError, match=r"takes \(y_true, y_pred\).*return precision\(y_true"):
        make([precision])
    with pytest.raises(SignatureError, match=r"called with \(y_pred, y_true\).*takes \(y_pred\)"):
        make([lambda y_pred: 0.0])
    with pytest.raises(ArgumentError, match="metrics to be a list"):
        make({"accuracy": 1})
    make([max, np.corrcoef])  # whose signature nobody knows, or fits


def test_bad_arguments_of_accuracy():
    for options in (
        {"binary": "no"}, {"binary": 1}, {"threshold": "x"}, {"threshold": math.nan},
        {"ignore_index": 0.5}, {"ignore_index": True},
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=f"Accuracy expects {next(iter(options))} to be"):
            Accuracy(**options)
    with pytest.raises(SignatureError, match="Accuracy"):
        Accuracy(treshold=0.5)
    for kind in Accuracy, MeanAbsoluteError, MeanSquaredError, R2Score:
        with pytest.raises(DtypeError, match="prediction: expected real numbers"):
            kind().update(np.array(["a"]), np.array([1]))
        with pytest.raises(ShapeError, match="got a scalar"):
            kind().update(1.0, 1.0)
        lists = kind()
        lists.update([[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]])
        assert lists.result() in (0.0, 1.0)


def test_infinite_predictions_are_measured_without_a_warning():
    pred, target = np.array([[np.inf], [1.0]]), np.array([[np.inf], [1.0]])
    for kind in MeanAbsoluteError, MeanSquaredError, R2Score:
        assert math.isnan(by_batches(kind(), pred, target, 2))
    assert by_batches(MeanSquaredError(), np.array([[1e200]]), np.array([[0.0]]), 1) == math.inf


def test_the_result_of_every_metric_is_one_number(rng):
    class Odd(Metric):
        name = "odd"

        def update(self, pred, target):
            pass

        def result(self):
            return None

    with pytest.raises(ArgumentError, match="the metric odd to be one real number, got None"):
        make([Odd()]).evaluate(rng.normal(size=(4, 3)), np.zeros(4, int))


def test_a_loss_is_a_metric(rng):
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    found = make([npnet.L1Loss()], npnet.MSELoss()).evaluate(x, y, batch_size=6)
    assert list(found) == ["loss", "L1Loss"]


def test_the_metrics_of_a_trainer_follow_its_loss(rng):
    x, y = rng.normal(size=(20, 3)), rng.integers(2, size=(20, 2))
    trainer = make(["accuracy"], npnet.MSELoss())
    trainer.loss = npnet.BCEWithLogitsLoss()
    expected = np.mean((trainer.model(x) > 0) == y)
    assert trainer.evaluate(x, y)["accuracy"] == expected
