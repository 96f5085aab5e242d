"""Options that are changed between steps, and schedules that do not return a rate."""

import math

import numpy as np
import pytest

import npnet
from npnet.errors import ArgumentError, NameTypoError, SignatureError
from npnet.schedules import ExponentialLR, SequentialLR, StepLR, per_epoch

ONE = {"lr": 0.1}
BAD = [
    *((npnet.optim.SGD, "lr", bad) for bad in [None, "0.1", -1.0, math.nan, 1j, True, StepLR]),
    *((npnet.optim.SGD, "momentum", bad) for bad in [None, "0.9", -1.0, math.inf, 10**400]),
    *((npnet.optim.SGD, "dampening", bad) for bad in [None, "0.9", math.nan, np.zeros(2)]),
    *((npnet.optim.SGD, "nesterov", bad) for bad in ["False", 0, 1, None, np.ones(2), True]),
    *((npnet.optim.SGD, "maximize", bad) for bad in ["False", "no", 1.0, [], np.array(True)]),
    *((npnet.optim.Adam, "betas", bad) for bad in [None, 0.9, (0.9, 1.0), (0.9, None), "ab"]),
    *((npnet.optim.Adam, "eps", bad) for bad in [None, -1e-9, "0", np.ones((2, 2))]),
    *((npnet.optim.Adam, "amsgrad", bad) for bad in ["no", 1, None, np.zeros(2)]),
]


def step_with(optimizer, *parameters):
    for p in parameters:
        p.grad = np.ones(p.shape)
    optimizer.step()


@pytest.mark.parametrize(("kind", "name", "bad"), BAD)
def test_a_bad_option_is_refused_at_once_and_later(kind, name, bad):
    p, q = (npnet.Parameter(np.ones(2)) for _ in range(2))
    with pytest.raises(ArgumentError, match=name):
        kind([p], **{name: bad})
    optimizer = kind([{"params": [p]}, {"params": [q]}])
    step_with(optimizer, p, q)
    values, state = p.data.copy(), optimizer.state_dict()["state"]
    good = optimizer.param_groups[1][name]
    optimizer.param_groups[1][name] = bad
    with pytest.raises(ArgumentError, match=name):
        step_with(optimizer, p, q)
    with pytest.raises(ArgumentError, match=name):
        optimizer.state_dict()
    assert p.data.tolist() == values.tolist()  # all groups move or none
    assert optimizer.step_count == 1
    optimizer.param_groups[1][name] = good
    np.testing.assert_equal(optimizer.state_dict()["state"], state)
    step_with(optimizer, p, q)
    assert optimizer.step_count == 2


def test_keys_of_a_group():
    p = npnet.Parameter(np.ones(2))
    optimizer = npnet.optim.Adam([p])
    optimizer.param_groups[0]["learning_rate"] = 0.1
    with pytest.raises(ArgumentError, match="one of its options|an option, lr, .*learning_rate"):
        step_with(optimizer, p)
    optimizer.param_groups[0]["max"] = optimizer.param_groups[0].pop("learning_rate")
    with pytest.raises(ArgumentError, match="'max'"):
        step_with(optimizer, p)
    del optimizer.param_groups[0]["max"], optimizer.param_groups[0]["maximize"]
    with pytest.raises(ArgumentError, match="lacks.*maximize"):
        step_with(optimizer, p)
    optimizer.param_groups[0]["maximise"] = False  # as many keys as before, the same values
    with pytest.raises(ArgumentError, match="did you mean 'maximize'"):
        step_with(optimizer, p)


def test_the_parameters_of_a_group_stay():
    p, q = (npnet.Parameter(np.ones(2)) for _ in range(2))
    for change in (
        lambda group: group["params"].append(q),
        lambda group: group.update(params=[q]),
        lambda group: group["params"].clear(),
        lambda group: group.pop("params"),
    ):
        optimizer = npnet.optim.SGD([p], lr=0.1)
        change(optimizer.param_groups[0])
        with pytest.raises(ArgumentError, match="add_param_group"):
            step_with(optimizer, p, q)
    assert p.data.tolist() == [1, 1]
    optimizer = npnet.optim.SGD([p], lr=0.1)
    optimizer.add_param_group({"params": [q], "lr": 1.0})
    step_with(optimizer, p, q)
    assert q.data.tolist() == [0, 0]


def test_numbers_equal_to_the_present_ones_count():
    p = npnet.Parameter(np.ones(2))
    optimizer = npnet.optim.SGD([p], lr=1.0)
    step_with(optimizer, p)
    optimizer.param_groups[0].update(lr=np.float32(1), maximize=np.bool_(False))
    step_with(optimizer, p)
    assert p.data.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("bad", "got"),
    [
        (None, "got None"),
        ("0.1", "got '0.1'"),
        (np.array([0.1]), "got an array of shape"),
        (np.array(0.1), "got an array of shape"),
        (math.nan, "got nan"),
        (math.inf, "got inf"),
        (-0.5, "got -0.5"),
        (1j, "got 1j"),
        (True, "got True"),
        ([0.1], r"got \[0.1\]"),
        (10**400, "got 1000"),
    ],
)
def test_a_schedule_that_returns_no_rate_is_named(bad, got):
    def warmup(step):
        return 0.1 if step < 2 else bad

    p, q = (npnet.Parameter(np.ones(2)) for _ in range(2))
    optimizer = npnet.optim.SGD([{"params": [p]}, {"params": [q], "lr": warmup}], lr=0.1)
    step_with(optimizer, p, q)
    step_with(optimizer, p, q)
    before = p.data.copy()
    with pytest.raises(ArgumentError, match=f"warmup.* at step 2 to be a finite number.*{got}"):
        step_with(optimizer, p, q)
    assert p.data.tolist() == before.tolist()
    assert optimizer.step_count == 2


def test_a_schedule_without_an_argument_is_named():
    p = npnet.Parameter(np.ones(2))

    def constant():
        return 0.1

    def broken(step):
        return step + None

    with pytest.raises(SignatureError, match="constant.* too many positional arguments"):
        npnet.optim.SGD([p], lr=constant)
    with pytest.raises(TypeError, match="unsupported operand"):
        step_with(npnet.optim.SGD([p], lr=broken), p)


def test_functions_of_schedules_take_the_step():
    for make in (
        lambda: npnet.schedules.LambdaLR(0.1, lambda a, b: 1.0),
        lambda: npnet.schedules.CyclicLR(0.1, 1.0, scale_fn=lambda: 1.0),
        lambda: SequentialLR([lambda: 1.0], []),
    ):
        with pytest.raises(SignatureError, match="called with a step"):
            make()


@pytest.mark.parametrize(
    ("module", "name", "hint"),
    [
        (npnet.optim, "Adamw", "did you mean 'AdamW'"),
        (npnet.optim, "lr_scheduler", "npnet.schedules"),
        (npnet.schedules, "CosineLR", "CosineAnnealingLR"),
        (npnet.schedules, "ReduceLROnPlateau", "npnet.training.ReduceLROnPlateau"),
        (npnet.constraints, "NonNeg", "NonNegative"),
        (npnet.training, "minimise", "minimize"),
    ],
)
def test_names_that_a_module_lacks(module, name, hint):
    match = f"{module.__name__} has no attribute '{name}'; .*{hint}"
    with pytest.raises(NameTypoError, match=match):
        getattr(module, name)


def test_an_option_of_pytorch_that_makes_no_sense():
    with pytest.raises(SignatureError, match="set_to_none.*leave it out"):
        npnet.optim.SGD([npnet.Parameter([1.0])]).zero_grad(set_to_none=True)


@pytest.mark.parametrize("kind", [npnet.optim.SGD, npnet.optim.LBFGS])
def test_a_closure_takes_nothing(kind):
    optimizer = kind([npnet.Parameter(np.ones(2))])
    with pytest.raises(SignatureError, match="closure"):
        optimizer.step(lambda batch: 1.0)
    with pytest.raises(ArgumentError, match="closure to be a function without arguments, got 3.0"):
        optimizer.step(3.0)


def test_clipping_lets_infinity_go_its_way():
    p = npnet.Parameter(np.ones(2))
    p.grad = [np.inf, 1.0]
    assert npnet.optim.clip_grad_norm([p], 1.0) == np.inf  # as in PyTorch
    np.testing.assert_array_equal(p.grad, [np.nan, 0.0])
    for clip in (npnet.optim.clip_grad_norm, npnet.optim.clip_grad_value):
        with pytest.raises(SignatureError, match="foreach.*leave it out"):
            clip([p], 1.0, foreach=True)


def test_epochs_are_filled_in():
    p = npnet.Parameter(np.ones(2))
    schedule = SequentialLR([per_epoch(ExponentialLR(1.0, 0.5)), per_epoch(StepLR(3.0, 1), 2)], [6])
    optimizer = npnet.optim.SGD([p], lr=schedule)
    with pytest.raises(ArgumentError, match="how many steps an epoch has"):
        step_with(optimizer, p)
    optimizer.steps_per_epoch = 3
    rates = []
    for _ in range(10):
        rates.append(optimizer.lr)
        step_with(optimizer, p)
    np.testing.assert_allclose(rates, [1, 1, 1, 0.5, 0.5, 0.5, 3, 3, 0.3, 0.3])
    assert optimizer.param_groups[0]["lr"] is schedule
    optimizer.step_count, optimizer.steps_per_epoch = 3, 2  # another size of batches
    assert optimizer.lr == 0.5
    optimizer.param_groups[0]["lr"] = per_epoch(StepLR(1.0, 1))
    assert optimizer.lr == 0.1
    for bad in (0, -1, 1.5, "3", True, 10**400):
        with pytest.raises(ArgumentError, match="steps_per_epoch"):
            optimizer.steps_per_epoch = bad
    optimizer.steps_per_epoch = None
    with pytest.raises(ArgumentError, match="how many steps an epoch has"):
        _ = optimizer.lr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"momentum": 0.0}, {"momentum": 0.9}),
        ({"momentum": 0.0, "dampening": 0.4}, {"momentum": 0.9}),
        ({"momentum": 0.0, "weight_decay": 0.1}, {"momentum": 0.5, "dampening": 0.3}),
        ({"momentum": 0.0}, {"momentum": 0.9, "nesterov": True}),
        ({"momentum": 0.9, "dampening": 0.5}, {"momentum": 0.5}),
    ],
)
def test_a_velocity_switched_on_later_begins_as_in_pytorch(before, after, rng):
    torch = pytest.importorskip("torch")
    start = [rng.normal(size=s) for s in [(3,), (2, 2), (4,)]]
    ours = [npnet.Parameter(a) for a in start]
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in start]
    mine = npnet.optim.SGD(ours, lr=0.1, **before)
    reference = torch.optim.SGD(theirs, lr=0.1, **before)
    for step in range(16):
        changes = {4: after, 9: {"momentum": 0.0, "nesterov": False}, 12: after}.get(step, {})
        mine.param_groups[0].update(changes)
        reference.param_groups[0].update(changes)
        for k, (p, t) in enumerate(zip(ours, theirs, strict=True)):
            g = rng.normal(size=p.shape)
            due = not (k == 1 and step in (2, 4, 5))  # its velocity begins later
            p.grad, t.grad = (g, torch.tensor(g)) if due else (None, None)
        mine.step()
        reference.step()
        for p, t in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("habit", "message"),
    [
        (lambda m, o: npnet.optim.Adam(m), r"Adam expects params .*pass model\.parameters\(\)"),
        (lambda m, o: npnet.optim.Adam(m.parameters), r"call it: model\.parameters\(\)"),
        (lambda m, o: npnet.optim.SGD(o), r"SGD expects params .*pass model\.parameters\(\)"),
        (lambda m, o: npnet.optim.SGD(m.named_parameters()), r"pass model\.parameters\(\)"),
        (lambda m, o: npnet.optim.SGD(m.state_dict()), r"pass model\.parameters\(\)"),
        (lambda m, o: npnet.optim.SGD({"params": [m.weight]}), "put the group into a list"),
        (lambda m, o: npnet.optim.SGD("ab"), "npnet.Parameter objects, got 'ab'"),
        (lambda m, o: npnet.optim.SGD(np.array(1.0)), "got an array"),
        (lambda m, o: npnet.optim.SGD(m.parameters(), learning_rate=1), "the rate is called lr"),
        (lambda m, o: npnet.optim.SGD(m.parameters(), lr=StepLR), r"make one: StepLR\("),
        (lambda m, o: StepLR(o, 30), r"passed as lr: Adam\(params, lr=StepLR\(0\.1, 30\)\)"),
        (lambda m, o: StepLR(o, step_size=30), "a schedule takes the rate first"),
        (lambda m, o: SequentialLR(o, [StepLR(1, 1)]), "a schedule takes the rate first"),
        (lambda m, o: per_epoch(o), "a schedule takes the rate first"),
    ],
)
def test_habits_in_calls(habit, message):
    layer = npnet.Linear(2, 2)
    with pytest.raises(ArgumentError, match=message):
        habit(layer, npnet.optim.Adam(layer.parameters()))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minimize", r"tape\.backward"),
        ("apply_gradients", r"optimizer\.step\(\)"),
        ("learning_rate", "called lr"),
        ("state", "state_dict"),
    ],
)
def test_habits_in_names(name, message):
    optimizer = npnet.optim.Adam([npnet.Parameter([1.0])])
    with pytest.raises(NameTypoError, match=message):
        getattr(optimizer, name)
    if name == "learning_rate":
        with pytest.raises(NameTypoError, match=message):
            optimizer.learning_rate = 1


def test_an_optimizer_tells_its_options():
    p = npnet.Parameter([1.0])
    optimizer = npnet.optim.AdamW([p], lr=0.5, amsgrad=True)
    again = npnet.optim.AdamW([p], **optimizer.get_config())
    assert repr(again) == repr(optimizer)
    assert "amsgrad=True" in repr(again)


def test_none_among_the_parameters_is_refused():
    for params in [npnet.Parameter([1.0]), None], np.array([None]):
        with pytest.raises(ArgumentError, match="params to be npnet.Parameter objects, got None"):
            npnet.optim.SGD(params, lr=0.1)
