"""Fields: functions of position that a renderer can draw and an optimiser can train."""

from dreampgc.field.encoding import HashGrid
from dreampgc.field.ngp import Background, InstantNGP

__all__ = ["Background", "HashGrid", "InstantNGP"]
