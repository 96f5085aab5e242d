"""Copies between images with the channels first and images with the channels last, for loops.

Blocks of channels fill lines of the cache; slices need no test of each index for negative ones.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from numba.extending import register_jitable

_BLOCK = 16  # channels of one cache line


@register_jitable
def _inside(size, place, whole):
    """Return which of `whole` elements are those of something of a size that begins at a place."""
    return max(0, place), min(whole, place + size)


@register_jitable
def channels_last(x, image, top, left):
    """Copy what of x (channels, height, width), placed at (top, left), is in the image."""
    (c, height, width), (h, w, _) = x.shape, image.shape
    above, below = _inside(height, top, h)
    start, stop = _inside(width, left, w)
    for i in range(above, below):
        for first in range(0, c, _BLOCK):
            for k in range(first, min(first + _BLOCK, c)):
                source = x[k, i - top, start - left : stop - left]
                target = image[i, start:stop, k]
                for j in range(source.size):
                    target[j] = source[j]


@register_jitable
def channels_first(image, out, top, left, add):
    """Write, or add, to `out` (channels, height, width) what the image has from (top, left) on."""
    (c, height, width), (h, w, _) = out.shape, image.shape
    above, below = _inside(height, top, h)
    start, stop = _inside(width, left, w)
    for i in range(above, below):
        for first in range(0, c, _BLOCK):
            for k in range(first, min(first + _BLOCK, c)):
                source = image[i, start:stop, k]
                target = out[k, i - top, start - left : stop - left]
                if add:
                    for j in range(source.size):
                        target[j] += source[j]
                else:
                    for j in range(source.size):
                        target[j] = source[j]
