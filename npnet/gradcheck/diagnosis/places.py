"""Patterns of where: outputs, samples, steps, positions and regions that are wrong."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Jacobians
from npnet.gradcheck.diagnosis.naming import (
    inside,
    listed,
    positions,
)
from npnet.gradcheck.report import Diagnosis
from npnet.typing import Array


def outputs(p: Jacobians) -> Diagnosis | None:
    """What comes through one of several outputs."""
    if p.columns is None or len(p.outputs) < 2:
        return None
    bad, good = p.wrong.any(axis=0), p.right.any(axis=0) & ~p.wrong.any(axis=0)
    wrong, right = np.unique(p.output_number[bad]), np.unique(p.output_number[good])
    if not right.size or np.intersect1d(wrong, right).size:
        return None
    which = f"output{'s' if wrong.size > 1 else ''} {listed(wrong.tolist())}"
    text = (
        f"what comes to the gradient of {p.name} through {which} (of {len(p.outputs)}) is "
        f"wrong{inside(p, p.wrong)}; what comes through the others is right"
    )
    if inside(p, p.wrong).startswith("; there it is zero"):
        text = (
            f"the gradient of {p.name} lacks what comes through {which} (of {len(p.outputs)}): "
            "backward does not use the upstream gradient of it"
        )
    return Diagnosis("missing term", p.name, text)


def one_sample(p: Jacobians) -> Diagnosis | None:
    """A parameter's gradient that holds, lacks or repeats some positions of the output."""
    places = p.output_places
    if places is None or p.is_input or not p.right.any():
        return None
    bad = p.wrong.any(axis=0)
    good = p.right.any(axis=0) & ~bad
    found = positions(bad, good, places)
    if found is None:
        return None
    axis, wrong, total = found
    what = "sample" if axis == 0 and p.outputs[0].shape[0] == p.batch else "position"
    of = "" if what == "sample" else f" along axis {axis} of the output"
    said = inside(p, p.wrong)
    if said.startswith("; there it is zero") and total - len(wrong) == 1 and len(wrong) > 1:
        kept = next(k for k in range(total + 1) if k not in wrong)
        if what == "sample":
            text = f"is that of sample {kept} alone: it is not summed over the batch"
        else:
            text = (
                f"holds only what comes through the output at position {kept} along axis {axis}: "
                "the upstream gradient at the other positions is not used"
            )
        return Diagnosis("not summed", p.name, f"the gradient of {p.name} {text}")
    some = f"{what}{'s' if len(wrong) > 1 else ''} {listed(wrong)} (of {total}){of}"
    if said.startswith("; there it is zero"):
        text = f"lacks {some} in its sum"
        return Diagnosis("not summed", p.name, f"the gradient of {p.name} {text}")
    return None


def pairs(p: Jacobians) -> Diagnosis | None:
    """Wrong or missing by how an element's position relates to the output's: own, later, others."""
    places = p.output_places
    if places is None or not p.is_input or not p.right.any() or p.x.ndim > len(places) + 1:
        return None
    shape = p.outputs[p.output_number[0]].shape
    axes = [(a, b) for a in range(p.x.ndim) for b in range(len(shape))
            if p.shape[a] > 1 and (p.shape[a] == shape[b] or a == b)]  # fmt: skip
    for a, b in sorted(axes, key=lambda ab: (abs(ab[0] - ab[1]), ab)):
        for stride in (1, 2, 3) if p.shape[a] != shape[b] else (1,):
            gap = stride * places[b][None] - p.places[a][:, None]  # output after the element
            bad, good = np.unique(gap[p.wrong]), np.unique(gap[p.right])
            if not np.intersect1d(bad, good).size:
                text = _gap_text(p, gap, bad, good, a, a == b == 0 and p.shape[0] == p.batch)
                if not _regular(p, gap, a, b):
                    continue
                return Diagnosis("missing term", p.name, f"the gradient of {p.name} {text}")
    return None


def _regular(p: Jacobians, gap: Array, a: int, b: int) -> bool:
    """Whether positions that far apart are always connected, as in a window or a recurrence."""
    assert p.output_places is not None
    pair = p.places[a][:, None] * (int(p.output_places[b].max()) + 1) + p.output_places[b][None]
    share = 0.6 if p.shape[a] == int(p.output_places[b].max()) + 1 else 0.95
    return all(
        np.unique(pair[p.relevant & (gap == k)]).size >= share * np.unique(pair[gap == k]).size
        for k in np.unique(gap[p.relevant])
    )


def _gap_text(p: Jacobians, gap: Array, bad: Array, good: Array, a: int, batch: bool) -> str:
    said = inside(p, p.wrong)
    lost = said.startswith("; there it is zero")
    verb, rest = ("lacks", "") if lost else ("has wrong", said.replace("there it is", "they are"))
    gaps = np.unique(gap[p.relevant])
    dense = 0 in gaps and bool((np.diff(gaps) == 1).all()) and p.x.ndim > 1
    causal, mirrored = dense and gaps[0] == 0, dense and gaps[-1] == 0
    if set(bad) == {0}:
        return f"{verb} the terms of each position's own output along axis {a} (the diagonal){rest}"
    if set(good) == {0} and batch:
        return (
            f"{verb} the terms through the other samples of the batch{rest}; what is computed "
            "from all rows (mean, variance) depends on each of them"
        )
    if set(good) == {0} and (causal or mirrored):
        return (
            f"{verb} the terms through the outputs at {'later' if causal else 'earlier'} steps "
            f"along axis {a}{rest}: nothing is carried from step to step (through time, the state)"
        )
    if set(good) == {0}:
        return (
            f"{verb} the terms through the outputs at other positions of axis {a}{rest}; a "
            "sum, mean or normalisation over that axis is not differentiated"
        )
    if (causal or mirrored) and np.abs(bad).min() > np.abs(good).max() and bad.size > 1:
        return (
            f"{verb} the terms through outputs {int(np.abs(bad).min())} or more steps away "
            f"along axis {a}{rest}: is it truncated?"
        )
    return (
        f"{verb} the terms between elements and outputs {listed([-int(k) for k in bad[::-1]])} "
        f"position(s) apart along axis {a} (a tap of a window, a shifted part){rest}"
    )


def overlap(p: Jacobians) -> Diagnosis | None:
    """Where several outputs use an element, one alone counts."""
    if p.output_places is None or len(p.outputs) > 1 or not (p.wrong.any() and p.right.any()):
        return None
    spots = [np.arange(p.a.shape[1])]
    if len(p.output_places) > 2:
        inner = p.output_places[2:]
        spots.append(np.ravel_multi_index(inner, [int(k.max()) + 1 for k in inner]))
    for spot in spots:
        kept: set[str] = set()
        for a, t, wrong in zip(np.abs(p.a) > p.allowed, np.abs(p.t) > p.allowed, p.wrong,
                               strict=True):  # fmt: skip
            used, there = np.unique(spot[t]), np.unique(spot[a])
            if (wrong & a).any() or (there.size > 1) or not np.isin(there, used).all():
                kept.clear()
                break
            if used.size > 1 and there.size:
                kept.add("last" if there[0] == used[-1] else "first" if there[0] == used[0] else "")
        if len(kept) == 1 and "" not in kept:
            text = (
                f"the gradient of {p.name} takes only the {kept.pop()} of several outputs that "
                "use the same element (overlapping windows, copies, repeated indices): they must "
                "be summed (+=, np.add.at), not assigned, or they overwrite each other"
            )
            return Diagnosis("not summed", p.name, text)
    return None


def shares(p: Jacobians) -> Diagnosis | None:
    """Every entry is one of two or three simple multiples of the true one."""
    at = p.relevant
    if at.sum() < 6 or (np.abs(p.t[at]) <= p.allowed[at]).any():
        return None
    r = p.a[at] / p.t[at]
    values = np.unique(np.round(r, 7))
    if not 2 <= values.size <= 3 or min(np.isclose(r, v).mean() for v in values) < 0.1:
        return None
    if any(abs(float(Fraction(v).limit_denominator(12)) - v) > 1e-6 for v in values.tolist()):
        return None
    shown = [f"{Fraction(float(v)).limit_denominator(24)}" for v in values]
    if shown[0] == "0":
        text = (
            f"the gradient of {p.name} is zero in some elements and {' or '.join(shown[1:])} times "
            "the true one in others: what belongs to several elements goes to one of them"
        )
    else:
        text = f"the gradient of {p.name} is off by a factor of {' or '.join(shown)}, by element"
    return Diagnosis("elements", p.name, text)


def coupling(p: Jacobians) -> Diagnosis | None:
    """Backward couples elements along other axes than forward."""
    if p.own is None or p.output_places is None or not p.known.all():
        return None
    apart = [at[:, None] != of[None] for at, of in zip(p.places, p.output_places, strict=True)]
    count = np.sum(apart, axis=0)
    axes = []
    for matrix in (p.a, p.t):
        there = (np.abs(matrix) > 10 * p.allowed) & (count == 1)
        axes.append([k for k, other in enumerate(apart) if (there & other).any()])
    if not axes[0] or not axes[1] or axes[0] == axes[1]:
        return None
    words = [f"axis {a[0]}" if len(a) == 1 else f"axes {a}" for a in axes]
    text = (
        f"the gradient of {p.name} couples elements along {words[0]}, but forward does along "
        f"{words[1]}: a sum or mean in backward runs over the wrong axes"
    )
    return Diagnosis("missing term", p.name, text)


def rows(p: Jacobians) -> Diagnosis | None:
    """Some positions of the tensor wrong, the others right."""
    bad = p.wrong.any(axis=1)
    good = p.right.any(axis=1) & ~bad
    if bad.sum() < 1 or not good.any() or p.x.ndim == 0:
        return None
    found = positions(bad, good, p.places)
    if found is None:
        return None
    axis, wrong, _ = found
    lost = inside(p, p.wrong).startswith("; there it is zero")
    if not p.complete and bad.sum() < 2 * len(wrong):  # may be chance
        return None
    if lost and p.right[bad].any():
        return None
    inner = np.isin(p.places[axis], wrong)
    if (p.x.ndim == 1 and bad.sum() < 2) or bad[inner & p.relevant.any(axis=1)].mean() < 0.6:
        return None
    what = "sample" if axis == 0 and p.is_input and p.batch == p.shape[0] else "position"
    place = "" if what == "sample" else f" along axis {axis}"
    plural = "s" if len(wrong) > 1 else ""
    target = p.others[0] if p.is_loss and p.others else None
    if what == "sample" and target is not None and target.shape == (p.batch,):
        ignored = [k for k, v in p.constants.items() if (target[wrong] == v).all()]
        place += f" (where the target is self.{ignored[0]})" if ignored else ""
    options = [f"self.{k}" for k, v in p.constants.items() if wrong == [v]]
    ends = set(wrong) <= {0, 1, p.shape[axis] - 1, p.shape[axis] - 2} and p.shape[axis] > 4
    if ends and {0, p.shape[axis] - 1} <= set(wrong):
        place += " (the first and last ones, at the border)"
    elif wrong in ([0], [p.shape[axis] - 1]):
        place += " (the first)" if wrong == [0] else " (the last)"
    place += f", which is {options[0]}," if len(options) == 1 and wrong[0] else ""
    text = (
        f"only {what}{plural} {listed(wrong)} (of {p.shape[axis]}){place} of the gradient of "
        f"{p.name} {'are' if plural else 'is'} wrong{inside(p, p.wrong)}"
    )
    return Diagnosis("rows", p.name, text)


def repeated(p: Jacobians) -> Diagnosis | None:
    """Rows of a table whose index occurs more than once."""
    places = p.output_places
    if places is None or p.is_input:
        return None
    bad = p.wrong.any(axis=0)
    good = p.right.any(axis=0) & ~bad
    for index in p.others:
        if index.dtype.kind not in "iu" or index.shape != p.outputs[0].shape[: index.ndim]:
            continue
        values = index[tuple(places[: index.ndim])]
        count = np.array([(index == v).sum() for v in values])
        if index.ndim and good.any() and (count[bad] > 1).all():
            lost = inside(p, p.wrong).startswith("; there it is zero")
            if lost and np.isin(values[bad], values[good]).all():
                text = (
                    f"the gradient of {p.name} lacks contributions of indices that occur more "
                    "than once: they overwrite each other; accumulate with np.add.at"
                )
                return Diagnosis("not summed", p.name, text)
    return None
