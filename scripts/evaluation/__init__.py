"""The parts of ``scripts/evaluate.py``: runs, measurements of one run, and the report."""
