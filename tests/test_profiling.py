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
        ("3.0", "Linear", 0),  # ReLU's output
    ]
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert (model[1].weight.grad == 1).all()
    assert model[1].bias.grad is None
    assert costs.layers[1].products > 0
    assert costs.layers[0].products == 0
    assert sum(c.forward + c.backward for c in costs.layers) > 0
    assert "bare matrix products" in str(costs)


@pytest.mark.parametrize("rounds", [0, -1, 1.5, "3", None, True])
def test_rounds_are_positive(rounds):
    with pytest.raises(npnet.errors.ArgumentError, match="rounds"):
        npnet.profile(npnet.Linear(2, 2), np.ones((1, 2)), [0], npnet.CrossEntropyLoss(), rounds)


def test_other_things_than_layers_and_losses_are_refused():
    layer, x = npnet.Linear(2, 2), np.ones((1, 2))
    for model, loss in ((None, npnet.MSELoss()), (layer, None), (layer, npnet.MSELoss)):
        with pytest.raises(npnet.errors.ArgumentError, match="expects (model|loss) to be a"):
            npnet.profile(model, x, x, loss)


def test_a_profile_that_fails_puts_gradients_back():
    model = npnet.Linear(2, 2)
    model.weight.grad = np.ones((2, 2))
    with pytest.raises(npnet.errors.TargetError):
        npnet.profile(model, np.ones((1, 2)), [7], npnet.CrossEntropyLoss())
    assert (model.weight.grad == 1).all()


@pytest.mark.parametrize("size", [-1, 1.5, "8", None])
def test_summary_names_a_bad_batch_size(size):
    with pytest.raises(npnet.errors.ArgumentError, match="batch_size to be an integer"):
        npnet.Linear(2, 2).summary((2,), size)


def test_summary_counts_the_masks_of_dropout():
    model = npnet.Sequential(npnet.Linear(3, 5), npnet.Dropout(0.5), npnet.Linear(5, 2))
    before = npnet.random.default_generator().bit_generator.state
    kept = 4 * 10 * (3 + 5 + 5)  # the input, the mask, the dropped
    assert model.summary((3,), np.int64(10)).training_bytes == 4 * 4 * (4 * 5 + 6 * 2) + kept
    assert npnet.random.default_generator().bit_generator.state == before


def test_summary_of_one_sample_runs_batch_normalisation():
    model = npnet.Sequential(npnet.Linear(3, 5), npnet.BatchNorm1d(5))
    before = model.state_dict()
    for size in (1, 4):
        assert model.summary((3,), size).rows[1][1:4] == ("BatchNorm1d", (size, 5), 10)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_show_config_tells_versions_and_kernels(capsys):
    npnet.show_config()
    shown = capsys.readouterr().out
    assert np.__version__ in shown
    assert npnet.ops.active() in shown
    assert npnet.__version__ in shown


def test_summary_leaves_tables_with_a_largest_norm_alone():
    layer = npnet.Embedding.from_pretrained([[3.0, 4.0], [0.3, 0.4]], max_norm=1.0)
    layer.summary((3,))
    np.testing.assert_allclose(layer.weight.data, [[3, 4], [0.3, 0.4]], rtol=1e-6)
