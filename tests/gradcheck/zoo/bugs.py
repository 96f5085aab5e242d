"""All planted bugs: importing their files registers them."""

from zoo import activations, chains, linear, loss_mutants, random_and_rows
from zoo.mutants import MUTANTS

FILES = (activations, chains, linear, loss_mutants, random_and_rows)

__all__ = ["FILES", "MUTANTS"]
