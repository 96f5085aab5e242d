"""Read digits with the network that digits_mlp.py saved.

python examples/predict_digits.py [--weights out/digits.npz] [--count 5]
"""

import argparse
from pathlib import Path

import numpy as np

import npnet
from digits_mlp import build, split

SHADES = np.array(list(" .:-=+*#%@"))


def main(weights: Path, count: int) -> float:
    model = build()
    npnet.load_weights(model, weights)
    _, x_test, _, y_test = split()
    probabilities = npnet.Sequential(model, npnet.Softmax())(x_test)
    predicted = probabilities.argmax(axis=1)
    for image, digit, p in list(zip(x_test, predicted, probabilities, strict=True))[:count]:
        print("\n".join("".join(row).rstrip() for row in SHADES[(image * 9.99).astype(int)]))
        print(f"this is a {digit} (probability {p[digit]:.3f})\n")
    accuracy = float((predicted == y_test).mean())
    print(f"test accuracy: {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=Path("out/digits.npz"))
    parser.add_argument("--count", type=int, default=5)
    args = parser.parse_args()
    main(args.weights, args.count)
