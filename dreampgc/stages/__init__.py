"""Stages: one file each, with its visible training loop."""
