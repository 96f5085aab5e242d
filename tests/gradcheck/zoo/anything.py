"""Honest layers by the thousand: Hypothesis strategies over layers, shapes, values and scales."""

from __future__ import annotations

import multiprocessing

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from npnet.gradcheck import check_layer
from zoo.anything_layers import (
    attentions,
    embeddings,
    images,
    lengths,
    models,
    norms,
    sequences,
    states,
)
from zoo.anything_losses import losses
from zoo.anything_simple import (
    composed,
    linear,
    moderate,
    networks,
    of_elements,
    of_rows,
    ordered,
    steep,
)

FAMILIES = {
    f.__name__: f()
    for f in (
        of_elements, moderate, steep, of_rows, ordered, linear, networks, composed, norms, lengths,
        sequences, attentions, images, embeddings, states, models, losses,
    )
}  # fmt: skip
anything = st.sampled_from(list(FAMILIES)).flatmap(FAMILIES.__getitem__)


def see(count, start):
    """Check so many random cases; return how many were seen, and what was reported of which."""
    seen, alarms = 0, []

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(list(FAMILIES)).flatmap(lambda f: FAMILIES[f].map(lambda c: (f, c))))
    def look(drawn):
        nonlocal seen
        family, case = drawn
        seen += 1
        try:
            report = check_layer(case.make, *case.inputs, raises=False, **case.options)
            text = "" if report.ok else str(report)
        except Exception as error:
            text = f"raised {type(error).__name__}: {error}"
        if text:
            alarms.append(f"{family}: {case.make()!r} of {case.inputs!r}\n{text}")

    look()
    return seen, alarms


def see_all(count, start=0, processes=2):
    """Do what `see` does in several processes."""
    share = [(len(range(k, count, processes)), start + k) for k in range(processes)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        found = pool.starmap(see, share)
    return sum(n for n, _ in found), [text for _, alarms in found for text in alarms]
