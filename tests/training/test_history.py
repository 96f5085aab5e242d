import math
import subprocess
import sys

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError
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
