"""What npnet may import, and when."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import npnet

ROOT = Path(npnet.__file__).parent

# A module may import from its own floor's package and from those below. (Design, section 5.)
FLOORS = [
    {"errors", "typing", "lazy", "_version"},
    {"arguments"},
    {"tables"},
    {"wrong_data"},
    {"random", "ops", "convert", "configured"},
    {"parameter", "init", "schedules", "constraints"},
    {"registry", "store"},
    {"calls", "state"},
    {"context"},
    {"tape"},
    {"layer"},
    {"summary", "elementwise", "lookup", "convolutional", "pooling", "channel_norm", "recurrent"},
    {"layers", "losses", "penalties"},
    {"containers"},
    {"optim"},
    {"data"},
    {"datasets"},
    {"plot"},
    {"io"},
    {"training", "gradcheck", "config", "profiling", "threads"},
    {"__init__"},
]
DOORS = {("layer", "summary")}  # a method that users expect, with an import inside
FLOOR = {name: i for i, names in enumerate(FLOORS) for name in names}
HEAVY = [
    "scipy", "matplotlib", "tqdm", "numba", "torch", "hypothesis", "pytest", "urllib.request",
    "importlib.metadata", "email", "socket",
]  # fmt: skip


def package_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path):
    """Names of npnet modules that a file imports, outside TYPE_CHECKING blocks."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "npnet":
                yield from (f"npnet.{alias.name}" for alias in node.names)
            else:
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(ROOT)) for p in FILES])
def test_imports_point_downwards(path):
    mine = package_of(path)
    assert mine in FLOOR, f"npnet/{mine} has no floor: give it one in FLOORS"
    for module in imported(path):
        if not module.startswith("npnet."):
            continue
        other = module.split(".")[1]
        other = other if other in FLOOR else "__init__"
        below = FLOOR[other] < FLOOR[mine]
        door = (mine, other) in DOORS
        assert below or other == mine or door, f"{path.name} imports {module}, which stands above"


def test_layer_files_do_not_import_each_other():
    for path in (ROOT / "layers").glob("*.py"):
        if path.name != "__init__.py":
            assert not [m for m in imported(path) if m.startswith("npnet.layers")], path


def test_optimizers_see_only_parameters():
    for path in (ROOT / "optim").glob("*.py"):
        seen = {m.split(".")[1] for m in imported(path) if m.startswith("npnet.")}
        assert seen <= {
            "optim",
            "parameter",
            "store",
            "convert",
            "ops",
            "errors",
            "typing",
            "schedules",
            "arguments",
            "configured",
            "constraints",
        }, path


def run(code, **env):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT.parent), **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_importing_npnet_loads_nothing_heavy():
    done = run(f"import sys, npnet; print([m for m in {HEAVY} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


ALONE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"scipy", "matplotlib", "tqdm", "numba", "torch"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
import numpy as np
import npnet

npnet.manual_seed(0)
x, y = npnet.datasets.digits()
model = npnet.Sequential(
    npnet.Flatten(), npnet.Linear(64, 32), npnet.ReLU(), npnet.Dropout(0.1), npnet.Linear(32, 10)
)
loss, optimizer = npnet.CrossEntropyLoss(), npnet.optim.Adam(model.parameters(), lr=1e-2)
for a, b in npnet.data.DataLoader((x, y), batch_size=64, shuffle=True):
    logits, tape = model.record(a)
    value, grad = loss.value_and_grad(logits, b)
    tape.backward(grad)
    optimizer.step()
    optimizer.zero_grad()
npnet.Trainer(model, loss, optimizer, metrics=["accuracy"]).fit(x, y, epochs=3)
print((model(x).argmax(axis=1) == y).mean())
"""


def test_an_mlp_trains_with_numpy_alone():
    done = run(ALONE)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.9


def test_every_public_name_exists_once():
    assert len(set(npnet.__all__)) == len(npnet.__all__)
    for name in npnet.__all__:
        assert getattr(npnet, name) is not None
