"""Every layer in the table against PyTorch in float64."""

import numpy as np
import pytest

import npnet
from cases import LAYERS

torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")

CASES = [
    pytest.param(case, shape, scale, id=f"{case.id}-{'x'.join(map(str, shape))}-{scale:g}")
    for case in LAYERS
    if case.torch
    for shape in case.shapes
    for scale in (1e-4, 1.0, 30.0, 1e4)
]


@pytest.mark.parametrize(("case", "shape", "scale"), CASES)
def test_forward_and_gradients(case, shape, scale, rng):
    layer = case.make().astype(np.float64)
    reference = eval(case.torch, vars(torch.nn)).double()
    state = {name: torch.from_numpy(value) for name, value in layer.state_dict().items()}
    reference.load_state_dict(state)
    x = rng.normal(size=shape) * scale
    x.reshape(-1)[0] = 0.0

    tx = torch.from_numpy(x.copy()).requires_grad_()
    ty = reference(tx)
    grad = rng.normal(size=tuple(ty.shape))
    ty.backward(torch.from_numpy(grad))
    y, tape = layer.record(x)
    dx = tape.backward(grad, input_grad=True)

    close = {"rtol": 1e-9, "atol": 1e-13}
    np.testing.assert_allclose(y, ty.detach().numpy(), **close)
    np.testing.assert_allclose(dx, tx.grad.numpy(), **close)
    theirs = dict(reference.named_parameters())
    ours = dict(layer.named_parameters())
    assert list(ours) == list(theirs)
    for name, p in ours.items():
        np.testing.assert_allclose(p.grad, theirs[name].grad.numpy(), **close)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "ELU", "SiLU", "Sigmoid", "Tanh",
                                  "Softplus", "Softsign", "GELU"])  # fmt: skip
def test_special_values(name, dtype):
    x = np.array([0.0, -0.0, np.nan, np.inf, 1e-30, -1e-30, 3e4, -3e4, 1e30], dtype)
    # In float64: PyTorch's float32 GELU gives NaN at infinity on some processors.
    tx = torch.from_numpy(x.astype(np.float64)).requires_grad_()
    ty = getattr(torch.nn, name)()(tx)
    ty.sum().backward()
    y, tape = getattr(npnet, name)().record(x)
    dx = tape.backward(np.ones_like(y), input_grad=True)
    rtol = 1e-5 if dtype == np.float32 else 1e-9
    finite = np.abs(x) < 1e9
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=rtol, atol=1e-30)
    np.testing.assert_allclose(dx[finite], tx.grad.numpy()[finite], rtol=rtol, atol=1e-7)


def test_linear_starts_as_in_torch():
    # Uniform within in_features^(-1/2): the same bounds and moments, from other random numbers.
    ours, theirs = npnet.Linear(100, 400), torch.nn.Linear(100, 400)
    for name in ("weight", "bias"):
        a, b = getattr(ours, name).data, getattr(theirs, name).detach().numpy()
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert np.abs(a).max() <= 0.1
        assert np.abs(b).max() <= 0.1
        np.testing.assert_allclose(a.std(), 0.1 / np.sqrt(3), rtol=0.1)


def test_state_moves_both_ways(rng):
    ours = npnet.Sequential(npnet.Linear(3, 4), npnet.ReLU(), npnet.Linear(4, 2))
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    ours.load_state_dict(theirs.state_dict())
    x = rng.normal(size=(5, 3)).astype(np.float32)
    expected = theirs(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours(x), expected, rtol=1e-5, atol=1e-6)
