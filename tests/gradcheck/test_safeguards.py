"""Every safeguard of the rules is needed by an honest layer."""

import pytest
from zoo.safeguards import SAFEGUARDS

from npnet.gradcheck import check_layer


@pytest.mark.parametrize("name", SAFEGUARDS)
@pytest.mark.parametrize("seed", range(3))
def test_no_false_alarm(name, seed):
    case = SAFEGUARDS[name]
    assert check_layer(case.make, *case.inputs, seed=seed, **case.options).ok
