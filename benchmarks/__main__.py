"""``python -m benchmarks``: the command line.

Nothing that computes is imported before the thread settings stand.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine


def positive(text: str) -> int:
    """Read a positive number.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return int(text)


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure npnet and what else is installed side by side.",
        allow_abbrev=False,
    )
    parser.add_argument("--quick", action="store_true", help="a rough picture within a minute")
    parser.add_argument(
        "--filter", default="", metavar="TEXT", help="only what matches group/case/contender"
    )
    parser.add_argument("--rounds", type=positive, metavar="N", help="turns of each contender")
    parser.add_argument(
        "--mlp",
        action="append",
        default=[],
        metavar="784-300-10",
        help="measure this network instead of the usual ones; may be repeated",
    )
    parser.add_argument(
        "--batch", type=positive, metavar="N", help="batch size of --mlp; 128 if not given"
    )
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="of every thread pool; all processors if not"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/benchmarks"), metavar="FOLDER", help="what to fill"
    )
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="OLD.json",
        help="flag regressions against an earlier report; the exit code is then 1",
    )
    parser.add_argument("--list", action="store_true", help="say what would run, and run nothing")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        The exit code: 0, 1 after a regression, 2 for wrong arguments, 130 when interrupted.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = arguments()
    args = parser.parse_args(argv)
    if args.batch and not args.mlp:
        parser.error("--batch is the batch size of --mlp, which is not given")
    machine.set_threads(args.threads or machine.usable_cpus())

    from benchmarks.run import UsageError, run

    try:
        return run(args, argv)
    except UsageError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
