"""dreampgc: text-to-3D and image-to-3D by score distillation with pixel-wise gradient clipping."""

__version__ = "0.1.0"
