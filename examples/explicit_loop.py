"""The training loop written out: record, loss and gradient, backward, step.

python examples/explicit_loop.py [--epochs 30]
"""

import argparse

import npnet


def main(epochs: int) -> float:
    npnet.manual_seed(0)
    x, y = npnet.datasets.digits()
    x_train, x_test, y_train, y_test = npnet.data.train_test_split(
        x.reshape(len(x), 64), y, test_size=0.2, stratify=y, rng=0
    )
    model = npnet.Sequential(npnet.Linear(64, 64), npnet.ReLU(), npnet.Linear(64, 10))
    loss_fn = npnet.CrossEntropyLoss(label_smoothing=0.05)
    schedule = npnet.schedules.CosineAnnealingLR(0.1, T_max=epochs * 45)
    optimizer = npnet.optim.SGD(model.parameters(), lr=schedule, momentum=0.9, nesterov=True)
    loader = npnet.data.DataLoader((x_train, y_train), batch_size=32, shuffle=True)

    for epoch in range(epochs):
        total = 0.0
        for xb, yb in loader:
            logits, tape = model.record(xb)  # forward pass that remembers
            loss, dlogits = loss_fn.value_and_grad(logits, yb)
            tape.backward(dlogits)  # fills Parameter.grad
            npnet.optim.clip_grad_norm(model.parameters(), max_norm=5.0)
            optimizer.step()
            optimizer.zero_grad()
            total += loss * len(yb)
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1}: loss {total / len(y_train):.4f}, rate {optimizer.lr:.4f}")

    accuracy = float((model(x_test).argmax(axis=1) == y_test).mean())
    print(f"test accuracy: {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    main(parser.parse_args().epochs)
