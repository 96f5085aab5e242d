"""Where a gradient is wrong: at positions, through outputs, samples, steps, windows."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Jacobians
from npnet.gradcheck.diagnosis.naming import axes_words, inside, listed
from npnet.typing import Array

Found = tuple[str, str]
_LOST = "is zero: its term"


def _there(said: str) -> str:
    return f"; there it {said}" if said else ""


def _separated(bad: Array, good: Array, places: list[Array]) -> tuple[int, list[int]] | None:
    """Find the axis along which wrong places and right ones differ: the wrong positions there."""
    best = None
    for axis, at in enumerate(places):
        wrong, right = np.unique(at[bad]), np.unique(at[good])
        if wrong.size and right.size and not np.intersect1d(wrong, right).size:
            share = min(wrong.size, right.size) / (wrong.size + right.size)
            if best is None or share < best[0]:
                best = share, axis, wrong.tolist()
    return None if best is None else best[1:]


def rows(p: Jacobians) -> Iterator[Found]:
    """Some positions of the tensor wrong, the others right."""
    bad = p.wrong.any(axis=1)
    found = _separated(bad, p.right.any(axis=1) & ~bad, p.places)
    said = inside(p, p.wrong)
    if found is None or (said.startswith(_LOST) and p.right[bad].any()):
        return
    (axis, wrong), length = found, p.shape[found[0]]
    within = np.isin(p.places[axis], wrong) & p.relevant.any(axis=1)
    few = bad.sum() < 2 * (1 if p.x.ndim == 1 and p.complete else len(wrong))
    if bad[within].mean() < 0.6 or (few and (p.x.ndim == 1 or not p.complete)):
        return  # may be chance
    sample = axis == 0 and p.is_input and p.batch == length
    what = ("sample" if sample else "position") + "s" * (len(wrong) > 1)
    place = "" if sample else f" along axis {axis}"
    target = p.others[0] if p.is_loss and p.others else None
    if sample and target is not None and target.shape == (p.batch,):
        ignored = [k for k, v in p.constants.items() if (target[wrong] == v).all()]
        place += f" (where the target is self.{ignored[0]})" if ignored else ""
    options = [f"self.{k}" for k, v in p.constants.items() if wrong == [v]]
    if {0, length - 1} <= set(wrong) <= {0, 1, length - 2, length - 1} and length > 4:
        place += " (the first and last ones, at the border)"
    elif wrong in ([0], [length - 1]):
        place += " (the first)" if wrong == [0] else " (the last)"
    place += f", which is {options[0]}," if len(options) == 1 and wrong[0] else ""
    verb = "are" if len(wrong) > 1 else "is"
    where = f"{what} {listed(wrong)} (of {length}){place}"
    yield "rows", f"only {where} of {{}} {verb} wrong{_there(said)}"


def through(p: Jacobians) -> Iterator[Found]:
    """What comes through one of several outputs; of a parameter, through some positions of it."""
    bad = p.wrong.any(axis=0)
    good = p.right.any(axis=0) & ~bad
    said = inside(p, p.wrong)
    lost = said.startswith(_LOST)
    found = _separated(bad, good, [p.output_number])
    if found:
        which = f"output{'s' * (len(found[1]) > 1)} {listed(found[1])} (of {len(p.outputs)})"
        text = f"is wrong in what comes through {which} and right through the others{_there(said)}"
        if lost:
            text = f"lacks what comes through {which}: backward does not use its upstream gradient"
        yield "missing term", text
    places = p.output_places
    if places is None or p.is_input or not lost:
        return
    found = _separated(bad, good, places)
    if found is None:
        return
    axis, wrong = found
    right = np.unique(places[axis][good]).tolist()
    sample = axis == 0 and p.outputs[0].shape[0] == p.batch
    what = f"sample{'s' * (len(wrong) > 1)} {listed(wrong)}" if sample else (
        f"what comes through the output at position {listed(wrong)} of axis {axis}")  # fmt: skip
    text = f"lacks {what} (of {len(wrong) + len(right)}) in its sum"
    if len(right) == 1 and len(wrong) > 1:
        text = f"is that of sample {right[0]} alone: it is not summed over the batch"
        if not sample:
            text = (
                f"holds only what comes through the output at position {right[0]} along axis "
                f"{axis}: the upstream gradient at the other positions is not used"
            )
    yield "not summed", text


def repeated(p: Jacobians) -> Iterator[Found]:
    """Rows of a table whose index occurs more than once."""
    bad = p.wrong.any(axis=0)
    good = p.right.any(axis=0) & ~bad
    for index in p.others if p.output_places and not p.is_input else ():
        if index.dtype.kind in "iu" and 0 < index.ndim < len(p.output_places) + 1:
            if index.shape != p.outputs[0].shape[: index.ndim]:
                continue
            values = index[tuple(p.output_places[: index.ndim])]
            count = np.array([(index == v).sum() for v in values])
            lost = inside(p, p.wrong).startswith(_LOST) and np.isin(values[bad], values[good])
            if good.any() and (count[bad] > 1).all() and np.all(lost):
                text = (
                    "lacks contributions of indices that occur more than once: they overwrite "
                    "each other; accumulate with np.add.at"
                )
                yield "not summed", text


def distances(p: Jacobians) -> Iterator[Found]:
    """Wrong or missing by how an element's position relates to the output's: own, later, others."""
    places = p.output_places
    if places is None or not p.is_input or not p.right.any() or p.x.ndim > len(places) + 1:
        return
    shape = p.outputs[p.output_number[0]].shape
    axes = [(a, b) for a in range(p.x.ndim) for b in range(len(shape))
            if p.shape[a] > 1 and (p.shape[a] == shape[b] or a == b)]  # fmt: skip
    for a, b in sorted(axes, key=lambda ab: (abs(ab[0] - ab[1]), ab)):
        for stride in (1, 2, 3) if p.shape[a] != shape[b] else (1,):
            gap = stride * places[b][None] - p.places[a][:, None]  # output after the element
            bad, good = np.unique(gap[p.wrong]), np.unique(gap[p.right])
            if bad.size and not np.intersect1d(bad, good).size and _regular(p, gap, a, places[b]):
                batch = a == b == 0 and p.shape[0] == p.batch
                yield "missing term", _distance_text(p, gap, bad, good, a, batch)
                return


def _regular(p: Jacobians, gap: Array, a: int, at: Array) -> bool:
    """Whether positions that far apart are always connected, as in a window or a recurrence."""
    length = int(at.max()) + 1
    pair = p.places[a][:, None] * length + at[None]
    share = 0.6 if p.shape[a] == length else 0.95
    return all(
        np.unique(pair[p.relevant & (gap == k)]).size >= share * np.unique(pair[gap == k]).size
        for k in np.unique(gap[p.relevant])
    )


def _distance_text(p: Jacobians, gap: Array, bad: Array, good: Array, a: int, batch: bool) -> str:
    said = inside(p, p.wrong)
    verb = "lacks the terms" if said.startswith(_LOST) else "has wrong terms"
    rest = "" if said.startswith(_LOST) else _there(said).replace("it is", "they are")
    gaps = np.unique(gap[p.relevant])
    dense = 0 in gaps and bool((np.diff(gaps) == 1).all()) and p.x.ndim > 1
    steps = dense and (gaps[0] == 0 or gaps[-1] == 0)  # causal, or mirrored
    if set(bad) == {0}:
        return f"{verb} of each position's own output along axis {a} (the diagonal){rest}"
    if set(good) == {0} and batch:
        return (
            f"{verb} through the other samples of the batch{rest}; what is computed from all rows "
            "(mean, variance) depends on each of them"
        )
    if set(good) == {0} and steps:
        return (
            f"{verb} through the outputs at {'later' if gaps[0] == 0 else 'earlier'} steps along "
            f"axis {a}{rest}: nothing is carried from step to step (through time, the state)"
        )
    if set(good) == {0}:
        return (
            f"{verb} through the outputs at other positions of axis {a}{rest}; a sum, mean or "
            "normalisation over that axis is not differentiated"
        )
    if steps and np.abs(bad).min() > np.abs(good).max() and bad.size > 1:
        return (
            f"{verb} through outputs {int(np.abs(bad).min())} or more steps away along axis "
            f"{a}{rest}: is it truncated?"
        )
    return (
        f"{verb} between elements and outputs {listed([-int(k) for k in bad[::-1]])} position(s) "
        f"apart along axis {a} (a tap of a window, a shifted part){rest}"
    )


def overlap(p: Jacobians) -> Iterator[Found]:
    """Where several outputs use an element, one alone counts."""
    if p.output_places is None or len(p.outputs) > 1 or not (p.wrong.any() and p.right.any()):
        return
    spots = [np.arange(p.a.shape[1])]
    if len(p.output_places) > 2:
        inner = p.output_places[2:]
        spots.append(np.ravel_multi_index(inner, [int(k.max()) + 1 for k in inner]))
    big_a, big_t = (np.abs(m) > p.allowed for m in (p.a, np.nan_to_num(p.t)))
    for spot in spots:
        kept = set()
        for a, t, wrong in zip(big_a, big_t, p.wrong, strict=True):
            used, there = np.unique(spot[t]), np.unique(spot[a])
            if (wrong & a).any() or there.size > 1 or not np.isin(there, used).all():
                kept = {""}
                break
            if used.size > 1 and there.size:
                kept.add("last" if there[0] == used[-1] else "first" if there[0] == used[0] else "")
        if len(kept) == 1 and "" not in kept:
            text = (
                f"takes only the {kept.pop()} of several outputs that use the same element "
                "(overlapping windows, copies, repeated indices): they must be summed (+=, "
                "np.add.at), not assigned, or they overwrite each other"
            )
            yield "not summed", text


def shares(p: Jacobians) -> Iterator[Found]:
    """Every entry is one of two or three simple multiples of the true one."""
    at = p.relevant
    if at.sum() < 6 or (np.abs(p.t[at]) <= p.allowed[at]).any():
        return
    r = p.a[at] / p.t[at]
    values = np.unique(np.round(r, 7))
    if not 2 <= values.size <= 3 or min(np.isclose(r, v).mean() for v in values) < 0.1:
        return
    shown = [Fraction(v).limit_denominator(12) for v in values.tolist()]
    if np.abs(np.array(shown, float) - values).max() > 1e-6:
        return
    if shown[0] == 0 and shown[1:] != [1]:
        others = " or ".join(map(str, shown[1:]))
        text = (
            f"is zero in some elements and {others} times the true one in others: what belongs to "
            "several elements goes to one of them"
        )
        yield "elements", text
    elif shown[0] != 0:
        yield "elements", f"is off by a factor of {' or '.join(map(str, shown))}, by element"


def coupling(p: Jacobians) -> Iterator[Found]:
    """Backward couples elements along other axes than forward."""
    if p.own is None or p.output_places is None or not p.known.all():
        return
    apart = [at[:, None] != of[None] for at, of in zip(p.places, p.output_places, strict=True)]
    one = np.sum(apart, axis=0) == 1
    axes = []
    for matrix in (p.a, p.t):
        there = (np.abs(matrix) > 10 * p.allowed) & one
        axes.append([k for k, other in enumerate(apart) if (there & other).any()])
    if axes[0] and axes[1] and axes[0] != axes[1]:
        text = (
            f"couples elements along {axes_words(axes[0])}, but forward does along "
            f"{axes_words(axes[1])}: a sum or mean in backward runs over the wrong axes"
        )
        yield "missing term", text


def elements(p: Jacobians) -> Iterator[Found]:
    """A few elements of the tensor."""
    bad = p.wrong.any(axis=1)
    count = int(bad.sum())
    enough = bad.size >= 6 and count <= min(max(3, 0.1 * bad.size), 0.34 * bad.size)
    if not 0 < count or not enough or (not p.complete and count > 3):
        return
    some = p.indices[bad][:4]
    where = ", ".join(str([int(k) for k in np.unravel_index(i, p.shape)]) for i in some)
    if p.own is not None or p.is_loss:
        where += f" (where {p.name} is {', '.join(f'{v:.4g}' for v in p.x.reshape(-1)[some])})"
    verb = f"{'is' if count == 1 else 'are'} wrong, at {where}{_there(inside(p, p.wrong))}"
    of = "elements" if p.complete else f"elements tried (of {p.x.size})"
    yield "elements", f"only {count} of {bad.size} {of} of {{}} {verb}"
