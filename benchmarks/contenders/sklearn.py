"""scikit-learn: MLPClassifier, batch by batch through `partial_fit`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.contenders.base import Contender
from benchmarks.results import Skip
from benchmarks.timing import Run
from benchmarks.workloads import MLP, Arrays, Epochs, Inference, Network, Updates


class Sklearn(Contender):
    """Checks of its arguments are a part of it: `partial_fit` is the step that users can call."""

    module = "sklearn"
    distribution = "scikit-learn"

    def predict(self, workload: Inference) -> Run:
        """Predict probabilities; logits are not public."""
        model, ((x,),) = self.model(workload.network), workload.batches()
        return Run(lambda: model.predict_proba(x), note="computes probabilities")

    def optimize(self, workload: Updates) -> Run:
        """Say that it cannot."""
        raise Skip("its optimizer does not run alone")

    def epoch(self, workload: Epochs) -> Run:
        """Fit everything once."""
        run, (batch,) = self.training(workload.network, workload.lr, True), workload.batches()
        fit = run.call
        return replace(run, call=lambda: fit(*batch))

    def mlp(self, network: MLP) -> Any:
        """Make an `MLPClassifier` with the network's initial values."""
        from sklearn.neural_network import MLPClassifier

        model = MLPClassifier(network.sizes[1:-1], alpha=0.0, batch_size=network.batch)
        # Weights exist after a first fit; the optimizer then goes on with these very arrays.
        model.partial_fit(*network.batches()[0], classes=np.arange(network.sizes[-1]))
        for array, value in zip(_params(model), network.initial(), strict=True):
            if array.shape == value.shape:
                array[...] = value
        return model

    def training(self, network: Network, lr: float, shuffle: bool = False) -> Run:
        """Fit a batch, or batch by batch what is more."""
        model = self.model(network)
        optimizer, model.shuffle = model._optimizer, shuffle
        optimizer.t, optimizer.learning_rate_init = 0, lr
        for moment in (*optimizer.ms, *optimizer.vs):
            moment[...] = 0
        if model.n_outputs_ == 1:
            return Run(model.partial_fit, note="makes one logistic output of two classes")
        return Run(model.partial_fit, result=lambda: [p.copy() for p in _params(model)])


def _params(model: Any) -> Arrays:
    """Return views: each weight (outputs, inputs) and bias."""
    pairs = zip(model.coefs_, model.intercepts_, strict=True)
    return [array.T for pair in pairs for array in pair]


make = Sklearn
