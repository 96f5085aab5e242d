"""``python -m benchmarks.gradient_checkers``: what each gradient checker catches.

The layers are those of ``tests/gradcheck/zoo``: `MUTANTS`, each with one planted bug, and `HONEST`,
which are right and hard to check. Tools that are not installed are named and left out.
``--markdown`` also writes docs/gradient-checkers.md, ``--filter TEXT`` takes only the layers
whose name contains TEXT.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

import npnet
from benchmarks.gradient_checkers.reference import gradient_is_wrong
from benchmarks.gradient_checkers.report import Results, markdown
from benchmarks.gradient_checkers.tools import ask, installed
from benchmarks.gradient_checkers.wrapped import Subject

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "gradient-checkers.md"


def run(text: str = "") -> Results:
    """Ask every tool that is installed about every layer whose name contains a text."""
    sys.path.insert(0, str(ROOT / "tests" / "gradcheck"))
    from zoo.bugs import MUTANTS
    from zoo.honest import HONEST

    bugs = {name: m for name, m in MUTANTS.items() if text in name}
    honest = {name: h for name, h in HONEST.items() if text in name}
    subjects = {name: Subject(m.make, m.inputs, {}) for name, m in bugs.items()}
    subjects |= {name: Subject(h.make, h.inputs, dict(h.options)) for name, h in honest.items()}
    answers = {}
    for tool in installed():
        ask(tool, Subject(npnet.Tanh, ((4, 3),), {}))  # what it loads and compiles once
        progress = tqdm(subjects.items(), desc=tool, disable=None)
        answers[tool] = {name: ask(tool, subject) for name, subject in progress}
    wrong = [name for name in bugs if gradient_is_wrong(subjects[name])]
    return Results(bugs, wrong, list(honest), answers)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gradient_checkers",
        description="Compare gradient checkers on layers with planted bugs and on honest ones.",
        allow_abbrev=False,
    )
    parser.add_argument("--markdown", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only these layers")
    args = parser.parse_args(argv)
    results = run(args.filter)
    if not (results.bugs or results.honest):
        parser.error(f"no layer's name contains {args.filter!r}")
    page = markdown(results)
    print(page)
    if args.markdown:
        PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
