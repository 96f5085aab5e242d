"""The table of layers and losses is complete."""

import npnet
from cases import CALLS, LAYERS, LOSSES, LOSSES_OF_ARRAYS


def _public(base):
    classes = (getattr(npnet, name) for name in npnet.__all__)
    found = {c for c in classes if isinstance(c, type) and issubclass(c, base)}
    return found - {base}


def test_every_public_layer_is_in_the_table():
    holders = {npnet.LayerList, npnet.LayerDict}  # which have no passes
    assert _public(npnet.Layer) - holders == {type(case.make()) for case in [*LAYERS, *CALLS]}


def test_every_public_loss_is_in_the_table():
    cases = [*LOSSES, *LOSSES_OF_ARRAYS]
    assert _public(npnet.Loss) == {type(case.make(reduction="sum")) for case in cases}


def test_every_layer_class_is_public():
    from npnet import containers, layers

    for module in (containers, layers):
        assert set(module.__all__) <= set(npnet.__all__)
