"""A layer of one's own: written, checked, trained; and one with a bug, found by its report.

python examples/custom_layer.py
"""

import numpy as np

import npnet
from npnet.gradcheck import check_layer


class GatedLinear(npnet.Layer):
    """y = (x A^T) * sigmoid(x B^T), a gated linear unit without biases."""

    def __init__(self, in_features, out_features):
        super().__init__()
        k = 1 / np.sqrt(in_features)
        shape = (out_features, in_features)
        self.value = npnet.Parameter(npnet.init.uniform(shape, -k, k))
        self.gate = npnet.Parameter(npnet.init.uniform(shape, -k, k))

    def forward(self, ctx, x):  # x: (n, in_features)
        value = x @ self.value.data.T
        gate = 1 / (1 + np.exp(-(x @ self.gate.data.T)))
        ctx.save(x, value, gate)
        return value * gate

    def backward(self, ctx, grad):  # grad: (n, out_features)
        x, value, gate = ctx.saved
        d_value = grad * gate
        d_gate = grad * value * gate * (1 - gate)
        ctx.add_product(self.value, d_value.T, x)
        ctx.add_product(self.gate, d_gate.T, x)
        return d_value @ self.value.data + d_gate @ self.gate.data


class Forgetful(GatedLinear):
    """The same, but its backward pass forgets the gate's path to the input."""

    def backward(self, ctx, grad):
        x, value, gate = ctx.saved
        d_value = grad * gate
        d_gate = grad * value * gate * (1 - gate)
        ctx.add_product(self.value, d_value.T, x)
        ctx.add_product(self.gate, d_gate.T, x)
        return d_value @ self.value.data


def main() -> float:
    npnet.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(5, 4))
    print(check_layer(GatedLinear(4, 3), x))

    try:
        check_layer(Forgetful(4, 3), x)
    except npnet.errors.GradientMismatch as error:
        print(f"\nThe layer with the bug:\n{error}")

    digits, labels = npnet.datasets.digits()
    x_train, x_test, y_train, y_test = npnet.data.train_test_split(
        digits, labels, test_size=0.2, stratify=labels, rng=0
    )
    model = npnet.Sequential(npnet.Flatten(), GatedLinear(64, 32), npnet.Linear(32, 10))
    trainer = npnet.Trainer(
        model, npnet.CrossEntropyLoss(), npnet.optim.Adam(model.parameters(), lr=1e-2),
        metrics=["accuracy"],
    )  # fmt: skip
    trainer.fit(x_train, y_train, epochs=10, batch_size=32)
    accuracy = trainer.evaluate(x_test, y_test)["accuracy"]
    print(f"\nA network with it reads digits: test accuracy {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
