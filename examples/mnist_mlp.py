"""MNIST with 784-100-100-10 and Adam: the published recipe of scikit-learn's bench_mnist.

    python examples/mnist_mlp.py [--seeds 0 1 2] [--epochs 15] [--data FOLDER]

Prints each seed's test error and their median. Adam 0.001, L2 penalty 1e-4 (divided by the batch
size, as scikit-learn does), batch 200, pixels / 255. scikit-learn publishes a test error of 0.0224
for a run that stops when the training loss stands still; this one stops after 15 epochs.
"""

import argparse
import statistics
import time

import npnet


def train(data: tuple, seed: int, epochs: int) -> float:
    """Train one network and return its test error."""
    (x_train, y_train), (x_test, y_test) = data
    npnet.manual_seed(seed)
    model = npnet.Sequential(
        npnet.Flatten(),
        npnet.Linear(784, 100), npnet.ReLU(),
        npnet.Linear(100, 100), npnet.ReLU(),
        npnet.Linear(100, 10),
    )  # fmt: skip
    # The penalty of the recipe is divided by the batch size.
    optimizer = npnet.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4 / 200)
    trainer = npnet.Trainer(model, npnet.CrossEntropyLoss(), optimizer, metrics=["accuracy"])
    start = time.perf_counter()
    trainer.fit(x_train, y_train, epochs=epochs, batch_size=200)
    error = 1 - trainer.evaluate(x_test, y_test)["accuracy"]
    print(f"seed {seed}: test error {error:.4f} after {time.perf_counter() - start:.1f} s")
    return error


def main(seeds: list[int], epochs: int, folder: str | None) -> float:
    data = npnet.datasets.mnist(folder)
    median = statistics.median(train(data, seed, epochs) for seed in seeds)
    print(f"median test error of {len(seeds)} seeds: {median:.4f}")
    return median


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--data", help="folder with the four files; NPNET_DATA or a cache if not")
    args = parser.parse_args()
    main(args.seeds, args.epochs, args.data)
