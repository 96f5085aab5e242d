"""Published results of small networks on MNIST and Fashion-MNIST, run again by their recipes.

    python examples/published_results.py adam sgd dropout fashion [--seeds 0 1 2] [--data FOLDER]
    python examples/published_results.py lesson mnist_cnn fashion_cnn

prints each seed's test accuracy and error, and their medians beside what was published. `RECIPES`
says what is run. Pixels are divided by 255. `--epochs N` ends a recipe early.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

import npnet

L2 = 1e-4 / 200  # scikit-learn divides its penalty of 1e-4 by the batch size, 200


class Recipe(NamedTuple):
    """What is trained, how, and what was published for it."""

    data: Callable[..., tuple]
    network: Callable[[], npnet.Sequential]
    optimizer: Callable[[npnet.Sequential], npnet.optim.Optimizer]
    batch_size: int
    epochs: int
    # scikit-learn's stop: more than ten epochs in a row without an improvement by 1e-4.
    stop: bool = False
    mirrored: bool = False  # whether the mirror image of every training image is added
    published: str = ""


def mlp(*widths: int, dropout: float = 0.0) -> npnet.Sequential:
    """Return Linear, ReLU and dropout for every hidden width, and a last Linear."""
    layers: list[npnet.Layer] = [npnet.Flatten()]
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [npnet.Linear(inputs, outputs), npnet.ReLU()]
        if dropout:
            layers.append(npnet.Dropout(dropout))
    return npnet.Sequential(*layers, npnet.Linear(*widths[-2:]))


def lesson_cnn() -> npnet.Sequential:
    """Return the lesson's network: two convolutions without padding, and one hidden layer."""
    return npnet.Sequential(
        npnet.Conv2d(1, 32, 3), npnet.ReLU(), npnet.Conv2d(32, 64, 3), npnet.ReLU(),
        npnet.MaxPool2d(2), npnet.Flatten(), npnet.Linear(9216, 128), npnet.ReLU(),
        npnet.Linear(128, 10),
    )  # fmt: skip


def small_cnn() -> npnet.Sequential:
    """Return three convolutions with batch norm and pooling: 61,114 parameters."""
    layers: list[npnet.Layer] = []
    for inputs, outputs in ((1, 24), (24, 48), (48, 96)):
        layers += [
            npnet.Conv2d(inputs, outputs, 3, padding=1, bias=False), npnet.BatchNorm2d(outputs),
            npnet.ReLU(), npnet.MaxPool2d(2),
        ]  # fmt: skip
    return npnet.Sequential(*layers, npnet.Flatten(), npnet.Dropout(0.3), npnet.Linear(9 * 96, 10))


def one_cycle(model: npnet.Sequential, epochs: int, batches: int) -> npnet.optim.Optimizer:
    """Return AdamW with a rate that rises to 6e-3 and falls again."""
    lr = npnet.schedules.OneCycleLR(6e-3, total_steps=epochs * batches)
    return npnet.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)


RECIPES = {
    "adam": Recipe(
        npnet.datasets.mnist, lambda: mlp(784, 100, 100, 10),
        lambda model: npnet.optim.Adam(decay_weights(model), lr=1e-3),
        batch_size=200, epochs=400, stop=True,
        published="test error 0.0224, scikit-learn's bench_mnist",
    ),
    "sgd": Recipe(
        npnet.datasets.mnist, lambda: mlp(784, 100, 100, 10),
        lambda model: npnet.optim.SGD(decay_weights(model), lr=0.2, momentum=0.9, nesterov=True),
        batch_size=200, epochs=400, stop=True,
        published="test error 0.0287, scikit-learn's bench_mnist",
    ),
    "dropout": Recipe(
        npnet.datasets.mnist, lambda: mlp(784, 512, 512, 10, dropout=0.2),
        lambda model: npnet.optim.RMSprop(
            model.parameters(), alpha=0.9, eps=1e-7,
            # With a constant rate the median of three seeds is 0.9841 instead of 0.9852.
            lr=npnet.schedules.LinearLR(1e-3, 1.0, 0.05, total_iters=20 * 469),
        ),
        batch_size=128, epochs=20, published="test accuracy 0.9840, Keras's mnist_mlp",
    ),
    "fashion": Recipe(
        npnet.datasets.fashion_mnist, lambda: mlp(784, 256, 128, 64, 10, dropout=0.25),
        lambda model: npnet.optim.AdamW(
            model.parameters(), lr=npnet.schedules.CosineAnnealingLR(2e-3, T_max=60 * 235)
        ),
        batch_size=256, epochs=60,
        published="test accuracy 0.900, the data set's own table",
    ),
    "lesson": Recipe(
        npnet.datasets.mnist, lesson_cnn,
        lambda model: npnet.optim.SGD(model.parameters(), lr=0.01),
        batch_size=128, epochs=1, published="test accuracy 0.8837, a lesson",
    ),
    "mnist_cnn": Recipe(
        npnet.datasets.mnist, small_cnn, lambda model: one_cycle(model, 6, 469),
        batch_size=128, epochs=6, published="test accuracy 0.992, two convolutions",
    ),
    "fashion_cnn": Recipe(
        npnet.datasets.fashion_mnist, small_cnn, lambda model: one_cycle(model, 7, 938),
        batch_size=128, epochs=7, mirrored=True,
        published="test accuracy 0.925, two convolutions, under 100,000 parameters",
    ),
}  # fmt: skip


def decay_weights(model: npnet.Sequential) -> list[dict]:
    """Return two groups of parameters: weights with the L2 penalty, biases without."""
    named = dict(model.named_parameters())
    return [
        {"params": [p for k, p in named.items() if k.endswith("weight")], "weight_decay": L2},
        {"params": [p for k, p in named.items() if not k.endswith("weight")]},
    ]


def train(recipe: Recipe, data: tuple, seed: int, epochs: int) -> float:
    """Train one network and return its test accuracy."""
    (x_train, y_train), (x_test, y_test) = data
    npnet.manual_seed(seed)
    model = recipe.network()
    if isinstance(model[0], npnet.Conv2d):
        x_train, x_test = x_train[:, np.newaxis], x_test[:, np.newaxis]
    if recipe.mirrored:
        x_train, y_train = np.concatenate([x_train, x_train[..., ::-1]]), np.tile(y_train, 2)
    optimizer = recipe.optimizer(model)
    trainer = npnet.Trainer(model, npnet.CrossEntropyLoss(), optimizer, metrics=["accuracy"])
    stop = npnet.training.EarlyStopping("loss", patience=11, min_delta=1e-4)
    start = time.perf_counter()
    history = trainer.fit(
        x_train,
        y_train,
        epochs=epochs,
        batch_size=recipe.batch_size,
        callbacks=[stop] if recipe.stop else [],
    )
    accuracy = trainer.evaluate(x_test, y_test)["accuracy"]
    print(
        f"seed {seed}: test accuracy {accuracy:.4f}, error {1 - accuracy:.4f}, "
        f"{len(history['loss'])} epochs, {time.perf_counter() - start:.0f} s"
    )
    return accuracy


def main(names: list[str], seeds: list[int], epochs: int | None, folder: str | None) -> dict:
    """Run the recipes and return the median test accuracy of each."""
    medians = {}
    for name in names:
        recipe = RECIPES[name]
        data = recipe.data(folder)
        end = min(recipe.epochs, epochs or recipe.epochs)
        medians[name] = statistics.median(train(recipe, data, seed, end) for seed in seeds)
        print(
            f"{name}: median of {len(seeds)} seeds: test accuracy {medians[name]:.4f}, "
            f"error {1 - medians[name]:.4f}; published: {recipe.published}"
        )
    return medians


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "recipes", nargs="*", metavar="recipe", help=f"of {', '.join(RECIPES)}; all if none"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="at most so many")
    parser.add_argument("--data", help="folder with the data; NPNET_DATA or a cache if not given")
    args = parser.parse_args()
    main(args.recipes or list(RECIPES), args.seeds, args.epochs, args.data)
