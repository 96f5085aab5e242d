"""Keras on whichever back end is installed: `train_on_batch`, `predict_on_batch` and `fit`."""

from __future__ import annotations

import importlib.util
import os
from importlib import metadata
from itertools import cycle
from typing import Any

from benchmarks import problem
from benchmarks.contenders.base import Contender
from benchmarks.problem import LEARNING_RATE, MLP, Arrays
from benchmarks.timing import Run

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

    def step(self, mlp: MLP) -> Run:
        """Train on one batch."""
        model = self._model(mlp, LEARNING_RATE)
        data = cycle(problem.batches(mlp))
        return Run(lambda: model.train_on_batch(*next(data)), result=lambda: _weights(model))

    def predict(self, mlp: MLP) -> Run:
        """Predict one batch."""
        model = self._model(mlp, LEARNING_RATE)
        x, _ = problem.batches(mlp)[0]
        return Run(lambda: model.predict_on_batch(x), result=lambda: model.predict_on_batch(x))

    def epoch(self, mlp: MLP, images: int | None) -> Run:
        """Fit for one epoch."""
        model = self._model(mlp, 1e-3)
        x, y = problem.mnist(images)[0]
        return Run(
            lambda: model.fit(x, y, batch_size=mlp.batch, epochs=1, verbose=0),
            result=lambda: _weights(model),
        )

    def _model(self, mlp: MLP, lr: float) -> Any:
        os.environ["KERAS_BACKEND"] = str(self.backend)
        import keras

        hidden = [keras.layers.Dense(size, activation="relu") for size in mlp.sizes[1:-1]]
        model = keras.Sequential(
            [keras.Input(mlp.sizes[:1]), *hidden, keras.layers.Dense(mlp.sizes[-1])]
        )
        model.set_weights([a for w, b in problem.initial(mlp) for a in (w.T, b)])
        model.compile(
            optimizer=keras.optimizers.Adam(lr, epsilon=1e-8),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        return model


def _weights(model: Any) -> Arrays:
    values = model.get_weights()
    return [(w.T.copy(), b.copy()) for w, b in zip(values[::2], values[1::2], strict=True)]


make = Keras
