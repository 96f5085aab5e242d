"""Mistakes of beginners, and of people who know PyTorch, Keras or scikit-learn.

Each is answered by an exception of npnet's that names the fix.
"""

import numpy as np
import pytest

import npnet
from npnet import data, optim, schedules, training
from npnet.errors import NpnetError

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
Y = np.array([0, 1, 2, 0, 1, 2, 0, 1])
ONE = X[:, :1]


def model():
    return npnet.Sequential(npnet.Linear(3, 4), npnet.ReLU(), npnet.Linear(4, 3))


def trainer(loss=None, **options):
    net = model()
    loss = loss or npnet.CrossEntropyLoss()
    return training.Trainer(net, loss, optim.Adam(net.parameters()), **options)


class Direct(npnet.Layer):
    def __init__(self):
        super().__init__()
        self.body = npnet.Linear(3, 3)

    def forward(self, ctx, x):
        return x + self.body(x)


class NoBackward(npnet.Layer):
    def forward(self, ctx, x):
        return x


def held():
    layer = Direct()
    layer.blocks = [npnet.Linear(3, 3)]


def in_list():
    class Lists(npnet.Layer):
        def __init__(self):
            super().__init__()
            self.ls = [npnet.Linear(3, 3)]

    Lists()


def without_ctx():
    class Bad(npnet.Layer):
        def forward(self, x):
            return x


def not_unpacked(use):
    out = model().record(X)
    use(out)


def twice():
    y, tape = model().record(X)
    tape.backward(y)
    tape.backward(y)


def loop_without_backward():
    net = model()
    optim.Adam(net.parameters()).step()


def wrong_gradient():
    _, tape = model().record(X)
    tape.backward(np.float64(1.0))


def fit(x, y, loss=None, **options):
    return trainer(loss).fit(x, y, progress=False, **options)


class LeavesOut(npnet.Layer):
    """Two branches, of which the backward pass runs one."""

    def __init__(self):
        super().__init__()
        self.a, self.b = npnet.Linear(3, 3), npnet.Linear(3, 3)

    def forward(self, ctx, x):
        return ctx.call(self.a, x) + ctx.call(self.b, x)

    def backward(self, ctx, grad):
        return ctx.calls.pop().backward(grad)


def fit_leaving_out():
    net = LeavesOut()
    one = training.Trainer(net, npnet.CrossEntropyLoss(), optim.SGD(net.parameters()))
    with pytest.warns(Warning, match="gradient") as caught:
        one.fit(X, Y, progress=False)
    raise npnet.NpnetError(str(caught[0].message))


MISTAKES = {
    # --- modes and methods of other frameworks
    "train": (lambda: model().train(), r"model\.record\(x\) trains"),
    "eval": (lambda: model().eval(), r"model\.record\(x\) trains"),
    "to": (lambda: model().to("cuda"), "CPU"),
    "cuda": (lambda: model().cuda(), "CPU"),
    "fit": (lambda: model().fit(X, Y), r"npnet\.Trainer"),
    "predict": (lambda: model().predict(X), r"model\(x\)"),
    "compile": (lambda: model().compile("adam"), r"npnet\.Trainer"),
    "add": (lambda: model().add(npnet.ReLU()), "append"),
    "modules": (lambda: model().modules(), "named_layers"),
    "register_buffer": (lambda: model().register_buffer("a", X), r"npnet\.Buffer"),
    "loss.backward": (lambda: npnet.MSELoss().backward(), "value_and_grad"),
    "double": (lambda: model().double(), "astype"),
    # --- building
    "a class for a layer": (lambda: npnet.Sequential(npnet.ReLU), "parentheses"),
    "a list for layers": (lambda: npnet.Sequential([npnet.ReLU()]), r"unpack it with \*"),
    "a function for a layer": (lambda: npnet.Sequential(np.tanh), r"use npnet\.Tanh\(\)$"),
    "a name for a layer": (lambda: npnet.Sequential("relu"), r"use npnet\.ReLU\(\)$"),
    "a name for a layer that needs sizes": (
        lambda: npnet.Sequential("linear"), r"use npnet\.Linear\(\.\.\.\)$"),
    "a name of no layer": (lambda: npnet.Sequential("re"), "got 're'$"),
    "None for a layer": (lambda: npnet.Sequential(None), r"npnet\.Identity\(\)"),
    "itself": (lambda: (lambda m: m.append(m))(model()), "part of itself"),
    "an array for an option": (lambda: npnet.ReLU(X), "passed in the call"),
    "an array for dim": (lambda: npnet.Softmax(X), "passed in the call"),
    "logits for the weight": (lambda: npnet.CrossEntropyLoss(X, Y), "loss is made first"),
    "a size too few": (lambda: npnet.Linear(3), "out_features"),
    "a float size": (lambda: npnet.Linear(3.0, 2), "positive integer"),
    "a keyword's typo": (lambda: npnet.Linear(3, 2, biass=False), "did you mean 'bias'"),
    "a Keras keyword": (lambda: npnet.Linear(3, 2, activation="relu"), "it takes"),
    "bias as text": (lambda: npnet.Linear(3, 2, bias="no"), "True or False"),
    "p in percent": (lambda: npnet.Dropout(50), "at most 1"),
    "inplace": (lambda: npnet.ReLU(inplace=True), "it takes"),
    "layers in a list": (in_list, "LayerList"),
    "an attribute later": (held, "new attributes"),
    "no super().__init__() needed": (lambda: npnet.LayerList(npnet.ReLU()), "a list of layers"),
    "reduction": (lambda: npnet.MSELoss("average"), "'mean', 'sum' or 'none'"),
    # --- passes
    "a child called directly": (lambda: Direct().record(X), r"ctx\.call\(self\.body, x\)"),
    "no context": (without_ctx, r"forward\(self, ctx, x\)"),
    "no forward": (lambda: npnet.Layer()(X), "forward"),
    "no backward": (lambda: NoBackward().record(X)[1].backward(X), "backward"),
    "wrong features": (lambda: model()(X[:, :2]), r"\(\.\.\., 3\), got \(8, 2\)"),
    "a layer that does not fit": (
        lambda: npnet.Sequential(npnet.Linear(3, 4), npnet.Linear(5, 2))(X), r"layer '1'"),
    "images not flattened": (lambda: model()(np.zeros((8, 28, 28))), r"got \(8, 28, 28\)"),
    "two inputs": (lambda: model()(X, X), "expected the inputs"),
    "no input": (lambda: model()(), "expected the inputs"),
    "None": (lambda: model()(None), "expected an array as the input x, got None"),
    "text": (lambda: model()("text"), "real numbers"),
    "ragged": (lambda: model()([[1, 2, 3], [1, 2]]), "ragged"),
    "not unpacked, loss": (
        lambda: not_unpacked(lambda o: npnet.CrossEntropyLoss()(o, Y)), r"y, tape = model\.record"),
    "not unpacked, shape": (lambda: not_unpacked(lambda o: o.shape), r"y, tape = model\.record"),
    "not unpacked, argmax": (
        lambda: not_unpacked(lambda o: o.argmax(axis=1)), r"y, tape = model\.record"),
    "not unpacked, next layer": (
        lambda: not_unpacked(lambda o: npnet.ReLU()(o)), r"y, tape = model\.record"),
    "a tape twice": (twice, "Record the pass again"),
    "a scalar gradient": (wrong_gradient, r"shape \(8, 3\).*loss, grad = loss_fn\.value_and_g"),
    # --- losses
    "labels and logits swapped": (lambda: npnet.CrossEntropyLoss()(Y, X), "shape|swapped|first"),
    "labels from 1": (lambda: npnet.CrossEntropyLoss()(X, Y + 1), "0 to 2"),
    "one column": (lambda: npnet.MSELoss()(ONE, ONE[:, 0]), "reshape"),
    "labels for MSE": (lambda: npnet.MSELoss()(X, Y), "CrossEntropyLoss|one_hot"),
    "labels as text": (lambda: npnet.CrossEntropyLoss()(X, list("abcabcab")), "np.unique"),
    "fractional labels": (lambda: npnet.CrossEntropyLoss()(X, Y + 0.5), "whole labels"),
    "targets of BCE": (lambda: npnet.BCEWithLogitsLoss()(ONE, ONE * 0 - 1), "from 0 to 1"),
    # --- optimizers
    "Adam(model)": (lambda: optim.Adam(model()), r"model\.parameters\(\)"),
    "Adam(model.parameters)": (lambda: optim.Adam(model().parameters), r"model\.parameters\(\)"),
    "negative rate": (lambda: optim.Adam(model().parameters(), lr=-1), "at least 0"),
    "rate as text": (lambda: optim.Adam(model().parameters(), lr="1e-3"), "lr"),
    "learning_rate": (lambda: optim.Adam(model().parameters(), learning_rate=1), "lr"),
    "no gradient": (loop_without_backward, r"tape\.backward"),
    "one beta": (lambda: optim.Adam(model().parameters(), betas=0.9), "two betas|betas"),
    "maximize as text": (
        lambda: optim.SGD(model().parameters(), maximize="False"), "True or False"),
    "StepLR(optimizer)": (
        lambda: schedules.StepLR(optim.Adam(model().parameters()), 30), "lr=StepLR"),
    "scheduler.step": (lambda: schedules.StepLR(0.1, 30).step(), "optimizer|lr="),
    "foreach": (lambda: optim.SGD(model().parameters(), foreach=True), "there is one form"),
    "fused": (lambda: optim.RMSprop(model().parameters(), fused=True), "there is one form"),
    "clipnorm": (lambda: optim.Adam(model().parameters(), clipnorm=1.0), "clip_norm is the joint"),
    "clipvalue": (lambda: optim.Lion(model().parameters(), clipvalue=1.0), "called clip_value"),
    "a misspelt keyword of all": (
        lambda: optim.Adam(model().parameters(), clip_nrom=1.0), "did you mean 'clip_norm'"),
    "a negative clip": (lambda: optim.Adam(model().parameters(), clip_norm=-1), "clip_norm"),
    "Muon for everything": (lambda: optim.Muon(model().parameters()), "AdamW"),
    "LBFGS in the Trainer": (
        lambda: training.Trainer(
            (net := model()), npnet.MSELoss(), optim.LBFGS(net.parameters())
        ).fit(np.ones((4, 3)), np.ones((4, 3))),
        r"optimizer\.step\(closure\)"),
    "optimizer.minimize": (
        lambda: optim.Adam(model().parameters()).minimize, r"tape\.backward"),
    "an empty optimizer": (lambda: optim.Adam(npnet.ReLU().parameters()), "no parameters"),
    # --- data
    "DataLoader(x, y)": (lambda: data.DataLoader(X, Y, batch_size=4), r"DataLoader\(\(x, y\)"),
    "DataLoader(x, y) alone": (lambda: data.DataLoader(X, Y), r"DataLoader\(\(x, y\)"),
    "unequal lengths": (lambda: data.DataLoader((X, Y[:5])), "same number of samples"),
    "batch_size 0": (lambda: data.DataLoader((X, Y), batch_size=0), "positive integer"),
    "test_size 20": (lambda: data.train_test_split(X, Y, test_size=20), "leave samples"),
    "random_state": (lambda: data.train_test_split(X, Y, random_state=0), "rng"),
    "train_test_split((x, y))": (
        lambda: data.train_test_split((X, Y)), r"passed one by one, train_test_split\(x, y\)"),
    "stratify=True": (lambda: data.train_test_split(X, Y, stratify=True), "got True; stratify=y"),
    "objects": (lambda: model()(np.array([[1, 2, None]], object)), "None"),
    # --- training
    "two inputs in a list": (lambda: fit([X, X], Y), r"tuple"),
    "no y": (lambda: fit(X, None), "x and y"),
    "swapped": (lambda: fit(Y, X), "expected"),
    "val_acc": (lambda: fit(X, Y, epochs=2, callbacks=[training.EarlyStopping("val_acc")]),
                "val_accuracy"),
    "acc": (lambda: trainer(metrics=["acc"]), "accuracy"),
    "a metric's typo": (lambda: trainer(metrics=["acuracy"]), "accuracy"),
    "a loss class": (lambda: training.Trainer(model(), npnet.MSELoss, None), "parentheses|\\(\\)"),
    "verbose": (lambda: fit(X, Y, verbose=1), "progress"),
    "validation in percent": (lambda: fit(X, Y, validation_split=20), "below 1"),
    "epochs as text": (lambda: fit(X, Y, epochs="3"), "positive integer"),
    "history.history": (lambda: fit(X, Y).history["loss"], r"history\["),
    "history['acc']": (lambda: fit(X, Y)["acc"], "accuracy|loss"),
    "trainer.train": (lambda: trainer().train(X, Y), "fit"),
    "another model's optimizer": (
        lambda: training.Trainer(model(), npnet.MSELoss(), optim.Adam(model().parameters())),
        "none of the model's parameters"),
    "predict(loader)": (lambda: trainer().predict(data.DataLoader(X)), "array"),
    "fit(loader, batch_size)": (
        lambda: fit(data.DataLoader((X, Y)), None, batch_size=3), "batch_size"),
    "load_state_dict(model)": (
        lambda: model().load_state_dict(model()), r"got Sequential.*module\.state_dict\(\)$"),
    "load_state_dict(path)": (
        lambda: model().load_state_dict("a.npz"), r"npnet\.load_weights\(model, path\)"),
    # --- keywords of methods and functions
    "summary()": (lambda: model().summary(), r"summary: missing .*'input_shape'; it takes"),
    "summary(input_size)": (
        lambda: model().summary(input_size=(3,)), r"model\.summary\(\(784,\)\)"),
    "load_weights(path)": (lambda: npnet.load_weights("a.npz"), "'path'; it takes .model, path"),
    "save_weights(model)": (lambda: npnet.save_weights(model()), "'path'; it takes .model, path"),
    "map_location": (
        lambda: npnet.load_weights(model(), "a.npz", map_location="cpu"), "on the CPU"),
    "profile without a loss": (lambda: npnet.profile(model(), X, Y), r"rounds=20\)$"),
    "profile(criterion)": (
        lambda: npnet.profile(model(), X, Y, criterion=npnet.MSELoss()), "it is called loss"),
    "plot(log)": (lambda: trainer().history.plot(log=True), "set_yscale"),
    "load_state_dict(assign)": (
        lambda: model().load_state_dict(model().state_dict(), assign=True), "copied"),
    "load_state_dict(strickt)": (
        lambda: model().load_state_dict({}, strickt=False), "did you mean 'strict'"),
    "a generator used up": (
        lambda: [optim.clip_grad_norm(p, 1.0) for p in [model().parameters()] for _ in (list(p),)],
        "looped over once"),
    "evaluate(...)['acc']": (lambda: trainer(metrics=["accuracy"]).evaluate(X, Y)["acc"],
                             "accuracy"),
    "a call that is left out": (lambda: fit_leaving_out(), "gave no gradient to .*ctx.calls"),
    # --- names and values
    "npnet.Adam": (lambda: npnet.Adam, r"it is npnet\.optim\.Adam"),
    "npnet.nn": (lambda: npnet.nn.Linear, r"npnet\.Linear"),
    "loss.backward of a value": (
        lambda: npnet.MSELoss()(X, X).backward(), r"value_and_grad"),
    "loss.item": (lambda: npnet.MSELoss()(X, X).item(), "a number already"),
    "p set later": (lambda: setattr(npnet.Dropout(), "p", 1.5), "at most 1"),
    "batch_size set later": (
        lambda: setattr(data.DataLoader(X), "batch_size", 0), "positive integer"),
    "a tuple for two inputs": (lambda: model()((X, X)), r"model\(a, b\)"),
    "a list of inputs": (lambda: model().record([X, X]), r"model\(a, b\)"),
    "param_groups.append": (
        lambda: optim.Adam([npnet.Linear(2, 2).weight, None]), "npnet.Parameter objects"),
    # --- files
    "weights of another model": (
        lambda: model().load_state_dict(npnet.Linear(3, 2).state_dict()), "missing: 0.weight"),
    "save_weights swapped": (lambda: npnet.save_weights("a.npz", model()), "Layer"),
    "no file": (lambda: npnet.load_weights(model(), "not-there.npz"), "No such file"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_with_the_fix(name):
    make, fix = MISTAKES[name]
    with pytest.raises((NpnetError, KeyError), match=fix) as caught:
        make()
    assert len(str(caught.value).splitlines()) < 8


class Shy:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize("wrong", [[X, X], (X, X), {"0.weight": X.repeat(100, 0)}, Shy()])
def test_texts_hold_no_whole_arrays(wrong):
    for call in (
        lambda: npnet.save_weights(wrong, "a.npz"),
        lambda: npnet.save_weights(model(), wrong),
        lambda: npnet.load_weights(wrong, "a.npz"),
        lambda: npnet.load_weights(model(), wrong),
        lambda: npnet.History()[wrong],
        lambda: npnet.Sequential(wrong),
    ):
        with pytest.raises((NpnetError, KeyError)) as caught:
            call()
        assert len(str(caught.value)) < 300
        assert "\n" not in str(caught.value)


def test_objects_of_pytorch_are_told_from_npnet_s():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Linear(3, 3)
    for make, fix in (
        (lambda: npnet.Sequential(theirs), "this is torch's, not npnet's; use npnet.Linear(...)"),
        (lambda: npnet.Sequential(torch.nn.ReLU()), "torch's, not npnet's; use npnet.ReLU()"),
        (lambda: npnet.Sequential(torch.nn.ReLU), "torch's, not npnet's; use npnet.ReLU()"),
        (lambda: npnet.Sequential(torch.relu), "use npnet.ReLU()"),
        (lambda: npnet.Sequential(torch.nn.FractionalMaxPool2d(2, 1)), "torch's, not npnet's"),
        (lambda: npnet.profile(model(), X, Y, torch.nn.MSELoss()), "use npnet.MSELoss()"),
        (lambda: training.Trainer(model(), npnet.MSELoss(), torch.optim.Adam([torch.ones(1)])),
         "this is torch's, not npnet's; use npnet.optim.Adam(...)"),
        (lambda: model().load_state_dict(theirs), "module.state_dict()"),
    ):  # fmt: skip
        with pytest.raises(NpnetError) as caught:
            make()
        assert str(caught.value).endswith(fix)
