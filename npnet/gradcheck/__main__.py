"""Check a layer from the shell: ``python -m npnet.gradcheck package.module:Layer --input 5,4``."""

from __future__ import annotations

import argparse
import importlib
import operator
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from npnet.errors import ArgumentError, NpnetError
from npnet.gradcheck.check import check_layer, rule_names
from npnet.gradcheck.comparison import describe
from npnet.gradcheck.inputs import made
from npnet.losses.loss import Loss
from npnet.random import as_generator

_EPILOG = """\
An input is given by its shape: 5,4 for real numbers, 5,4:10 for whole numbers below 10 (indices,
labels), () for a scalar. A loss takes two inputs, the prediction and the target:

  python -m npnet.gradcheck npnet:ReLU --input 5,4
  python -m npnet.gradcheck npnet:CrossEntropyLoss --input 5,3 --input 5:3
  python -m npnet.gradcheck mylayers:Log --input 5,4 --domain=0.1,inf

The exit code is 0 if the layer keeps the contract, 1 if not, 2 if it could not be checked.
"""


class _Parser(argparse.ArgumentParser):
    """Say what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with 2."""
        hint = ", as in --domain=-1,1" if message.startswith("argument --domain: exp") else ""
        self.exit(2, f"{self.prog}: {message}{hint}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check that is asked for, print its report and return the exit code."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    place, inputs, rules = (options.pop(name) for name in ("layer", "input", "rules"))
    try:
        layer = _found(place)
        if rules:
            says = rule_names(layer)
            width, ok = max(map(len, says)), True
            text = "\n".join(f"{rule:{width}}  {sentence}" for rule, sentence in says.items())
        else:
            rng = as_generator(options.get("seed", 0))
            is_loss = isinstance(made(layer)[0], Loss)
            given = [_input(shape, rng, is_loss and i > 0) for i, shape in enumerate(inputs)]
            report = check_layer(layer, *given, raises=False, **options)
            text, ok = str(report), report.ok
    except NpnetError as error:
        parser.error(" ".join(str(error).split()))
    try:
        print(text, flush=True)
    except BrokenPipeError:  # whoever reads, as head does, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains
    return 0 if ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m npnet.gradcheck",
        description="Check a layer or loss: its gradients and the rest of the contract.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,  # check_layer knows the defaults
    )
    add = parser.add_argument
    add("layer", help="module:name of a layer, or of a class or function that makes one")
    add("--input", action="append", default=[], metavar="SHAPE", help="one for each input")
    add("--mode", choices=["auto", "full", "sample", "directional"], help="of the gradients' check")
    add("--dtype", choices=["float32", "float64"], help="of the gradients")
    add("--seed", type=int, help="of everything random (0)")
    add("--probe", action=argparse.BooleanOptionalAction, help="look at zeros, ties, ... as well")
    add("--domain", type=numbers, metavar="LOW,HIGH", help="between which the inputs have to lie")
    add("--batch-axis", type=int, metavar="AXIS", help="which axis counts samples (0)")
    add("--no-batch", action="store_const", dest="batch_axis", const=None, help="no axis does")
    add("--coupled", action="store_false", dest="batch_independence",
        help="samples depend on each other, as in batch norm")  # fmt: skip
    add("--skip", action="append", metavar="RULE", help="leave a rule out")
    add("--only", action="append", metavar="RULE", help="check this rule only")
    add("--rules", action="store_true", default=False, help="list the rules and check nothing")
    return parser


def numbers(text: str) -> tuple[float, ...]:
    """Read ``0.1,inf``; argparse names this function in its error."""
    return tuple(map(float, text.split(",")))


def _found(place: str) -> Any:
    """Import what ``module:name`` names."""
    module, _, name = place.partition(":")
    if not name or not all(part.isidentifier() for part in module.split(".")):
        raise ArgumentError(f"expected module:name, such as npnet:ReLU, got {place!r}")
    doing = f"importing {module}"
    try:
        found = importlib.import_module(module)
        doing = place
        return operator.attrgetter(name)(found)
    except (Exception, SystemExit) as error:  # the user's module may raise anything
        text = f"{doing} raised {describe(error)}"
        if isinstance(error, ModuleNotFoundError):
            text = f"{doing} failed: {error}"
            if f"{module}.".startswith(f"{error.name}."):
                is_file = module.endswith(".py")
                fix = "give its name without .py" if is_file else "run where it can be imported"
                text = f"there is no module {error.name!r}; {fix}"
        elif doing == place and isinstance(error, AttributeError):
            text = f"{module} has no attribute {name!r}"
        raise ArgumentError(text) from error


def _input(text: str, rng: np.random.Generator, is_target: bool) -> Any:
    """Turn ``5,4`` into a shape, ``5,4:10`` into whole numbers below 10."""
    if not re.fullmatch(r"(\(\)|\(?\d+( *, *\d+)*,?\)?)(:0*[1-9]\d*)?", text.strip()):
        wanted = "a shape such as 5,4, or 5,4:10 for whole numbers below 10"
        raise ArgumentError(f"expected {wanted}, got {text!r}")
    sizes, _, count = text.partition(":")
    shape = tuple(map(int, re.findall(r"\d+", sizes)))
    if count:
        return rng.integers(0, int(count), shape)
    return rng.uniform(0.0, 1.0, shape) if is_target else shape


if __name__ == "__main__":
    sys.exit(main())
