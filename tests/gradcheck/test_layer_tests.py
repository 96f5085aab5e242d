"""`layer_tests`: one pytest test for each rule, in two lines."""

import subprocess
import sys

import pytest

import npnet
from npnet.errors import ArgumentError, SignatureError
from npnet.gradcheck import testing
from npnet.gradcheck.rules.contract import LAYER_RULES, LOSS_RULES
from npnet.gradcheck.testing import layer_tests

test_linear = layer_tests(lambda: npnet.Linear(4, 3), (5, 4))
test_loss = layer_tests(npnet.MSELoss, (5, 4), [[0.5] * 4] * 5, seed=1)


def rules(test):
    (mark,) = test.pytestmark
    return mark.args[1]


def test_each_rule_is_a_test():
    assert rules(test_linear) == ["gradients", *LAYER_RULES]
    assert rules(test_loss) == ["gradients", *LOSS_RULES]
    assert "precision" not in rules(layer_tests(npnet.ReLU, (3, 4), skip=["precision"]))


class Wrong(npnet.Tanh):
    def backward(self, ctx, grad):
        grad *= 2
        return super().backward(ctx, grad)


def test_a_broken_rule_fails_its_own_test():
    test = layer_tests(Wrong, (3, 4))
    for rule in ("gradients", "upstream gradient unchanged", "memory layout"):
        with pytest.raises(npnet.errors.GradientMismatch, match=rule if " " in rule else "Wrong"):
            test(rule)
    test("input unchanged")


def test_options_reach_the_check():
    test = layer_tests(npnet.Softmax, (3, 4), batch_axis=1, batch_independence=False)
    test("batch independence")
    with pytest.raises(npnet.errors.GradientMismatch, match="sample 0 alone"):
        layer_tests(npnet.Softmax, (3, 4), batch_axis=1)("batch independence")


def test_every_option_of_the_check_is_passed_on(monkeypatch):
    seen = []
    monkeypatch.setattr(testing, "check_layer", lambda *_, **options: seen.append(options))
    layer_tests(npnet.ReLU, (3, 4), probe=False, domain=(0.0, 1.0), seed=2)("tape")
    assert seen == [{"only": ["tape"], "probe": False, "domain": (0.0, 1.0), "seed": 2}]


def test_mistakes_show_when_the_file_is_read():
    with pytest.raises(SignatureError, match="unexpected keyword argument 'sed'.*mean 'seed'"):
        layer_tests(npnet.ReLU, (5, 4), sed=1)
    for option in ({"raises": False}, {"only": ["tape"]}):
        with pytest.raises(ArgumentError, match="layer_tests sets .* itself; leave it out"):
            layer_tests(npnet.ReLU, (5, 4), **option)
    with pytest.raises(ArgumentError, match="Linear needs arguments"):
        layer_tests(npnet.Linear, (5, 4))
    with pytest.raises(ArgumentError, match="no rule is named 'nope'"):
        layer_tests(npnet.ReLU, (5, 4), skip=["nope"])


def test_pytest_runs_it(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "import npnet\n"
        "from npnet.gradcheck.testing import layer_tests\n"
        "test_relu = layer_tests(npnet.ReLU, (5, 4))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{len(LAYER_RULES) + 1} passed" in done.stdout, done.stdout
