"""What a Trainer may be given beside its model: an average of it, and penalties."""

import copy

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError
from npnet.training import Callback, EarlyStopping, Trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X @ [[1.0], [-2.0], [0.5]] + 0.3


class Mean:
    """The mean of the models after each step, with the interface of an averaged model."""

    def __init__(self, model):
        self.module = copy.deepcopy(model)
        self.count = 0

    def update_parameters(self, model):
        self.count += 1
        for mine, new in zip(self.module.parameters(), model.parameters(), strict=True):
            mine.data = mine.data + (new.data - mine.data) / self.count

    def __call__(self, *inputs):
        return self.module(*inputs)

    def state_dict(self):
        return self.module.state_dict()

    def load_state_dict(self, state):
        self.module.load_state_dict(state)


class Ridge:
    """strength * sum of squares / 2, with the interface of a penalty."""

    def __init__(self, parameters, strength):
        self.parameters = list(parameters)
        self.strength = strength

    def __call__(self):
        return 0.5 * self.strength * sum(float((p.data**2).sum()) for p in self.parameters)

    def backward(self):
        for p in self.parameters:
            p.add_grad(self.strength * p.data)


def linear():
    npnet.manual_seed(0)
    return npnet.Linear(3, 1, dtype=np.float64)


def make(model=None, **arguments):
    model = linear() if model is None else model
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.05)
    return Trainer(model, npnet.MSELoss(), optimizer, **arguments)


def weights(layer):
    return np.concatenate([p.data.ravel() for p in layer.parameters()])


# --- averages


def test_the_average_is_of_the_model_after_each_step():
    seen = []

    class Record(Callback):
        def on_batch_end(self, trainer, loss):
            seen.append(weights(trainer.model))

    model = linear()
    averaged = Mean(model)
    trainer = make(model, averaged=averaged)
    trainer.fit(X, Y, epochs=3, batch_size=7, callbacks=[Record()])
    assert averaged.count == trainer.optimizer.step_count == 18
    np.testing.assert_allclose(weights(averaged.module), np.mean(seen, axis=0), rtol=1e-12)


def test_the_training_itself_is_the_same():
    model = linear()
    with_average = make(model, averaged=Mean(model)).fit(X, Y, epochs=3, rng=0)
    without = make()
    history = without.fit(X, Y, epochs=3, rng=0)
    assert dict(with_average) == dict(history)
    assert np.array_equal(weights(model), weights(without.model))


def test_validation_evaluation_and_prediction_are_of_the_average():
    model = linear()
    averaged = Mean(model)
    trainer = make(model, averaged=averaged, metrics=["mae"])
    history = trainer.fit(X, Y, epochs=2, batch_size=8, validation_data=(X, Y))
    expected = np.mean((averaged(X) - Y) ** 2)
    assert expected != pytest.approx(np.mean((model(X) - Y) ** 2))
    assert history["val_loss"][-1] == pytest.approx(expected, rel=1e-12)
    assert history["val_mae"][-1] == pytest.approx(np.abs(averaged(X) - Y).mean(), rel=1e-12)
    assert trainer.evaluate(X, Y)["loss"] == history["val_loss"][-1]
    assert np.array_equal(trainer.predict(X), averaged(X))
    trainer.averaged = None
    assert np.array_equal(trainer.predict(X), model(X))


def test_one_update_for_each_step_of_several_batches():
    model = linear()
    averaged = Mean(model)
    make(model, averaged=averaged).fit(X, Y, batch_size=4, accumulate=4)
    assert averaged.count == 3


def test_early_stopping_puts_back_the_average_of_the_best_epoch():
    seen = []

    class Record(Callback):
        def on_epoch_end(self, trainer, logs):
            seen.append((weights(trainer.model), weights(trainer.averaged.module)))

    model = linear()
    averaged = Mean(model)
    trainer = make(model, averaged=averaged)
    stopping = EarlyStopping("val_loss", mode="max", patience=2)  # worse is better: the first one
    trainer.fit(X, Y, epochs=5, validation_data=(X, Y), callbacks=[stopping, Record()])
    assert stopping.best_epoch == 1
    assert len(seen) == 3
    assert np.array_equal(weights(model), seen[0][0])
    assert np.array_equal(weights(averaged.module), seen[0][1])


@pytest.mark.parametrize("wrong", [3, linear(), Mean, "ema", lambda x: x])
def test_what_is_no_average_is_refused(wrong):
    with pytest.raises(ArgumentError, match=r"averaged to be an AveragedModel, with update_param"):
        make(averaged=wrong)
    trainer = make()
    with pytest.raises(ArgumentError, match="averaged to be"):
        trainer.averaged = wrong


# --- penalties


def test_a_penalty_is_a_decay_of_the_weights():
    plain = linear()
    decayed = Trainer(
        plain, npnet.MSELoss(), npnet.optim.SGD(plain.parameters(), lr=0.05, weight_decay=0.4)
    )
    decayed.fit(X, Y, epochs=2, batch_size=7, rng=0)
    model = linear()
    trainer = make(
        model, penalties=[Ridge(model.parameters(), 0.3), Ridge(model.parameters(), 0.1)]
    )
    trainer.fit(X, Y, epochs=2, batch_size=7, rng=0)
    np.testing.assert_allclose(weights(model), weights(plain), rtol=1e-13)


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_losses_contain_the_penalty(reduction, accumulate):
    class Record(Callback):
        def __init__(self):
            self.penalties, self.losses = [], []

        def on_backward_end(self, trainer):
            self.penalties.append(penalty())

        def on_batch_end(self, trainer, loss):
            self.losses.append(loss)

    results = []
    for strength in 0.3, 0.0:
        model = linear()
        penalty = Ridge(model.parameters(), strength)
        loss = npnet.MSELoss(reduction=reduction)
        optimizer = npnet.optim.SGD(model.parameters(), lr=0.0)
        trainer = Trainer(model, loss, optimizer, penalties=penalty)
        record = Record()
        history = trainer.fit(
            X, Y, batch_size=9, accumulate=accumulate, rng=0, callbacks=[record],
            validation_data=(X, Y),
        )  # fmt: skip
        results.append((history, record, penalty(), trainer.evaluate(X, Y)))
    (history, record, value, evaluated), (plain, before, _, without) = results
    assert value > 0.01
    assert history["loss"][0] == pytest.approx(plain["loss"][0] + value, rel=1e-12)
    assert history["val_loss"][0] == pytest.approx(plain["val_loss"][0] + value, rel=1e-12)
    assert evaluated["loss"] == pytest.approx(without["loss"] + value, rel=1e-12)
    np.testing.assert_allclose(record.losses, np.add(before.losses, value), rtol=1e-12)
    assert record.penalties == [pytest.approx(value)] * (5 if accumulate == 1 else 2)


def test_the_reported_penalty_is_the_mean_over_the_samples_of_the_steps():
    class Count:
        calls = 0

        def __call__(self):
            Count.calls += 1
            return float(Count.calls)

        def backward(self):
            pass

    model = linear()
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.0)
    trainer = Trainer(model, npnet.MSELoss(), optimizer, penalties=[Count()])
    history = trainer.fit(X, Y, batch_size=30)
    data = np.mean((model(X) - Y) ** 2)
    assert history["loss"][0] == pytest.approx(data + (30 * 1 + 10 * 2) / 40, rel=1e-12)


def test_callbacks_see_the_gradient_of_the_penalty():
    class Look(Callback):
        def on_backward_end(self, trainer):
            seen.append(trainer.model.weight.grad.copy())

    seen = []
    for strength in 0.3, 0.0:
        model = linear()
        trainer = make(model, penalties=[Ridge([model.weight], strength)])
        trainer.fit(X, Y, batch_size=40, callbacks=[Look()])
    np.testing.assert_allclose(seen[0] - seen[1], 0.3 * linear().weight.data, rtol=1e-10)


def test_a_penalty_does_not_hide_what_the_backward_pass_leaves_out():
    class Half(npnet.Layer):
        def __init__(self):
            super().__init__()
            self.used, self.unused = npnet.Linear(3, 1), npnet.Linear(3, 1)

        def forward(self, ctx, x):
            return ctx.call(self.used, x)

        def backward(self, ctx, grad):
            return ctx.calls[0].backward(grad)

    model = Half()
    trainer = make(model, penalties=[Ridge(model.parameters(), 0.1)])
    with pytest.warns(RuntimeWarning, match="gave no gradient to unused"):
        trainer.fit(X, Y)


@pytest.mark.parametrize(
    "wrong", [3, [3], Ridge, [Ridge], [lambda: 0.0], "L2", [None], {"l2": 0.1}, linear()]
)
def test_what_is_no_penalty_is_refused(wrong):
    with pytest.raises(ArgumentError, match="penalties to be a list of penalties, such as"):
        make(penalties=wrong)
    trainer = make()
    with pytest.raises(ArgumentError, match="penalties to be"):
        trainer.penalties = wrong


def test_penalties_of_another_model_are_refused():
    model, other = linear(), linear()
    penalty = npnet.penalties.L2([model.weight, other.weight], 0.1)
    with pytest.raises(ArgumentError, match=r"Trainer .*own.*L2\(model.parameters\(\), ...\)"):
        make(model, penalties=penalty)
    with pytest.raises(ArgumentError, match="minimize expects penalties to be of the model's own"):
        npnet.training.minimize(model, npnet.MSELoss(), [[1.0] * 3], [[1.0]], penalties=penalty)


def test_they_are_shown():
    assert "averaged=None, penalties=[]" in repr(make())
