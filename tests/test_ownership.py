"""No array that a user was handed is changed by anything that happens later."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import npnet

ACTIVATIONS = [npnet.ReLU, npnet.Tanh, npnet.Sigmoid, npnet.Softmax, npnet.Identity, npnet.SiLU]
STEPS = ["infer", "record", "backward", "backward_without_input", "loss", "step", "zero", "state"]


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(ACTIVATIONS), max_size=3),
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 6)), min_size=3, max_size=25),
    st.sampled_from([np.float32, np.float64]),
)
def test_everything_handed_out_keeps_its_value(activations, steps, dtype):
    rng = np.random.default_rng(0)
    layers = [npnet.Linear(4, 4, dtype=dtype), *(a() for a in activations)]
    model = npnet.Sequential(*layers)
    optimizer = npnet.optim.Adam(model.parameters())
    loss = npnet.MSELoss()
    kept, tapes = [], []

    def keep(array):
        kept.append((array, array.copy()))
        return array

    for step, n in steps:
        x = keep(rng.normal(size=(n, 4)).astype(dtype))
        if step == "infer":
            keep(model(x))
        elif step == "record":
            y, tape = model.record(x)
            tapes.append((keep(y), tape))
        elif step.startswith("backward") and tapes:
            y, tape = tapes.pop()
            grad = keep(rng.normal(size=y.shape).astype(dtype))
            wanted = step == "backward"
            dx = tape.backward(grad, input_grad=wanted)
            if wanted:
                keep(dx)
        elif step == "loss":
            keep(loss.value_and_grad(x, keep(x * 2))[1])
        elif step == "step" and all(p.grad is not None for p in model.parameters()):
            optimizer.step()
        elif step == "zero":
            optimizer.zero_grad()
        elif step == "state":
            for value in model.state_dict().values():
                keep(value)
    for array, copy in kept:
        np.testing.assert_array_equal(array, copy)
