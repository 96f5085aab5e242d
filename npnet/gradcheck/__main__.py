"""Check a layer from the shell: ``python -m npnet.gradcheck package.module:Layer --input 5,4``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from npnet.errors import ArgumentError, NpnetError
from npnet.gradcheck.contract import check_layer, rule_names
from npnet.gradcheck.error_text import describe
from npnet.gradcheck.inputs import made
from npnet.losses.loss import Loss

_EPILOG = """\
An input is given by its shape: 5,4 for real numbers, 5,4:10 for whole numbers below 10 (indices,
labels), () for a scalar. A loss takes two inputs, the prediction and the target:

  python -m npnet.gradcheck npnet:ReLU --input 5,4
  python -m npnet.gradcheck npnet:CrossEntropyLoss --input 5,3 --input 5:3

The exit code is 0 if the layer keeps the contract, 1 if not, 2 if it could not be checked.
"""


class _Parser(argparse.ArgumentParser):
    """Say what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check that the command line asks for and print its report.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the command line by default.

    Returns
    -------
    int
        The exit code: 1 if the report is not ok.

    Raises
    ------
    SystemExit
        With code 2, after one sentence, if what is asked for is not possible.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        factory = _found(options.layer)
        if options.rules:
            rules = rule_names(factory)
            width = max(map(len, rules))
            print("\n".join(f"{name:{width}}  {says}" for name, says in rules.items()))
            return 0
        rng = np.random.default_rng(options.seed)
        is_loss = isinstance(made(factory)[0], Loss)
        inputs = [
            _input(text, rng, is_target=is_loss and i > 0) for i, text in enumerate(options.input)
        ]
        report = check_layer(
            factory,
            *inputs,
            batch_axis=None if options.no_batch else options.batch_axis,
            batch_independence=not options.coupled,
            skip=options.skip,
            only=options.only or None,
            mode=options.mode,
            dtype=options.dtype,
            seed=options.seed,
            raises=False,
        )
    except NpnetError as error:
        parser.error(" ".join(str(error).split()))
    print(report)
    return 0 if report.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m npnet.gradcheck",
        description="Check a layer or loss: its gradients and the rest of the contract.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("layer", help="module:name of a layer, or of a class or function that makes one")
    add("--input", action="append", default=[], metavar="SHAPE", help="one for each input")
    add("--mode", default="auto", choices=["auto", "full", "sample", "directional"],
        help="how gradients are checked")  # fmt: skip
    add("--dtype", default="float64", choices=["float32", "float64"],
        help="in which gradients are computed")  # fmt: skip
    add("--seed", type=_seed, default=0, help="of everything random (0)")
    add("--batch-axis", type=int, default=0, metavar="AXIS", help="which axis counts samples (0)")
    add("--no-batch", action="store_true", help="no axis counts samples")
    add("--coupled", action="store_true", help="samples depend on each other, as in batch norm")
    add("--skip", action="append", default=[], metavar="RULE", help="leave a rule out")
    add("--only", action="append", default=[], metavar="RULE", help="check this rule only")
    add("--rules", action="store_true", help="list the rules and check nothing")
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number from 0 up, got {text!r}")
    return int(text)


def _found(place: str) -> Any:
    """Import what ``module:name`` names."""
    module_name, colon, name = place.partition(":")
    if not colon or not name or not all(p.isidentifier() for p in module_name.split(".")):
        raise ArgumentError(f"expected module:name, such as npnet:ReLU, got {place!r}")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as for a script in the present directory
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ArgumentError(f"importing {module_name} failed: {error}") from error
        hint = (
            "give the module's name without .py"
            if error.name.endswith(".py")
            else ("run the command where it can be imported")
        )
        raise ArgumentError(f"there is no module {error.name!r}; {hint}") from error
    except (Exception, SystemExit) as error:  # the user's module may raise anything
        raise ArgumentError(f"importing {module_name} raised {describe(error)}") from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ArgumentError(f"{module_name} has no attribute {name!r}") from None
        except Exception as error:
            raise ArgumentError(f"{module_name}:{name} raised {describe(error)}") from error
    return found


def _input(text: str, rng: np.random.Generator, *, is_target: bool) -> Any:
    """Turn ``5,4`` into a shape, ``5,4:10`` into whole numbers below 10."""
    sizes, colon, count = text.partition(":")
    sizes = sizes.strip().removeprefix("(").removesuffix(")")
    parts = [part.strip() for part in sizes.split(",") if part.strip()]
    valid = all(part.isdecimal() for part in parts) and ",," not in sizes
    if (
        not valid
        or (colon and not (count.isdecimal() and int(count)))
        or not (parts or "(" in text)
    ):
        raise ArgumentError(
            f"expected a shape such as 5,4, or 5,4:10 for whole numbers below 10, got {text!r}"
        )
    shape = tuple(int(part) for part in parts)
    if colon:
        return rng.integers(0, int(count), shape)
    return rng.uniform(0.0, 1.0, shape) if is_target else shape


if __name__ == "__main__":
    sys.exit(main())
