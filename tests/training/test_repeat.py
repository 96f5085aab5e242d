"""repeat: several seeds, their mean and spread."""

import math

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, UnknownNameError
from npnet.training import AveragedModel, EarlyStopping, Repeats, Trainer, repeat

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = (X[:, 0] > X[:, 1]).astype(int)


def make_trainer(seed=None):
    model = npnet.Sequential(npnet.Linear(3, 4), npnet.Dropout(0.3), npnet.Linear(4, 2))
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
    return Trainer(model, npnet.CrossEntropyLoss(), optimizer, ["accuracy"])


def alone(seed, **arguments):
    npnet.manual_seed(seed)
    return make_trainer().fit(X, Y, rng=seed, **arguments)


def test_each_training_is_that_of_its_seed_alone():
    arguments = {"epochs": 3, "batch_size": 8, "validation_split": 0.25}
    repeats = repeat(make_trainer, [5, 0, 7], X, Y, **arguments)
    assert repeats.seeds == [5, 0, 7]
    for seed, history in zip(repeats.seeds, repeats.histories, strict=True):
        assert dict(history) == dict(alone(seed, **arguments))
    assert repeats.histories[0]["loss"] != repeats.histories[1]["loss"]


def test_mean_and_spread():
    repeats = repeat(make_trainer, range(4), X, Y, epochs=2, validation_split=0.25)
    for name in "loss", "val_loss", "accuracy", "lr":
        table = np.array([history[name] for history in repeats.histories])
        np.testing.assert_allclose(repeats.mean[name], table.sum(axis=0) / 4, rtol=1e-13)
        variance = ((table - table.mean(axis=0)) ** 2).sum(axis=0) / 3
        np.testing.assert_allclose(repeats.std[name], np.sqrt(variance), rtol=1e-12)
        np.testing.assert_array_equal(repeats.last(name), table[:, -1])
    assert repeats.mean["epoch"] == repeats.std["epoch"] == [1, 2]
    lines = repr(repeats).splitlines()
    assert lines[0] == "4 trainings of 2 epochs"
    mean, std = repeats.mean["val_loss"][-1], repeats.std["val_loss"][-1]
    assert f"val_loss      {mean:.4g} +- {std:.4g}" in lines
    assert not any(line.startswith(("lr", "epoch")) for line in lines)


def test_one_seed_has_no_spread():
    repeats = repeat(make_trainer, [3], X, Y)
    assert repeats.mean["loss"] == repeats.histories[0]["loss"]
    assert math.isnan(repeats.std["loss"][0])
    assert repr(repeats).startswith("1 training of 1 epoch\n")


def test_trainings_of_different_lengths_have_the_mean_of_what_all_have():
    def stopping(seed):
        trainer = make_trainer()
        trainer.optimizer.lr = 1e-30 if seed == 1 else 0.1
        return trainer

    stop = EarlyStopping("loss", patience=1, min_delta=1e-6)
    npnet.manual_seed(0)
    repeats = repeat(stopping, [0, 1], X, Y, epochs=4, callbacks=[stop])
    lengths = [len(history["epoch"]) for history in repeats.histories]
    assert len(repeats.mean["epoch"]) == min(lengths)
    assert repeats.last("loss").tolist() == [h["loss"][-1] for h in repeats.histories]


def test_a_function_without_arguments_draws_other_weights_for_each_seed():
    with_seed = repeat(lambda seed: make_trainer(), [1, 2], X, Y)
    without = repeat(lambda: make_trainer(), [1, 2], X, Y)
    assert [*map(dict, with_seed.histories)] == [*map(dict, without.histories)]
    assert without.histories[0]["loss"] != without.histories[1]["loss"]


def test_the_default_generator_is_as_it_was():
    generator = npnet.manual_seed(3)
    before = generator.bit_generator.state
    repeat(make_trainer, [1, 2], X, Y)
    assert generator.bit_generator.state == before
    with pytest.raises(ZeroDivisionError):
        repeat(lambda seed: 1 / 0, [1], X, Y)
    assert generator.bit_generator.state == before


def test_batches_of_a_loader():
    loader = npnet.data.DataLoader((X, Y), batch_size=8)
    assert len(repeat(make_trainer, [1, 2], loader).histories) == 2


def test_ctrl_c_ends_all():
    made = []

    def make(seed):
        made.append(seed)
        return make_trainer()

    def interrupt(trainer, logs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repeat(make, [1, 2], X, Y, callbacks=[interrupt])
    assert made == [1]


trained = make_trainer()
trained.fit(X, Y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: repeat(make_trainer(), [1], X, Y), r"make_trainer to be a function f\(seed\)"),
        (lambda: repeat(lambda seed: 3, [1], X, Y), "make_trainer returns to be a Trainer, got 3"),
        (lambda: repeat(lambda seed: trained, [1], X, Y), "a new trainer with a new model"),
        (lambda: repeat(make_trainer, [], X, Y), "seeds to be different integers, got"),
        (lambda: repeat(make_trainer, [1, 1], X, Y), r"different integers, got \[1, 1\]"),
        (lambda: repeat(make_trainer, 3, X, Y), "seeds to be a list, got 3"),
        (lambda: repeat(make_trainer, [1.5], X, Y), "seeds to be an integer of at least 0"),
        (lambda: repeat(make_trainer, [-1], X, Y), "seeds to be an integer of at least 0"),
        (lambda: repeat(make_trainer, [1], X, Y, rng=3), "leave rng out"),
        (lambda: repeat(lambda a, b: 3, [1], X, Y), r"make_trainer, called with \(seed\)"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_a_model_shared_by_the_trainers_is_refused():
    model = npnet.Linear(3, 2)

    def make(seed):
        optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
        return Trainer(model, npnet.CrossEntropyLoss(), optimizer)

    with pytest.raises(ArgumentError, match="a new model for each seed"):
        repeat(make, [1, 2], X, Y)


def test_an_average_shared_by_the_trainers_is_refused():
    averaged = AveragedModel(make_trainer().model)

    def make(seed):
        trainer = make_trainer()
        trainer.averaged = averaged
        return trainer

    with pytest.raises(ArgumentError, match="a new trainer with a new model"):
        repeat(make, [1, 2], X, Y)


def test_unknown_columns_are_answered():
    repeats = repeat(make_trainer, [1, 2], X, Y)
    assert isinstance(repeats, Repeats)
    with pytest.raises(UnknownNameError, match="the history has no 'val_loss'"):
        repeats.last("val_loss")
