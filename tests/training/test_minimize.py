"""minimize, and LBFGS beside it, on the problems of scikit-learn's tests of its networks."""

import copy

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, DataError, NpnetError
from npnet.training import minimize

ACTIVATIONS = {
    "identity": npnet.Identity, "logistic": npnet.Sigmoid, "tanh": npnet.Tanh, "relu": npnet.ReLU,
}  # fmt: skip
# The losses of scikit-learn 1.9.1, MLPClassifier and MLPRegressor(solver="lbfgs",
# hidden_layer_sizes=50, max_iter=150): the median of random_state 1 to 5.
LOSSES = {
    "identity": {"classes": 1.62e-4, "yes or no": 1.18e-4, "regression": 4.74e-6},
    "logistic": {"classes": 4.16e-4, "yes or no": 1.99e-4, "regression": 9.72e-5},
    "tanh": {"classes": 1.74e-4, "yes or no": 1.38e-4, "regression": 3.26e-5},
    "relu": {"classes": 1.66e-4, "yes or no": 9.31e-5, "regression": 1.46e-5},
}


class Decay:
    """scikit-learn's penalty: alpha / (2 n) times the squares of the weights."""

    def __init__(self, model, n, alpha=1e-4):
        self.weights = [p for p in model.parameters() if p.data.ndim == 2]
        self.strength = alpha / n

    def __call__(self):
        return self.strength / 2 * sum(float((p.data**2).sum()) for p in self.weights)

    def backward(self):
        for p in self.weights:
            p.add_grad(self.strength * p.data)


class HalfSquares(npnet.MSELoss):
    """scikit-learn's squared error, which is half of ours."""

    def terms(self, pred, target, with_grad):
        terms = super().terms(pred, target, with_grad)
        return terms._replace(
            values=terms.values / 2, grad=None if terms.grad is None else terms.grad / 2
        )


def problem(name):
    """Return inputs, targets, the loss, the number of outputs."""
    if name == "regression":  # make_regression(200, 10, bias=20, random_state=7), unshuffled
        old = np.random.RandomState(7)
        x = old.standard_normal((200, 10))
        y = x @ (100 * old.uniform(size=(10, 1))) + 20
        return x, (y - y.mean()) / y.std(), HalfSquares(), 1
    x, y = npnet.datasets.digits()
    classes = 2 if name == "yes or no" else 3
    x, y = x[y < classes].reshape(-1, 64)[:200].astype(float), y[y < classes][:200]
    span = x.max(axis=0) - x.min(axis=0)
    x = ((x - x.min(axis=0)) / np.where(span, span, 1))[:150]
    if classes == 2:
        return x, y[:150, None].astype(float), npnet.BCEWithLogitsLoss(), 1
    return x, y[:150], npnet.CrossEntropyLoss(), classes


def network(x, outputs, activation):
    rng = np.random.default_rng(1)
    model = npnet.Sequential(
        npnet.Linear(x.shape[1], 50), ACTIVATIONS[activation](), npnet.Linear(50, outputs)
    )
    for p in model.parameters():  # Glorot's uniform, as scikit-learn's
        fans = p.shape if p.data.ndim == 2 else (50, x.shape[1] if len(p.data) == 50 else outputs)
        bound = np.sqrt((2 if activation == "logistic" else 6) / sum(fans))
        p.data = rng.uniform(-bound, bound, p.shape)
    return model.astype(np.float64)


@pytest.mark.parametrize("how", ["minimize", "LBFGS"])
@pytest.mark.parametrize("name", ["classes", "yes or no", "regression"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_as_good_as_scikit_learn(activation, name, how):
    x, y, loss, outputs = problem(name)
    model = network(x, outputs, activation)
    decay = Decay(model, len(x))
    if how == "minimize":
        options = {"maxiter": 150, "ftol": 64 * np.finfo(float).eps}
        result = minimize(model, loss, x, y, penalties=[decay], options=options)
        assert result.nit <= 150
        assert result.fun == pytest.approx(loss(model(x), y) + decay(), rel=1e-9)
    else:
        optimizer = npnet.optim.LBFGS(
            model.parameters(), max_iter=150, history_size=10, line_search_fn="strong_wolfe"
        )

        def closure():
            optimizer.zero_grad()
            pred, tape = model.record(x)
            value, grad = loss.value_and_grad(pred, y)
            tape.backward(grad)
            decay.backward()
            return value + decay()

        optimizer.step(closure)
    assert loss(model(x), y) + decay() <= LOSSES[activation][name]


def line(rng, dtype=np.float64):
    x = rng.normal(size=(40, 3))
    return npnet.Linear(3, 2, dtype=dtype, rng=0), x, x @ rng.normal(size=(3, 2)) + 1.0


@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP", "Newton-CG",
                                    "Powell", "COBYLA"])  # fmt: skip
def test_least_squares(method, rng):
    model, x, y = line(rng)
    options = {"options": {"maxiter": 20_000}} if method == "COBYLA" else {}
    result = minimize(model, npnet.MSELoss(), x, y, method, tol=1e-10, **options)
    a = np.column_stack([x, np.ones(len(x))])
    exact = np.linalg.lstsq(a, y, rcond=None)[0]
    np.testing.assert_allclose(model.weight.data, exact[:3].T, atol=1e-4)
    np.testing.assert_allclose(model.bias.data, exact[3], atol=1e-4)
    assert result.fun == pytest.approx(npnet.MSELoss()(model(x), y), abs=1e-9)
    assert model.weight.grad is None


def test_weights_of_samples_and_frozen_parameters(rng):
    model, x, y = line(rng)
    y = y + rng.normal(size=y.shape)
    weight = rng.uniform(size=len(x))
    model.bias.data[:] = 0.3
    model.bias.requires_grad_(False)
    optimizer = npnet.optim.Adam(model.parameters())  # has gathered the parameters
    result = minimize(model, npnet.MSELoss(), x, y, sample_weight=weight, tol=1e-14)
    root = np.sqrt(weight)[:, None]
    exact = np.linalg.lstsq(x * root, (y - 0.3) * root, rcond=None)[0]
    np.testing.assert_allclose(model.weight.data, exact.T, atol=1e-6)
    assert (model.bias.data == 0.3).all()
    assert result.x.shape == (6,)
    model.weight.grad = np.ones((2, 3))
    optimizer.step()  # and steps them still


def test_float32(rng):
    model, x, y = line(rng, np.float32)
    assert minimize(model, npnet.MSELoss(), x, y).fun < 1e-6
    assert model.weight.dtype == np.float32


def test_dropout_draws_the_same_in_all_evaluations(rng):
    model = npnet.Sequential(npnet.Dropout(0.5), npnet.Linear(3, 2, rng=0)).astype(np.float64)
    _, x, y = line(rng)
    first, second = (
        minimize(copy.deepcopy(model), npnet.MSELoss(), x, y, rng=3).fun for _ in range(2)
    )
    assert first == second
    assert minimize(copy.deepcopy(model), npnet.MSELoss(), x, y, rng=3).success


def test_bounds_and_a_callback(rng):
    model, x, y = line(rng)
    seen = []
    bounds = [(-0.1, 0.1)] * 8
    minimize(model, npnet.MSELoss(), x, y, bounds=bounds, callback=lambda xk: seen.append(xk))
    assert all(np.abs(p.data).max() <= 0.1 for p in model.parameters())
    assert seen


def test_after_an_error_the_model_has_the_best_parameters(rng):
    model, x, y = line(rng)
    seen = []

    class Stopping(npnet.MSELoss):
        def evaluate(self, *arrays, **options):
            result = super().evaluate(*arrays, **options)
            seen.append(result.value)
            if len(seen) == 40:
                raise KeyboardInterrupt
            return result

    with pytest.raises(KeyboardInterrupt):
        minimize(model, Stopping(), x, y, "Powell")
    assert npnet.MSELoss()(model(x), y) == pytest.approx(min(seen[:-1]), rel=1e-12)
    assert seen[-1] > min(seen)
    assert model.weight.grad is None


def test_errors_of_the_callback_and_of_the_model_stay_what_they_are(rng):
    model, x, y = line(rng)

    def wrong(vector):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="^mine$"):
        minimize(model, npnet.MSELoss(), x, y, callback=wrong)
    broken = npnet.Sequential(model, npnet.Lambda(wrong, wrong))
    with pytest.raises(ValueError, match="^mine"):
        minimize(broken, npnet.MSELoss(), x, y)

    def enough(intermediate_result):
        raise StopIteration

    assert minimize(model, npnet.MSELoss(), x, y, callback=enough).nit == 1


def test_where_nothing_counts_there_is_nothing_to_minimize(rng):
    model, x, y = line(rng)
    before = model.weight.data.copy()
    for method in ("L-BFGS-B", "Nelder-Mead"):
        with pytest.raises(DataError, match="all sample weights are 0"):
            minimize(model, npnet.MSELoss(), x, y, method, sample_weight=np.zeros(len(x)))
    np.testing.assert_array_equal(model.weight.data, before)


def test_one_penalty_needs_no_list(rng):
    model, x, y = line(rng)
    penalty = npnet.penalties.L2(model.parameters(), 0.3)
    one = minimize(model, npnet.MSELoss(), x, y, penalties=penalty).fun
    assert one == pytest.approx(minimize(model, npnet.MSELoss(), x, y, penalties=[penalty]).fun)


def test_a_penalty(rng):
    model, x, y = line(rng)
    model.bias.data[:] = 0
    model.bias.requires_grad_(False)
    minimize(model, npnet.MSELoss(reduction="sum"), x, y, penalties=[Decay(model, 1, 30.0)])
    ridge = np.linalg.solve(x.T @ x + 15 * np.eye(3), x.T @ y)
    np.testing.assert_allclose(model.weight.data, ridge.T, atol=1e-4)


def test_mistakes(rng):
    model, x, y = line(rng)
    loss = npnet.MSELoss()
    for bad, match in [
        (lambda: minimize(npnet.Linear, loss, x, y), "model"),
        (lambda: minimize(model, npnet.MSELoss, x, y), "add parentheses"),
        (lambda: minimize(model, npnet.MSELoss(reduction="none"), x, y), "one number"),
        (lambda: minimize(npnet.ReLU(), loss, x, x), "no parameters"),
        (lambda: minimize(model, loss, x, y, "no such method"), "Unknown solver"),
        (lambda: minimize(model, loss, x, y, 3), "method"),
        (lambda: minimize(model, loss, x, y, npnet.optim.LBFGS), "method"),
        (lambda: minimize(model, loss, x, y, jac=False), "backward pass"),
        (lambda: minimize(model, loss, x, y, x0=0), "present parameters"),
        (lambda: minimize(model, loss, x, y, maxiter=3), "maxiter"),
        (lambda: minimize(model, loss, x, y, penalties=[3]), "penalties"),
        (lambda: minimize(model, loss, x, y, penalties=3), "penalties"),
        (lambda: minimize(model, loss, x, y, penalties=[npnet.penalties.L2]), "penalties"),
        (lambda: minimize(model.requires_grad_(False), loss, x, y), "frozen"),
    ]:
        with pytest.raises(ArgumentError, match=match):
            bad()
    with pytest.raises(NpnetError):
        minimize(npnet.Linear(3, 2), loss, x[:10], y)
