"""The training loop, and what watches it."""

from npnet.arguments import absent
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

_OTHERS = {  # Keras's, and those of PyTorch's swa_utils
    "ModelCheckpoint": "EarlyStopping puts back the best weights; a function callback can call "
    "npnet.save_weights(trainer.model, path)",
    "LearningRateScheduler": "give the optimizer a schedule: lr=npnet.schedules.StepLR(0.1, 100)",
    "SwapEMAWeights": "Trainer(..., averaged=averaged_model) validates an average of the model",
    "SWALR": "the optimizer takes a schedule: lr=npnet.schedules.SequentialLR(...)",
    "update_bn": "AveragedModel(model, use_buffers=True) averages the running statistics",
    "CSVLogger": "fit returns the history: pandas.DataFrame(history).to_csv(path)",
    "LambdaCallback": "a function f(trainer, logs) is a callback",
    "TensorBoard": "fit returns the history: history.plot() draws it",
    "BackupAndRestore": "npnet.save_weights and optimizer.state_dict() keep what is needed",
}

__getattr__ = absent("npnet.training", __all__, _OTHERS)
