"""SMS spam read word by word with a GRU: 5,574 real messages, a quarter of them for the test.

    python examples/sms_gru.py [--epochs 6] [--seed 0] [--data FOLDER]

Each word has a vector that is learned; a GRU reads the vectors of a message from both ends, and a
linear layer tells from its two final states whether the message is spam. Messages are rows of
numbers of words, filled up with 0; the GRU is told how many words there are. It has several
outputs, so the model is a layer of its own. Prints the test accuracy (at least 98 %).

`sms_spam.py` says where the data comes from, and does the same with a sparse matrix.
"""

import argparse
from collections import Counter

import numpy as np

import npnet
from sms_spam import read, terms

LONGEST = 80
"""Words that are read of a message; six of a thousand messages have more."""


def words(message: str) -> list[str]:
    """Return the words of a message, without the pairs."""
    return [term for term in terms(message) if " " not in term][:LONGEST]


class Reader(npnet.Layer):
    """Two logits for each row of numbers of words."""

    takes_integers = True

    def __init__(self, num_words: int, features: int, hidden: int) -> None:
        super().__init__()
        self.embedding = npnet.Embedding(num_words, features, padding_idx=0)
        self.dropout = npnet.Dropout(0.5)
        self.gru = npnet.GRU(features, hidden, batch_first=True, bidirectional=True)
        self.out = npnet.Linear(2 * hidden, 2)

    def forward(self, ctx, x):  # x: (n, words), 0 behind the end
        lengths = np.count_nonzero(x, axis=1)
        vectors = ctx.call(self.embedding, x[:, : lengths.max(initial=1)])
        _, h = ctx.call(self.gru, ctx.call(self.dropout, vectors), None, lengths)
        return ctx.call(self.out, np.concatenate(h, axis=1))  # h: (2, n, hidden)

    def backward(self, ctx, grad):
        embedding, dropout, gru, out = ctx.calls
        dh = np.stack(np.split(out.backward(grad), 2, axis=1))
        dx, *_ = gru.backward(None, dh)  # nobody used the states between
        embedding.backward(dropout.backward(dx))


def main(epochs: int, seed: int, folder: str | None) -> float:
    messages, labels = read(folder)
    npnet.manual_seed(seed)
    train, test = npnet.data.train_test_split(np.arange(len(labels)), stratify=labels, rng=seed)
    counts = Counter(word for i in train for word in set(words(messages[i])))
    known = sorted(word for word, count in counts.items() if count > 1)
    numbers = {word: number for number, word in enumerate(known, 2)}  # 1 is any other word
    x = np.zeros((len(messages), LONGEST), int)
    for row, message in zip(x, messages, strict=True):
        found = [numbers.get(word, 1) for word in words(message)]
        row[: len(found)] = found
    model = Reader(len(known) + 2, 32, 32)
    optimizer = npnet.optim.Adam(model.parameters(), lr=5e-3)
    trainer = npnet.Trainer(model, npnet.CrossEntropyLoss(), optimizer, metrics=["accuracy"])
    trainer.fit(x[train], labels[train], epochs=epochs, batch_size=64, rng=seed)
    accuracy = trainer.evaluate(x[test], labels[test])["accuracy"]
    print(f"{len(train)} messages, {len(known):,} words")
    print(f"test accuracy {accuracy:.4f} on {len(test)} messages")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", help="folder that holds sms/; NPNET_DATA if not given")
    args = parser.parse_args()
    main(args.epochs, args.seed, args.data)
