"""The training loop, and what watches it."""

from typing import Any

from npnet.errors import NameTypoError
from npnet.training.averaging import (
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    get_swa_avg_fn,
    get_swa_multi_avg_fn,
)
from npnet.training.callbacks import Callback, TerminateOnNaN
from npnet.training.history import History
from npnet.training.metrics import Accuracy, MeanAbsoluteError, MeanSquaredError, Metric, R2Score
from npnet.training.minimize import minimize
from npnet.training.monitors import EarlyStopping, ReduceLROnPlateau
from npnet.training.repeat import Repeats, repeat
from npnet.training.trainer import Trainer

__all__ = [
    "Trainer",
    "History",
    "Callback",
    "EarlyStopping",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
    "Metric",
    "Accuracy",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "R2Score",
    "repeat",
    "Repeats",
    "minimize",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
]

_KERAS = {
    "ModelCheckpoint": "EarlyStopping puts back the best weights; a function callback can call "
    "npnet.save_weights(trainer.model, path)",
    "LearningRateScheduler": "give the optimizer a schedule: lr=npnet.schedules.StepLR(0.1, 100)",
    "SwapEMAWeights": "Trainer(..., averaged=averaged_model) validates an average of the model",
    "CSVLogger": "fit returns the history: pandas.DataFrame(history).to_csv(path)",
    "LambdaCallback": "a function f(trainer, logs) is a callback",
    "TensorBoard": "fit returns the history: history.plot() draws it",
    "BackupAndRestore": "npnet.save_weights and optimizer.state_dict() keep what is needed",
}


def __getattr__(name: str) -> Any:
    """Answer to the names of Keras's callbacks."""
    hint = f"; {_KERAS[name]}" if name in _KERAS else ""
    raise NameTypoError(f"npnet.training has no attribute {name!r}{hint}")
