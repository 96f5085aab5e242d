"""Regression with validation: y = sin t cos t from (sin t, cos t), 2-3-1 with tanh.

    python examples/regression.py [--epochs 500] [--out out]

100 values of t in [0, 10], Adam, mean squared error, batch 10, the last 20 % for validation.
"""

import argparse
from pathlib import Path

import numpy as np

import npnet


def main(epochs: int, out: Path) -> dict[str, float]:
    npnet.manual_seed(0)
    t = np.linspace(0, 10, 100)
    x = np.stack([np.sin(t), np.cos(t)], axis=1)
    y = (np.sin(t) * np.cos(t))[:, np.newaxis]
    model = npnet.Sequential(npnet.Linear(2, 3), npnet.Tanh(), npnet.Linear(3, 1))
    trainer = npnet.Trainer(
        model,
        npnet.MSELoss(),
        npnet.optim.Adam(model.parameters(), lr=1e-2),
        metrics=["mae", "r2"],
    )
    history = trainer.fit(x, y, epochs=epochs, batch_size=10, validation_split=0.2)
    scores = trainer.evaluate(x, y)
    print("all 100 points: " + ", ".join(f"{name} {value:.5f}" for name, value in scores.items()))
    try:
        out.mkdir(parents=True, exist_ok=True)
        history.plot(out / "regression.png")
        print(f"picture: {out / 'regression.png'}")
    except npnet.errors.MissingDependency as error:
        print(error)
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("out"))
    args = parser.parse_args()
    main(args.epochs, args.out)
