"""Keras on whichever back end is installed: `train_on_batch`, `predict_on_batch` and `fit`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from importlib import metadata
from typing import Any

from benchmarks.contenders.base import Contender
from benchmarks.timing import Run
from benchmarks.workloads import MLP, Epochs, Inference, Network

_BACKENDS = ("tensorflow", "jax", "torch")


class Keras(Contender):
    """The back end is ``KERAS_BACKEND`` or the first that is installed."""

    module = distribution = "keras"
    isolated = slow = True

    @property
    def backend(self) -> str | None:
        """The back end's module."""
        installed = [name for name in _BACKENDS if importlib.util.find_spec(name)]
        return os.environ.get("KERAS_BACKEND") or next(iter(installed), None)

    def missing(self) -> str | None:
        """Return why it cannot take part, or None."""
        if self.backend is None:
            return f"no back end of Keras is installed ({', '.join(_BACKENDS)})"
        return super().missing()

    def version(self) -> str:
        """Return what is installed."""
        return f"{super().version()} on {self.backend} {metadata.version(str(self.backend))}"

    def predict(self, workload: Inference) -> Run:
        """Predict one batch."""
        model, ((x,),) = self._compiled(workload.network, workload.lr), workload.batches()
        return Run(lambda: model.predict_on_batch(x), result=lambda: [model.predict_on_batch(x)])

    def epoch(self, workload: Epochs) -> Run:
        """Fit for one epoch."""
        model = self._compiled(workload.network, workload.lr)
        ((x, y),), batch = workload.batches(), workload.network.batch
        return _run(lambda: model.fit(x, y, batch_size=batch, epochs=1, verbose=0), model)

    def mlp(self, network: MLP) -> Any:
        """Make a `Sequential` with the network's initial values."""
        import keras

        hidden = [keras.layers.Dense(size, activation="relu") for size in network.sizes[1:-1]]
        last = keras.layers.Dense(network.sizes[-1])
        model = keras.Sequential([keras.Input(network.sizes[:1]), *hidden, last])
        model.set_weights([array.T for array in network.initial()])
        return model

    def training(self, network: Network, lr: float) -> Run:
        """Train on one batch."""
        model = self._compiled(network, lr)
        return _run(model.train_on_batch, model)

    def _compiled(self, network: Network, lr: float) -> Any:
        os.environ["KERAS_BACKEND"] = str(self.backend)
        import keras

        model = self.model(network)
        model.compile(
            optimizer=keras.optimizers.Adam(lr, epsilon=1e-8),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        return model


def _run(call: Callable[..., Any], model: Any) -> Run:
    return Run(call, result=lambda: [array.T.copy() for array in model.get_weights()])


make = Keras
