"""What users write by mistake is answered in a sentence that says how to write it."""

import inspect
from collections import Counter

import numpy as np
import pytest

import npnet
from cases import LOSSES
from npnet.errors import NpnetError

X, LABELS = np.ones((5, 4), np.float32), np.array([0, 1, 2, 1, 0])
MODEL = npnet.Linear(4, 3, rng=0)
OUT = MODEL(X)
KINDS = sorted({type(case.make(reduction="mean")) for case in LOSSES}, key=str)
MSE, CE = npnet.MSELoss(), npnet.CrossEntropyLoss()
NLL, BCE = npnet.NLLLoss(), npnet.BCEWithLogitsLoss()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: CE(MODEL.record(X), LABELS), r"pred: record returns.*y, tape = model.record"),
        (lambda: MSE(OUT, MODEL.record(X)), r"target: record returns"),
        (lambda: MSE.value_and_grad(MODEL.record(X), OUT), "record returns"),
        (lambda: MSE.backward(), r"value_and_grad\(pred, target\); tape.backward\(grad\)"),
        (lambda: CE.to("cuda"), "on the CPU"),
        (lambda: CE.train(), "no modes"),
        (lambda: CE(LABELS, OUT), r"look swapped: loss_fn\(logits, labels\)"),
        (lambda: NLL(LABELS, OUT), "look swapped"),
        (lambda: BCE([0, 1, 1], [0.5, -3.0, 2.0]), r"look swapped: loss_fn\(logits, target\)"),
        (lambda: MSE(np.ones(5), np.ones((5, 1))), r"did you mean target.reshape\(-1\)\?"),
        (lambda: MSE(np.ones((5, 1)), np.ones(5)), r"did you mean target.reshape\(-1, 1\)\?"),
        (lambda: MSE(OUT, OUT.T), r"did you mean target.reshape\(-1, 3\)\?"),
        (lambda: CE(OUT, LABELS[:, None]), r"did you mean target.reshape\(-1\)\?"),
        (lambda: CE(OUT[0], LABELS[:1]), r"did you mean target.reshape\(\(\)\)\?"),
        (lambda: MSE(OUT[:0], OUT[:0].T), r"did you mean target.reshape\(0, 3\)\?"),
        (lambda: MSE(OUT, OUT, sample_weight=np.ones((5, 1))), r"weight.reshape\(-1\)\?"),
        (lambda: BCE(np.zeros(3), 1), r"\(3,\), got \(\); targets are never broadcast"),
        (lambda: MSE(OUT, LABELS), r"CrossEntropyLoss, or .*npnet.data.one_hot\(target, 3\)"),
        (lambda: BCE(OUT, LABELS), r"CrossEntropyLoss, or .*npnet.data.one_hot\(target, 3\)"),
        (lambda: CE(OUT, np.eye(4)[LABELS]), r"target.argmax\(1\)"),
        (lambda: NLL(OUT, np.eye(3)[LABELS]), r"target.argmax\(1\)"),
        (lambda: MSE(OUT, LABELS + 0.5), "targets are never broadcast$"),
        (lambda: MSE(OUT, None), "expects target to be an array, got None"),
        (lambda: MSE(MODEL, OUT), r"expects pred to be an array, got Linear\("),
        (lambda: MSE(npnet.Linear, OUT), "expects pred to be an array, got the class Linear"),
        (lambda: MSE((OUT, OUT), OUT), r"pred a tuple of 2 arrays; pass them one by one"),
        (lambda: MSE(OUT), r"takes \(pred, target\), got 1 array"),
        (lambda: MSE(OUT, OUT, np.ones(5)), "weights are a keyword, sample_weight="),
        (lambda: npnet.MSELoss(OUT, LABELS), r"made first.*loss_fn\(pred, target\)"),
        (lambda: npnet.MSELoss(OUT), "made first"),
        (lambda: npnet.CrossEntropyLoss(OUT, LABELS), "made first"),
        (lambda: npnet.BCEWithLogitsLoss(OUT, LABELS), "made first"),
        (lambda: npnet.MSELoss(size_average=True), "reduction='mean', 'sum' or 'none' says"),
        (lambda: npnet.BCELoss(reduce=False), "reduction='mean', 'sum' or 'none' says"),
        (lambda: npnet.CrossEntropyLoss("sum"), "CrossEntropyLoss: weight: expected real numbers"),
        (lambda: MSE([1e300], [1.0]), "pred numbers too large for float32"),
        (lambda: MSE(OUT, OUT + np.float64(1e300)), "target numbers too large for float32"),
        (lambda: MSE.evaluate(OUT, OUT, with_grad="no"), "with_grad to be True or False, got 'no'"),
        (lambda: CE.evaluate(OUT, LABELS, with_grad=np.ones(2)), "with_grad to be True or False"),
    ],
)
def test_mistakes_are_answered(call, sentence):
    with pytest.raises(NpnetError, match=sentence):
        call()


class Odd:
    pass


REFUSED = [  # as an array; as an argument of a constructor, but for a weight's None
    None, "mean ", b"x", 1 + 2j, 10**400, 10**30, Odd(), Odd, int, len, {"a": 1}, {1, 2}, object(),
    [1.0, [2.0, 3.0]], [[1], [2, 3]], ["a", "b"], [None, 1.0], ("a", 1), [10**400], [Odd()],
    np.array([1 + 1j]), np.array([None, 1]), np.array(["a"]), np.array([b"a"]),
    np.array(["2020-01-01"], "M8[D]"), np.ma.masked_array([1.0, 2.0], [True, False]),
    MODEL, MODEL.record(X), MSE, np, iter([1.0]), slice(None), Ellipsis, NotImplemented,
]  # fmt: skip
ODD = [
    0, 1, -1, 0.5, -0.5, True, False, np.nan, np.inf, -np.inf, 1e300, 5e-324, 2**62, [], [[]], (),
    [np.nan], [1.0, np.inf], [True, False], [0.5, 2], [1e300], np.float16(0.1), np.float32(0.3),
    np.int8(3), np.bool_(True), np.array(0.5), np.array(2), np.array(True), np.zeros((0, 3)),
    np.zeros((0,)), np.zeros((5, 0)), np.full((5, 3), np.nan), np.full(5, 7), LABELS, OUT, -OUT,
    np.eye(3)[LABELS], LABELS.astype(np.float16), np.ones((5, 3), bool), np.ones((5, 3), ">f8"),
    np.full((5, 3), 2**63, np.uint64), np.ones((5, 3), np.longdouble), np.ones((2,) * 12),
    np.broadcast_to(np.float32(1), (5, 3)),
]  # fmt: skip


def attempt(function, args, kwargs, refused):
    """Call it; tell whether it was refused, as it must be if `refused` is true."""
    try:
        function(*args, **kwargs)
    except NpnetError:
        return True
    assert not refused, (function, args, kwargs)
    return False


def test_nonsense_is_refused_in_our_words():
    """Only our exceptions come out, and what cannot be meant is never accepted."""
    rng, counts = np.random.default_rng(20), Counter()
    signs = np.where(OUT > 0, 1, -1)
    targets = {npnet.CrossEntropyLoss: LABELS, npnet.NLLLoss: LABELS, npnet.MultiMarginLoss: LABELS,
               npnet.MultiLabelMarginLoss: signs, npnet.HingeEmbeddingLoss: signs}  # fmt: skip
    for _ in range(6000):
        nonsense = rng.random() < 0.5
        pool = REFUSED if nonsense else ODD
        value = pool[rng.integers(len(pool))]
        kind = KINDS[rng.integers(len(KINDS))]
        parameters = inspect.signature(kind).parameters
        name = rng.choice(list(parameters))
        left_out = value is None and (name.endswith("weight") or name == "alpha")
        left_out |= isinstance(value, int) and isinstance(parameters[name].default, float)
        counts[attempt(kind, (), {name: value}, nonsense and not left_out)] += 1

        loss = kind(reduction=rng.choice(["mean", "sum", "none"]))
        method = (loss, loss.value_and_grad, loss.evaluate)[rng.integers(3)]
        given = {"pred": OUT, "target": targets.get(kind, abs(OUT) / 9), "sample_weight": None}
        place = rng.choice(list(given))
        given[place] = value
        left_out = value is None and place == "sample_weight"
        arrays = given.pop("pred"), given.pop("target")
        counts[attempt(method, arrays, given, nonsense and not left_out)] += 1
    assert counts.total() == 12000
    assert counts[True] > 8000
