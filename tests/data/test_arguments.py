"""Wrong kinds at every function of npnet.data and npnet.datasets, and for the Trainer's data.

Of a call that is right one argument is replaced. What comes out is one of npnet's errors, or the
value is one that the argument takes, as the table says.
"""

import itertools
import math
from numbers import Integral, Real

import numpy as np
import pytest

import npnet
from npnet.arguments import shown
from npnet.data import DataLoader, one_hot, read_idx, train_test_split
from npnet.datasets import fashion_mnist, mnist
from npnet.errors import NpnetError

SEED, CALLS = 20, 3000


class Odd:
    """Raises whenever somebody looks into it."""

    def __array__(self, dtype=None, copy=None):
        raise ZeroDivisionError

    def __fspath__(self):
        raise ZeroDivisionError

    def __repr__(self):
        raise ZeroDivisionError

    __len__ = __iter__ = __float__ = __index__ = __bool__ = __array__


VALUES = [
    None, True, False, np.True_, 0, 1, 2, -1, 10**30, -(10**30), 10**400, 2**63, np.int64(2),
    np.uint8(3), 0.0, -0.0, 0.5, 1.0, 2.0, 1e300, -1e-300, math.nan, math.inf, -math.inf,
    np.float16(0.3), np.float32(0.5), np.float16(np.nan), 1j, "", "0.2", "true", "\0", "\ud800",
    "~nobody-here", b"", b"abc", [], [1], [[1], [2, 3]], ["a"], [None], (), (1,), (None, None),
    {}, {1}, range(3), iter([1]), object(), object, int, lambda: None, NotImplemented, ...,
    np.array(1), np.array(0.5), np.zeros(0), np.zeros(3), np.zeros((4, 0)), np.zeros(4, complex),
    np.array(["a"] * 4), np.array([None] * 4), np.zeros(4, "M8[s]"), np.zeros(4, [("a", "i4")]),
    np.full(4, np.nan), np.array([10**400]), np.ma.masked_array([1.0], [True]), Odd(), [Odd()],
    np.dtype("f4"), np.random.RandomState(0), slice(3), [0, 1, 1, 0], np.array([1.0, 0, 1, 0]),
]  # fmt: skip

X, Y = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])


def integer(low, high=2**63 - 1):
    return lambda v: isinstance(v, Integral) and not isinstance(v, bool) and low <= v <= high


def fraction(v):
    return isinstance(v, Real) and not isinstance(v, Integral) and 0 < v < 1


def is_flag(v):
    return isinstance(v, bool | np.bool_)


def is_rng(v):
    return v is None or integer(0, 2**128 - 1)(v)


def or_none(check):
    return lambda v: v is None or check(v)


def is_data(v):
    """Return whether a value holds a real number at least for one sample."""
    if isinstance(v, str | bytes | np.ma.MaskedArray | Odd):
        return False
    parts = v if isinstance(v, tuple) else (v,)
    try:
        return bool(parts) and all(
            np.asarray(p).dtype.kind in "fiub" and np.ndim(p) and len(p) for p in parts
        )
    except (TypeError, ValueError, ZeroDivisionError):
        return False


def is_rows(v):
    """Return whether a value holds two zeros and two ones: classes, targets or weights of X."""
    return is_data(v) and np.shape(v) == (4,) and sorted(v) == [0, 0, 1, 1]


def nothing(v):
    return False


def is_real_dtype(v):
    return v is int or v == "\0" if isinstance(v, str | type) else isinstance(v, np.dtype)


def trainer():
    model = npnet.Linear(2, 2)
    optimizer = npnet.optim.SGD(model.parameters(), lr=0.1)
    return npnet.Trainer(model, npnet.CrossEntropyLoss(), optimizer)


def loader_epoch(number, start):
    return list(DataLoader(X, 1, shuffle=True).epoch(number, start))


CASES = [  # function, right arguments, and for each what else it takes
    (lambda **kw: list(DataLoader(**kw)),
     {"arrays": (X, Y), "batch_size": 2, "shuffle": True, "drop_last": False, "rng": 0},
     {"arrays": is_data, "batch_size": integer(1), "shuffle": is_flag, "drop_last": is_flag,
      "rng": is_rng}),
    (loader_epoch, {"number": 1, "start": 0}, {"number": integer(1), "start": integer(0, 4)}),
    (lambda a, **kw: train_test_split(a, **kw),
     {"a": X, "test_size": 0.5, "shuffle": True, "stratify": None, "rng": 0},
     {"a": lambda v: is_data(v) and len(v) > 1, "test_size": lambda v: fraction(v) or
      integer(1, 3)(v), "shuffle": is_flag, "rng": is_rng,
      "stratify": or_none(is_rows)}),
    (one_hot, {"labels": Y, "num_classes": 2, "dtype": "f4"},
     {"labels": lambda v: not isinstance(v, np.ma.MaskedArray | Odd) and is_labels(v),
      "num_classes": or_none(integer(2, 10**6)), "dtype": is_real_dtype}),
    (read_idx, {"path": "nowhere"}, {"path": nothing}),
    (mnist, {"folder": "nowhere", "download": False}, {"folder": nothing, "download": nothing}),
    (fashion_mnist, {"folder": "nowhere", "download": False}, {"folder": nothing}),
    (lambda **kw: trainer().predict(**kw), {"x": X, "batch_size": None},
     {"x": nothing, "batch_size": or_none(integer(1))}),
    (lambda **kw: trainer().evaluate(**kw),
     {"x": X, "y": Y, "batch_size": None, "sample_weight": None},
     {"x": nothing, "y": is_rows, "batch_size": or_none(integer(1)),
      "sample_weight": or_none(is_rows)}),
    (lambda **kw: trainer().fit(**kw, progress=False),
     {"x": X, "y": Y, "epochs": 1, "batch_size": None, "validation_data": None,
      "validation_split": 0.25, "shuffle": None, "sample_weight": None, "rng": 0},
     {"x": nothing, "epochs": integer(1, 3), "batch_size": or_none(integer(1)),
      "validation_data": or_none(nothing), "validation_split": lambda v: v is not True and
      not isinstance(v, bool | np.bool_) and isinstance(v, Real) and (v == 0 or fraction(v)),
      "shuffle": or_none(is_flag), "rng": is_rng}),
]  # fmt: skip


def is_labels(v):
    """Return whether a value holds classes 0 and 1, written out."""
    try:
        array = np.asarray(v)
    except (TypeError, ValueError, ZeroDivisionError):
        return False
    return array.dtype.kind in "fiub" and all(n in (0, 1) for n in array.ravel().tolist())


def kinds():
    """Yield each case with each of its arguments, and in the end random pairs of them."""
    for case in CASES:
        for name in case[2]:
            for value in VALUES:
                yield case, {name: value}
    rng = np.random.default_rng(SEED)
    while True:
        case = CASES[rng.integers(len(CASES))]
        names = rng.permutation(sorted(case[2]))[:2]
        yield case, {str(name): VALUES[rng.integers(len(VALUES))] for name in names}


def refusal(function, arguments):
    try:
        function(**arguments)
    except NpnetError as error:
        return str(error)
    return ""


@pytest.mark.filterwarnings("ignore:the training loss is:RuntimeWarning")
def test_wrong_kinds_are_refused_and_right_ones_taken(monkeypatch, tmp_path):
    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.delenv("NPNET_DATA", raising=False)
    monkeypatch.setenv("NPNET_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    taken = 0
    for (function, right, takes), changed in itertools.islice(kinds(), CALLS):
        what = ", ".join(f"{name}={shown(value)}" for name, value in changed.items())
        fits = all(takes[name](value) for name, value in changed.items())
        try:
            text = refusal(function, {**right, **changed})
        except Exception as error:
            raise AssertionError(f"{what} raised {error!r}") from error
        assert text or fits, f"{what} was taken"
        assert len(changed) > 1 or not (text and fits), f"{what} was refused: {text}"
        taken += not text
    assert taken > 100
