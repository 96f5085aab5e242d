import copy
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, NameTypoError, UnknownNameError
from npnet.training import History


def filled(epochs):
    history = History()
    for epoch in range(1, epochs + 1):
        history.append({"epoch": epoch, "loss": 1 / epoch, "val_loss": 2 / epoch, "lr": 0.1})
    return history


def test_a_history_is_a_mapping_of_lists():
    history = filled(3)
    assert list(history) == ["epoch", "loss", "val_loss", "lr"]
    assert len(history) == 4
    assert history["loss"] == [1, 1 / 2, 1 / 3]
    assert "val_loss" in history
    assert "accuracy" not in history
    assert history.get("accuracy") is None
    with pytest.raises(KeyError, match="no 'accuracy'; it has epoch, loss, val_loss, lr"):
        history["accuracy"]


def test_changing_a_list_does_not_change_the_history():
    history = filled(3)
    history["loss"].clear()
    assert len(history["loss"]) == 3


def test_all_columns_keep_the_same_length():
    history = filled(1)
    history.append({"epoch": 2, "accuracy": 0.5})
    assert history["accuracy"][1] == 0.5
    assert math.isnan(history["accuracy"][0])
    assert math.isnan(history["loss"][1])


def test_copies_do_not_grow_with_the_history():
    history = filled(2)
    for copied in dict(history), {**history}, copy.deepcopy(history), copy.copy(history):
        assert copied["loss"] == [1, 1 / 2]
        assert list(copied.values())[1] == history.get("loss") == [1, 1 / 2]
    before = dict(history)
    history.append({"epoch": 3, "loss": 0.0})
    assert before["loss"] == [1, 1 / 2]
    for _, column in history.items():
        column.clear()
    assert history["loss"] == [1, 1 / 2, 0.0]


def test_copies_and_pickles_are_histories():
    history = filled(2)
    history.interrupted = True
    for made in copy.deepcopy(history), pickle.loads(pickle.dumps(history)):
        assert isinstance(made, History)
        assert made.interrupted
        assert dict(made) == dict(history)


def test_only_training_writes_it():
    history = filled(2)
    for action in (
        lambda: history.update(loss=[0]),
        lambda: history.pop("loss"),
        lambda: history.clear(),
        lambda: history.__setitem__("loss", 3),
        lambda: history.__delitem__("loss"),
        lambda: history.setdefault("x", []),
    ):
        with pytest.raises(ArgumentError, match=r"change a copy: dict\(history\)"):
            action()
    for logs in None, 3, {"loss": 1.0}, {"epoch": 3, "loss": "x"}, {"epoch": 3, 4: 1.0}:
        with pytest.raises(ArgumentError, match="History expects logs"):
            history.append(logs)
    assert len(history["epoch"]) == 2


def test_it_is_a_table_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(filled(3))
    assert list(frame.columns) == ["epoch", "loss", "val_loss", "lr"]
    assert frame["val_loss"].tolist() == [2, 1, 2 / 3]
    assert frame.shape == (3, 4)


@pytest.mark.parametrize(
    ("name", "right"), [("val_accuarcy", "val_accuracy"), ("val_acc", "val_accuracy"),
                        ("acc", "accuracy"), ("learning_rate", "lr"), ("losss", "loss")]
)  # fmt: skip
def test_a_wrong_name_is_answered_with_the_right_one(name, right):
    history = History()
    history.append({"epoch": 1, "loss": 1.0, "accuracy": 0.5, "val_accuracy": 0.5, "lr": 0.1})
    with pytest.raises(UnknownNameError, match=f"; did you mean '{right}'"):
        history[name]


def test_habits_of_keras_are_answered():
    history = filled(1)
    with pytest.raises(NameTypoError, match=r'it is the record itself: history\["loss"\]'):
        history.history["loss"]
    for name in "epoch", "loss", "params":
        with pytest.raises(NameTypoError, match=f"History has no attribute '{name}'; "):
            getattr(history, name)
    with pytest.raises(NameTypoError):
        history.interupted = True


def test_the_representation_is_a_table():
    assert repr(History()) == "History of 0 epochs"
    assert repr(filled(1)) == (
        "History of 1 epoch\nepoch  loss  val_loss   lr\n    1     1         2  0.1"
    )
    history = filled(12345)
    history.interrupted = True
    lines = repr(history).splitlines()
    assert lines[0] == "History of 12345 epochs, interrupted"
    assert [line.split()[0] for line in lines[1:]] == [
        "epoch", "1", "2", "3", "...", "12343", "12344", "12345",
    ]  # fmt: skip
    assert len({len(line) for line in lines[1:]}) == 1


def test_a_training_with_numpy_alone(tmp_path):
    """Everything else is hidden: no bar, no picture, but a plain network trains and predicts."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("scipy", "tqdm", "matplotlib", "numba", "torch"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())
import warnings
import numpy as np
from npnet import Linear, ReLU, Sequential, CrossEntropyLoss, optim, errors
from npnet.training import EarlyStopping, Trainer
from npnet.io import load_weights, save_weights

class Terminal:
    def isatty(self): return True
    def write(self, text): written.append(text)
    def flush(self): pass

written, stderr = [], sys.stderr
rng = np.random.default_rng(0)
x = rng.normal(size=(300, 2))
y = (x[:, 0] > x[:, 1]).astype(int)
model = Sequential(Linear(2, 8), ReLU(), Linear(8, 2))
trainer = Trainer(model, CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.02), ["accuracy"])
sys.stderr = Terminal()
history = trainer.fit(x, y, epochs=10, validation_split=0.2, callbacks=[EarlyStopping(patience=9)])
sys.stderr = stderr
assert not written
assert trainer.evaluate(x, y)["accuracy"] > 0.9
assert trainer.predict(x).shape == (300, 2)
save_weights(model, sys.argv[1])
load_weights(model, sys.argv[1])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    trainer.fit(x, y, progress=True)
assert "pip install tqdm" in str(caught[0].message), caught
assert caught[0].filename == __file__
try:
    history.plot()
except ImportError as error:
    assert isinstance(error, errors.NpnetError)
    print(error)
"""
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", script, tmp_path / "w.npz"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(npnet.__path__[0]) + "/..", "NPNET_OPS": "numpy"},
    )
    assert run.stderr == ""
    assert run.stdout == 'pictures need matplotlib: pip install "npnet-framework[plot]"\n'


def test_plot_hands_the_history_over(tmp_path):
    pytest.importorskip("matplotlib")
    figure = filled(4).plot(tmp_path / "curves.png")
    (axes,) = figure.axes
    assert np.array_equal(axes.lines[0].get_ydata(), filled(4)["loss"])
    assert (tmp_path / "curves.png").read_bytes()[1:4] == b"PNG"
    with pytest.raises(ArgumentError, match="train first"):
        History().plot()
