import numpy as np
import pytest

import npnet


def test_profile_lists_every_call_and_leaves_the_model_as_it_was(rng):
    model = npnet.Sequential(
        npnet.Flatten(), npnet.Linear(6, 5), npnet.ReLU(), npnet.Sequential(npnet.Linear(5, 3))
    )
    x, y = rng.normal(size=(4, 2, 3)).astype(np.float32), np.array([0, 1, 2, 0])
    model[1].weight.grad = np.ones((5, 6))
    before = model.state_dict()
    costs = npnet.profile(model, x, y, npnet.CrossEntropyLoss(), rounds=3)
    assert [(c.name, c.kind, c.kept) for c in costs.layers] == [
        ("0", "Flatten", 0),
        ("1", "Linear", 4 * 6 * 4),
        ("2", "ReLU", 4 * 5 * 4),
        ("3.0", "Linear", 4 * 5 * 4),
    ]
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert (model[1].weight.grad == 1).all()
    assert model[1].bias.grad is None
    assert costs.layers[1].products > 0
    assert costs.layers[0].products == 0
    assert sum(c.forward + c.backward for c in costs.layers) > 0
    assert "bare matrix products" in str(costs)


def test_rounds_are_positive():
    with pytest.raises(npnet.errors.ArgumentError, match="rounds"):
        npnet.profile(npnet.Linear(2, 2), np.ones((1, 2)), [0], npnet.CrossEntropyLoss(), 0)


def test_show_config_tells_versions_and_kernels(capsys):
    npnet.show_config()
    shown = capsys.readouterr().out
    assert np.__version__ in shown
    assert npnet.ops.active() in shown
    assert npnet.__version__ in shown
