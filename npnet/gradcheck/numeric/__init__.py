"""The numbers: derivatives by differences with error bars, kinks, rounding, and where to look."""
