"""Every loss in the table against PyTorch in float64."""

import numpy as np
import pytest

import npnet
from cases import LOSSES

torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
torch_losses = pytest.importorskip("torch_losses")

CASES = [
    pytest.param(case, shape, reduction, scale, id=f"{i}-{case.id}-{shape}-{reduction}-{scale:g}")
    for i, case in enumerate(LOSSES)
    for shape in case.shapes
    for reduction in ("mean", "sum", "none")
    for scale in (1.0, 1e4)
]


@pytest.mark.parametrize(("case", "shape", "reduction", "scale"), CASES)
def test_value_and_gradient(case, shape, reduction, scale, rng):
    loss = case.make(reduction=reduction)
    names = {"torch": torch, "reduction": reduction, **vars(torch.nn), **vars(torch_losses)}
    reference = eval(case.torch.format(r="reduction=reduction"), names)
    pred, target = rng.normal(size=shape) * scale, case.target(rng, shape)
    tp = torch.from_numpy(pred.copy()).requires_grad_()
    expected = reference(tp, torch.as_tensor(target))
    expected.sum().backward()
    value, grad = loss.value_and_grad(pred, target)
    close = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(value, expected.detach().numpy(), **close)
    np.testing.assert_allclose(grad, tp.grad.numpy(), **close)
    np.testing.assert_array_equal(loss(pred, target), value)
    assert isinstance(value, float) or reduction == "none"


@pytest.mark.parametrize("offset", [1e4, 1e6])
def test_logits_with_a_large_offset(offset, rng):
    pred, target = rng.normal(size=(6, 4)), rng.integers(0, 4, 6)
    value, grad = npnet.CrossEntropyLoss().value_and_grad(pred, target)
    shifted, same = npnet.CrossEntropyLoss().value_and_grad(pred + offset, target)
    np.testing.assert_allclose(shifted, value, rtol=1e-9)
    np.testing.assert_allclose(same, grad, rtol=1e-8, atol=1e-10)


def test_all_labels_ignored_is_nan_as_in_torch():
    pred, target = np.ones((2, 3)), np.full(2, -100)
    tp = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    theirs = torch.nn.CrossEntropyLoss()(tp, torch.from_numpy(target))
    assert torch.isnan(theirs)
    value, grad = npnet.CrossEntropyLoss().value_and_grad(pred, target)
    assert np.isnan(value)
    assert not grad.any()
