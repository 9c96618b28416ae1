"""The procedural world: objects with exact shape, colour, depth and normals, made from a name and a seed."""
