"""``python -m benchmarks.gradient_checkers``: what each gradient checker catches.

The layers are those of ``tests/gradcheck/zoo``: `MUTANTS`, each with one planted bug, and `HONEST`,
which are right and hard to check. Tools that are not installed are named and left out.
Every fourth layer is taken, since large ones take minutes with some tools; ``--share 1`` takes all.
``--filter TEXT`` takes only layers whose name contains TEXT, ``--markdown`` also writes
docs/gradient-checkers.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

import npnet
from benchmarks.gradient_checkers.reference import gradient_is_wrong
from benchmarks.gradient_checkers.report import EXAMPLES, Results, markdown
from benchmarks.gradient_checkers.tools import ask, installed
from benchmarks.gradient_checkers.wrapped import Subject

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "gradient-checkers.md"


def run(text: str = "", share: float = 1.0) -> Results:
    """Ask every installed tool about a share of the layers whose name contains a text."""
    sys.path.insert(0, str(ROOT / "tests" / "gradcheck"))
    from zoo.bugs import MUTANTS
    from zoo.honest import HONEST

    step = round(1 / share)

    def chosen(layers: Mapping[str, Any]) -> dict[str, Any]:
        names = [name for name in layers if text in name]
        return {n: layers[n] for n in names if n in {*names[::step], *EXAMPLES}}

    bugs, honest = chosen(MUTANTS), chosen(HONEST)
    subjects = {name: Subject(m.make, m.inputs, {}) for name, m in bugs.items()}
    subjects |= {name: Subject(h.make, h.inputs, dict(h.options)) for name, h in honest.items()}
    answers = {}
    for tool in installed():
        ask(tool, Subject(npnet.Tanh, ((4, 3),), {}))  # what it loads and compiles once
        progress = tqdm(subjects.items(), desc=tool, disable=None)
        answers[tool] = {name: ask(tool, subject) for name, subject in progress}
    wrong = [name for name in bugs if gradient_is_wrong(subjects[name])]
    return Results(bugs, wrong, list(honest), answers, step)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gradient_checkers",
        description="Compare gradient checkers on layers with planted bugs and on honest ones.",
        allow_abbrev=False,
    )
    parser.add_argument("--markdown", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only these layers")
    says = "of the layers, evenly chosen (0.25); 1 takes all"
    parser.add_argument("--share", type=float, default=0.25, metavar="SHARE", help=says)
    args = parser.parse_args(argv)
    if not 0 < args.share <= 1:
        parser.error(f"--share expects a number above 0, at most 1, got {args.share}")
    results = run(args.filter, args.share)
    if not (results.bugs or results.honest):
        parser.error(f"no layer's name contains {args.filter!r}")
    page = markdown(results)
    print(page)
    if args.markdown:
        PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
