"""The training loop, and what watches it."""

from npnet.training.callbacks import Callback, EarlyStopping, TerminateOnNaN
from npnet.training.history import History
from npnet.training.metrics import Accuracy, MeanAbsoluteError, MeanSquaredError, Metric, R2Score
from npnet.training.trainer import Trainer

__all__ = [
    "Trainer",
    "History",
    "Callback",
    "EarlyStopping",
    "TerminateOnNaN",
    "Metric",
    "Accuracy",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "R2Score",
]
