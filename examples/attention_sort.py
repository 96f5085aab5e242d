"""A small transformer learns to sort ten digits, with the training loop written out.

python examples/attention_sort.py [--steps 1500]
"""

import argparse
import time

import numpy as np

import npnet

LENGTH = 10


def draw(rng, count):
    """Return sequences of digits, and the same sorted."""
    digits = rng.integers(0, 10, (count, LENGTH))
    return digits, np.sort(digits, axis=1)


def main(steps: int, seed: int = 0) -> float:
    npnet.manual_seed(seed)
    rng = np.random.default_rng(seed)
    layer = npnet.TransformerEncoderLayer(
        64, nhead=4, dim_feedforward=128, dropout=0.0, batch_first=True, norm_first=True
    )
    model = npnet.Sequential(
        npnet.Embedding(10, 64),
        npnet.PositionEmbedding(LENGTH, 64, batch_first=True),
        npnet.TransformerEncoder(layer, num_layers=2, norm=npnet.LayerNorm(64)),
        npnet.Linear(64, 10),  # at each place, a score for each digit
    )
    loss_fn = npnet.CrossEntropyLoss()
    schedule = npnet.schedules.OneCycleLR(max_lr=3e-3, total_steps=steps)
    optimizer = npnet.optim.Adam(model.parameters(), lr=schedule)

    start = time.perf_counter()
    for step in range(1, steps + 1):
        digits, target = draw(rng, 64)
        logits, tape = model.record(digits)  # (64, LENGTH, 10)
        loss, grad = loss_fn.value_and_grad(logits.reshape(-1, 10), target.reshape(-1))
        tape.backward(grad.reshape(logits.shape))
        optimizer.step()
        optimizer.zero_grad()
        if step % 250 == 0:
            seconds = time.perf_counter() - start
            print(f"step {step}: loss {loss:.4f} after {seconds:.0f} s")

    digits, target = draw(rng, 2000)  # of 10^10 sequences, so hardly any was seen in training
    predicted = model(digits).argmax(axis=-1)
    for given, found in zip(digits[:5], predicted[:5], strict=True):
        print(*given, " sorted: ", *found)
    correct = float((predicted == target).all(axis=1).mean())
    print(f"{correct:.2%} of 2,000 new sequences are sorted without a mistake")
    return correct


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500)
    main(parser.parse_args().steps)
