"""The contract of a layer, and of a loss, as rules that are checked in one call."""

from npnet.gradcheck.contract.check import LAYER_RULES, LOSS_RULES, check_layer

__all__ = ["LAYER_RULES", "LOSS_RULES", "check_layer"]
