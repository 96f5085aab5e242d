"""Pictures; matplotlib is imported when one is drawn, never before."""

from npnet.plot.curves import plot_curves

__all__ = ["plot_curves"]
