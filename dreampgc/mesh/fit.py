"""A texture fitted to pictures: what many views of a field show becomes what the mesh shows from there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import lsqr

from dreampgc.types import Texture

#: How much a texel resists: about as much as this share of one look-up that falls right on it.
_RESISTANCE = 0.3
_ITERATIONS = 24


def fitted_texture(texture: Texture, places: NDArray[np.float32], colours: NDArray[np.float32]) -> Texture:
    """The texture near ``texture`` whose bilinear look-ups at ``places`` come nearest to ``colours``.

    ``places`` ``[P,2]`` are texture coordinates in [0,1], ``colours`` ``[P,3]`` the sRGB colours that were seen there.
    Minimises ``||A(t + d) - c||² + r² ||d||²`` over changes ``d`` of the texels ``t`` by LSQR (Paige, Saunders 1982),
    ``A`` being the look-ups. Texels that no place touches stay as they are.
    """
    size = len(texture.image)
    base = texture.image.reshape(-1, 3) / 255
    lookups = _bilinear(places, size)
    missing = colours - lookups @ base
    changes = [lsqr(lookups, missing[:, k], damp=_RESISTANCE, iter_lim=_ITERATIONS)[0] for k in range(3)]
    image = (base + np.stack(changes, axis=1)).clip(0, 1).reshape(texture.image.shape)
    return replace(texture, image=(image * 255).round().astype(np.uint8))


def _bilinear(places: NDArray[np.float32], size: int) -> csr_matrix:
    """The matrix ``[P, size*size]`` of bilinear look-ups into a flattened image, repeated beyond its edges."""
    at = places.astype(np.float64) * size - 0.5
    first = np.floor(at)
    offsets = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    corners = (first[:, None] + offsets).clip(0, size - 1).astype(np.int64)
    shares = np.abs(1 - offsets - (at - first)[:, None]).prod(axis=2)
    rows = np.repeat(np.arange(len(places)), 4)
    columns = corners[..., 1] * size + corners[..., 0]
    return csr_matrix((shares.ravel(), (rows, columns.ravel())), shape=(len(places), size * size))
