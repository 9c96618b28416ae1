"""What the appearance metrics look at: fixed views, and ground truth seen from them in any paint and light.

Both sides are a `RenderOutput` over white: of a run's mesh, `render_mesh(mesh, evaluation_views(), ...,
shading="albedo")`; of ground truth, `Subject.pictures`. Meshes carry albedo × soft shade in their vertex colours,
so that the two compare as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.cameras import Views, fixed_views
from dreampgc.types import RenderOutput
from dreampgc.world import render, textures
from dreampgc.world import scene as scenes
from dreampgc.world.objects import Caption
from dreampgc.world.paints import COLOURS
from dreampgc.world.render import Light, random_lights, studio_light, trace_world
from dreampgc.world.scene import Item, Pair, Scene, Worn, albedo, make_scene, sculpt, signed_distance

#: Side of the pictures in pixels, where the caller asks for nothing else.
SIZE = 64
#: Where the object's front, left, back and right (azimuth 0, 90, 180, 270) are among `evaluation_views`.
QUARTERS = (0, 2, 4, 6)
#: Linear sRGB to XYZ (IEC 61966-2-1), each row divided by its sum: white becomes (1, 1, 1).
TO_XYZ = functional.normalize(
    torch.tensor(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    ),
    p=1.0,
)


def evaluation_views() -> Views:
    """Ten cameras: eight around the object, a little above its horizon, and two from high above, front and back."""
    around = fixed_views([45.0 * k for k in range(8)], elevation=15.0)
    above = fixed_views([30.0, 210.0], elevation=60.0)
    pairs = zip(vars(around).values(), vars(above).values(), strict=True)
    return Views(*(torch.cat(pair) for pair in pairs))


def item_of(caption: Caption, seed: int) -> Item | Pair:
    """Object number ``seed`` of the caption's class (on its base), red wherever the caption names no attribute."""
    upper = (caption.name, caption.attribute or "red", seed)
    if caption.base is None:
        return upper
    return upper, (caption.base.name, caption.base.attribute or "red", seed)


class Subject:
    """One ground-truth object (or pair) as ``views`` see it, traced once, to be painted and lit at will.

    With ``doubled`` its front half is mirrored to its back, so that it has two fronts: a Janus on purpose.
    """

    def __init__(self, item: Item | Pair, views: Views, size: int = SIZE, *, doubled: bool = False) -> None:
        self.scene, self.size, self.doubled = make_scene([item]), size, doubled
        copies = self.scene[torch.zeros(len(views), dtype=torch.long)]
        distance = _doubled_distance if doubled else signed_distance
        self.surface = trace_world(copies, views, size, steps=32, distance=distance)

    def pictures(self, worn: Worn | None = None, light: Light | None = None) -> RenderOutput:
        """The views of the object wearing ``worn``, over white; by default as it was made, in the studio's light."""
        hit = self.surface.hit
        points = self.surface.points[hit][None]
        scene = self.scene.wearing([worn]) if worn else self.scene
        colour = torch.ones_like(self.surface.points)
        colour[hit] = albedo(scene, _folded(points) if self.doubled else points)[0]
        lit = self.surface.lit(colour, light or studio_light(len(hit)))
        planes = (torch.where(hit[..., None], lit, 1.0), hit[..., None].float(), (self.surface.depth * hit)[..., None])
        image, mask, depth = (p.reshape(len(p), self.size, self.size, -1).permute(0, 3, 1, 2) for p in planes)
        return RenderOutput(image, mask, depth, normals=None, extras={})


def one_light(seed: int, count: int) -> Light:
    """The random light number ``seed``, the same in ``count`` views."""
    light = random_lights(1, torch.Generator().manual_seed(seed))
    return Light(light.direction.expand(count, 3), light.strength.expand(count))


def _folded(points: Tensor) -> Tensor:
    return torch.cat([points[..., :2], points[..., 2:].abs()], dim=-1)


def _doubled_distance(scene: Scene, points: Tensor) -> Tensor:
    return signed_distance(scene, _folded(points))


def solid_pixels(pictures: RenderOutput) -> Tensor:
    """Which pixels show the object, float ``[V,1,H,W]`` of 0 and 1.

    Raises:
        ValueError: none does.
    """
    mask = (pictures.opacity > 0.5).float()
    if not mask.any():
        raise ValueError("the pictures show no object")
    return mask


def lab_colours(pictures: RenderOutput) -> Tensor:
    """The object's colours without the white behind it, in CIELAB ``[V,3,H,W]``; meaningless where it is not."""
    opacity = pictures.opacity.clamp_min(0.5)
    rgb = ((pictures.image - (1 - opacity)) / opacity).clamp(0, 1)
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("ij,vjhw->vihw", TO_XYZ, linear)
    x, y, z = torch.where(xyz > 0.008856, xyz.clamp_min(0.008) ** (1 / 3), 7.787 * xyz + 16 / 116).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def blurred(values: Tensor, mask: Tensor, width: int) -> Tensor:
    """The mean of ``values`` ``[V,C,H,W]`` over the pixels of ``mask`` ``[V,1,H,W]`` in a square of ``width``."""
    mean = _box_mean(torch.cat([values * mask, mask], dim=1), width)
    return mean[:, :-1] / mean[:, -1:].clamp_min(1e-6)


def _box_mean(values: Tensor, width: int) -> Tensor:
    """The mean over a square, zeros beyond the border: rows first, then columns, which is much the faster."""
    rows = functional.avg_pool2d(values, (1, width), stride=1, padding=(0, width // 2))
    return functional.avg_pool2d(rows, (width, 1), stride=1, padding=(width // 2, 0))


def softened(pictures: RenderOutput, times: int) -> RenderOutput:
    """The pictures with the object's colours blurred ``times`` times over 3 × 3 pixels, within its outline."""
    mask, image = solid_pixels(pictures), pictures.image
    for _ in range(times):
        image = blurred(image, mask, 3)
    return RenderOutput(image * mask + 1 - mask, mask, pictures.depth, pictures.normals, {})


def psnr(images: Tensor, truths: Tensor) -> Tensor:
    """The PSNR ``[N]`` in dB of pictures ``[N,3,H,W]`` in [0,1]; at most 100, that of equal ones."""
    return -10 * (images - truths).square().mean(dim=(1, 2, 3)).clamp_min(1e-10).log10()


def mask_iou(masks: Tensor, truths: Tensor) -> Tensor:
    """How masks ``[N,...]`` of bools overlap, ``[N]``: what both hold as a share of what either does; 0 of nothing."""
    both, either = ((masks & truths).flatten(1).sum(dim=1), (masks | truths).flatten(1).sum(dim=1))
    return both / either.clamp_min(1)


def fingerprint(items: Sequence[Item | Pair], settings: object) -> object:
    """What pictures of ``items`` depend on: their parts, ``settings``, and the code that paints and lights them."""
    code = [Path(str(module.__file__)).read_bytes() for module in (render, scenes, textures)]
    return settings, COLOURS, [sculpt(item) for item in items], items, code
