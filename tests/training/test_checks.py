"""What a Trainer says of training that would go wrong without a word."""

import warnings

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, TargetError
from npnet.training import Accuracy, Callback, Trainer
from npnet.training.checks import first_nonfinite

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 3)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(int)
COLUMN = Y[:, np.newaxis].astype(np.float32)


def make(*layers, loss=None, metrics=(), lr=0.1):
    model = npnet.Sequential(*layers) if layers else npnet.Sequential(npnet.Linear(3, 2))
    loss = npnet.CrossEntropyLoss() if loss is None else loss
    return Trainer(model, loss, npnet.optim.SGD(model.parameters(), lr=lr), metrics)


def said(action, *args, **kwargs):
    """Return the warnings of a call, all of which point at this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action(*args, **kwargs)
    assert all(w.category is RuntimeWarning and w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


# --- parameters that would not train


def test_a_layer_appended_after_the_optimizer_is_named_once():
    trainer = make()
    trainer.model.append(npnet.Linear(2, 2))
    (text,) = said(trainer.fit, X, Y, epochs=3)
    assert "does not hold 1.weight, 1.bias of the model, which will not train" in text
    assert "requires_grad_(False)" in text
    assert said(trainer.fit, X, Y) == []
    trainer.model.append(npnet.Linear(2, 2))  # another one is another mistake
    assert "1.weight, 1.bias, 2.weight, 2.bias" in said(trainer.fit, X, Y)[0]


def test_a_layer_appended_by_a_callback_is_named_too():
    trainer = make()

    def grow(trainer, logs):
        if logs["epoch"] == 1:
            trainer.model.append(npnet.Linear(2, 2))

    (text,) = said(trainer.fit, X, Y, epochs=3, callbacks=[grow])
    assert "1.weight" in text


def test_a_parameter_that_was_replaced_is_named_on_both_sides():
    trainer = make(npnet.Linear(3, 4), npnet.Linear(4, 2))
    trainer.model[0].weight = npnet.Parameter(np.zeros((4, 3)))
    (text,) = said(trainer.fit, X, Y)
    assert "does not hold 0.weight of the model" in text
    assert "holds parameters that are not the model's, of shapes (4, 3)" in text


def test_parameters_of_somebody_else_in_the_optimizer():
    model, other = npnet.Linear(3, 2), npnet.Linear(5, 7)
    both = [*model.parameters(), *other.parameters()]
    trainer = Trainer(model, npnet.CrossEntropyLoss(), npnet.optim.SGD(both, lr=0.1))
    (text,) = said(trainer.fit, X, Y)
    assert "not the model's, of shapes (7, 5), (7,)" in text


def test_freezing_on_purpose_stays_quiet_and_thawing_without_the_optimizer_does_not():
    model = npnet.Sequential(npnet.Linear(3, 4), npnet.Linear(4, 2))
    model[0].requires_grad_(False)
    optimizer = npnet.optim.SGD(model[1].parameters(), lr=0.1)
    trainer = Trainer(model, npnet.CrossEntropyLoss(), optimizer)
    assert said(trainer.fit, X, Y) == []
    model[0].requires_grad_(True)
    assert "0.weight, 0.bias" in said(trainer.fit, X, Y)[0]
    optimizer.add_param_group({"params": model[0].parameters()})
    assert said(trainer.fit, X, Y) == []


def test_what_was_added_to_the_optimizer_before_the_first_epoch_stays_quiet():
    trainer = make()

    class Extend(Callback):
        def on_train_begin(self, trainer):
            layer = npnet.Linear(2, 2)
            trainer.model.append(layer)
            trainer.optimizer.add_param_group({"params": layer.parameters()})

    assert said(trainer.fit, X, Y, callbacks=[Extend()]) == []


def test_many_names_are_cut_short():
    trainer = make()
    for _ in range(4):
        trainer.model.append(npnet.Linear(2, 2))
    assert "3.weight and 3 more of the model" in said(trainer.fit, X, Y)[0]


def test_nothing_that_would_train_is_an_error():
    trainer = make()
    trainer.model.requires_grad_(False)
    with pytest.raises(ArgumentError, match=r"are frozen; model.requires_grad_\(True\)"):
        trainer.fit(X, Y)
    trainer = make()
    trainer.model[0] = npnet.Linear(3, 2)
    with pytest.raises(ArgumentError, match="none of the model's parameters"):
        trainer.fit(X, Y)


# --- predictions that do not fit the loss


class MySoftmax(npnet.Softmax):
    pass


class MyNet(npnet.Sequential):
    pass


class Net(npnet.Layer):
    """A container of a user's own, which calls its last layer in forward."""

    def __init__(self, outputs, last):
        super().__init__()
        self.last, self.linear = last, npnet.Linear(3, outputs)  # in another order than called

    def forward(self, ctx, x):
        return ctx.call(self.last, ctx.call(self.linear, x))

    def backward(self, ctx, grad):
        while ctx.calls:
            grad = ctx.calls.pop().backward(grad)
        return grad


class ByHand(npnet.Layer):
    """Probabilities that no layer of npnet made."""

    def forward(self, ctx, x):
        y = np.exp(x - x.max(axis=1, keepdims=True))
        y /= y.sum(axis=1, keepdims=True)
        ctx.save(y)
        return y

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return y * (grad - (grad * y).sum(axis=1, keepdims=True))


ENTROPY, BINARY, NLL = npnet.CrossEntropyLoss, npnet.BCEWithLogitsLoss, npnet.NLLLoss


@pytest.mark.parametrize(
    ("loss", "layers", "expected"),
    [
        (ENTROPY, [npnet.Softmax()], "the softmax itself, but the model ends with Softmax"),
        (ENTROPY, [MySoftmax()], "ends with Softmax"),
        (ENTROPY, [npnet.Softmax(), npnet.Identity(), npnet.Flatten()], "ends with Softmax"),
        (ENTROPY, [npnet.Sequential(npnet.Sequential(npnet.Softmax()))], "ends with Softmax"),
        (ENTROPY, [MyNet(npnet.Linear(2, 2), npnet.Softmax())], "ends with Softmax"),
        (ENTROPY, [npnet.LogSoftmax()], "ends with LogSoftmax.*or use NLLLoss"),
        (ENTROPY, [npnet.Sigmoid()], "ends with Sigmoid"),
        (ENTROPY, [npnet.ReLU()], "ends with ReLU"),
        (ENTROPY, [ByHand()], "ends with probabilities"),
        (BINARY, [npnet.Sigmoid()], "the sigmoid itself, but the model ends with Sigmoid"),
        (BINARY, [npnet.Softmax()], "ends with Softmax"),
        (npnet.FocalLoss, [npnet.Sigmoid()], "FocalLoss expects logits and applies the sigmoid"),
        (BINARY, [npnet.ReLU()], "ends with ReLU"),
        (NLL, [npnet.Softmax()], r"LogSoftmax\(dim=1\) in place of Softmax"),
        (NLL, [], r"exp of them does not sum to 1; end the model with LogSoftmax\(dim=1\)"),
        (NLL, [npnet.LogSoftmax(dim=0)], "does not sum to 1"),
        (NLL, [npnet.ReLU()], "does not sum to 1"),
    ],
)
@pytest.mark.parametrize("ops", ["fused", "single"])
def test_a_last_layer_that_does_not_fit_the_loss(loss, layers, expected, ops):
    y = np.eye(2, dtype=np.float32)[Y] if loss in (BINARY, npnet.FocalLoss) else Y
    model = npnet.Sequential(npnet.Linear(3, 2), *layers, fuse=ops == "fused")
    for method in "fit", "evaluate":
        trainer = Trainer(model, loss(), npnet.optim.SGD(model.parameters(), lr=0.01))
        with pytest.warns(RuntimeWarning, match=expected) as caught:
            getattr(trainer, method)(X, y)
        assert [w.filename for w in caught] == [__file__]
        assert said(trainer.fit, X, y, validation_split=0.5) == []  # once


@pytest.mark.parametrize(("loss", "outputs", "last"), [(ENTROPY, 2, npnet.Softmax()),
                                                       (BINARY, 1, npnet.Sigmoid())])  # fmt: skip
def test_a_container_of_one_s_own_is_seen_through(loss, outputs, last):
    model = Net(outputs, npnet.Sequential(last))
    trainer = Trainer(model, loss(), npnet.optim.SGD(model.parameters(), lr=0.1))
    y = Y if outputs == 2 else COLUMN
    assert f"ends with {type(last).__name__}" in said(trainer.fit, X, y)[0]


@pytest.mark.parametrize(
    ("loss", "layers"),
    [
        (ENTROPY, []),
        (ENTROPY, [npnet.ReLU(), npnet.Linear(2, 2)]),
        (ENTROPY, [npnet.Softmax(), npnet.Linear(2, 2)]),
        (ENTROPY, [npnet.Tanh()]),
        (BINARY, [npnet.Sigmoid(), npnet.Linear(2, 2)]),
        (BINARY, []),
        (NLL, [npnet.LogSoftmax()]),
        (NLL, [npnet.Sequential(npnet.LogSoftmax(dim=1), npnet.Identity())]),
        (npnet.MSELoss, [npnet.Softmax()]),
        (npnet.L1Loss, [npnet.Sigmoid()]),
        (npnet.BCELoss, [npnet.Sigmoid()]),
    ],
)
def test_models_that_fit_their_loss_stay_quiet(loss, layers):
    trainer = make(npnet.Linear(3, 2), *layers, loss=loss())
    y = Y if loss in (ENTROPY, NLL) else np.eye(2, dtype=np.float32)[Y]
    assert said(trainer.fit, X, y, validation_split=0.2) == []
    assert said(trainer.evaluate, X, y) == []


def test_a_layer_put_behind_later_is_seen_too():
    trainer = make()
    trainer.fit(X, Y)
    trainer.model.append(npnet.Softmax())
    assert "ends with Softmax" in said(trainer.fit, X, Y)[0]
    trainer.loss = npnet.NLLLoss()
    assert "expects log-probabilities" in said(trainer.fit, X, Y)[0]


def test_predictions_are_looked_at_once_for_a_model_and_its_loss(monkeypatch):
    looks = []
    monkeypatch.setattr("npnet.training.advice.misfit", lambda *args: looks.append(args) or "")
    trainer = make()
    trainer.fit(X, Y, epochs=3, batch_size=8, validation_split=0.2)
    trainer.evaluate(X, Y, batch_size=8)
    assert len(looks) == 1


def test_the_check_changes_no_number():
    model, expected = npnet.Linear(3, 2), []
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, npnet.CrossEntropyLoss(), optimizer)
    for _ in range(2):
        expected.append(trainer.evaluate(X, Y))
    assert expected[0] == expected[1]
    assert expected[0]["loss"] == trainer.loss(model(X), Y)


@pytest.mark.parametrize("loss", [npnet.CrossEntropyLoss(), npnet.NLLLoss()])
@pytest.mark.parametrize("y", [Y, COLUMN, np.zeros(64, int)])
def test_one_output_is_no_classification(loss, y):
    trainer = make(npnet.Linear(3, 1), loss=loss, metrics=["accuracy"])
    for call in trainer.fit, trainer.evaluate:
        with pytest.raises(ArgumentError, match=r"shape \(\d+, 1\); use BCEWithLogitsLoss"):
            call(X, y)


# --- accuracy


@pytest.mark.parametrize("loss", [npnet.MSELoss(), npnet.L1Loss()])
@pytest.mark.parametrize("outputs", [1, 3])
def test_accuracy_over_the_values_of_a_regression_is_refused(loss, outputs):
    y = RNG.uniform(size=(64, outputs))
    with pytest.raises(TargetError, match="for other numbers use 'mae', 'mse' or 'r2'"):
        make(npnet.Linear(3, outputs), loss=loss, metrics=["accuracy"]).fit(X, y)


def test_targets_of_either_sign_need_their_threshold():
    signs = 2 * COLUMN - 1
    with pytest.raises(TargetError, match=r"got -1.0; for targets -1 and 1 pass .*threshold=0.0"):
        make(npnet.Linear(3, 1), loss=npnet.MSELoss(), metrics=["accuracy"]).fit(X, signs)
    metric = Accuracy(threshold=0.0)
    trainer = make(npnet.Linear(3, 1), npnet.Tanh(), loss=npnet.MSELoss(), metrics=[metric])
    expected = np.mean((trainer.model(X) > 0) == (signs > 0))
    assert trainer.evaluate(X, signs)["accuracy"] == expected


def test_soft_targets_count_by_their_larger_side_with_a_binary_loss_alone():
    soft = 0.8 * COLUMN + 0.1
    trainer = make(npnet.Linear(3, 1), loss=npnet.BCEWithLogitsLoss(), metrics=["accuracy"])
    expected = np.mean((trainer.model(X) > 0) == (COLUMN > 0.5))
    assert trainer.evaluate(X, soft)["accuracy"] == expected
    with pytest.raises(TargetError, match="0 or 1"):
        Accuracy().update(trainer.model(X), soft)


class Hinge(npnet.losses.Loss):
    def terms(self, pred, target, with_grad):
        margin = 1 - target * pred
        grad = np.where(margin > 0, -target, 0) if with_grad else None
        return npnet.losses.loss.Terms(np.maximum(margin, 0), None, grad)


def test_the_threshold_of_an_unknown_loss_is_not_guessed():
    signs = 2 * COLUMN - 1
    with pytest.raises(ArgumentError, match=r"Accuracy\(threshold=0.0\) or Accuracy\(threshold=0"):
        make(npnet.Linear(3, 1), loss=Hinge(), metrics=["accuracy"]).fit(X, signs)
    make(npnet.Linear(3, 1), loss=Hinge(), metrics=[Accuracy()]).fit(X, signs)


def test_labels_are_whole():
    with pytest.raises(TargetError, match="whole labels, got 0.5"):
        Accuracy().update(np.eye(2), np.array([1.0, 0.5]))


@pytest.mark.parametrize("name", ["mae", "mse", "r2"])
@pytest.mark.parametrize("loss", [ENTROPY, BINARY, NLL])
def test_distances_of_logits_are_refused(name, loss):
    with pytest.raises(ArgumentError, match=f"'{name}' measures distances.*use 'accuracy'"):
        make(loss=loss(), metrics=[name])


# --- numbers that are not finite


def spoilt(array, place, value):
    array = np.array(array, np.float64)
    array[place] = value
    return array


TARGETS = RNG.normal(size=(64, 2))


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [((17, 2), np.nan, r"x[17, 2] is nan"), ((63, 0), -np.inf, "x[63, 0] is -inf"),
     ((5, 1), 1e300, "x[5, 1] is 1e+300, too large for float32")],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_the_first_place_in_the_arrays_is_named(place, value, text):
    x = spoilt(X, place, value)
    trainer = make(loss=npnet.MSELoss())
    with np.errstate(all="ignore"):
        messages = said(trainer.fit, x, TARGETS, epochs=2, batch_size=8, rng=0)
        assert len(messages) == 1
        assert text in messages[0]
        assert "learning rate" not in messages[0]
        messages = said(make(loss=npnet.MSELoss()).evaluate, x, TARGETS)
        assert len(messages) == 1
        assert messages[0].endswith(f": {text}")


def test_targets_and_several_inputs_are_searched_too():
    y = spoilt(TARGETS, (3, 1), np.inf)
    with np.errstate(all="ignore"):
        assert "y[3, 1] is inf" in said(make(loss=npnet.MSELoss()).fit, X, y)[0]

    class Sum(npnet.Linear):
        def forward(self, ctx, a, b):
            return super().forward(ctx, a + b)

        def backward(self, ctx, grad):
            grad = super().backward(ctx, grad)
            return grad, grad

    model = Sum(3, 2)
    trainer = Trainer(model, npnet.MSELoss(), npnet.optim.SGD(model.parameters(), lr=0.1))
    second = spoilt(X, (9, 1), np.nan)
    assert "x[1][9, 1] is nan" in said(trainer.fit, (X, second), TARGETS)[0]
    batches = [((X[:8], X[:8]), TARGETS[:8]), ((X[8:16], second[8:16]), TARGETS[8:16])]
    model.load_state_dict(npnet.Linear(3, 2).state_dict())
    other = Trainer(model, npnet.MSELoss(), trainer.optimizer)
    assert "x[1][1, 1] is nan, in batch 2" in said(other.evaluate, batches)[0]


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_in_batches_of_a_loader_the_batch_is_named(method):
    x = spoilt(X, (20, 1), np.nan)
    loader = npnet.data.DataLoader((x, TARGETS), batch_size=8)
    messages = said(getattr(make(loss=npnet.MSELoss()), method), loader)
    assert len(messages) == 1
    assert "x[4, 1] is nan, in batch 3" in messages[0]


def test_validation_data_is_searched_as_well_and_named_apart():
    bad = spoilt(X, (2, 0), np.nan)
    trainer = make(loss=npnet.MSELoss())
    messages = said(trainer.fit, X, TARGETS, epochs=3, validation_data=(bad, TARGETS))
    assert messages == ["the validation loss is nan: x[2, 0] is nan"]


def test_a_target_that_the_loss_refuses_is_located():
    y = spoilt(COLUMN, (6, 0), np.nan)
    trainer = make(npnet.Linear(3, 1), loss=npnet.BCEWithLogitsLoss())
    for call in trainer.fit, trainer.evaluate:
        with pytest.raises(TargetError, match=r"targets from 0 to 1.*; y\[6, 0\] is nan"):
            call(X, y)
    with pytest.raises(TargetError, match="0 to 1, got 2.0 at target.*CrossEntropyLoss$"):
        trainer.fit(X, COLUMN + 1)


def test_finite_data_that_diverges_gets_the_other_advice():
    trainer = make(npnet.Linear(3, 2), loss=npnet.MSELoss(), lr=1e20)
    with np.errstate(all="ignore"):
        messages = said(trainer.fit, X, TARGETS, epochs=5, batch_size=8)
        assert len(messages) == 1
        assert "a smaller learning rate" in messages[0]
        other = Trainer(trainer.model, trainer.loss, trainer.optimizer)
        assert (
            "the data is finite, and the model's 0.weight is not"
            in said(other.evaluate, X, TARGETS)[0]
        )


def test_the_first_place_in_blocks_larger_than_one(monkeypatch):
    monkeypatch.setattr("npnet.training.checks._BLOCK", 7)
    x = np.zeros((50, 2, 2))
    x[33, 1, 0] = x[40, 0, 0] = np.nan
    assert first_nonfinite({"a": np.zeros(3), "x": x}, None) == "x[33, 1, 0] is nan"
    assert first_nonfinite({"x": np.zeros((0, 3)), "n": np.arange(3)}, np.dtype("f4")) == ""


# --- a loss of several predictions or targets


class GaussianNLL(npnet.losses.Loss):
    """The mean of (log v + (t - m)^2 / v) / 2, in PyTorch's order of arguments."""

    arguments = ("mean", "target", "var")
    predictions = ("mean", "var")

    def evaluate(self, mean, target, var, sample_weight=None, with_grad=True):
        assert sample_weight is None
        error, n = mean - target, mean.size
        value = float(np.mean(np.log(var) + error**2 / var) / 2)
        grads = error / var / n, (1 / var - error**2 / var**2) / 2 / n
        return npnet.losses.LossValue(value, grads if with_grad else None, float(n))


class TwoHeads(npnet.Layer):
    def __init__(self):
        super().__init__()
        self.mean, self.log_var = npnet.Linear(3, 1), npnet.Linear(3, 1)

    def forward(self, ctx, x):
        mean, var = ctx.call(self.mean, x), np.exp(ctx.call(self.log_var, x))
        ctx.save(var)
        return mean, var

    def backward(self, ctx, grad_mean, grad_var):
        (var,) = ctx.saved
        mean, log_var = ctx.calls
        a = log_var.backward(grad_var * var)
        b = mean.backward(grad_mean)
        return a + b


def test_several_outputs_train_as_in_pytorch():
    torch = pytest.importorskip("torch")
    model = TwoHeads().astype(np.float64)
    state = {k: torch.tensor(v) for k, v in model.state_dict().items()}
    weights = [state[k].requires_grad_() for k in state]
    theirs = torch.optim.SGD(weights, lr=0.1)
    y = RNG.normal(size=(64, 1))
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, GaussianNLL(), optimizer, ["mse"])
    history = trainer.fit(X, y, epochs=3, batch_size=64, shuffle=False)
    x, t = torch.tensor(X, dtype=torch.float64), torch.tensor(y)
    for epoch in range(3):
        mean = x @ state["mean.weight"].T + state["mean.bias"]
        var = torch.exp(x @ state["log_var.weight"].T + state["log_var.bias"])
        loss = torch.nn.functional.gaussian_nll_loss(mean, t, var)
        theirs.zero_grad()
        loss.backward()
        theirs.step()
        assert history["loss"][epoch] == pytest.approx(loss.item(), rel=1e-10)
        assert history["mse"][epoch] == pytest.approx(((mean - t) ** 2).mean().item(), rel=1e-10)
    for name, value in model.state_dict().items():
        assert value == pytest.approx(state[name].detach().numpy(), rel=1e-9, abs=1e-12)


class Weighted(npnet.losses.Loss):
    """Two targets: the mean of k (p - t)^2."""

    arguments = ("pred", "target", "factor")

    def evaluate(self, pred, target, factor, sample_weight=None, with_grad=True):
        error = pred - target
        grad = 2 * factor * error / error.size
        return npnet.losses.LossValue(float(np.mean(factor * error**2)), grad, float(error.size))


def test_several_targets_come_as_a_tuple():
    trainer = make(npnet.Linear(3, 1), loss=Weighted(), metrics=["mse"])
    factor = RNG.uniform(size=(64, 1))
    expected = float(np.mean(factor * (trainer.model(X) - COLUMN) ** 2))
    found = trainer.evaluate([(X, (COLUMN, factor))])
    assert found["loss"] == pytest.approx(expected)
    assert found["mse"] == pytest.approx(float(np.mean((trainer.model(X) - COLUMN) ** 2)))
    before = trainer.model.state_dict()
    trainer.fit([(X, (COLUMN, factor))])
    assert trainer.evaluate([(X, (COLUMN, factor))])["loss"] < expected
    assert not np.array_equal(before["0.weight"], trainer.model.state_dict()["0.weight"])
    with pytest.raises(ArgumentError, match=r"2 targets \(target, factor\), and y holds 1"):
        trainer.fit(X, COLUMN)


def test_a_wrong_number_of_outputs_is_told_with_the_names():
    trainer = make(npnet.Linear(3, 1), loss=GaussianNLL())
    for call in trainer.fit, trainer.evaluate:
        with pytest.raises(ArgumentError, match=r"2 predictions \(mean, var\), and .* returns 1"):
            call(X, COLUMN)
    model = TwoHeads()
    trainer = Trainer(model, npnet.MSELoss(), npnet.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ArgumentError, match=r"1 prediction \(pred\), and the model returns 2"):
        trainer.fit(X, COLUMN)


# --- schedules in epochs


def half_each_epoch(steps_per_epoch=None):
    schedules = npnet.schedules
    return schedules.per_epoch(schedules.ExponentialLR(1.0, gamma=0.5), steps_per_epoch)


def test_schedules_in_epochs_are_told_how_long_one_is():
    trainer = make(lr=half_each_epoch())
    history = trainer.fit(X, Y, epochs=3, batch_size=20, validation_split=0.1)
    assert history["lr"] == [1.0, 0.5, 0.25]
    trainer = make(lr=half_each_epoch(3))
    (text,) = said(trainer.fit, X, Y, batch_size=8)
    assert "counts 3 steps as an epoch, and an epoch of these data has 8" in text


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        (half_each_epoch(), True),
        (npnet.schedules.warmup(half_each_epoch(), 2), True),
        (npnet.schedules.OneCycleLR(0.1, epochs=30), True),
        (npnet.schedules.OneCycleLR(0.1, total_steps=100), False),
        (npnet.schedules.StepLR(0.1, 3), False),
        (lambda step: 0.1, False),
    ],
)
def test_another_length_of_the_epochs_is_told_to_those_who_count_epochs(schedule, told):
    trainer = make(lr=schedule)
    trainer.fit(X, Y, batch_size=20)
    found = said(trainer.fit, X, Y, batch_size=10)
    assert [("an epoch had" in text) for text in found] == [True] * told


def test_without_a_length_the_schedule_must_bring_the_number():
    stream = [(X, Y)]

    class Endless:
        def __iter__(self):
            return iter(stream)

    trainer = make(lr=half_each_epoch())
    with pytest.raises(ArgumentError, match="steps_per_epoch=100.*not of a generator"):
        trainer.fit(Endless())
    trainer.optimizer.lr = half_each_epoch(1)
    assert trainer.fit(Endless(), epochs=2)["lr"] == [1.0, 0.5]
