"""Hypothesis on shared machines: no deadline for single examples."""

from hypothesis import settings

settings.register_profile("dreampgc", deadline=None, max_examples=30)
settings.load_profile("dreampgc")
