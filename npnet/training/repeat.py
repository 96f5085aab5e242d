"""repeat, which trains with several seeds and tells mean and spread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.arguments import instance, items, refusal, whole_number, wrong_call
from npnet.errors import ArgumentError
from npnet.random import default_generator, manual_seed
from npnet.training.history import History
from npnet.training.trainer import Trainer

if TYPE_CHECKING:
    from npnet.typing import Array


class Repeats:
    """What `repeat` returns: the histories of several trainings, their mean and spread.

    Attributes
    ----------
    seeds : list of int
    histories : list of History
        One for each seed.
    mean, std : History
        Mean and standard deviation over the seeds by column and epoch: ``mean["val_loss"][-1]``.
        They have as many epochs as the shortest training. The deviation is that of a sample,
        which divides by the number of seeds less one; of one seed it is NaN.

    Examples
    --------
    >>> first, second = History(), History()
    >>> first.append({"epoch": 1, "loss": 0.5})
    >>> second.append({"epoch": 1, "loss": 0.7})
    >>> repeats = Repeats([0, 1], [first, second])
    >>> repeats
    2 trainings of 1 epoch
    loss  0.6 +- 0.1414
    >>> repeats.last("loss")
    array([0.5, 0.7])
    """

    def __init__(self, seeds: list[int], histories: list[History]) -> None:
        self.seeds = seeds
        self.histories = histories
        self.mean, self.std = History(), History()
        shared = [name for name in histories[0] if all(name in other for other in histories)]
        for i in range(min(len(history["epoch"]) for history in histories)):
            rows = {name: np.array([h[name][i] for h in histories], float) for name in shared}
            epoch = {"epoch": i + 1}
            several = len(seeds) > 1
            self.mean.append({n: float(v.mean()) for n, v in rows.items()} | epoch)
            self.std.append(
                {n: float(v.std(ddof=1)) if several else np.nan for n, v in rows.items()} | epoch
            )

    def last(self, name: str) -> Array:
        """Return a column's value in the last epoch of each training.

        Parameters
        ----------
        name : str

        Returns
        -------
        ndarray, shape (number of seeds,)
        """
        return np.array([history[name][-1] for history in self.histories])

    def __repr__(self) -> str:
        count, epochs = len(self.seeds), len(self.mean["epoch"])
        lines = [f"{count} training{'s' * (count != 1)} of {epochs} epoch{'s' * (epochs != 1)}"]
        names = [name for name in self.mean if name not in ("epoch", "lr")]
        width = max(map(len, names), default=0)
        lines += [f"{n:{width}}  {self.mean[n][-1]:.4g} +- {self.std[n][-1]:.4g}" for n in names]
        return "\n".join(lines)


def repeat(
    make_trainer: Callable[..., Trainer],
    seeds: Iterable[int],
    x: Any,
    y: Any = None,
    **fit_arguments: Any,
) -> Repeats:
    """Train once for each seed; return the histories with their mean and spread.

    The seed decides on all that is drawn: npnet's default generator starts from it before the
    trainer is made, and it is the `rng` of `Trainer.fit`. So the result for a seed does not
    depend on the other seeds. Afterwards the default generator is as it was. Ctrl-C ends all.

    Parameters
    ----------
    make_trainer : callable
        ``make_trainer(seed)`` returns a new `Trainer` with a new model. A function that takes no
        argument is called without.
    seeds : iterable of int
        At least one, each once.
    x, y
        As for `Trainer.fit`.
    **fit_arguments
        The other arguments of `Trainer.fit`, but for `rng`.

    Returns
    -------
    Repeats

    Raises
    ------
    ArgumentError
        If `make_trainer` does not return new trainers, or the seeds are not that.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> def make_trainer(seed):
    ...     model = npnet.Linear(3, 1)
    ...     optimizer = npnet.optim.Adam(model.parameters(), lr=0.1)
    ...     return Trainer(model, npnet.MSELoss(), optimizer)
    >>> repeats = repeat(make_trainer, [0, 1, 2], x, x.sum(axis=1, keepdims=True), epochs=3)
    >>> repeats.last("loss").shape, bool(repeats.std["loss"][-1] > 0)
    ((3,), True)
    """
    if not callable(make_trainer):
        raise refusal("repeat", "make_trainer", "a function f(seed) -> Trainer", make_trainer)
    wrong = wrong_call(make_trainer, "make_trainer, called with (seed)", (0,), {})
    takes_seed = wrong is None
    if wrong and wrong_call(make_trainer, "make_trainer", (), {}):
        raise wrong
    if isinstance(seeds, str | bytes):
        raise refusal("repeat", "seeds", "a list of integers", seeds)
    given = [whole_number("repeat", "seeds", seed, 0) for seed in items("repeat", "seeds", seeds)]
    if not given or len(set(given)) < len(given):
        raise ArgumentError(f"repeat expects seeds to be different integers, got {given}")
    if "rng" in fit_arguments:
        raise ArgumentError("repeat passes each seed to fit as rng; leave rng out")
    histories: list[History] = []
    used: list[Any] = []
    bits = default_generator().bit_generator
    before = bits.state
    try:
        for seed in given:
            manual_seed(seed)
            trainer = make_trainer(seed) if takes_seed else make_trainer()
            instance("repeat", "what make_trainer returns", trainer, Trainer)
            models = [each for each in (trainer.model, trainer.averaged) if each is not None]
            if len(trainer.history["epoch"]) or any(a is b for a in models for b in used):
                raise ArgumentError("repeat needs a new trainer with a new model for each seed")
            used += models
            histories.append(trainer.fit(x, y, rng=seed, **fit_arguments))
            if trainer.history.interrupted:
                raise KeyboardInterrupt
    finally:
        bits.state = before
    return Repeats(given, histories)
