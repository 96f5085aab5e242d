"""Advice, what the `Trainer` says of a training that is not as it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.errors import TargetError
from npnet.registry import structure
from npnet.training.checks import misfit, place_in_data, untrained
from npnet.training.warn import warn

if TYPE_CHECKING:
    from npnet.data.batches import BatchSource
    from npnet.training.metric_tracker import MetricTracker
    from npnet.training.trainer import Trainer


class Advice:
    """Looks at the parts of a trainer, and says each sentence once."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._trained: list[Any] | None = None  # the parameters, when they were last checked
        self._structure = -1  # of the layers, when the predictions were last checked
        self._warned: set[str] = set()

    def knows_outputs(self) -> bool:
        """Tell whether the predictions of the present layers were looked at."""
        return self._structure == structure.changes

    def forget_outputs(self) -> None:
        """Look at the predictions anew, for the model or the loss is another one."""
        self._structure = -1

    def checked_parameters(self, parameters: list[Any]) -> list[Any]:
        """Return all parameters; warn if others are to train than before, and some would not."""
        trained = [p for p in parameters if p.requires_grad]
        if trained != self._trained:
            self.warn_once(untrained(self._trainer.model, self._trainer.optimizer))
            self._trained = trained
        return parameters

    def check_outputs(self, outputs: Any, tape: Any) -> None:
        """Warn of a last layer that does not fit the loss."""
        pred = outputs[0] if isinstance(outputs, tuple) else outputs
        self.warn_once(misfit(self._trainer.loss, pred, tape._ctx))
        self._structure = structure.changes

    def located(
        self, error: TargetError, source: BatchSource, batch: Any, tracker: MetricTracker
    ) -> TargetError:
        """Return the error about a target with the place where the data is not finite."""
        place = place_in_data(source, batch, tracker.batches, self._trainer.model.dtype)
        return TargetError(f"{error.args[0]}; {place}", error.layer) if place else error

    def explain_loss(
        self, value: float, what: str, source: BatchSource, batch: Any, tracker: MetricTracker
    ) -> None:
        """Warn of a loss that is not finite, and say where that comes from."""
        key = f"the {what}loss is"
        if key in self._warned:
            return
        reason = place_in_data(source, batch, tracker.batches, self._trainer.model.dtype)
        if not reason:
            named = self._trainer.model.named_parameters()
            broken = [name for name, p in named if not np.isfinite(p.data).all()]
            reason = "a smaller learning rate, scaled inputs or gradient clipping may help"
            if broken:
                reason = f"the data is finite, and the model's {broken[0]} is not"
            elif what != "training ":
                reason = "the data is finite, and the model's predictions are too large"
        end = ", and callbacks=[TerminateOnNaN()] ends such a run" if what == "training " else ""
        self.warn_once(f"{key} {value}: {reason}{end}", key)

    def warn_once(self, message: str, key: str = "") -> None:
        """Warn unless the message is empty or it, or its key, was said before."""
        if message and (key or message) not in self._warned:
            self._warned.add(key or message)
            warn(message)
