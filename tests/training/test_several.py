"""Models of several outputs and losses of several targets, from arrays and from batches."""

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError
from npnet.losses.loss import Terms


class Two(npnet.Layer):
    """Two outputs of one input."""

    def __init__(self):
        super().__init__()
        self.heads = npnet.LayerList([npnet.Linear(3, 1), npnet.Linear(3, 1)])

    def forward(self, ctx, x):
        return ctx.call(self.heads[0], x), ctx.call(self.heads[1], x)

    def backward(self, ctx, a, b):
        return ctx.calls[0].backward(a) + ctx.calls[1].backward(b)


class BothSquares(npnet.Loss):
    """(a - s)^2 + (b - t)^2."""

    arguments = ("a", "b", "s", "t")
    predictions = ("a", "b")

    def terms(self, a, b, s, t, with_grad):
        return Terms((a - s) ** 2 + (b - t) ** 2, None, (2 * (a - s), 2 * (b - t)))


class Apart(npnet.Loss):
    """(a - b)^2, without a target."""

    arguments = predictions = ("a", "b")

    def terms(self, a, b, with_grad):
        return Terms((a - b) ** 2, None, (2 * (a - b), 2 * (b - a)))


def trainer(loss):
    npnet.manual_seed(0)
    model = Two()
    return npnet.Trainer(model, loss, npnet.optim.SGD(model.parameters(), lr=0.05))


X = np.random.default_rng(0).normal(size=(40, 3))
S, T = X[:, :1] * 2, X[:, 1:2] - 1


def test_arrays_and_batches_train_alike():
    arrays, batches = trainer(BothSquares()), trainer(BothSquares())
    arrays.fit(X, (S, T), epochs=20, batch_size=10, shuffle=False)
    batches.fit([(X[i : i + 10], (S[i : i + 10], T[i : i + 10])) for i in range(0, 40, 10)],
                epochs=20)  # fmt: skip
    for a, b in zip(arrays.model.parameters(), batches.model.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert arrays.history["loss"][-1] < 0.2 * arrays.history["loss"][0]
    a, b = arrays.predict(X)
    assert arrays.evaluate(X, (S, T))["loss"] == pytest.approx(
        float(((a - S) ** 2 + (b - T) ** 2).mean()), rel=1e-5
    )


def test_a_loss_without_targets_takes_an_empty_tuple():
    one = trainer(Apart())
    history = one.fit(X, (), epochs=30, validation_split=0.25, rng=0)
    assert history["val_loss"][-1] < 0.1 * history["val_loss"][0]


@pytest.mark.parametrize("y", [S, (S,), (S, T, T), ()])
def test_a_wrong_number_of_targets_is_named(y):
    with pytest.raises(ArgumentError, match=r"BothSquares takes 2 targets \(s, t\), and y holds"):
        trainer(BothSquares()).fit(X, y)


def test_a_tuple_of_labels_is_one_target():
    model = npnet.Linear(3, 2)
    one = npnet.Trainer(model, npnet.CrossEntropyLoss(), npnet.optim.SGD(model.parameters()))
    assert len(one.fit(X, tuple((X[:, 0] > 0).astype(int)))["loss"]) == 1
