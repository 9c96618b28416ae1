"""From a field and cameras to images."""

from dreampgc.render.marching import OccupancyGrid
from dreampgc.render.renderer import render, render_image
from dreampgc.render.room import Rooms
from dreampgc.render.shading import Shading, sample_lights

__all__ = ["OccupancyGrid", "Rooms", "Shading", "render", "render_image", "sample_lights"]
