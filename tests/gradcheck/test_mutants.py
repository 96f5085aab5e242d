"""Every planted bug is found, and most are called by their name.

``python -m pytest -s tests/gradcheck/test_mutants.py -k table`` prints the table.
"""

import pytest
from zoo import activations, chains, linear, loss_mutants, random_and_rows
from zoo.mutants import MUTANTS

import npnet
from npnet.gradcheck.contract import LAYER_RULES, LOSS_RULES, check_layer

FILES = (activations, chains, linear, loss_mutants, random_and_rows)


@pytest.fixture(scope="module")
def reports():
    return {name: check_layer(m.make, *m.inputs, raises=False) for name, m in MUTANTS.items()}


def said(report):
    """The kinds of diagnosis and the rules that a report names."""
    return {d.kind for d in report.diagnosis} | {v.rule for v in report.violations}


@pytest.mark.parametrize("name", MUTANTS)
def test_caught(reports, name):
    assert not reports[name].ok
    with pytest.raises(npnet.errors.GradientMismatch):
        reports[name].raise_if_failed()


def test_there_are_enough_and_of_every_class():
    assert len(MUTANTS) >= 60
    bases = {base for m in MUTANTS.values() for base in type(m.make()).__mro__}
    for name in npnet.__all__:
        kind = getattr(npnet, name)
        if isinstance(kind, type) and issubclass(kind, npnet.Layer | npnet.Loss):
            assert kind in bases, f"no bug is planted in {name}"


def test_every_rule_finds_some_bug(reports):
    found = {"layer": set(), "loss": set()}
    for name, report in reports.items():
        kind = "loss" if isinstance(MUTANTS[name].make(), npnet.Loss) else "layer"
        found[kind] |= {v.rule for v in report.violations}
    assert set(LAYER_RULES) <= found["layer"]
    assert set(LOSS_RULES) <= found["loss"]


def test_table_of_diagnoses(reports):
    rows, right = [], []
    for name, mutant in MUTANTS.items():
        found = said(reports[name])
        if mutant.says:
            right.append(bool(found & set(mutant.says)))
        mark = ("right" if right[-1] else "other") if mutant.says else "-"
        first = (reports[name].diagnosis or reports[name].violations or [""])[0]
        rows.append((name, mark, mutant.bug, str(first).split("\n")[0][:90]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for row in rows:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
    print(f"caught {len(rows)} of {len(rows)}; named right {sum(right)} of {len(right)}")
    assert sum(right) >= 0.8 * len(right)


def test_the_reason_is_the_bug_alone():
    """Every class that the mutants start from is itself honest."""
    for make, inputs in (
        (linear.Base, (linear._X,)),
        (linear.Square, (linear._X,)),
        (random_and_rows.Drop, (random_and_rows._X,)),
        (chains.Chain, (chains._X,)),
        (chains._Residual, (chains._X,)),
        (lambda: npnet.MSELoss(), loss_mutants._REAL),
        (lambda: npnet.CrossEntropyLoss(), loss_mutants._LABELS),
        (lambda: npnet.BCEWithLogitsLoss(), loss_mutants._BINARY),
    ):
        assert check_layer(make, *inputs).ok


def test_each_file_plants_something():
    modules = {m.make.__module__ for m in MUTANTS.values()}
    assert modules == {file.__name__ for file in FILES}
