"""All planted bugs: importing their files registers them."""

from zoo import (
    activations,
    attention,
    chains,
    containers,
    convolutions,
    elsewhere,
    embeddings,
    large,
    linear,
    loss_bugs,
    loss_mutants,
    norms,
    pooling,
    products,
    random_and_rows,
    recurrences,
    rows,
    states,
)
from zoo.mutants import MUTANTS

FAMILIES = (
    attention,
    containers,
    convolutions,
    elsewhere,
    embeddings,
    large,
    loss_bugs,
    norms,
    pooling,
    products,
    recurrences,
    rows,
    states,
)
FILES = (activations, chains, linear, loss_mutants, random_and_rows, *FAMILIES)

__all__ = ["FAMILIES", "FILES", "MUTANTS"]
