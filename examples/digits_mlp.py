"""Train a network on the handwritten digits that ship with npnet, test it, draw it, save it.

    python examples/digits_mlp.py [--epochs 60] [--out out]

Writes digits.npz (the weights, for predict_digits.py), and with matplotlib curves.png and
mistakes.png.
"""

import argparse
from pathlib import Path

import numpy as np

import npnet


def build() -> npnet.Sequential:
    """The network; predict_digits.py builds the same one."""
    return npnet.Sequential(
        npnet.Flatten(),
        npnet.Linear(64, 128),
        npnet.ReLU(),
        npnet.Dropout(0.3),
        npnet.Linear(128, 10),
    )


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The same division into training and test images each time."""
    x, y = npnet.datasets.digits()
    return npnet.data.train_test_split(x, y, test_size=0.2, stratify=y, rng=0)


def main(epochs: int, out: Path) -> float:
    npnet.manual_seed(0)
    x_train, x_test, y_train, y_test = split()
    model = build()
    print(model.summary((8, 8)))
    trainer = npnet.Trainer(
        model,
        npnet.CrossEntropyLoss(),
        npnet.optim.Adam(model.parameters(), lr=3e-3),
        metrics=["accuracy"],
    )
    history = trainer.fit(x_train, y_train, epochs=epochs, batch_size=32, validation_split=0.1)
    print(history)
    accuracy = trainer.evaluate(x_test, y_test)["accuracy"]
    print(f"test accuracy on {len(y_test)} images: {accuracy:.4f}")

    out.mkdir(parents=True, exist_ok=True)
    npnet.save_weights(model, out / "digits.npz")
    print(f"weights: {out / 'digits.npz'}")
    try:
        history.plot(out / "curves.png")
        predicted = trainer.predict(x_test).argmax(axis=1)
        wrong = np.flatnonzero(predicted != y_test)[:8]
        titles = [f"{p} for {t}" for p, t in zip(predicted[wrong], y_test[wrong], strict=True)]
        npnet.plot.plot_images(x_test[wrong], titles, path=out / "mistakes.png")
        print(f"pictures: {out / 'curves.png'}, {out / 'mistakes.png'}")
    except npnet.errors.MissingDependency as error:
        print(error)
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("out"))
    args = parser.parse_args()
    main(args.epochs, args.out)
