"""SMS spam from a sparse bag of words: 5,574 real messages, a quarter of them for the test.

    python examples/sms_spam.py [--epochs 8] [--seed 0] [--data FOLDER]

The words and pairs of neighbouring words of a message are counted in one row of a sparse matrix,
which goes through the data loader and the first layer as it is; nowhere is it made dense. Prints
the test accuracy (at least 98 %) and the peak of the memory that Python and NumPy took.

FOLDER holds ``sms/SMSSpamCollection`` of the SMS Spam Collection v.1 (Almeida, Gomez Hidalgo and
Yamakami, "Contributions to the Study of SMS Spam Filtering", DocEng 2011), which is free at
https://archive.ics.uci.edu/dataset/228/sms+spam+collection; the default is NPNET_DATA.
"""

import argparse
import os
import re
import sys
import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

import npnet


def read(folder: str | None) -> tuple[list[str], np.ndarray]:
    """Return the messages, and 1 for each that is spam, 0 for the others."""
    folder = folder or os.environ.get("NPNET_DATA")
    path = Path(folder or ".") / "sms" / "SMSSpamCollection"
    if not path.is_file():
        where = f"there is no {path}" if folder else "NPNET_DATA is not set"
        sys.exit(f"{where}: name a folder that holds sms/SMSSpamCollection with --data")
    lines = path.read_text(encoding="utf-8").splitlines()
    kinds, messages = zip(*(line.split("\t", 1) for line in lines), strict=True)
    return list(messages), np.array([kind == "spam" for kind in kinds], int)


def terms(message: str) -> list[str]:
    """Return the words of a message, digits written as 0, and its pairs of neighbours."""
    words = re.findall(r"[a-z']+|[0-9]+|[^\sa-z0-9]", message.lower())
    words = [re.sub("[0-9]", "0", word) for word in words]
    return words + [f"{a} {b}" for a, b in pairwise(words)]


def bag_of_words(messages: list[str], vocabulary: dict[str, int]) -> csr_array:
    """Count terms; each row has log(1 + count) of its terms, divided by the row's norm."""
    indices, values, ends = [], [], [0]
    for message in messages:
        found = [vocabulary[term] for term in terms(message) if term in vocabulary]
        columns, counts = np.unique(np.array(found, int), return_counts=True)
        row = np.log1p(counts)
        indices.append(columns)
        values.append(row / max(float(np.linalg.norm(row)), 1e-12))
        ends.append(ends[-1] + len(columns))
    data = np.concatenate(values).astype(np.float32)
    return csr_array((data, np.concatenate(indices), ends), shape=(len(messages), len(vocabulary)))


def main(epochs: int, seed: int, folder: str | None) -> float:
    messages, labels = read(folder)
    tracemalloc.start()
    npnet.manual_seed(seed)
    train, test = npnet.data.train_test_split(np.arange(len(labels)), stratify=labels, rng=seed)
    counts = Counter(term for i in train for term in set(terms(messages[i])))
    known = sorted(term for term, count in counts.items() if count > 1)
    vocabulary = {term: column for column, term in enumerate(known)}
    x_train = bag_of_words([messages[i] for i in train], vocabulary)
    x_test = bag_of_words([messages[i] for i in test], vocabulary)
    model = npnet.Sequential(
        npnet.Linear(len(vocabulary), 32), npnet.ReLU(), npnet.Dropout(0.5), npnet.Linear(32, 2)
    )
    optimizer = npnet.optim.Adam(model.parameters(), lr=2e-3)
    trainer = npnet.Trainer(model, npnet.CrossEntropyLoss(), optimizer, metrics=["accuracy"])
    trainer.fit(x_train, labels[train], epochs=epochs, batch_size=64, rng=seed)
    accuracy = trainer.evaluate(x_test, labels[test])["accuracy"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    dense = np.prod(x_train.shape) * x_train.data.itemsize
    print(f"{len(train)} messages, {len(vocabulary):,} terms, {x_train.nnz:,} entries")
    print(f"test accuracy {accuracy:.4f} on {len(test)} messages")
    print(f"peak memory {peak / 1e6:.0f} MB; as an array x_train alone has {dense / 1e6:.0f} MB")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", help="folder that holds sms/; NPNET_DATA if not given")
    args = parser.parse_args()
    main(args.epochs, args.seed, args.data)
