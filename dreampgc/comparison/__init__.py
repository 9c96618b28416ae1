"""The paper's Figure 2 on any prior: methods and thresholds side by side, each in a run folder of its own.

Vocabulary: a *variant* is one run of a comparison, a *space* is where it trains: ``2d``, an image optimised
directly, or ``3d``, a field. A *result* is what a variant's run folder holds in the end.

    plan: which variants ─► work: train each ─► results: read the folders ─► figure, page, record: draw and write
"""
