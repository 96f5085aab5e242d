"""The contract of a layer, and of a loss, as rules that are checked in one call."""

from npnet.gradcheck.contract.check import LAYER_RULES, check_layer
from npnet.gradcheck.contract.losses import LOSS_RULES

__all__ = ["LAYER_RULES", "LOSS_RULES", "check_layer"]
