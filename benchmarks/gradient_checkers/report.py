"""The page with the tables, from what the tools answered."""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks import machine
from benchmarks.gradient_checkers.reference import DIRECTIONS, TOLERANCE
from benchmarks.gradient_checkers.tools import SCIPY_LIMIT, TOOLS, Answer

EXAMPLES = ("WeightAveraged", "InputTransposed", "SoftmaxWithoutSum")
"""The bugs of which the page shows what each tool says."""
LINES = 8


class Results(NamedTuple):
    """What is known of the layers, by name, and each tool's answers about them."""

    bugs: Mapping[str, Any]
    wrong: list[str]  # the bugs of which `gradient_is_wrong`
    honest: list[str]
    answers: Mapping[str, Mapping[str, Answer]]
    step: int = 1  # one of so many layers was taken

    def caught(self, tool: str, names: list[str]) -> list[str]:
        """Return those of some layers in which a tool finds something."""
        return [name for name in names if self.answers[tool][name].says is not None]


def markdown(results: Results) -> str:
    """Write the page."""
    return "\n".join([*_head(results), *_table(results), *_messages(results), *_names(results)])


def _head(results: Results) -> Iterator[str]:
    used = ["numpy", *dict.fromkeys(TOOLS[tool].package for tool in results.answers)]
    versions = [f"{p} {importlib.metadata.version(p)}" for p in used if p != "npnet"]
    absent = [tool for tool in TOOLS if tool not in results.answers]
    bugs, wrong, step = len(results.bugs), len(results.wrong), results.step
    share = "" if step == 4 else f" --share {1 / step:.3g}"
    some = f", one of {step} evenly chosen (and those below)," if step > 1 else ""
    yield f"""# Gradient checkers side by side

```sh
python -m benchmarks.gradient_checkers --markdown{share}
```

wrote this page; it measured every figure here.

Each tool is asked once about each layer and loss{some} of `tests/gradcheck/zoo`:
{bugs} with one planted bug each, and {len(results.honest)} that are right and hard to check. They
are npnet's own tests: npnet was improved until it passed them, the others were not. All compute in
float64, with the tools' default settings, at the arrays that the zoo gives; where it gives a shape,
at random numbers away from zero. `check_layer` is given the shape itself, and may look at other
points too.

- Of the bugs, {wrong} are **wrong gradients**: at the given point, in a layer just made, the
  gradient along one of {DIRECTIONS} random directions is off by more than {TOLERANCE:g} of the
  sizes of its terms (at a kink, outside the slopes on both sides), by differences of the output
  that are computed apart from the tools.
- The **other bugs**, {bugs - wrong}, show at other points, in float32 or in evaluation mode, or are
  not about the gradient: the layer writes into its input, keeps state, fails for an empty batch,
  raises. A tool that compares gradients at one point cannot be expected to find these.
- PyTorch's tool checks a `torch.autograd.Function`, JAX's (`order=1, modes=["rev"]`) a
  `jax.custom_vjp`, whose forward and backward run the layer's. SciPy's checks the sum of all
  outputs times random factors. For these three, each pass draws the same random numbers and begins
  with the same buffers.
- SciPy returns a distance and no verdict; here it counts as wrong above {SCIPY_LIMIT:g} times the
  gradient's norm, or above {SCIPY_LIMIT:g} if the norm is below 1.
- An exception of the layer's own code counts as caught, or as a false alarm.

{", ".join(versions)}; Python {platform.python_version()}; {machine.describe()["processor"]}.
{f"Not installed, and left out: {', '.join(absent)}." if absent else "None is left out."}
"""


def _table(results: Results) -> Iterator[str]:
    others = [name for name in results.bugs if name not in results.wrong]
    yield "| tool | wrong gradients | other bugs | false alarms | median time | all | its message |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for tool, answers in results.answers.items():
        cells = [
            f"{len(results.caught(tool, names))} of {len(names)}"
            for names in (results.wrong, others, results.honest)
        ]
        seconds = [answer.seconds for answer in answers.values()]
        cells += [f"{1000 * statistics.median(seconds):.3g} ms", f"{sum(seconds):.3g} s"]
        yield f"| `{tool}` | {' | '.join(cells)} | {TOOLS[tool].message} |"
    yield ""


def _messages(results: Results) -> Iterator[str]:
    yield "## What the message says\n"
    for name in EXAMPLES:
        if name in results.bugs:
            yield f"### {name}: {results.bugs[name].bug}\n"
            for tool, answers in results.answers.items():
                if tool == "npnet check_gradients":  # says of gradients what check_layer says
                    continue
                says = answers[name].says
                lines = ["nothing"] if says is None else says.strip().splitlines()
                more = [f"... ({len(lines) - LINES} more lines)"] if len(lines) > LINES else []
                yield "\n".join([f"`{tool}`\n", "```text", *lines[:LINES], *more, "```\n"])


def _names(results: Results) -> Iterator[str]:
    yield "## What each tool misses, and its false alarms\n"
    for tool in results.answers:
        caught = set(results.caught(tool, results.wrong))
        missed = [name for name in results.wrong if name not in caught]
        alarms = results.caught(tool, results.honest)
        yield f"`{tool}`\n"
        yield f"- wrong gradients that it misses: {'; '.join(missed) or 'none'}"
        yield f"- false alarms: {'; '.join(alarms) or 'none'}\n"
