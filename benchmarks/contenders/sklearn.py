"""scikit-learn: MLPClassifier, batch by batch through `partial_fit`."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np

from benchmarks import problem
from benchmarks.contenders.base import Contender
from benchmarks.problem import LEARNING_RATE, MLP, Arrays
from benchmarks.timing import Run


class Sklearn(Contender):
    """Checks of its arguments are a part of it: `partial_fit` is the step that users can call."""

    module = "sklearn"
    distribution = "scikit-learn"

    def step(self, mlp: MLP) -> Run:
        """Fit one batch."""
        model = _model(mlp, LEARNING_RATE)
        data = cycle(problem.batches(mlp))
        return _run(mlp, model, lambda: model.partial_fit(*next(data)))

    def predict(self, mlp: MLP) -> Run:
        """Predict probabilities; logits are not public."""
        model = _model(mlp, LEARNING_RATE)
        x, _ = problem.batches(mlp)[0]
        return Run(lambda: model.predict_proba(x), note="computes probabilities")

    def epoch(self, mlp: MLP, images: int | None) -> Run:
        """Fit everything once."""
        model = _model(mlp, 1e-3)
        x, y = problem.mnist(images)[0]
        model.shuffle = True
        return _run(mlp, model, lambda: model.partial_fit(x, y))


def _model(mlp: MLP, lr: float) -> Any:
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        mlp.sizes[1:-1], alpha=0.0, batch_size=mlp.batch, learning_rate_init=lr, shuffle=False
    )
    # Weights exist after a first fit; the optimizer then goes on with these very arrays.
    model.partial_fit(*problem.batches(mlp)[0], classes=np.arange(mlp.sizes[-1]))
    for i, (weight, bias) in enumerate(problem.initial(mlp)):
        if model.intercepts_[i].shape == bias.shape:
            model.coefs_[i][...] = weight.T
            model.intercepts_[i][...] = bias
    optimizer = model._optimizer
    optimizer.t = 0
    for moment in (*optimizer.ms, *optimizer.vs):
        moment[...] = 0
    return model


def _run(mlp: MLP, model: Any, call: Any) -> Run:
    if mlp.sizes[-1] == 2:
        return Run(call, note="makes one logistic output of two classes")

    def weights() -> Arrays:
        pairs = zip(model.coefs_, model.intercepts_, strict=True)
        return [(weight.T.copy(), bias.copy()) for weight, bias in pairs]

    return Run(call, result=weights)


make = Sklearn
