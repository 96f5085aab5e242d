"""Pictures; matplotlib is imported when one is drawn, never before."""

from npnet.plot.curves import plot_curves
from npnet.plot.images import plot_images

__all__ = ["plot_curves", "plot_images"]
