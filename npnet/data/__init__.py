"""Arrays on their way to a model: batches, splits, encodings and readers."""

from npnet.data.encode import one_hot
from npnet.data.idx import read_idx
from npnet.data.loader import DataLoader
from npnet.data.split import train_test_split

__all__ = ["DataLoader", "train_test_split", "one_hot", "read_idx"]
