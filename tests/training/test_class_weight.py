"""class_weight: factors of terms by the class of their target."""

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, DataError, NpnetError
from npnet.training import Trainer
from npnet.training.class_weight import ClassWeights

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 4))
Y = RNG.integers(0, 3, size=30)
FACTORS = np.array([0.5, 2.0, 7.0])
WEIGHTS = RNG.uniform(0.1, 3.0, size=30)


def make(loss, outputs=3):
    npnet.manual_seed(0)
    model = npnet.Linear(4, outputs, dtype=np.float64)
    return Trainer(model, loss, npnet.optim.SGD(model.parameters(), lr=0.1))


def fitted(loss, y, outputs=3, **arguments):
    """Return the parameters and the losses after two epochs."""
    trainer = make(loss, outputs)
    history = trainer.fit(X, y, epochs=2, batch_size=8, rng=0, **arguments)
    parameters = np.concatenate([p.data.ravel() for p in trainer.model.parameters()])
    return np.concatenate([parameters, *(history[k] for k in history if k != "lr")])


def same(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize(
    "given",
    [FACTORS, list(FACTORS), dict(enumerate(FACTORS)), {2: 7, 0: np.float32(0.5), np.int64(1): 2}],
    ids=["array", "list", "dict", "mixed dict"],
)
def test_it_is_the_sample_weight_of_each_class(given):
    loss = npnet.CrossEntropyLoss()
    same(fitted(loss, Y, class_weight=given), fitted(loss, Y, sample_weight=FACTORS[Y]))
    same(
        fitted(loss, Y, class_weight=given, sample_weight=WEIGHTS),
        fitted(loss, Y, sample_weight=FACTORS[Y] * WEIGHTS),
    )


def test_it_is_the_weight_of_the_loss_and_multiplies_it():
    weighted = npnet.CrossEntropyLoss(weight=FACTORS)
    same(fitted(npnet.CrossEntropyLoss(), Y, class_weight=FACTORS), fitted(weighted, Y))
    squared = npnet.CrossEntropyLoss(weight=FACTORS**2)
    same(fitted(weighted, Y, class_weight=FACTORS), fitted(squared, Y))


def test_a_dictionary_may_lack_classes_and_an_array_may_not():
    loss = npnet.CrossEntropyLoss()
    same(fitted(loss, Y, class_weight={1: 2.0}), fitted(loss, Y, class_weight=[1.0, 2.0, 1.0]))
    same(fitted(loss, Y, class_weight={}), fitted(loss, Y))
    same(fitted(loss, Y, class_weight={9: 2.0}), fitted(loss, Y))
    for short in [1.0, 2.0], []:
        with pytest.raises(DataError, match=r"class_weight has \d factors, and y has the class"):
            fitted(loss, Y, class_weight=short)


def test_ignored_labels_stay_ignored():
    loss = npnet.CrossEntropyLoss(ignore_index=-7)
    y = np.where(np.arange(30) % 4 == 0, -7, Y)
    same(fitted(loss, y, class_weight=FACTORS), fitted(loss, y, sample_weight=FACTORS[y.clip(0)]))


def test_probabilities_count_as_their_most_likely_class():
    loss = npnet.CrossEntropyLoss()
    one_hot = np.eye(3)[Y]
    same(fitted(loss, one_hot, class_weight=FACTORS), fitted(loss, Y, class_weight=FACTORS))
    soft = 0.8 * one_hot + 0.2 / 3
    same(fitted(loss, soft, class_weight=FACTORS), fitted(loss, soft, sample_weight=FACTORS[Y]))


@pytest.mark.parametrize("dtype", [np.float32, int, bool])
def test_yes_or_no(dtype):
    loss, y = npnet.BCEWithLogitsLoss(), (Y > 0).astype(dtype)
    factors = np.where(Y > 0, 3.0, 0.5)
    column = y[:, np.newaxis]
    same(
        fitted(loss, column, 1, class_weight={0: 0.5, 1: 3}),
        fitted(loss, column, 1, sample_weight=factors),
    )
    several = np.stack([y, ~y.astype(bool), y], axis=1).astype(dtype)
    by_term = np.where(several, 3.0, 0.5)
    same(
        fitted(loss, several, class_weight={0: 0.5, 1: 3}),
        fitted(loss, several, sample_weight=by_term),
    )
    same(
        fitted(loss, several, class_weight={0: 0.5, 1: 3}, sample_weight=WEIGHTS),
        fitted(loss, several, sample_weight=by_term * WEIGHTS[:, np.newaxis]),
    )


def test_sparse_one_hot_rows():
    sparse = pytest.importorskip("scipy.sparse")
    weights = ClassWeights(FACTORS, npnet.CrossEntropyLoss())
    np.testing.assert_array_equal(weights(sparse.csr_matrix(np.eye(3)[Y]), None), FACTORS[Y])
    np.testing.assert_array_equal(weights(sparse.csr_array(np.eye(3)[Y]), None), FACTORS[Y])


def test_batches_of_a_loader_and_weights_that_they_bring():
    loss = npnet.CrossEntropyLoss()
    loader = npnet.data.DataLoader((X, Y, WEIGHTS), batch_size=8)
    found = []
    for arguments in (
        {"x": loader, "class_weight": FACTORS},
        {"x": npnet.data.DataLoader((X, Y, WEIGHTS * FACTORS[Y]), batch_size=8)},
    ):
        trainer = make(loss)
        trainer.fit(**arguments)
        found.append(trainer.model.weight.data)
    same(*found)


def test_the_validation_is_not_weighted():
    loss = npnet.CrossEntropyLoss()
    trainer = make(loss)
    history = trainer.fit(X, Y, class_weight=FACTORS, validation_data=(X, Y), rng=0)
    assert history["val_loss"] == [pytest.approx(loss(trainer.model(X), Y), rel=1e-12)]
    assert trainer.evaluate(X, Y)["loss"] == history["val_loss"][0]


def test_with_accumulate():
    loss = npnet.CrossEntropyLoss()
    trainer = make(loss)
    trainer.fit(X, Y, batch_size=4, accumulate=2, rng=0, class_weight=FACTORS)
    other = make(loss)
    other.fit(X, Y, batch_size=8, rng=0, class_weight=FACTORS)
    same(trainer.model.weight.data, other.model.weight.data)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("balanced", "class_weight to be a dict from class to factor, or an array"),
        (3.0, "class_weight to be a dict"),
        (np.ones((2, 2)), "class_weight to be a dict"),
        ({0: -1.0}, r"class_weight\[0\] to be a finite number of at least 0, got -1.0"),
        ([1.0, np.nan, 1.0], r"class_weight\[1\] to be a finite number"),
        ([1.0, np.inf, 1.0], r"class_weight\[1\] to be a finite number"),
        ({"a": 1.0}, "a key of class_weight to be an integer, got 'a'"),
        ({0.0: 1.0}, "a key of class_weight to be an integer"),
        ({True: 1.0}, "a key of class_weight to be an integer"),
        ({0: "1"}, r"class_weight\[0\] to be a finite number"),
        (object(), "class_weight"),
    ],
)
def test_weights_that_are_none(given, message):
    with pytest.raises(NpnetError, match=message):
        fitted(npnet.CrossEntropyLoss(), Y, class_weight=given)


def test_sample_weights_of_another_shape():
    y = np.eye(3, dtype=int)[Y]
    with pytest.raises(DataError, match=r"classes of shape \(8, 3\), the sample .* shape \(8, 2\)"):
        fitted(npnet.BCEWithLogitsLoss(), y, class_weight={1: 2.0}, sample_weight=np.ones((30, 2)))


def test_targets_that_are_no_classes():
    with pytest.raises(DataError, match="class numbers, and y has values between"):
        fitted(npnet.MSELoss(), X[:, :1], 1, class_weight={0: 1.0})
    with pytest.raises(DataError, match="y has values between"):
        fitted(npnet.BCEWithLogitsLoss(), np.full((30, 1), np.nan), 1, class_weight={0: 1.0})
    with pytest.raises(DataError, match="one target of classes, and y holds 2"):
        fitted(npnet.CrossEntropyLoss(), (Y, Y), class_weight=FACTORS)

    class Alone(npnet.losses.Loss):
        arguments = ("pred",)

        def terms(self, pred, with_grad):
            return npnet.losses.Terms(pred, None, np.ones_like(pred))

    with pytest.raises(ArgumentError, match=r"a loss with one target, and Alone takes \(pred\)"):
        fitted(Alone(), (), class_weight=FACTORS)
