"""Random calls of the public API: whatever is passed, only npnet's own exceptions come out.

Each call takes arguments that are right and puts nonsense in the place of one or two of them. What
must never be accepted in any place (`NEVER`) has to be refused.
"""

import collections
import inspect
import warnings

import numpy as np
import pytest

import npnet
from cases import LOSSES_OF_ARRAYS
from npnet import data, init, losses, optim, penalties, schedules, training
from npnet.errors import NpnetError

SEED, CALLS = 20261121, 6000

X = np.random.default_rng(0).normal(size=(6, 3))
LABELS = np.array([0, 1, 2, 0, 1, 2])
VOLUMES = np.random.default_rng(1).normal(size=(6, 3, 1, 2, 2))


class Opaque:
    """An object that cannot be read as anything."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("unreadable")


NEVER = [
    object(), Opaque(), 10**400, complex(1, 2), {"a": 1}, np.array([None, 1]), np.array(["a", "b"]),
    np.ones((2, 3), complex), [[1, 2], [3]], npnet.Linear, lambda: None, b"bytes", "\x00nonsense",
]  # fmt: skip
"""Refused wherever they stand, but where a function, a mapping or any object is due."""
SOMETIMES = [
    None, "", "mean", True, False, 0, 1, -1, 3, 10**30, 2**63, 0.5, -0.5, 1e-320, 1e308, np.nan,
    np.inf, -np.inf, np.float16(0.1), np.float64(0.3), np.int64(2), np.bool_(True), np.array(0.1),
    np.array(2), np.array([]), np.zeros((0, 3)), np.ones(3), X, np.full((6, 3), np.nan),
    np.ones((6, 3), np.float16), np.ones((6, 3), np.longdouble), np.ones((6, 3), bool), [], (), {},
    [1, 2], (0.9, 0.99), "float33", np.float64, int, [np.ones((6, 3)), np.ones((6, 3))], range(3),
    np.ma.masked_array([1.0, 2.0], [True, False]), np.datetime64("2026-01-01"), slice(2), set(),
    np.ones((6, 3), np.int8), np.zeros(6, np.uint64), np.ones((6, 3))[::-1].T, -3, 7, "auto", "cpu",
]  # fmt: skip

VALID = {
    "in_features": 3, "out_features": 2, "bias": True, "dtype": np.float32, "rng": 0, "p": 0.5,
    "dim": -1, "negative_slope": 0.1, "alpha": 1.0, "beta": 1.0, "threshold": 20.0, "start_dim": 1,
    "end_dim": -1, "approximate": "tanh", "reduction": "mean", "ignore_index": -100, "weight": None,
    "label_smoothing": 0.1, "pos_weight": None, "lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8,
    "weight_decay": 0.0, "amsgrad": False, "maximize": False, "momentum": 0.9, "dampening": 0.0,
    "nesterov": False, "gamma": 0.5, "step_size": 3, "T_max": 10, "eta_min": 0.0, "fuse": True,
    "start_factor": 0.3, "end_factor": 1.0, "total_iters": 5, "milestones": [3],
    "batch_size": 2, "shuffle": False, "drop_last": False, "test_size": 0.5, "stratify": None,
    "labels": LABELS, "num_classes": 3, "shape": (2, 3), "a": -1.0, "b": 1.0, "mean": 0.0,
    "std": 1.0, "value": 0.5, "gain": 1.0, "nonlinearity": "relu", "mode": "fan_in", "param": None,
    "patience": 2, "min_delta": 0.0, "monitor": "loss", "restore_best_weights": True,
    "max_norm": 1.0, "norm_type": 2.0, "error_if_nonfinite": False, "training": True,
    "sparsity": 0.5, "seed": 3, "batch_independence": True, "input_shape": (3,), "strict": True,
    "epochs": 1, "validation_split": 0.0, "validation_data": None, "sample_weight": None,
    "callbacks": (), "progress": False, "binary": None, "metrics": ["mae"], "name": "numpy",
    "requires_grad": True, "input_grad": True, "count": 1, "rounds": 1, "steps_per_epoch": 3,
    "T_0": 3, "factor": 0.5, "groups": 1, "clip_value": 1.0,
}  # fmt: skip
OPEN = {  # arguments in which functions, mappings or any objects have a meaning
    "lr", "schedule", "schedules", "callbacks", "metrics", "metric", "layers", "state",
    "state_dict", "params", "parameters", "defaults", "group", "function", "rng",
    "validation_data", "config",
    "monitor", "loss", "x", "y", "arrays", "step", "f", "df", "lr_lambda", "scale_fn",
    "avg_fn", "multi_avg_fn",
}  # fmt: skip


def linear():
    npnet.manual_seed(0)
    return npnet.Linear(3, 3)


def chain():
    npnet.manual_seed(0)
    return npnet.Sequential(npnet.Linear(3, 4), npnet.ReLU(), npnet.Linear(4, 3))


def adam():
    return optim.Adam(filled().parameters())


def filled():
    model = linear()
    for p in model.parameters():
        p.grad = np.ones(p.shape)
    return model


def trainer():
    model = chain()
    return training.Trainer(model, npnet.MSELoss(), optim.SGD(model.parameters(), lr=0.01))


def recorded():
    return linear().record(X)[1]


def classes(module, base):
    found = (getattr(module, name) for name in module.__all__)
    return [c for c in found if isinstance(c, type) and issubclass(c, base) and c is not base]


def vars_of_a_trainer():
    model = chain()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    return {"model": model, "loss": npnet.MSELoss(), "optimizer": optimizer}


INDICES = np.array([[0, 2], [1, 1]])
TABLE = {"num_embeddings": 4, "embedding_dim": 2, "padding_idx": 3, "mode": "mean"}
RECURRENT = {"input_size": 3, "hidden_size": 2, "num_layers": 2, "nonlinearity": "relu"}
SEQUENCES, STATES, LENGTHS = X[:, np.newaxis], np.ones((2, 1, 2)), np.array([4])
SPECIAL = {  # layers with arguments or inputs of their own
    npnet.BatchNorm1d: ({"num_features": 3}, (X,)),
    npnet.BatchNorm2d: ({"num_features": 3}, (VOLUMES[:, :, 0],)),
    npnet.BatchNorm3d: ({"num_features": 3}, (VOLUMES,)),
    **{
        getattr(npnet, f"{kind}Pad{n}d"): ({"padding": 1}, (np.ones((2, 3, *(2,) * n)),))
        for kind in ("Circular", "Constant", "Reflection", "Replication", "Zero")
        for n in (1, 2, 3)
    },
    **{getattr(npnet, f"Dropout{n}d"): ({}, (np.ones((2, 3, *(2,) * n)),)) for n in (1, 2, 3)},
    npnet.Bilinear: ({"in1_features": 3, "in2_features": 3}, (X, X)),
    npnet.ChannelShuffle: ({}, (X[:, :, np.newaxis],)),
    **{
        layer: (
            {"in_channels": 1, "out_channels": 2, "kernel_size": 1},
            (X.reshape(len(X), 1, *(1,) * (axes - 1), -1),),
        )
        for axes in (1, 2, 3)
        for layer in (getattr(npnet, f"Conv{axes}d"), getattr(npnet, f"ConvTranspose{axes}d"))
    },
    npnet.CosineSimilarity: ({}, (X, X)),
    npnet.Embedding: (TABLE, (INDICES,)),
    npnet.EmbeddingBag: (TABLE, (INDICES,)),
    npnet.Fold: ({"output_size": 2, "kernel_size": 1}, (X[:, np.newaxis, [0, 1, 1, 2]],)),
    npnet.GaussianNoise: ({"stddev": 0.1}, (X,)),
    npnet.GRU: (RECURRENT, (SEQUENCES, STATES, LENGTHS)),
    npnet.GRUCell: (RECURRENT, (X, X[:, :2])),
    npnet.GLU: ({}, (X[:, :2],)),
    npnet.GroupNorm: ({"num_groups": 1, "num_channels": 3}, (X,)),
    npnet.InstanceNorm1d: ({"num_features": 3}, (VOLUMES[:, :, 0, 0],)),
    npnet.InstanceNorm2d: ({"num_features": 3}, (VOLUMES[:, :, 0],)),
    npnet.InstanceNorm3d: ({"num_features": 3}, (VOLUMES,)),
    npnet.Lambda: ({"f": np.sin, "df": np.cos}, (X,)),
    npnet.LayerNorm: ({"normalized_shape": 3}, (X,)),
    npnet.LocalResponseNorm: ({"size": 2, "k": 1.0}, (VOLUMES,)),
    npnet.Maxout: ({"num_units": 3}, (X,)),
    npnet.MultiheadAttention: ({"embed_dim": 3, "num_heads": 3}, (X, X, X)),
    npnet.PairwiseDistance: ({}, (X, X)),
    npnet.PositionEmbedding: ({"sequence_length": 8, "embedding_dim": 3}, (X,)),
    npnet.RMSNorm: ({"normalized_shape": 3}, (X,)),
    npnet.PixelShuffle: ({"upscale_factor": 2}, (np.ones((2, 4, 3, 3)),)),
    npnet.PixelUnshuffle: ({"downscale_factor": 2}, (np.ones((2, 1, 4, 2)),)),
    npnet.LSTM: (RECURRENT, (SEQUENCES, STATES, STATES, LENGTHS)),
    npnet.LSTMCell: (RECURRENT, (X, X[:, :2], X[:, 1:])),
    npnet.Maxout: ({"num_units": 3}, (X,)),
    npnet.PairwiseDistance: ({}, (X, X)),
    npnet.RNN: (RECURRENT, (SEQUENCES, STATES, LENGTHS)),
    npnet.RNNCell: (RECURRENT, (X, X[:, :2])),
    npnet.Softmax2d: ({}, (X[:, :, np.newaxis, np.newaxis],)),
    npnet.TransformerEncoder: (
        {"encoder_layer": npnet.TransformerEncoderLayer(3, 1, 4), "num_layers": 2},
        (X,),
    ),
    npnet.TransformerEncoderLayer: ({"d_model": 3, "nhead": 3, "dropout": 0.1}, (X,)),
    npnet.Threshold: ({"threshold": 0.1, "value": 20.0}, (X,)),
    **{
        cls: ({"size": 2, "mode": "nearest"}, (np.ones((2, 1, 3, 3)),))
        for cls in (npnet.Upsample, npnet.UpsamplingBilinear2d, npnet.UpsamplingNearest2d)
    },
    npnet.Unflatten: ({"unflattened_size": (3, 1)}, (X,)),
    npnet.Unfold: ({"kernel_size": 1}, (X[:, np.newaxis, np.newaxis],)),
    **{getattr(npnet, f"{kind}{axes}d"): (options, (X.reshape(6, *(1,) * (axes - 1), 3), *more))
       for axes in (1, 2, 3) for kind, options, *more in (
           ("AvgPool", {"kernel_size": 1}), ("MaxPool", {"kernel_size": 1}),
           ("LPPool", {"kernel_size": 1, "norm_type": 2.0}),
           ("AdaptiveAvgPool", {"output_size": 1}), ("AdaptiveMaxPool", {"output_size": 1}),
           ("MaxUnpool", {"kernel_size": 1}, np.zeros((6, *(1,) * (axes - 1), 3), int)))},
    npnet.WeightNorm: ({"layer": npnet.Linear(3, 2), "name": "weight"}, (X,)),
}  # fmt: skip

TARGETS = {}


def target(label, make, **valid):
    """Fuzz what `make()` returns, with these arguments beside those of `VALID`."""
    TARGETS[label] = make, valid


for cls in classes(npnet, npnet.Layer):
    valid, inputs = SPECIAL.get(cls, ({}, (X,)))
    target(cls.__name__, lambda cls=cls: cls, **valid)
    if cls not in (npnet.Linear, npnet.Sequential, npnet.LayerList, npnet.LayerDict):
        parameters = inspect.signature(cls).parameters.values()
        own = {p.name: {**VALID, **valid}[p.name] for p in parameters
               if (p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD)
               or p.name in valid}  # fmt: skip
        target(f"{cls.__name__}()()", lambda cls=cls, own=own: cls(**own), inputs=inputs)
        target(
            f"{cls.__name__}().record", lambda cls=cls, own=own: cls(**own).record, inputs=inputs
        )
OF_ARRAYS = {case.kind: case.arrays(np.random.default_rng(0)) for case in LOSSES_OF_ARRAYS}
for cls in (losses.HingeEmbeddingLoss, losses.MultiLabelMarginLoss):
    OF_ARRAYS[cls] = (X, np.where(X > 0, 1, -1))
for cls in classes(losses, losses.Loss):
    target(cls.__name__, lambda cls=cls: cls, p=1)
    kind = LABELS if issubclass(cls, losses.classification.ClassLoss) else (X > 0)
    for method in ("__call__", "value_and_grad"):
        target(
            f"{cls.__name__}().{method}",
            lambda cls=cls, method=method: getattr(cls(), method),
            arrays=OF_ARRAYS.get(cls, (X, kind)),
        )
for cls in classes(penalties, penalties.Penalty):
    target(cls.__name__, lambda cls=cls: cls, parameters=list(filled().parameters()), strength=0.1)
for cls in classes(optim, optim.Optimizer):
    params = [filled().weight] if cls is optim.Muon else list(filled().parameters())
    more = {"eps": (None, 1e-3)} if cls is optim.Adafactor else {}
    target(cls.__name__, lambda cls=cls: cls, params=params, **more)
for name in init.__all__:
    function = getattr(init, name)
    kernel = {"shape": (2, 3, 1)} if name == "dirac" else {}
    target(f"init.{name}", lambda function=function: function, **kernel)
for name in (
    "StepLR", "ExponentialLR", "CosineAnnealingLR", "LinearLR", "PolynomialLR", "ConstantLR",
    "CosineAnnealingWarmRestarts",
):  # fmt: skip
    target(name, lambda name=name: getattr(schedules, name))
    target(f"{name}()", lambda name=name: getattr(schedules, name)(0.1, 1), step=3)
two = [schedules.StepLR(0.1, 2), schedules.StepLR(0.1, 2)]
target("CyclicLR", lambda: schedules.CyclicLR, base_lr=0.1, max_lr=0.2, mode="triangular2")
target("OneCycleLR", lambda: schedules.OneCycleLR, max_lr=0.2, total_steps=9)
target("MultiStepLR", lambda: schedules.MultiStepLR, milestones=[1])
target("LambdaLR", lambda: schedules.LambdaLR, lr_lambda=abs)
target("MultiplicativeLR", lambda: schedules.MultiplicativeLR, lr_lambda=abs)
target("warmup", lambda: schedules.warmup, schedule=abs)
target("ChainedScheduler", lambda: schedules.ChainedScheduler, schedules=two)
target("SequentialLR", lambda: schedules.SequentialLR, schedules=two)
target("Linear()()", lambda: linear(), inputs=(X,))
target("Linear().record", lambda: linear().record, inputs=(X,))
target("Sequential()()", lambda: chain(), inputs=(X,))
target("Sequential().append", lambda: chain().append, layer=npnet.ReLU())
target("Sequential().summary", lambda: chain().summary)
target("Layer.astype", lambda: chain().astype)
target("Layer.load_state_dict", lambda: chain().load_state_dict, state=chain().state_dict())
target("Layer.requires_grad_", lambda: chain().requires_grad_)
target("Tape.backward", lambda: recorded().backward, grads=(X,))
target("Parameter", lambda: npnet.Parameter, data=X)
target("Parameter.add_grad", lambda: setter(npnet.Parameter(X), "grad"), value=X)
target("Parameter.data", lambda: setter(npnet.Parameter(X), "data"), value=X)
target("Buffer", lambda: npnet.Buffer, data=X)  # which takes complex numbers too
target("Optimizer.load_state_dict", lambda: adam().load_state_dict, state_dict=adam().state_dict())
target("Optimizer.add_param_group", lambda: adam().add_param_group,
       group={"params": list(linear().parameters())})  # fmt: skip
target("Parameter.astype", lambda: npnet.Parameter(X).astype)
target("Linear.from_config", lambda: npnet.Linear.from_config, config=linear().get_config())
target("Sequential.from_config", lambda: npnet.Sequential.from_config, config=chain().get_config())
target("LayerDict[]", lambda: npnet.LayerDict({"a": npnet.ReLU()}).__getitem__, name="a")
target("fold_batchnorm", lambda: npnet.fold_batchnorm, model=chain())
target("generator_at", lambda: npnet.random.generator_at, epoch=1, batch=0)
target("with_steps_per_epoch", lambda: schedules.with_steps_per_epoch, schedule=abs)
target("Optimizer.lr", lambda: setter(adam(), "lr"), value=0.1)
target("clip_grad_norm", lambda: optim.clip_grad_norm, parameters=list(filled().parameters()))
target("clip_grad_value", lambda: optim.clip_grad_value, clip_value=1.0,
       parameters=list(filled().parameters()))  # fmt: skip
target("MaxNorm", lambda: npnet.constraints.MaxNorm)
target("AveragedModel", lambda: training.AveragedModel, model=linear())
target(
    "AveragedModel().update_parameters",
    lambda: training.AveragedModel(linear()).update_parameters,
    model=linear(),
)
target("minimize", lambda: training.minimize, model=linear(), loss=npnet.MSELoss(), x=X, y=X)
target("manual_seed", lambda: npnet.manual_seed)
target("ops.use", lambda: npnet.ops.use)
target("DataLoader", lambda: loop(data.DataLoader), arrays=(X, LABELS))
target("train_test_split", lambda: data.train_test_split, arrays=(X, LABELS))
target("one_hot", lambda: data.one_hot)
target("EarlyStopping", lambda: training.EarlyStopping, mode="auto")
target("ReduceLROnPlateau", lambda: training.ReduceLROnPlateau, mode="auto")
target("repeat", lambda: lambda maker, seeds: training.repeat(maker, seeds, X, X),
       maker=lambda seed: trainer(), seeds=[0])  # fmt: skip
target("Accuracy", lambda: training.Accuracy)
target("Trainer", lambda: training.Trainer, **vars_of_a_trainer())
target("Trainer.fit", lambda: trainer().fit, x=X, y=X)
target("Trainer.evaluate", lambda: trainer().evaluate, x=X, y=X)
target("Trainer.predict", lambda: trainer().predict, x=X)
target("profile", lambda: npnet.profile, model=chain(), x=X, y=X, loss=npnet.MSELoss())


def setter(thing, name):
    def assign(value):
        setattr(thing, name, value)

    return assign


def loop(make):
    def run(*args, **kwargs):
        for _ in make(*args, **kwargs):
            break

    run.__signature__ = inspect.signature(make)
    return run


def random_call(rng, label):
    """Return a call, the places of nonsense in it, and whether one can never be right."""
    make, valid = TARGETS[label]
    function = make()
    signature = inspect.signature(function)
    args, kwargs, names = [], {}, []
    for name, p in signature.parameters.items():
        given = valid.get(name, VALID.get(name, p.default))
        if p.kind is p.VAR_POSITIONAL:
            names += [(name, i) for i in range(len(given) if given is not p.empty else 0)]
            args += [] if given is p.empty else list(given)
        elif p.kind is p.VAR_KEYWORD:  # the same inputs, by name
            continue
        elif given is p.empty:
            kwargs[name] = None
            names.append((name, None))
        else:
            kwargs[name] = given
            names.append((name, None))
    if not names:
        return function, args, kwargs, [], False
    wrong, never = [], False
    for k in rng.choice(len(names), size=min(len(names), 1 + (rng.random() < 0.2)), replace=False):
        name, i = names[k]
        pool = NEVER if rng.random() < 0.3 else SOMETIMES
        value = pool[rng.integers(len(pool))]
        fits = label == "Buffer" and isinstance(value, np.ndarray) and value.dtype.kind == "c"
        fits |= label == "Optimizer.lr" and type(value) is type(linear)  # a function is a schedule
        never |= pool is NEVER and name not in OPEN and not fits
        wrong.append((name, value))
        if i is None:
            kwargs[name] = value
        else:
            args[i] = value
    if any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
        return function, args, kwargs, wrong, never
    return function, [], kwargs, wrong, never


def say(value):
    try:
        return repr(value)[:60]
    except Exception:
        return type(value).__name__


def test_random_calls():
    rng = np.random.default_rng(SEED)
    labels = list(TARGETS)
    outcome, foreign, accepted = collections.Counter(), [], []
    active = npnet.ops.active()
    for k in range(CALLS):
        label = labels[k % len(labels)]
        function, args, kwargs, wrong, never = random_call(rng, label)
        what = f"{label}: {', '.join(f'{name}={say(value)}' for name, value in wrong)}"
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                function(*args, **kwargs)
            except NpnetError as error:
                str(error)  # which may fail too
                outcome["refused"] += 1
            except Exception as error:
                foreign.append(f"{what} -> {type(error).__name__}: {str(error)[:100]}")
            else:
                outcome["accepted"] += 1
                if never:
                    accepted.append(what)
    npnet.ops.use(active)
    assert foreign == []
    assert accepted == []
    assert sum(outcome.values()) == CALLS
    assert min(outcome.values()) > CALLS / 10  # neither all refused nor all accepted


@pytest.mark.parametrize("label", TARGETS)
def test_the_right_arguments_are_accepted(label):
    make, valid = TARGETS[label]
    function = make()
    args, kwargs = [], {}
    for name, p in inspect.signature(function).parameters.items():
        given = valid.get(name, VALID.get(name, p.default))
        if p.kind is p.VAR_POSITIONAL:
            args += [] if given is p.empty else list(given)
        elif given is not p.empty:
            kwargs[name] = given
    if label.startswith("init.") and "param" in kwargs:
        kwargs["param"] = None
    function(*args, **kwargs)
