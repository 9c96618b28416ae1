"""The parts of ``scripts/evaluate.py`` and ``evaluate_images.py``: runs, their measurements, and reports."""
