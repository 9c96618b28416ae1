"""How good a mesh is, measured against the ground truth of the procedural world, without any prior."""
