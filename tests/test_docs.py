"""The code in README and in the pages under docs/ runs, and prints what the page says.

Blocks of ``python`` run in order, in one namespace for each page; one whose first line is
``# name.py`` is also written to that file. A block of ``text`` right after one shows what it
prints; numbers may differ. Blocks of ``sh`` run, in a folder that holds those files, if such a
block of ``text`` follows; what others start may take long. After a change

    NPNET_WRITE_DOCS=1 python -m pytest tests/test_docs.py

writes the new output into the pages.
"""

import contextlib
import io
import linecache
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from npnet.gradcheck import Verdict

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"\s*^```text$", re.MULTILINE)
REWRITE = bool(os.environ.get("NPNET_WRITE_DOCS"))


def run_python(code, names, folder):
    first = re.match(r"# (\w+\.py)\n", code)
    if first:
        with (folder / first[1]).open("a", encoding="utf-8") as file:
            file.write(code)
    # What is typed in has its source at hand, as in a notebook.
    name = first[1] if first else f"<page {len(linecache.cache)}>"
    linecache.cache[name] = len(code), None, code.splitlines(keepends=True), name
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, name, "exec"), names)
    return printed.getvalue()


def run_shell(code, folder):
    place = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": place, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    # What a command returns is up to the page: a check that fails is what it may want to show.
    done = subprocess.run(
        ["bash", "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def same(got, said):
    """Compare apart from numbers and spaces."""
    number = r"-?\d+(\.\d*)?(e[-+]?\d+)?"
    return re.sub(number, "#", got).split() == re.sub(number, "#", said).split()


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    text = page.read_text(encoding="utf-8")
    names, printed, end, changes = {"__name__": page.stem}, "", -1, []
    for block in BLOCK.finditer(text):
        kind, code = block.groups()
        line = text.count("\n", 0, block.start()) + 1
        if kind == "python" and ("import torch" not in code or find_spec("torch")):
            try:
                printed = run_python(code, names, tmp_path)
            except Exception as error:
                raise AssertionError(f"{page.name}, line {line}: {error!r}") from error
        elif kind == "sh" and SHOWN.match(text, block.end()):
            printed = run_shell(code, tmp_path)
        elif kind == "text" and text[end : block.start()].strip() == "":
            if REWRITE:
                changes.append((block.start(2), block.end(2), printed))
            else:
                assert same(printed, code), f"{page.name}, line {line} should be:\n{printed}"
            printed = ""
        end = block.end()
    for start, stop, new in reversed(changes):
        text = text[:start] + new.rstrip("\n") + "\n" + text[stop:]
    if changes:
        page.write_text(text, encoding="utf-8")
    for name in set(sys.modules) - before:
        if (tmp_path / f"{name}.py").exists():
            del sys.modules[name]


def test_there_are_pages():
    assert (ROOT / "docs" / "write-your-own-layer.md") in PAGES


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_links_lead_somewhere(page):
    places = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert [place for place in places if not (page.parent / place).exists()] == []


def test_pictures(tmp_path, monkeypatch):
    """The script draws every picture of the page, and they show what the page says."""
    pytest.importorskip("matplotlib")
    folder = ROOT / "docs" / "pictures"
    monkeypatch.syspath_prepend(str(folder))
    import gradient_checks

    drawn = {path.name for path in gradient_checks.draw(tmp_path)}
    page = (folder.parent / "how-gradients-are-checked.md").read_text(encoding="utf-8")
    assert drawn == set(re.findall(r"\]\(pictures/(.*?)\)", page))
    tensor = gradient_checks.report_of_a_mistake().tensor("input")
    x = np.linspace(-1, 5, 25)
    assert_array_equal(tensor.verdicts == Verdict.WRONG, (x > 2) & (x < 3))
    assert_array_equal(tensor.verdicts == Verdict.KINK, x == 3)
