"""Steps from several micro-batches are those from one large batch."""

import numpy as np
import pytest

import npnet
from npnet.data import DataLoader
from npnet.errors import ArgumentError
from npnet.training import Callback, Trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3))
Y = (X[:, 0] > X[:, 1]).astype(int) + (X[:, 2] > 1)
WEIGHTS = RNG.uniform(0.1, 5.0, size=50)
SOME = np.where(RNG.random(50) < 0.4, 0.0, WEIGHTS)
LOSSES = {
    "plain": npnet.CrossEntropyLoss(),
    "class weights": npnet.CrossEntropyLoss(weight=[0.2, 1.0, 7.0]),
    "ignored labels": npnet.CrossEntropyLoss(ignore_index=2),
    "sum": npnet.CrossEntropyLoss(reduction="sum"),
}


def make(loss, optimizer=npnet.optim.SGD, **options):
    npnet.manual_seed(0)
    model = npnet.Sequential(npnet.Linear(3, 5), npnet.Tanh(), npnet.Linear(5, 3))
    model = model.astype(np.float64)
    return Trainer(model, loss, optimizer(model.parameters(), **options), ["accuracy"])


def values(trainer):
    return np.concatenate([p.data.ravel() for p in trainer.model.parameters()])


class Record(Callback):
    """Keeps the gradient and the loss of each step."""

    def __init__(self):
        self.grads = []
        self.losses = []

    def on_backward_end(self, trainer):
        self.grads.append(np.concatenate([p.grad.ravel() for p in trainer.model.parameters()]))

    def on_batch_end(self, trainer, loss):
        self.losses.append(loss)


@pytest.mark.parametrize("sample_weight", [None, WEIGHTS, SOME], ids=["none", "all", "some zero"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize(("small", "accumulate"), [(8, 4), (5, 3), (7, 2), (1, 50), (3, 100)])
def test_every_step_is_that_of_one_large_batch(loss, sample_weight, small, accumulate):
    # 50 samples leave a shorter batch and a step of fewer batches behind in each epoch.
    together, apart = make(loss, lr=0.02, momentum=0.9), make(loss, lr=0.02, momentum=0.9)
    large, parts = Record(), Record()
    given = {"epochs": 2, "rng": 3, "sample_weight": sample_weight}
    one = together.fit(X, Y, batch_size=small * accumulate, callbacks=[large], **given)
    many = apart.fit(X, Y, batch_size=small, accumulate=accumulate, callbacks=[parts], **given)
    np.testing.assert_allclose(parts.grads, large.grads, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(parts.losses, large.losses, rtol=1e-12)
    np.testing.assert_allclose(values(apart), values(together), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(many["loss"], one["loss"], rtol=1e-12)
    assert many["accuracy"] == one["accuracy"]
    assert apart.optimizer.step_count == together.optimizer.step_count


def test_each_batch_has_the_share_of_its_samples():
    # By hand: a mean of one number's squares, from batches of 2, 2 and 1.
    model = npnet.Linear(1, 1, bias=False, dtype=np.float64)
    model.weight.data = [[0.0]]
    trainer = Trainer(model, npnet.MSELoss(), npnet.optim.SGD(model.parameters(), lr=1.0))
    record = Record()
    x, y = np.ones((5, 1)), -np.array([[1.0], [2.0], [3.0], [4.0], [10.0]])
    trainer.fit(x, y, batch_size=2, accumulate=3, shuffle=False, callbacks=[record])
    assert record.grads == [pytest.approx(2 * 20 / 5)]
    assert record.losses == [pytest.approx((1 + 4 + 9 + 16 + 100) / 5)]


def test_weights_of_any_size_leave_no_infinity():
    for weight in np.array([1e-300, 1.0, 1e300, 1e300]), np.array([1e300, 1.0, 1e-300, 1e-300]):
        together, apart = make(LOSSES["plain"], lr=0.1), make(LOSSES["plain"], lr=0.1)
        together.fit(X[:4], Y[:4], batch_size=4, sample_weight=weight, rng=0)
        apart.fit(X[:4], Y[:4], batch_size=1, accumulate=4, sample_weight=weight, rng=0)
        np.testing.assert_allclose(values(apart), values(together), rtol=1e-12)


def test_batches_in_which_nothing_counts_are_passed_over():
    trainer, record = make(LOSSES["plain"], lr=0.1), Record()
    weight = np.array([0.0] * 4 + [1.0] * 2 + [0.0] * 6)
    trainer.fit(
        X[:12], Y[:12], batch_size=2, accumulate=3, shuffle=False, sample_weight=weight,
        callbacks=[record],
    )  # fmt: skip
    assert len(record.grads) == 1  # the second step had no gradient at all
    alone = Record()
    make(LOSSES["plain"], lr=0.1).fit(X[4:6], Y[4:6], shuffle=False, callbacks=[alone])
    np.testing.assert_allclose(record.grads, alone.grads, rtol=1e-13)


def test_several_outputs():
    class Twice(npnet.Layer):
        def __init__(self):
            super().__init__()
            self.a, self.b = npnet.Linear(3, 1), npnet.Linear(3, 1)

        def forward(self, ctx, x):
            return ctx.call(self.a, x), ctx.call(self.b, x)

        def backward(self, ctx, da, db):
            b, a = ctx.calls[1].backward(db), ctx.calls[0].backward(da)
            return a + b

    class Distance(npnet.losses.Loss):
        arguments, predictions = ("a", "b"), ("a", "b")

        def terms(self, a, b, with_grad):
            return npnet.losses.Terms((a - b) ** 2, None, (2 * (a - b), 2 * (b - a)))

    found = []
    for arguments in {"batch_size": 12}, {"batch_size": 5, "accumulate": 3}:
        npnet.manual_seed(1)
        model = Twice().astype(np.float64)
        trainer = Trainer(model, Distance(), npnet.optim.SGD(model.parameters(), lr=0.1))
        trainer.fit(X[:12], (), shuffle=False, **arguments)
        found.append(values(trainer))
    np.testing.assert_allclose(*found, rtol=1e-12)


def test_float32_stays_float32():
    model = npnet.Linear(3, 3)
    trainer = Trainer(model, LOSSES["plain"], npnet.optim.SGD(model.parameters(), lr=0.1))
    record = Record()
    trainer.fit(X, Y, batch_size=9, accumulate=4, callbacks=[record], sample_weight=WEIGHTS)
    assert {grad.dtype for grad in record.grads} == {np.dtype(np.float32)}


def test_loaders_and_unshared_arrays():
    apart, together = make(LOSSES["plain"], lr=0.1), make(LOSSES["plain"], lr=0.1)
    apart.fit(DataLoader((X, Y), batch_size=8), accumulate=2)
    together.fit(DataLoader((X, Y), batch_size=16))
    np.testing.assert_allclose(values(apart), values(together), rtol=1e-12)
    loops = make(LOSSES["plain"], lr=0.1)
    loops.fit(((X[i : i + 8], Y[i : i + 8]) for i in range(0, 50, 8)), accumulate=2)
    np.testing.assert_allclose(values(loops), values(apart), rtol=1e-15)


def test_a_schedule_in_epochs_counts_steps_not_batches():
    schedule = npnet.schedules.per_epoch(npnet.schedules.ExponentialLR(1.0, 0.5))
    trainer = make(LOSSES["plain"], lr=schedule)
    history = trainer.fit(X, Y, epochs=3, batch_size=8, accumulate=4)
    assert history["lr"] == [1.0, 0.5, 0.25]
    assert trainer.optimizer.step_count == 6
    cycle = npnet.schedules.OneCycleLR(1.0, epochs=3)
    trainer = make(LOSSES["plain"], lr=cycle)
    trainer.fit(X, Y, epochs=3, batch_size=8, accumulate=4)
    assert trainer.optimizer.steps_per_epoch == 2


def test_stopping_ends_after_a_step():
    class Stop(Record):
        def on_batch_end(self, trainer, loss):
            super().on_batch_end(trainer, loss)
            trainer.stop()

    trainer, stop = make(LOSSES["plain"], lr=0.1), Stop()
    trainer.fit(X, Y, batch_size=8, accumulate=4, callbacks=[stop])
    assert trainer.optimizer.step_count == len(stop.losses) == 1


def test_what_a_metric_stops_between_steps_makes_a_step_of_its_own():
    trainer = make(LOSSES["plain"], lr=0.1)

    class Stopping(npnet.training.Metric):
        name = "seen"

        def update(self, pred, target):
            trainer.stop()

        def result(self):
            return 0.0

    trainer.metrics = [Stopping()]
    trainer.fit(X, Y, batch_size=8, accumulate=4, shuffle=False)
    expected = make(LOSSES["plain"], lr=0.1)
    expected.fit(X[:8], Y[:8], shuffle=False)
    assert np.array_equal(values(trainer), values(expected))


@pytest.mark.parametrize("bad", [0, -1, 2.0, "4", None, True])
def test_accumulate_is_a_positive_integer(bad):
    with pytest.raises(ArgumentError, match="accumulate to be a positive integer, got"):
        make(LOSSES["plain"], lr=0.1).fit(X, Y, accumulate=bad)
