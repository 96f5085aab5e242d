import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npnet
from npnet.errors import ArgumentError, DtypeError, StateError, TapeError
from npnet.ops import update

OPTIMIZERS = [
    lambda p: npnet.optim.SGD(p, lr=0.01),
    lambda p: npnet.optim.SGD(p, lr=0.01, momentum=0.9),
    lambda p: npnet.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    lambda p: npnet.optim.Adam(p, lr=0.05),
    lambda p: npnet.optim.Adam(p, lr=0.05, amsgrad=True),
    lambda p: npnet.optim.AdamW(p, lr=0.05, weight_decay=1e-4),
]


def parabola(x):
    return float(((x - 3) ** 2).sum()), 2 * (x - 3)


def rosenbrock(v):
    x, y = v
    value = (1 - x) ** 2 + 10 * (y - x * x) ** 2
    return float(value), np.array([-2 * (1 - x) - 40 * x * (y - x * x), 20 * (y - x * x)])


@pytest.mark.parametrize("problem", [parabola, rosenbrock])
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_finds_the_minimum(make, problem):
    p = npnet.Parameter(np.array([-0.5, 1.0]))
    optimizer = make([p])
    for _ in range(4000):
        _, p.grad = problem(p.data)
        optimizer.step()
    assert problem(p.data)[0] < 2e-3


def params(*shapes):
    return [npnet.Parameter(np.ones(s)) for s in shapes]


def test_rates_are_read_written_and_scheduled():
    (p,) = params(1)
    optimizer = npnet.optim.SGD([p], lr=npnet.schedules.StepLR(1.0, step_size=2, gamma=0.5))
    rates = []
    for _ in range(5):
        rates.append(optimizer.lr)
        p.grad = np.zeros(1)
        optimizer.step()
    assert rates == [1, 1, 0.5, 0.5, 0.25]
    assert optimizer.step_count == 5
    optimizer.lr = 0.3
    assert optimizer.lr == 0.3
    optimizer.lr = lambda step: -1.0
    with pytest.raises(
        ArgumentError, match="at step 5 to be a finite number of at least 0, got -1.0"
    ):
        p.grad = np.zeros(1)
        optimizer.step()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: npnet.optim.SGD(p, lr=-0.1), "lr to be a finite number of at least 0, got -0.1"),
        (lambda p: npnet.optim.SGD(p, lr=float("nan")), "lr"),
        (lambda p: npnet.optim.SGD(p, lr="0.1"), "lr"),
        (lambda p: npnet.optim.SGD(p, momentum=-1), "momentum"),
        (lambda p: npnet.optim.SGD(p, weight_decay=-1), "weight_decay"),
        (lambda p: npnet.optim.SGD(p, nesterov=True), "nesterov"),
        (lambda p: npnet.optim.Adam(p, betas=(0.9, 1.0)), r"betas\[1\]"),
        (lambda p: npnet.optim.Adam(p, betas=0.9), "betas to be two numbers, got 0.9"),
        (lambda p: npnet.optim.Adam(p, eps=-1e-8), "eps"),
        (lambda p: npnet.optim.Adam([]), "no parameters"),
        (lambda p: npnet.optim.Adam([{"params": p, "learning_rate": 1}]), "learning_rate"),
        (lambda p: npnet.optim.Adam([{"params": p}, {"params": p}]), "more than one group"),
        (lambda p: npnet.optim.Adam([{"lr": 1}]), "'params' key"),
        (lambda p: npnet.optim.Adam([{"params": []}]), "empty"),
        (lambda p: npnet.optim.Adam([np.zeros(2)]), "an array of shape"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ArgumentError, match=message):
        make(params(2))


def test_setting_a_negative_rate_changes_nothing():
    optimizer = npnet.optim.SGD(params(2), lr=0.1)
    with pytest.raises(ArgumentError):
        optimizer.lr = -1
    assert optimizer.lr == 0.1


def test_a_step_without_gradients_is_an_error():
    optimizer = npnet.optim.SGD(params(2), lr=0.1)
    with pytest.raises(TapeError, match="no gradient"):
        optimizer.step()
    assert optimizer.step_count == 0


def test_mixed_dtypes_are_refused():
    with pytest.raises(DtypeError, match="float32, float64"):
        npnet.optim.SGD([npnet.Parameter([1.0]), npnet.Parameter(np.ones(1))])


def test_parameters_without_gradient_stay():
    a, b = params(2, 2)
    optimizer = npnet.optim.Adam([a, b], lr=0.1, weight_decay=0.1)
    b.grad = np.ones(2)
    optimizer.step()
    assert (a.data == 1).all()
    assert (b.data < 1).all()


def test_two_optimizers_on_the_same_model():
    a, b = params(2, 2)
    first = npnet.optim.SGD([a, b], lr=1.0)
    second = npnet.optim.SGD([b], lr=1.0)  # takes b into a store of its own
    for optimizer in (first, second, first):
        a.grad, b.grad = np.ones(2), np.ones(2)
        optimizer.step()
    assert a.data.tolist() == [-1, -1]
    assert b.data.tolist() == [-2, -2]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_conversion_in_mid_training(make, rng):
    model = npnet.Linear(3, 2)
    optimizer = make(model.parameters())
    x = rng.normal(size=(4, 3))
    for dtype in (np.float32, np.float64):
        model.astype(dtype)
        _, tape = model.record(x)
        tape.backward(np.ones((4, 2)))
        before = model.weight.data.copy()
        optimizer.step()
        assert model.weight.dtype == dtype
        assert not np.array_equal(model.weight.data, before)


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_state_dict_continues_exactly(make, rng):
    gradients = rng.normal(size=(6, 3))

    def run(optimizer, p, rows):
        for g in rows:
            p.grad = g
            optimizer.step()

    (p,) = params(3)
    optimizer = make([p])
    run(optimizer, p, gradients[:3])
    saved, at = copy.deepcopy(optimizer.state_dict()), p.data.copy()
    run(optimizer, p, gradients[3:])
    q = npnet.Parameter(at)
    other = make([q])
    other.load_state_dict(saved)
    assert other.step_count == 3
    run(other, q, gradients[3:])
    np.testing.assert_array_equal(p.data, q.data)


def test_state_that_does_not_fit_changes_nothing():
    (p,) = params(3)
    optimizer = npnet.optim.Adam([p])
    p.grad = np.ones(3)
    optimizer.step()
    saved = optimizer.state_dict()
    for other, part in [
        (
            npnet.optim.Adam(params(4)),
            r"exp_avg of parameter 0 to be numbers of shape \(4,\), got an array of shape \(3,\)",
        ),
        (npnet.optim.Adam(params(3, 3)), "a list of 2, got"),
        (npnet.optim.SGD(params(3)), "unknown key 'betas'"),
        (
            npnet.optim.Adam([{"params": params(3)}, {"params": params(2)}]),
            "param_groups to be a list of 2",
        ),
    ]:
        with pytest.raises(StateError, match=part):
            other.load_state_dict(saved)
        assert other.step_count == 0
        assert other.state_dict()["state"] == {}
    with pytest.raises(StateError):
        optimizer.load_state_dict({})


def test_a_loaded_state_brings_its_options():
    (p,) = params(3)
    optimizer = npnet.optim.SGD([p], lr=0.1, momentum=0.9)
    p.grad = np.ones(3)
    optimizer.step()
    (q,) = params(3)
    q.data = p.data
    other = npnet.optim.SGD([q])
    other.load_state_dict(optimizer.state_dict())
    for parameter, stepped in ((p, optimizer), (q, other)):
        parameter.grad = np.full(3, 0.5)
        stepped.step()
    np.testing.assert_array_equal(p.data, q.data)


def test_frequent_mistakes_with_parameters():
    layer = npnet.Linear(2, 2)
    with pytest.raises(ArgumentError, match=r"pass model\.parameters\(\)"):
        npnet.optim.SGD(layer)
    with pytest.raises(ArgumentError, match=r"call it: model\.parameters\(\)"):
        npnet.optim.Adam(layer.parameters)
    with pytest.raises(
        ArgumentError, match="clip_grad_norm expects params to be npnet.Parameter objects, got 3"
    ):
        npnet.optim.clip_grad_norm(3, 1.0)
    with pytest.raises(npnet.errors.NameTypoError, match="learning_rate"):
        npnet.optim.SGD(layer.parameters()).learning_rate = 0.1


def test_moments_of_shrinking_gradients_keep_their_precision():
    (p,) = params(1)
    optimizer = npnet.optim.Adam([p], lr=0.1, betas=(0.0, 0.0), eps=0.0)
    for g in (1e8, 1e-8):
        p.grad = np.array([g])
        optimizer.step()
    state = optimizer.state_dict()["state"][0]
    assert state["exp_avg"] == pytest.approx(1e-8, rel=1e-12)
    assert state["exp_avg_sq"] == pytest.approx(1e-16, rel=1e-12)


def test_a_loaded_state_keeps_the_schedule():
    schedule = npnet.schedules.ExponentialLR(1.0, gamma=0.5)
    (p,) = params(1)
    optimizer = npnet.optim.SGD([p], lr=schedule)
    p.grad = np.zeros(1)
    optimizer.step()
    other = npnet.optim.SGD(params(1), lr=schedule)
    other.load_state_dict(optimizer.state_dict())
    assert other.lr == 0.5


@given(st.integers(0, 3 * update.BLOCK), st.booleans())
def test_blocks_do_not_show(size, amsgrad):
    # The same numbers laid out in one vector and in two halves.
    rng = np.random.default_rng(size)
    arrays = [rng.normal(size=size) for _ in range(2)] + [rng.uniform(size=size) for _ in range(3)]
    options = {"beta1": 0.9, "beta2": 0.99, "rate": 0.1, "gain": 0.02, "eps": 1e-8, "keep": 0.9,
               "weight_decay": 0.1}  # fmt: skip
    results = []
    for cut in (size, size // 3):
        vectors = [a.copy() for a in arrays]
        for part in (slice(0, cut), slice(cut, size)):
            data, grad, mean, square, peak = (v[part] for v in vectors)
            update.adam(data, grad, mean, square, peak if amsgrad else None, **options)
        results.append(vectors)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


def test_clip_of_extreme_gradients():
    (p,) = params(2)
    p.grad = np.array([3e200, 4e200])
    assert npnet.optim.clip_grad_norm([p], 1.0) == pytest.approx(5e200)
    np.testing.assert_allclose(p.grad, [0.6, 0.8])
    p.grad = np.array([3e-200, 4e-200])
    assert npnet.optim.clip_grad_norm([p], 1.0) == pytest.approx(5e-200)
    p.grad = np.array([np.nan, 1.0])
    assert np.isnan(npnet.optim.clip_grad_norm([p], 1.0))
    with pytest.raises(ArgumentError, match="norm is nan"):
        npnet.optim.clip_grad_norm([p], 1.0, error_if_nonfinite=True)
    with pytest.raises(ArgumentError, match="max_norm"):
        npnet.optim.clip_grad_norm([p], -1.0)
    assert npnet.optim.clip_grad_norm(params(2), 1.0) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("norm_type", [1, 2, 2.5, np.inf])
@pytest.mark.parametrize("stored", [False, True])
def test_a_norm_that_is_not_finite_is_not_lost_among_others(bad, place, norm_type, stored):
    ps = params(2, 3, 2)
    if stored:
        npnet.optim.SGD([{"params": ps[:1]}, {"params": ps[1:]}])
    for k, p in enumerate(ps):
        p.grad = np.full(p.shape, 2.0)
        if k == place:
            p.grad[-1] = bad
    grads = [p.grad.copy() for p in ps]
    with pytest.raises(ArgumentError, match=f"norm is {abs(bad)}"):
        npnet.optim.clip_grad_norm(ps, 1.0, norm_type, error_if_nonfinite=True)
    for p, before in zip(ps, grads, strict=True):
        np.testing.assert_array_equal(p.grad, before)
    with np.errstate(invalid="ignore"):  # infinity times 0
        np.testing.assert_equal(npnet.optim.clip_grad_norm(ps, 1.0, norm_type), abs(bad))


def test_a_norm_may_be_measured_alone():
    (p,) = params(2)
    p.grad = [3.0, 4.0]
    assert npnet.optim.clip_grad_norm(p, np.inf) == 5
    assert p.grad.tolist() == [3, 4]
    p.grad = [np.inf, 4.0]
    assert npnet.optim.clip_grad_norm([p], np.inf) == np.inf
    assert p.grad.tolist() == [np.inf, 4]


def test_norms_over_dtypes_of_different_range():
    small, large = npnet.Parameter(np.ones(100_000, np.float16)), npnet.Parameter(np.ones(1))
    small.grad, large.grad = np.full(100_000, 0.5), [1e300]
    assert npnet.optim.clip_grad_norm([small, large], np.inf) == 1e300
    assert npnet.optim.clip_grad_norm([small], np.inf, 1) == 50_000
    assert npnet.optim.clip_grad_norm([small], np.inf, 1e-3) == np.inf


@pytest.mark.parametrize(
    "arguments",
    [{"max_norm": bad} for bad in [-1.0, np.nan, None, "1", 1j, True, np.ones(2), 10**400]]
    + [{"norm_type": bad} for bad in [0, -1, -np.inf, np.nan, None, "inf", [2], True]]
    + [{"error_if_nonfinite": bad} for bad in ["no", 1, None, np.ones(2)]]
    + [{"parameters": bad} for bad in [None, 3, "ab", npnet.Linear(1, 1), [1.0], {}, np.ones(2)]],
)
def test_bad_arguments_of_clip(arguments):
    (p,) = params(2)
    p.grad = [3.0, 4.0]
    with pytest.raises(ArgumentError, match="clip_grad_norm expects"):
        npnet.optim.clip_grad_norm(**{"parameters": [p], "max_norm": 1.0, **arguments})
    assert p.grad.tolist() == [3, 4]


def test_a_state_loaded_after_a_conversion_keeps_its_precision():
    (p,) = params(3)
    optimizer = npnet.optim.Adam([p])
    p.astype(np.float64)
    state = optimizer.state_dict()
    state["state"] = {0: {"step": 1, "exp_avg": np.full(3, 0.1), "exp_avg_sq": np.full(3, 0.3)}}
    optimizer.load_state_dict(state)
    assert optimizer.state_dict()["state"][0]["exp_avg"].tolist() == [0.1, 0.1, 0.1]


def test_a_state_dict_shares_nothing():
    (p,) = params(3)
    optimizer = npnet.optim.Adam([p])
    p.grad = np.ones(3)
    optimizer.step()
    state = optimizer.state_dict()
    kept = copy.deepcopy(state)
    state["state"][0]["exp_avg"][:] = 5
    state["param_groups"][0]["eps"] = 5
    np.testing.assert_equal(optimizer.state_dict(), kept)
    optimizer.load_state_dict(state)
    state["state"][0]["exp_avg"][:] = 7
    state["param_groups"][0]["eps"] = 7
    assert optimizer.state_dict()["state"][0]["exp_avg"].tolist() == [5, 5, 5]
    assert optimizer.param_groups[0]["eps"] == 5


def test_betas_cannot_be_changed_behind_the_check():
    betas = [0.9, 0.99]
    optimizer = npnet.optim.Adam(params(3), betas=betas)
    betas[0] = 5
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.99)


def test_all_groups_move_or_none():
    p, q, r = params(2, 2, 2)
    optimizer = npnet.optim.SGD([{"params": [p]}, {"params": [q, r]}], lr=0.1)
    r.astype(np.float32)  # no longer fits beside q
    for each in (p, q, r):
        each.grad = np.ones(2)
    with pytest.raises(DtypeError, match="one dtype"):
        optimizer.step()
    assert p.data.tolist() == [1, 1]


def test_a_copy_trains_apart():
    model = npnet.Sequential(npnet.Linear(3, 4), npnet.ReLU(), npnet.Linear(4, 2))
    optimizer = npnet.optim.Adam(model.parameters())

    def train(model, optimizer):
        y, tape = model.record(np.ones((5, 3)))
        tape.backward(np.ones_like(y))
        optimizer.step()
        optimizer.zero_grad()

    train(model, optimizer)
    twin, its_optimizer = copy.deepcopy((model, optimizer))
    before = model.state_dict()
    train(twin, its_optimizer)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    train(model, optimizer)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, twin.state_dict()[name])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.longdouble, int])
def test_options_of_other_types_count_as_they_are(kind):
    values = {"eps": kind(1), "weight_decay": kind(1), "betas": (kind(0), kind(0))}
    results = []
    for options in (values, {k: np.float64(v) for k, v in values.items() if k != "betas"}):
        p = npnet.Parameter(np.linspace(-1, 1, 5))
        optimizer = npnet.optim.Adam([p], **{"betas": (0.0, 0.0), **options})
        for _ in range(3):
            p.grad = np.linspace(2, 3, 5)
            optimizer.step()
        results.append(p.data.copy())
    np.testing.assert_allclose(*results, rtol=1e-15)
