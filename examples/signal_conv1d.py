"""Remove noise from a signal with a 1-D convolutional network, beside a moving average.

    python examples/signal_conv1d.py [--epochs 8] [--seed 0]

The signals are steps between random levels at random times, as of a switch, in noise of standard
deviation 0.5. A moving average has to choose: a long one rounds the steps off, a short one leaves
noise. Three convolutions, which see 21 samples, learn to average where the signal is flat, and not
across a step. Prints the root mean square errors on new signals; the network's is at most 0.8 of
the average's.
"""

import argparse

import numpy as np

import npnet

LENGTH, NOISE = 128, 0.5


def steps(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return n noisy signals, (n, 1, LENGTH), and the clean ones, with a step every 32 samples."""
    begins = rng.random((n, LENGTH)) < 1 / 32
    begins[:, 0] = True
    levels = rng.normal(size=begins.sum()).astype(np.float32)
    clean = levels[np.cumsum(begins) - 1].reshape(n, 1, LENGTH)
    return clean + NOISE * rng.standard_normal(clean.shape, np.float32), clean


def moving_average(width: int) -> npnet.Sequential:
    """Return a mean over neighbours, which is a convolution too; the ends are repeated."""
    mean = npnet.Conv1d(1, 1, width, padding="same", padding_mode="replicate", bias=False)
    mean.weight.data[...] = 1 / width
    return npnet.Sequential(mean)


def error(y: np.ndarray, clean: np.ndarray) -> float:
    """Return the root mean square error."""
    return float(np.sqrt(np.mean((y - clean) ** 2)))


def main(epochs: int, seed: int) -> float:
    npnet.manual_seed(seed)
    rng = np.random.default_rng(seed)
    (x_train, y_train), (x_test, y_test) = steps(3000, rng), steps(500, rng)
    same = {"padding": "same", "padding_mode": "replicate"}
    model = npnet.Sequential(
        npnet.Conv1d(1, 16, 5, **same), npnet.ReLU(),
        npnet.Conv1d(16, 16, 5, dilation=3, **same), npnet.ReLU(),
        npnet.Conv1d(16, 1, 5, **same),
    )  # fmt: skip
    lr = npnet.schedules.CosineAnnealingLR(0.01, epochs * len(x_train) // 50)
    optimizer = npnet.optim.Adam(model.parameters(), lr=lr)
    trainer = npnet.Trainer(model, npnet.MSELoss(), optimizer)
    trainer.fit(x_train, y_train, epochs=epochs, batch_size=50, rng=seed)
    filters = {width: moving_average(width) for width in (3, 5, 7, 9, 11, 13)}
    width = min(filters, key=lambda width: error(filters[width](x_train), y_train))
    average, network = (error(f(x_test), y_test) for f in (filters[width], model))
    print(f"noise                  {error(x_test, y_test):.4f}")
    print(f"moving average over {width:2} {average:.4f}")
    print(f"network                {network:.4f}, {network / average:.2f} of the average's")
    return network / average


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    main(args.epochs, args.seed)
