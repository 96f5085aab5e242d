"""``python -m benchmarks.optimizer_steps``: a step of every optimizer beside PyTorch's forms of it.

The parameters are those of the network 784-256-128-10, their 235,146 numbers have fixed gradients,
and everybody has one thread. Each ratio is to the fastest form that PyTorch has: its default one,
``foreach`` or ``fused``. The table is of medians over interleaved rounds; ``--filter TEXT`` takes
only the optimizers whose name contains TEXT.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from benchmarks import machine

METHODS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}),
    ("ASGD", {}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("SparseAdam", {}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("Adamax", {}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("Rprop", {}),
    ("Adafactor", {}),
    ("Lion", {}),
    ("Lamb", {}),
    ("Muon", {}),
]
RATE = 1e-6  # see `benchmarks.workloads.Workload.lr`
FORMS: dict[str, dict[str, bool]] = {"default": {}, "foreach": {"foreach": True},
                                     "fused": {"fused": True}}  # fmt: skip
SECONDS = 8.0
"""For all rounds of one optimizer."""


def runs(name: str, options: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield npnet's forms and those that PyTorch has, ready to be timed."""
    import npnet
    from benchmarks.contenders.npnet import Npnet
    from benchmarks.timing import Run
    from benchmarks.workloads import MIDDLE
    from benchmarks.workloads.base import normal

    pairs = list(zip(MIDDLE.initial(), normal(MIDDLE.shapes), strict=True))
    if name == "Muon":
        pairs = [(value, grad) for value, grad in pairs if value.ndim == 2]
    for who in ("npnet", *(("npnet-fast",) if find_spec("numba") else ())):
        parameters = [npnet.Parameter(value) for value, _ in pairs]
        optimizer = getattr(npnet.optim, name)(parameters, lr=RATE, **options)
        for p, (_, grad) in zip(parameters, pairs, strict=True):
            p.grad = grad
        yield who, Run(optimizer.step, Npnet(who)._kernels)
    if find_spec("torch") is None:
        return
    import torch

    torch.set_num_threads(1)
    for form, more in FORMS.items():
        tensors = [torch.nn.Parameter(torch.tensor(value)) for value, _ in pairs]
        for t, (_, grad) in zip(tensors, pairs, strict=True):
            t.grad = torch.tensor(grad).to_sparse(1) if name == "SparseAdam" else torch.tensor(grad)
        try:
            optimizer = getattr(torch.optim, name)(tensors, lr=RATE, **options, **more)
            optimizer.step()
        except (AttributeError, TypeError, RuntimeError):  # there is no such form
            continue
        yield form, Run(optimizer.step, pool="torch")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.optimizer_steps",
        description="Time a step of every optimizer beside PyTorch.",
        allow_abbrev=False,
    )
    parser.add_argument("--filter", default="", metavar="TEXT", help="only these optimizers")
    args = parser.parse_args(argv)
    machine.set_threads(1)

    from benchmarks.timing import Pace, race

    pace = Pace(rounds=15, turn=0.02, settle=0.005, warm=0.05, limit=SECONDS)
    print(f"{'':44s}{'microseconds':>22s}   {'PyTorch':18s}{'ratio':>14s}")
    print(f"{'':44s}{'npnet':>11s}{'fast':>11s}   {'fastest form':18s}{'npnet':>7s}{'fast':>7s}")
    for name, options in METHODS:
        if args.filter.lower() not in name.lower():
            continue
        seconds, failed = race(dict(runs(name, options)), pace)
        for who, why in failed.items():
            print(f"{name}: {who} failed: {why}")
        times = {who: 1e6 * statistics.median(each) for who, each in seconds.items()}
        ours = [times.pop(who, float("nan")) for who in ("npnet", "npnet-fast")]
        best = min(times, key=times.__getitem__, default="")
        text = ", ".join([name, *(f"{k}={v}" for k, v in options.items())])
        row = f"{text:44s}{ours[0]:11.0f}{ours[1]:11.0f}   "
        if best:
            row += f"{best:8s}{times[best]:9.0f} {ours[0] / times[best]:7.2f}"
            row += f"{ours[1] / times[best]:7.2f}"
        print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
