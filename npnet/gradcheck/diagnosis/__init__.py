"""From wrong numbers to what is probably wrong in the code."""
