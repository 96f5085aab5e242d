"""Every planted bug is found, nearly all are called by their name, and none by a wrong one.

``python -m pytest -s tests/gradcheck/test_mutants.py -k table`` prints the table.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from zoo import chains, linear, loss_mutants, random_and_rows
from zoo.bugs import FAMILIES, FILES, MUTANTS

import npnet
from cases import LAYERS, LOSSES
from npnet.gradcheck import Diagnosis, check_gradients
from npnet.gradcheck.check import check_layer
from npnet.gradcheck.rules.contract import LAYER_RULES, LOSS_RULES


@pytest.fixture(scope="module")
def reports():
    return {name: check_layer(m.make, *m.inputs, raises=False) for name, m in MUTANTS.items()}


@pytest.mark.parametrize("name", MUTANTS)
def test_caught(reports, name):
    assert not reports[name].ok
    with pytest.raises(npnet.errors.GradientMismatch):
        reports[name].raise_if_failed()


def test_there_are_enough():
    assert len(MUTANTS) >= 400


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.id)
def test_a_factor_is_caught_in_every_layer(case):
    def make():
        layer = case.make()
        kind = type(layer)

        def backward(self, ctx, grad):
            dx = kind.backward(self, ctx, grad)
            return None if dx is None else 1.001 * dx

        # Not an assignment: attributes are made in the constructor only.
        object.__setattr__(layer, "__class__", type("Wrong", (kind,), {"backward": backward}))
        return layer

    assert not check_layer(make, case.shapes[0], only=["gradients"], raises=False).ok


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.id)
def test_a_factor_is_caught_in_every_loss(case, rng):
    loss = case.make(reduction="mean")
    kind = type(loss)

    def evaluate(self, *arrays, **options):
        found = kind.evaluate(self, *arrays, **options)
        return found if found.grad is None else found._replace(grad=1.001 * found.grad)

    object.__setattr__(loss, "__class__", type("Wrong", (kind,), {"evaluate": evaluate}))
    given = case.shapes[0], case.target(rng, case.shapes[0])
    assert not check_layer(loss, *given, only=["gradients"], raises=False).ok


def test_every_rule_finds_some_bug(reports):
    found = {"layer": set(), "loss": set()}
    for name, report in reports.items():
        kind = "loss" if isinstance(MUTANTS[name].make(), npnet.Loss) else "layer"
        found[kind] |= {v.rule for v in report.violations}
    assert set(LAYER_RULES) <= found["layer"]
    assert set(LOSS_RULES) <= found["loss"]


def test_table_of_diagnoses(reports):
    rows = []
    for name, mutant in MUTANTS.items():
        report = reports[name]
        mark = {True: "named", False: "other", None: "-"}[mutant.named(report)]
        mark = "MISLED" if mutant.misled(report) else "MISSED" if report.ok else mark
        first = (*report.diagnosis, *report.violations, "")[0]
        rows.append((name, mark, mutant.bug, str(first).split("\n")[0][:90]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for row in rows:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
    caught = sum(not report.ok for report in reports.values())
    assert caught == len(rows) == len(MUTANTS)
    marks = [mark for _, mark, *_ in rows]
    asked = len(marks) - marks.count("-")
    print(f"caught {caught} of {len(rows)}; named {marks.count('named')} of {asked}; misled "
          f"{marks.count('MISLED')}")  # fmt: skip


def test_causes_are_named(reports):
    named = {n: m.named(reports[n]) for n, m in MUTANTS.items() if m.named(reports[n]) is not None}
    missing = [name for name, found in named.items() if not found]
    assert len(missing) <= 0.05 * len(named), f"{len(missing)} of {len(named)}: {missing}"


def test_nothing_misleads(reports):
    misled = {name: m.misled(reports[name]) for name, m in MUTANTS.items()}
    assert not (found := {name: words for name, words in misled.items() if words}), found


@pytest.mark.parametrize(
    "name",
    ["RoundsStraightThrough", "SteepThousandth", "PReLUOldSlope", "ReLUWritesOutput"],
)
@pytest.mark.parametrize("mode", ["full", "directional"])
def test_caught_by_check_gradients_alone(name, mode):
    mutant = MUTANTS[name]
    arrays = [np.random.default_rng(1).normal(size=x) if isinstance(x, tuple) else x
              for x in mutant.inputs]  # fmt: skip
    assert not check_gradients(mutant.make(), *arrays, mode=mode, raises=False).ok


# One for each pattern: without it, the report would say less.
NAMED = {
    "IdentityBlocks": "the gradient of input is zero everywhere",
    "IgnoresUpstream": "does not depend on the upstream gradient",
    "ClipsUpstream": "is not proportional to the upstream gradient",
    "BackwardInFloat32": "the gradient of weight was rounded to float32",
    "TanhHalf": "the gradient of input is 1/2 of the true one",
    "WeightTransposed": "the gradient of weight is transposed",
    "FlattenFortran": "the gradient of input is reshaped where it should be transposed",
    "RemembersByShape": "the output does not depend on the value that input has now",
    "ReLUInverted": "is zero exactly where it should not be",
    "ReLUThreshold": "is wrong exactly where the input is be",
    "InputRowOff": "only sample 2 (of 5) of the gradient of input is wrong",
    "TanhElement": "only 1 of 24 elements of the gradient of input is wrong",
    "InputTransposed": "the derivative by `x` has `self.weight.data.T` transposed",
    "BiasOfFirstRow": "holds only what comes through sample 0: it is not summed over the batch",
    "SoftmaxDiagonal": "is taken for y (1 - y) of its value y",
    "SoftmaxWithoutSum": "lacks what comes through `out.sum(axis=axis, keepdims=True)`",
    "SigmoidHalf": "the derivative of `_sigmoid(x)`",
    "SiLUProductRule": "lacks what comes through `_sigmoid(x)`",
    "SigmoidPlus": "is off by a factor that differs from output to output",
}


@pytest.mark.parametrize("name", NAMED)
def test_patterns_are_recognised(reports, name):
    assert NAMED[name] in " ".join(d.message for d in reports[name].diagnosis)


@pytest.mark.parametrize("name", ["BackwardInFloat32", "TanhFloat16"])
def test_of_what_is_rounded_nothing_else_is_said(reports, name):
    assert len(reports[name].diagnosis) == 1


def test_what_is_rounded_has_no_factor():
    mutant = MUTANTS["BackwardInFloat32"]
    report = check_layer(mutant.make, *mutant.inputs, only=["gradients"], raises=False)
    assert "times the true one" not in str(report)


HONEST = [
    (linear.Base, (linear._X,)),
    (linear.Square, (linear._X,)),
    (random_and_rows.Drop, (random_and_rows._X,)),
    (chains.Chain, (chains._X,)),
    (chains._Residual, (chains._X,)),
    (npnet.MSELoss, loss_mutants._REAL),
    (npnet.CrossEntropyLoss, loss_mutants._LABELS),
    (npnet.BCEWithLogitsLoss, loss_mutants._BINARY),
    *(base for family in FAMILIES for base in family.BASES),
]


@pytest.mark.parametrize(
    ("make", "inputs"), HONEST, ids=lambda value: getattr(value, "__name__", "")
)
def test_the_reason_is_the_bug_alone(make, inputs):
    """Every class that the mutants start from is itself honest."""
    assert check_layer(make, *inputs).ok


@pytest.mark.parametrize("name", MUTANTS)
def test_causes_say_something(name):
    """What is said of anything names no cause."""
    text = "8 of 20 elements of the gradient of {} are wrong, in no pattern known here: some part "
    said = [Diagnosis("formula", n, text.format(n)) for n in ("input", "input 0", "u", "weight")]
    nothing = SimpleNamespace(diagnosis=said, violations=[])
    assert not MUTANTS[name].named(nothing)
    assert not MUTANTS[name].misled(nothing)


def test_each_file_plants_something():
    modules = {m.make.__module__ for m in MUTANTS.values()}
    assert modules == {file.__name__ for file in FILES}
