"""Data sets to learn and to measure on: digits that come with npnet, MNIST and Fashion-MNIST."""

from npnet.datasets.digits import digits
from npnet.datasets.mnist import fashion_mnist, mnist

__all__ = ["digits", "mnist", "fashion_mnist"]
