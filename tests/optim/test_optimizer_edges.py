"""Numbers and shapes at the edge, for every optimizer: as PyTorch has them, and no warning."""

import numpy as np
import pytest

import npnet
from tests.optim.test_problems import RATES

NAMES = [
    "SGD", "ASGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta",
    "Rprop", "Adafactor", "Lion", "Lamb", "SparseAdam", "Muon",
]  # fmt: skip
GRADIENTS = {
    "zero": 0.0, "tiny": 1e-300, "small": 1e-40, "huge": 1e200, "inf": np.inf, "-inf": -np.inf,
    "nan": np.nan,
}  # fmt: skip


def test_none_is_left_out():
    assert {*NAMES, "LBFGS"} == set(RATES)  # which has tests of its own


@pytest.fixture(params=["numpy", "numba"])
def implementation(request):
    if request.param == "numba":
        pytest.importorskip("numba")
    before = npnet.ops.active()
    npnet.ops.use(request.param)
    yield
    npnet.ops.use(before)


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("eps", [None, 0.0])
@pytest.mark.parametrize("kind", GRADIENTS)
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("Lion", "Lamb", "SparseAdam",
                                                                "Muon", "Adafactor")])  # fmt: skip
def test_single_numbers(torch, implementation, name, kind, eps, rng):
    # Adafactor and Muon mix numbers, so that one that is not finite makes all the others NaN.
    more = {} if eps is None or name in ("SGD", "ASGD", "Rprop") else {"eps": eps}
    start = rng.normal(size=(2, 3))
    p, t = npnet.Parameter(start), torch.nn.Parameter(torch.tensor(start))
    mine = getattr(npnet.optim, name)([p], lr=0.1, **more)
    reference = getattr(torch.optim, name)([t], lr=0.1, **more)
    for step in range(8):
        g = rng.normal(size=(2, 3))
        if step > 1:
            g[0, 1] = GRADIENTS[kind]
        g[1, 2] = GRADIENTS[kind] if kind in ("zero", "tiny") else 1.0
        p.grad, t.grad = g, torch.tensor(g)
        mine.step()
        reference.step()
        got, expected = (np.where(np.isfinite(a), a, np.nan) for a in (p.data, t.detach().numpy()))
        np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_dtypes(name, dtype, implementation, rng):
    shapes = [(0, 3), (1, 1), (2, 5), (5, 2)]
    if name != "Muon":
        shapes += [(), (0,), (1,), (2, 0, 3), (2, 3, 4)]
    ps = [npnet.Parameter(rng.normal(size=s).astype(dtype)) for s in shapes]
    before = [p.data.copy() for p in ps]
    optimizer = getattr(npnet.optim, name)(ps, lr=0.01)
    for _ in range(3):
        for p in ps:
            g = rng.normal(size=(*p.shape, 2)).astype(dtype)[..., 0]  # not contiguous
            g.setflags(write=False)
            p.grad = g
        optimizer.step()
    for p, old in zip(ps, before, strict=True):
        assert p.dtype == dtype
        assert p.shape == old.shape
        assert np.isfinite(p.data).all()
        assert (p.data != old).all() or dtype == np.float16
    state = optimizer.state_dict()["state"]
    for entry in state.values():
        assert all(v.dtype == dtype for v in entry.values() if isinstance(v, np.ndarray))


@pytest.mark.parametrize("name", ["Adafactor", "Lamb", "Muon"])
def test_all_zero(name):
    p = npnet.Parameter(np.zeros((2, 3)))
    optimizer = getattr(npnet.optim, name)([p], lr=0.1)
    for _ in range(3):
        p.grad = np.zeros((2, 3))
        optimizer.step()
    assert (p.data == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_one_gradient_that_is_not_finite_does_no_harm_elsewhere(name, rng):
    whole = name in ("Adafactor", "Lamb", "Muon")  # to another parameter
    shapes = [(2, 2), (2, 3)] if whole else [(2, 5)]
    for bad in (np.nan, np.inf):
        ps = [npnet.Parameter(rng.normal(size=s)) for s in shapes]
        optimizer = getattr(npnet.optim, name)(ps, lr=0.01)
        for _ in range(3):
            for p in ps:
                p.grad = rng.normal(size=p.shape)
            ps[0].grad[0, 0] = bad
            optimizer.step()
        assert np.isfinite(ps[-1].data[1]).all()
