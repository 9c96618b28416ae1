"""Guidance: from a prior's opinion of a render to the gradient of each pixel."""
