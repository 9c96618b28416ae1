"""The object recipes, one function a class. To add a class, write one of this shape and list it below:

    def snowman(s: Sculpture) -> None:
        s.ball((0, 0.0, 0), 0.45)
        s.ball((0, 0.6, 0), 0.3)
        s.cone((0, 0.6, 0.4), 0.06, 0.0, 0.12, rotation=(90, 0, 0), paint=ORANGE)

What has no ``paint`` takes the object's attribute. ``s.vary`` makes one seed's object differ from another's;
``s.carry`` says where another object can stand.
"""

from __future__ import annotations

from collections.abc import Callable

from dreampgc.world.recipes import animals, buildings, figures, furniture, kitchen, plants, things, vehicles
from dreampgc.world.sculpture import Sculpture

Recipe = Callable[[Sculpture], None]

CLASSES: dict[str, Recipe] = {
    function.__name__: function
    for function in (
        vehicles.car,
        furniture.chair,
        furniture.table,
        kitchen.mug,
        buildings.house,
        plants.tree,
        figures.snowman,
        vehicles.rocket,
        plants.mushroom,
        figures.robot,
        animals.dog,
        vehicles.airplane,
        vehicles.boat,
        furniture.lamp,
        buildings.castle,
        animals.duck,
        kitchen.teapot,
        plants.cactus,
        kitchen.cake,
        buildings.windmill,
        animals.cat,
        animals.rabbit,
        animals.pig,
        animals.elephant,
        animals.penguin,
        animals.turtle,
        animals.fish,
        vehicles.bus,
        vehicles.truck,
        vehicles.train,
        vehicles.helicopter,
        buildings.lighthouse,
        buildings.tent,
        buildings.church,
        furniture.bed,
        furniture.sofa,
        furniture.clock,
        furniture.barrel,
        plants.flower,
        plants.pineapple,
        plants.carrot,
        kitchen.hamburger,
        kitchen.icecream,
        things.hammer,
        things.guitar,
        things.crown,
    )
}
