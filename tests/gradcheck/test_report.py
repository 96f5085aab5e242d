"""The text of a report: causes above their consequences, an example, short representations."""

import numpy as np
import pytest

import npnet
from npnet.gradcheck import (
    Diagnosis,
    Example,
    Report,
    TensorReport,
    Verdict,
    Violation,
    check_gradients,
)
from npnet.gradcheck.report import KINDS


def tensor(verdicts, analytic=None, numeric=None, shape=None):
    verdicts = np.array(verdicts, int)
    zeros = np.zeros(verdicts.size)
    analytic = zeros if analytic is None else np.array(analytic)
    numeric = zeros if numeric is None else np.array(numeric)
    shape = verdicts.shape if shape is None else shape
    indices, bars = np.arange(verdicts.size), np.full(verdicts.size, 0.5)
    return TensorReport("input", shape, indices, analytic, numeric, bars, verdicts)


def lines(report):
    """Return the text without its first line."""
    return str(report).split("\n")[1:]


def test_consequences_stand_below_their_cause():
    report = Report("Layer()")
    report.violate("memory layout", "differs", follows="input unchanged")
    report.violate("tape", "raised")
    report.violate("input unchanged", "was doubled")
    report.violate("repeatable", "differs", follows="memory layout")
    report.diagnosis.append(Diagnosis("factor", "input", "twice as large"))
    assert lines(report) == [
        "=> twice as large",
        "- input unchanged: was doubled",
        "  (follows from it) - memory layout: differs",
        "  (follows from it) - repeatable: differs",
        "- tape: raised",
    ]


@pytest.mark.parametrize("follows", [("b", "a"), ("b", "b"), ("nowhere", "nowhere")])
def test_no_violation_is_lost_when_causes_are_unclear(follows):
    report = Report("Layer()")
    for rule, cause in zip("ab", follows, strict=True):
        report.violate(rule, "says this", follows=cause)
    assert sorted(line.split("- ")[1] for line in lines(report)) == ["a: says this", "b: says this"]


def test_what_is_said_twice_is_shown_once():
    report = Report("Layer()")
    report.violate("backward", "backward raised ValueError: no")
    report.diagnosis.append(Diagnosis("raised", "", "backward raised ValueError: no"))
    report.diagnosis += [Diagnosis("zero", "input", "never set")] * 2
    assert lines(report) == ["=> never set", "- backward raised ValueError: no"]


def test_lines_are_wrapped_at_100_characters():
    words = " ".join(["word"] * 60)
    report = Report("Layer()", notes=[words], example=Example(words, "print(1)", words))
    report.diagnosis.append(Diagnosis("factor", "input", f"{words}."))
    report.violate("tape", words)
    report.violate("memory layout", words, follows="tape")
    text = str(report)
    assert 90 < max(map(len, text.split("\n"))) <= 100
    assert " ".join(text.split()).count(words) == 6
    starts = [line[: len(line) - len(line.lstrip())] for line in lines(report)]
    assert set(starts) == {"", "  ", "    "}


def test_the_cause_comes_first_and_notes_last():
    report = Report("Layer()", tensors=[tensor([Verdict.WRONG], [2.0], [1.0])], notes=["noted"])
    report.example = Example("x ()", "print(1)", "2 instead of 1")
    report.diagnosis.append(Diagnosis("factor", "input", "twice as large"))
    report.violate("tape", "raised")
    starts = ["=> ", "- tape", "tensor", "worst elements", "smallest example", "note: "]
    places = [str(report).index(f"\n{start}") for start in starts]
    assert places == sorted(places)


def test_the_example_stands_between_the_elements_and_the_notes():
    example = Example("input (1,)", "layer = Layer()\nx = [1.0]\nlayer(x)", "2.0 instead of 1.0")
    wrong = tensor([Verdict.WRONG], [2.0], [1.0])
    report = Report("Layer()", tensors=[wrong], notes=["noted"], example=example)
    assert lines(report)[-7:] == [
        "smallest example found:",
        "  input (1,)",
        "    layer = Layer()",
        "    x = [1.0]",
        "    layer(x)",
        "  2.0 instead of 1.0",
        "note: noted",
    ]
    assert "    [0]         2          1        0.5    wrong                     2" in str(report)


def test_representations_are_short():
    many = tensor(np.arange(10_000) % 4, shape=(100, 100))
    assert (
        repr(many)
        == "TensorReport('input', (100, 100), ok=2500, wrong=2500, kink=2500, noise=2500)"
    )
    deep = repr(npnet.Sequential(*(npnet.Linear(3, 3) for _ in range(50))))
    report = Report(deep, "check_layer", [many] * 100, [Violation("tape", "x" * 500)])
    assert len(repr(report)) < 200
    assert repr(report).endswith(
        "check='check_layer', ok=False, tensors=100, failing=100, violations=1)"
    )


def test_the_worst_elements_come_first():
    wrong, noise, kink, ok = Verdict.WRONG, Verdict.NOISE, Verdict.KINK, Verdict.OK
    found = tensor(
        [ok, kink, noise, wrong, wrong, wrong],
        [1.0, 9.0, 9.0, 2.0, np.nan, 5.0],
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        shape=(2, 3),
    )
    worst = found.worst(6)
    assert [e.index for e in worst] == [(1, 1), (1, 2), (1, 0), (0, 2), (0, 1), (0, 0)]
    assert worst[1] == ((1, 2), 5.0, 1.0, 0.5, wrong)
    np.testing.assert_array_equal(found.distances()[[0, 3, 5]], [0.0, 2.0, 8.0])
    assert tensor([ok], [1.0], [1.0], shape=()).worst()[0].index == ()


def test_reports_of_a_check_have_no_empty_parts():
    report = check_gradients(npnet.Tanh(), np.linspace(-1, 1, 3))
    assert report.example is None
    assert "smallest example" not in str(report)


def test_kinds_are_listed_once():
    assert len(set(KINDS)) == len(KINDS)
    assert {"missing path", "shifted", "child"} <= set(KINDS)
