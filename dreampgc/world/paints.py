"""The paints of the procedural world: attributes that an object can be asked for in, and fixed colours of parts."""

from __future__ import annotations

from dreampgc.world.sculpture import Vector

COLOURS: dict[str, Vector] = {
    "red": (0.82, 0.10, 0.10),
    "orange": (0.95, 0.48, 0.08),
    "yellow": (0.96, 0.86, 0.12),
    "green": (0.13, 0.58, 0.18),
    "blue": (0.12, 0.25, 0.85),
    "purple": (0.46, 0.14, 0.62),
    "pink": (0.95, 0.52, 0.68),
    "white": (0.93, 0.93, 0.93),
    "black": (0.10, 0.10, 0.11),
    "gray": (0.50, 0.50, 0.52),
    "brown": (0.42, 0.26, 0.14),
    "turquoise": (0.10, 0.76, 0.72),
}
#: The materials, in the order of `scene.textures`.
MATERIALS = ("wooden", "stone", "golden", "brick", "marble", "knitted", "metal", "checkered")
ATTRIBUTES = (*COLOURS, *MATERIALS)

# Fixed colours of parts.
TIRE, GLASS, LIGHT, METAL = (0.09, 0.09, 0.10), (0.55, 0.76, 0.90), (0.98, 0.94, 0.62), (0.62, 0.64, 0.67)
RED, ORANGE, BARK = (0.80, 0.14, 0.12), (0.94, 0.50, 0.10), (0.38, 0.24, 0.13)
INK, SNOW, CREAM, DOOR = (0.06, 0.06, 0.07), (0.96, 0.96, 0.96), (0.92, 0.86, 0.72), (0.30, 0.18, 0.10)
