"""Random arguments: every call succeeds as it should, or raises an exception of npnet's."""

import collections

import numpy as np
import pytest

import npnet
from npnet import NpnetError
from npnet.plot import plot_curves, plot_images
from npnet.training import (
    Accuracy,
    EarlyStopping,
    History,
    MeanAbsoluteError,
    MeanSquaredError,
    R2Score,
    TerminateOnNaN,
    Trainer,
)

SEED = 20240611
X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)

NONSENSE = [
    None, True, False, 0, 1, -1, 2, 3, 10**30, 10**400, 0.5, -0.5, 1.5, 1e300, float("nan"),
    float("inf"), 1j, "", "no", "loss", "accuracy", "val_acc", b"x", (), [], {}, [1], [[1], [1, 2]],
    {"epoch": [1]}, {"epoch": 1}, {"a": "b"}, object(), object, int, len, print, Ellipsis,
    np.float32(0.5), np.int64(2), np.bool_(True), np.array(3), np.array([1.0, np.nan]),
    np.zeros((2, 3)), np.array(["a", "b"]), np.array([None, 1]), np.zeros(2, complex), X, Y,
    X[:, :2], (X, Y), [(X, Y)], np.float16(0.25), slice(2), {1, 2}, range(3), lambda: 0,
    EarlyStopping, EarlyStopping("loss"), TerminateOnNaN(), Accuracy(), npnet.MSELoss(),
    npnet.Linear, np.random.default_rng(0), np.ma.masked_array([1.0], [True]), np.timedelta64(3),
    np.datetime64("2024-01-01"), npnet.Parameter([1.0]), History(),
]  # fmt: skip

CHOICES = {  # what is right, by argument
    "model": [lambda: npnet.Linear(3, 2), lambda: npnet.Sequential(npnet.Linear(3, 2))],
    "metrics": [lambda: ["accuracy"], list, lambda: Accuracy()],
    "epochs": [lambda: 1, lambda: 2],
    "progress": [lambda: False],
    "callbacks": [list, lambda: [EarlyStopping("loss")]], "rng": [lambda: 0],
    "monitor": [lambda: "loss"], "patience": [lambda: 2], "min_delta": [lambda: 0.1],
    "mode": [lambda: "min"], "restore_best_weights": [lambda: True],
    "binary": [lambda: None, lambda: True], "threshold": [lambda: 0.5],
    "ignore_index": [lambda: -1], "pred": [lambda: X], "target": [lambda: X, lambda: Y],
    "logs": [lambda: {"epoch": 1, "loss": 0.5}], "name": [lambda: "loss"],
    "columns": [lambda: {"epoch": [1, 2], "loss": [0.5, 0.4]}], "images": [lambda: X[None]],
    "titles": [lambda: ["a"]], "per_row": [lambda: 2],
    "path": [lambda: None],
}  # fmt: skip


def trainer(model=None, metrics=(), loss=None):
    model = npnet.Linear(3, 2) if model is None else model
    parameters = model.parameters() if isinstance(model, npnet.Layer) else [npnet.Parameter([1.0])]
    loss = npnet.CrossEntropyLoss() if loss is None else loss
    return Trainer(model, loss, npnet.optim.SGD(parameters, lr=0.1), metrics)


def history(logs, name):
    record = History()
    record.append(logs)
    return record[name], repr(record)


def fit(**arguments):
    return trainer().fit(**{"x": X, "y": Y, **arguments})


def measured(kind):
    def update(pred, target):
        metric = kind()
        metric.update(pred, target)
        return metric.result()

    return update


def images(images, titles, per_row, path):
    return plot_images(images, titles, path, per_row)


CALLS = {  # name: (function, the arguments that may be drawn)
    "trainer": (trainer, ["model", "metrics"]),
    "fit": (fit, ["epochs", "callbacks", "progress", "rng"]),
    "early stopping": (
        EarlyStopping,
        ["monitor", "patience", "min_delta", "mode", "restore_best_weights"],
    ),
    "accuracy": (Accuracy, ["binary", "threshold", "ignore_index"]),
    **{
        kind.name: (measured(kind), ["pred", "target"])
        for kind in (Accuracy, MeanAbsoluteError, MeanSquaredError, R2Score)
    },
    "history": (history, ["logs", "name"]),
    "images": (images, ["images", "titles", "per_row", "path"]),
    "curves": (plot_curves, ["columns", "path"]),
}

COUNT = {"images": 150, "curves": 150, "fit": 500}


def a_number(value):
    return isinstance(value, int | float | np.number) and not isinstance(
        value, bool | np.timedelta64
    )


def a_flag(value):
    return value is None or isinstance(value, bool | np.bool_)


SENSIBLE = {  # what may be taken of the nonsense, by argument
    "model": lambda v: v is None,
    "metrics": lambda v: isinstance(v, str | list | tuple | npnet.MSELoss | Accuracy) or v is print,
    "callbacks": lambda v: v in (None, (), [], print) or isinstance(v, npnet.training.Callback),
    "rng": lambda v: v is None or isinstance(v, int | np.integer | np.random.Generator),
    "monitor": lambda v: isinstance(v, str),
    "path": lambda v: v is None or isinstance(v, str),
    "titles": lambda v: len(v) == 0,
    "name": lambda v: v == "loss",
    "pred": lambda v: isinstance(v, np.ndarray),
    "target": lambda v: isinstance(v, np.ndarray),
    "threshold": lambda v: v is None or a_number(v),
    "ignore_index": lambda v: v is None or a_number(v),
    **dict.fromkeys(("epochs", "patience", "min_delta", "per_row"), a_number),
    **dict.fromkeys(("progress", "binary", "restore_best_weights"), a_flag),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_random_arguments_raise_nothing_foreign_and_nonsense_is_refused(
    name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # where pictures are saved
    if name in ("images", "curves"):
        pytest.importorskip("matplotlib")
    function, names = CALLS[name]
    rng = np.random.default_rng(SEED)
    outcomes = collections.Counter()
    for _ in range(COUNT.get(name, 1000)):
        wrong = names[rng.integers(len(names))]
        arguments = {n: CHOICES[n][rng.integers(len(CHOICES[n]))]() for n in names}
        arguments[wrong] = NONSENSE[rng.integers(len(NONSENSE))]
        try:
            function(**arguments)
        except NpnetError:
            outcomes["refused"] += 1
        except Exception as error:
            raise AssertionError(f"{name}({arguments}) raised {error!r}") from error
        else:
            outcomes["taken"] += 1
            value = arguments[wrong]
            assert SENSIBLE.get(wrong, lambda v: False)(value), f"{name} took {wrong}={value!r}"
    assert sum(outcomes.values()) == COUNT.get(name, 1000)
    assert outcomes["refused"] > 5 * outcomes["taken"]
