"""``python -m npnet.gradcheck``: reports, exit codes, and one sentence for each mistake."""

import inspect
import re
import subprocess
import sys

import numpy as np
import pytest

from npnet.gradcheck import Report, __main__, check_layer
from npnet.gradcheck.__main__ import main

PROBES = pytest.mark.skipif(
    "probe" not in inspect.signature(check_layer).parameters, reason="check_layer has no probe yet"
)

MODULE = """
import npnet

def make():
    return npnet.Linear(4, 3)

class Wrong(npnet.Tanh):
    def backward(self, ctx, grad):
        return 2 * super().backward(ctx, grad)

class Outer:
    Inner = npnet.ReLU

class Table(npnet.Layer):
    takes_integers = True
    def __init__(self):
        super().__init__()
        self.weight = npnet.Parameter([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    def forward(self, ctx, index):
        ctx.save(index)
        return self.weight.data[index]
    def backward(self, ctx, grad):
        import numpy as np
        (index,) = ctx.saved
        table = np.zeros_like(self.weight.data)
        np.add.at(table, index, grad)
        ctx.add_grad(self.weight, table)

class Center(npnet.Layer):
    def forward(self, ctx, x):
        return x - x.mean(0)
    def backward(self, ctx, grad):
        return grad - grad.mean(0)

class Log(npnet.Layer):
    def forward(self, ctx, x):
        import numpy as np
        ctx.save(x)
        return np.log(x)
    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad / x

class OneSided(npnet.Layer):  # right below 6 only
    def forward(self, ctx, x):
        import numpy as np
        ctx.save(x > 0)
        return np.clip(x, 0, 6)
    def backward(self, ctx, grad):
        (positive,) = ctx.saved
        return grad * positive

class Couples(Center):
    batch_independent = False

class Raising(type):
    @property
    def layer(cls):
        raise RuntimeError("not today")

class Holder(metaclass=Raising):
    pass

def broken():
    raise ValueError("two\\nlines")

instance = npnet.ReLU()
number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "shelllayers.py").write_text(MODULE)
    (tmp_path / "shellbroken.py").write_text("import there_is_no_such_module")
    (tmp_path / "shellraising.py").write_text("1 / 0")
    (tmp_path / "shellexits.py").write_text("raise SystemExit(3)")
    (tmp_path / "shellattribute.py").write_text("[].nope")
    (tmp_path / "shelltypo.py").write_text("def x(:")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def run(capsys, *arguments):
    """Return exit code, standard output and standard error."""
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = ended.code
    return (code, *capsys.readouterr())


@pytest.mark.parametrize(
    "arguments",
    [
        ["npnet:ReLU", "--input", "5,4"],
        ["npnet:ReLU", "--input", "(5, 4)", "--seed", "3", "--mode", "directional"],
        ["npnet:ReLU", "--input", "()"],
        ["npnet:Tanh", "--input", "5,4", "--dtype", "float32"],
        ["shelllayers:make", "--input", "5,4"],
        ["shelllayers:Outer.Inner", "--input", "5"],
        ["shelllayers:instance", "--input", "5,4"],
        ["shelllayers:Table", "--input", "4,2:3"],
        ["shelllayers:Table", "--input", "4,2"],
        ["shelllayers:Couples", "--input", "4,2"],
        ["shelllayers:Center", "--input", "4,2", "--coupled"],
        ["shelllayers:Center", "--input", "4,2", "--no-batch"],
        ["shelllayers:Center", "--input", "4,2", "--skip", "batch independence"],
        ["shelllayers:Wrong", "--input", "4,2", "--only", "zero gradient"],
        ["npnet:MSELoss", "--input", "5,4", "--input", "5,4"],
        ["npnet:BCEWithLogitsLoss", "--input", "5", "--input", "5"],
        ["npnet:NLLLoss", "--input", "5,4", "--input", "5:4"],
    ],
    ids=" ".join,
)
def test_a_right_layer_passes(module, capsys, arguments):
    code, out, _ = run(capsys, *arguments)
    assert code == 0, out
    assert " passed" in out.replace("\n", " ")


def test_a_wrong_layer_fails(module, capsys):
    code, out, _ = run(capsys, "shelllayers:Wrong", "--input", "5,4")
    assert code == 1
    assert "check_layer: Wrong() FAILED" in out
    assert "worst elements of input" in out


def test_coupled_samples_are_found(module, capsys):
    code, out, _ = run(capsys, "shelllayers:Center", "--input", "5,4")
    assert code == 1
    assert "batch independence: for sample 0 alone" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere:X"], "there is no module 'nowhere'"),
        (["npnet.nowhere:X"], "there is no module 'npnet.nowhere'"),
        (["shellbroken:X"], "importing shellbroken failed: No module named 'there_is_no"),
        (["shellraising:X"], "importing shellraising raised ZeroDivisionError"),
        (["shellexits:X"], r"importing shellexits raised SystemExit: 3 .shellexits.py, line 1"),
        (["shellattribute:X"], "importing shellattribute raised AttributeError"),
        (["shelltypo:X"], r"importing shelltypo raised SyntaxError: .*shelltypo.py, line 1.$"),
        (["shelllayers.py:make"], "there is no module 'shelllayers.py'; .* without .py"),
        (["./shelllayers:make"], "expected module:name"),
        (["shelllayers:Holder.layer"], "shelllayers:Holder.layer raised RuntimeError: not today"),
        (["shelllayers:broken"], r"broken.. raised ValueError: two lines .shelllayers.py, line"),
        (["npnet:ReLU", "--input", "99999999999,99999999"], "does not fit into memory"),
        (
            ["npnet:ReLU", "--input", "5", "--batch-axis", "-1"],
            "batch_axis to be an integer",
        ),
        (["npnet:Nope"], "npnet has no attribute 'Nope'"),
        (["npnet"], "expected module:name"),
        (["npnet:"], "expected module:name"),
        (["shelllayers:number", "--input", "3"], "expected a layer, a loss, .* got 3"),
        (["npnet:Linear", "--input", "5,4"], "Linear needs arguments .in_features, out_features."),
        (["npnet:ReLU"], r"forward of ReLU takes \(ctx, x\); it is called with ctx and 0 input"),
        (
            ["npnet:ReLU", "--input", "5", "--input", "5"],
            r"takes \(ctx, x\); it is called with ctx and 2 input",
        ),
        (["npnet:ReLU", "--input", "5x4"], "expected a shape such as 5,4, .* got '5x4'"),
        (["npnet:ReLU", "--input", "-5,4"], "expected"),
        (["npnet:ReLU", "--input", ""], "expected a shape"),
        (["npnet:ReLU", "--input", "5,,4"], "expected a shape"),
        (["npnet:ReLU", "--input", "5,4:0"], "expected a shape"),
        (["npnet:ReLU", "--input", "5,4:3"], "integers"),
        (["npnet:MSELoss", "--input", "5,4"], r"takes \(pred, target\)"),
        (["npnet:ReLU", "--input", "5", "--only", "nope"], "no rule is named 'nope'"),
        (["npnet:ReLU", "--input", "5", "--mode", "fast"], "invalid choice: 'fast'"),
        (["npnet:ReLU", "--input", "5", "--seed", "x"], "expected a number from 0 up, got 'x'"),
        (["npnet:ReLU", "--inp", "5"], "unrecognized arguments"),
        (["npnet:ReLU", "--domain", "3"], "expected two numbers, the lower one first, got '3'"),
        (["npnet:ReLU", "--domain", "3,1"], "expected two numbers, the lower one first"),
        (["npnet:ReLU", "--domain", "0,nan"], "expected two numbers, the lower one first"),
        (["npnet:ReLU", "--domain", "-1,1"], "expected one argument, as in --domain=-1,1"),
        ([], "required: layer"),
    ],
    ids=" ".join,
)
def test_mistakes_are_one_sentence(module, capsys, arguments, sentence):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("python -m npnet.gradcheck: ")
    assert re.search(sentence, err), err


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {}),
        (["--probe"], {"probe": True}),
        (["--no-probe"], {"probe": False}),
        (["--domain", "0.5,2e3"], {"domain": (0.5, 2000.0)}),
        (["--domain=-1,inf"], {"domain": (-1.0, np.inf)}),
        (["--no-batch"], {"batch_axis": None}),
        (["--batch-axis", "1", "--coupled"], {"batch_axis": 1, "batch_independence": False}),
        (["--seed", "3", "--dtype", "float32"], {"seed": 3, "dtype": "float32"}),
        (["--skip", "a", "--skip", "b", "--only", "c"], {"skip": ["a", "b"], "only": ["c"]}),
        (["--mode", "sample"], {"mode": "sample"}),
    ],
    ids=str,
)
def test_only_what_is_given_is_passed(monkeypatch, capsys, arguments, options):
    seen = {}

    def fake(layer, *inputs, **given):
        seen.update(given)
        return Report("fake")

    monkeypatch.setattr(__main__, "check_layer", fake)
    assert run(capsys, "npnet:ReLU", "--input", "5,4", *arguments)[0] == 0
    assert seen == {"raises": False, **options}


@pytest.mark.parametrize(
    ("text", "shape"),
    [("5,4", (5, 4)), ("(5, 4)", (5, 4)), ("(5,)", (5,)), ("5 , 4", (5, 4)), ("()", ()),
     ("7", (7,)), ("(2, 3):9", (2, 3)), ("():9", ())],
)  # fmt: skip
def test_shapes_are_read(monkeypatch, capsys, text, shape):
    seen = []
    monkeypatch.setattr(
        __main__, "check_layer", lambda _, *inputs, **__: seen.extend(inputs) or Report("fake")
    )
    assert run(capsys, "npnet:ReLU", "--input", text)[0] == 0
    assert getattr(seen[0], "shape", seen[0]) == shape
    if ":" in text:
        assert seen[0].dtype.kind == "i"
        assert (seen[0] < 9).all()


@PROBES
def test_a_domain_is_kept_to(module, capsys):
    assert run(capsys, "shelllayers:Log", "--input", "5,4")[0] == 1
    code, out, _ = run(capsys, "shelllayers:Log", "--input", "5,4", "--domain", "0.2,3")
    assert code == 0, out


@PROBES
def test_other_places_are_looked_at_unless_not_wanted(module, capsys):
    code, out, _ = run(capsys, "shelllayers:OneSided", "--input", "5,4")
    assert code == 1, out
    code, out, _ = run(capsys, "shelllayers:OneSided", "--input", "5,4", "--no-probe")
    assert code == 0, out


def test_rules_are_listed(capsys):
    code, out, _ = run(capsys, "npnet:ReLU", "--rules")
    assert code == 0
    assert "input unchanged" in out
    assert "A zero upstream gradient gives zero gradients." in out


def test_it_runs_as_a_module():
    command = "-W error -m npnet.gradcheck npnet:Softsign --input 2,3"
    done = subprocess.run(
        [sys.executable, *command.split()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("check_layer: Softsign() passed")
