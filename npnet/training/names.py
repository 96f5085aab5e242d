"""The names of metrics and of the history's columns, also as other frameworks spell them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_ELSEWHERE = {
    "acc": "accuracy",
    "binary_accuracy": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "accuracy_score": "accuracy",
    "mean_absolute_error": "mae",
    "l1": "mae",
    "mean_squared_error": "mse",
    "r2_score": "r2",
    "r2score": "r2",
    "train_loss": "loss",
    "training_loss": "loss",
    "learning_rate": "lr",
    "epochs": "epoch",
}


def suggest(name: Any, known: Collection[str]) -> str:
    """Return "did you mean 'val_accuracy'?" for a name that is not among `known`, or nothing.

    Examples
    --------
    >>> suggest("val_acc", ["loss", "accuracy", "val_loss", "val_accuracy"])
    "did you mean 'val_accuracy'?"
    """
    from difflib import get_close_matches

    if not isinstance(name, str):
        return ""
    prefix = "val_" if name.lower().startswith("val_") else ""
    short = name.lower().removeprefix(prefix)
    short = _ELSEWHERE.get(short, short)
    there = [column.removeprefix(prefix) for column in known if column.startswith(prefix)]
    # A prefix alone is no likeness: 'val_score' is not a misspelt 'val_mse'.
    close = [short] if short in there else get_close_matches(short, there, 1)
    return f"did you mean {prefix + close[0]!r}?" if close else ""
