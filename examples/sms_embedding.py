"""SMS spam with an embedding and pooling: 5,574 real messages, a quarter of them for the test.

    python examples/sms_embedding.py [--epochs 8] [--seed 0] [--data FOLDER]

Each word, and each pair of neighbouring words, has a vector that is learned; a message is the
maximum of its vectors in each place, and a small MLP tells from that whether it is spam. Messages
are rows of indices, filled up with 0 to the longest one, which `padding_idx` leaves out. Prints the
test accuracy (at least 98 %; 98.1 to 99.0 % with seeds 0 to 7).

`sms_spam.py` says where the data comes from, and does the same with a sparse matrix.
"""

import argparse
from collections import Counter

import numpy as np

import npnet
from sms_spam import read, terms


def rows_of_indices(messages: list[str], vocabulary: dict[str, int]) -> np.ndarray:
    """Return the numbers of each message's terms, filled up with 0; unknown terms are left out."""
    found = [[vocabulary[term] for term in terms(m) if term in vocabulary] for m in messages]
    rows = np.zeros((len(found), max(map(len, found))), int)
    for row, numbers in zip(rows, found, strict=True):
        row[: len(numbers)] = numbers
    return rows


def main(epochs: int, seed: int, folder: str | None) -> float:
    messages, labels = read(folder)
    npnet.manual_seed(seed)
    train, test = npnet.data.train_test_split(np.arange(len(labels)), stratify=labels, rng=seed)
    counts = Counter(term for i in train for term in set(terms(messages[i])))
    known = sorted(term for term, count in counts.items() if count > 1)
    vocabulary = {term: number for number, term in enumerate(known, 1)}
    x_train = rows_of_indices([messages[i] for i in train], vocabulary)
    x_test = rows_of_indices([messages[i] for i in test], vocabulary)
    bag = npnet.EmbeddingBag(len(vocabulary) + 1, 32, mode="max", padding_idx=0)
    bag.weight.data *= 0.1  # terms that hardly occur in training then say little
    model = npnet.Sequential(
        bag, npnet.Dropout(0.3), npnet.Linear(32, 32), npnet.ReLU(), npnet.Linear(32, 2)
    )
    optimizer = npnet.optim.Adam(model.parameters(), lr=3e-3)
    trainer = npnet.Trainer(model, npnet.CrossEntropyLoss(), optimizer, metrics=["accuracy"])
    trainer.fit(x_train, labels[train], epochs=epochs, batch_size=64, rng=seed)
    accuracy = trainer.evaluate(x_test, labels[test])["accuracy"]
    print(f"{len(train)} messages, {len(vocabulary):,} terms, the longest has {x_train.shape[1]}")
    print(f"test accuracy {accuracy:.4f} on {len(test)} messages")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", help="folder that holds sms/; NPNET_DATA if not given")
    args = parser.parse_args()
    main(args.epochs, args.seed, args.data)
