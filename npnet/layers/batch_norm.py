"""BatchNorm1d, BatchNorm2d and BatchNorm3d, which normalise channels over the batch."""

from __future__ import annotations

import numpy as np

from npnet.channel_norm import TrackedNorm
from npnet.typing import Array, DtypeLike


class _BatchNorm(TrackedNorm):
    """What all of them share: statistics of all samples together."""

    batch_independent = False  # what `check_layer` asks
    _one_value = (
        "a larger batch has a variance; DataLoader(..., drop_last=True) leaves out a last one that "
        "is smaller"
    )

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: DtypeLike = np.float32,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, dtype)

    def _sets(self, n: int, c: int, numbers: int) -> tuple[int, int, int]:
        return n, c, numbers

    def _track(self, mean: Array, var: Array, count: int) -> None:
        self.num_batches_tracked[...] += 1
        if count:
            batches = int(self.num_batches_tracked)
            share = 1 / batches if self.momentum is None else self.momentum
            self._move(mean, var * (count / (count - 1)), share)


class BatchNorm1d(_BatchNorm):
    """Normalise each channel over the batch: y = (x - mean) / sqrt(var + eps) * weight + bias.

    A recorded pass in training mode takes mean and variance of the batch, in which the derivative
    goes through them, and moves the running ones towards them: running = (1 - momentum) * running
    + momentum * batch, with the unbiased variance. Any other pass takes the running ones.

    Parameters
    ----------
    num_features : int
        Number of channels, c.
    eps : float
        Added to the variance, not negative.
    momentum : float or None
        How far the running statistics move, from 0 to 1; None makes them the means of all batches.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        False keeps no running statistics; every pass then takes those of its batch.
    bias : bool
        False leaves the bias out.
    dtype : dtype
        Of parameters and running statistics, and so of the output.

    Attributes
    ----------
    weight, bias : Parameter, shape (c,), or None
        They start at 1 and 0.
    running_mean, running_var : ndarray, shape (c,), or None
        Buffers, which start at 0 and 1.
    num_batches_tracked : ndarray of int64, shape (), or None
        Buffer, how often they moved.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is neither (n, c) nor (n, c, length), or a batch that is normalised
        by itself has one value per channel.

    References
    ----------
    Ioffe, Szegedy, "Batch normalization", ICML 2015; ``torch.nn.BatchNorm1d``.

    Examples
    --------
    >>> import npnet
    >>> layer = npnet.BatchNorm1d(2)
    >>> y, tape = layer.record([[1.0, 5.0], [3.0, 5.0]])
    >>> y.round(3).tolist(), layer.running_mean
    ([[-1.0, 0.0], [1.0, 0.0]], array([0.2, 0.5], dtype=float32))
    """

    _inputs = ("(n, {0})", "(n, {0}, length)")


class BatchNorm2d(_BatchNorm):
    """Normalise each channel of images over the batch, as `BatchNorm1d`, which has the arguments.

    The mean is over samples, height and width.

    Raises
    ------
    ShapeError
        In a call, if the input is not (n, c, height, width), or a batch that is normalised by
        itself has one value per channel.

    References
    ----------
    Ioffe, Szegedy, "Batch normalization", ICML 2015; ``torch.nn.BatchNorm2d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> y, tape = npnet.BatchNorm2d(3).record(np.random.default_rng(0).normal(5, 2, (8, 3, 4, 4)))
    >>> bool(abs(y.mean(axis=(0, 2, 3))).max() < 1e-6), y.std(axis=(0, 2, 3)).round(3).tolist()
    (True, [1.0, 1.0, 1.0])
    """

    _inputs = ("(n, {0}, height, width)",)


class BatchNorm3d(_BatchNorm):
    """Normalise each channel of volumes over the batch, as `BatchNorm1d`, which has the arguments.

    The mean is over samples, depth, height and width.

    Raises
    ------
    ShapeError
        In a call, if the input is not (n, c, depth, height, width), or a batch that is normalised
        by itself has one value per channel.

    References
    ----------
    Ioffe, Szegedy, "Batch normalization", ICML 2015; ``torch.nn.BatchNorm3d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.BatchNorm3d(3)(np.ones((2, 3, 4, 4, 4))).shape
    (2, 3, 4, 4, 4)
    """

    _inputs = ("(n, {0}, depth, height, width)",)
