"""Meshes: taken out of a field, made clean, written to files."""
