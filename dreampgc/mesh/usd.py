"""USDZ, by the optional package usd-core: a mesh and its texture in one file, as Apple's viewers open it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from dreampgc.errors import MissingError
from dreampgc.mesh.gltf import ROUGHNESS, linear_colors
from dreampgc.mesh.texture import encode_png
from dreampgc.mesh.topology import normals_of
from dreampgc.types import Mesh

#: Seconds of 2 January 1980: an archive needs some date, and the same mesh shall give the same file.
LONG_AGO = 315_619_200


def require_usd() -> None:
    """Raise MissingError where usd-core is not installed."""
    if importlib.util.find_spec("pxr") is None:
        raise MissingError("writing usdz needs the extra `usd`: pip install 'dreampgc[usd]'")


def usdz_bytes(mesh: Mesh) -> bytes:
    """The file of ``mesh``: metres, +y up, with normals, and its texture or, where there is none, vertex colours.

    Raises:
        MissingError: usd-core is not installed.
    """
    require_usd()
    sdf = _pxr("Sdf")
    with tempfile.TemporaryDirectory() as folder:
        parts = [Path(folder) / "mesh.usdc"]
        if mesh.texture is not None:
            parts.append(Path(folder) / "texture.png")
            parts[1].write_bytes(encode_png(mesh.texture.image))
        _write_stage(mesh, parts[0])
        package = Path(folder) / "package.usdz"
        # The archive's first file is the one that viewers open.
        with sdf.ZipFileWriter.CreateNew(str(package)) as archive:
            for part in parts:
                os.utime(part, (LONG_AGO, LONG_AGO))
                archive.AddFile(str(part), part.name)
        return package.read_bytes()


def _pxr(name: str) -> Any:
    """A module of usd-core, which comes without type information."""
    return importlib.import_module(f"pxr.{name}")


def _write_stage(mesh: Mesh, path: Path) -> None:
    """The scene that holds ``mesh``; its texture lies beside it as ``texture.png``."""
    usd, geometry, shade = (_pxr(name) for name in ("Usd", "UsdGeom", "UsdShade"))
    stage = usd.Stage.CreateNew(str(path))
    geometry.SetStageUpAxis(stage, geometry.Tokens.y)
    geometry.SetStageMetersPerUnit(stage, 1.0)
    root = geometry.Xform.Define(stage, "/object")
    stage.SetDefaultPrim(root.GetPrim())
    shape = geometry.Mesh.Define(stage, "/object/mesh")
    _fill(shape, mesh)
    material = _material(stage, textured=mesh.texture is not None)
    shade.MaterialBindingAPI.Apply(shape.GetPrim()).Bind(material)
    stage.GetRootLayer().Save()


def _fill(shape: Any, mesh: Mesh) -> None:
    """Give the geometry ``mesh``'s points, faces, normals, and texture coordinates or colours."""
    sdf, geometry, vt = (_pxr(name) for name in ("Sdf", "UsdGeom", "Vt"))
    shape.CreateSubdivisionSchemeAttr(geometry.Tokens.none)
    shape.CreatePointsAttr(vt.Vec3fArray.FromNumpy(mesh.vertices))
    shape.CreateFaceVertexCountsAttr(vt.IntArray.FromNumpy(np.full(len(mesh.faces), 3, np.int32)))
    shape.CreateFaceVertexIndicesAttr(vt.IntArray.FromNumpy(mesh.faces.astype(np.int32).ravel()))
    shape.CreateNormalsAttr(vt.Vec3fArray.FromNumpy(normals_of(mesh)))
    shape.SetNormalsInterpolation(geometry.Tokens.vertex)
    bounds = np.stack([mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)])
    shape.CreateExtentAttr(vt.Vec3fArray.FromNumpy(bounds))
    primvars = geometry.PrimvarsAPI(shape)
    if mesh.texture is not None:
        # USD's v points up. Its coordinates belong to corners, so that seams leave the points whole.
        u, v = mesh.texture.coordinates.T
        upward = np.stack([u, 1 - v], axis=1)
        st = primvars.CreatePrimvar("st", sdf.ValueTypeNames.TexCoord2fArray, geometry.Tokens.faceVarying)
        st.Set(vt.Vec2fArray.FromNumpy(upward))
        st.SetIndices(vt.IntArray.FromNumpy(mesh.texture.corners.astype(np.int32).ravel()))
    elif mesh.colors is not None:
        color = primvars.CreatePrimvar("displayColor", sdf.ValueTypeNames.Color3fArray, geometry.Tokens.vertex)
        color.Set(vt.Vec3fArray.FromNumpy(linear_colors(mesh.colors).astype(np.float32)))


def _material(stage: Any, textured: bool) -> Any:
    """A rough dielectric whose colour is ``texture.png`` or the points' own."""
    sdf, shade = (_pxr(name) for name in ("Sdf", "UsdShade"))
    types = sdf.ValueTypeNames
    material = shade.Material.Define(stage, "/object/material")

    def shader(name: str, kind: str) -> Any:
        made = shade.Shader.Define(stage, f"/object/material/{name}")
        made.CreateIdAttr(kind)
        return made

    surface = shader("surface", "UsdPreviewSurface")
    surface.CreateInput("roughness", types.Float).Set(ROUGHNESS)
    surface.CreateInput("metallic", types.Float).Set(0.0)
    diffuse = surface.CreateInput("diffuseColor", types.Color3f)
    if textured:
        place = shader("coordinates", "UsdPrimvarReader_float2")
        place.CreateInput("varname", types.String).Set("st")
        image = shader("texture", "UsdUVTexture")
        image.CreateInput("file", types.Asset).Set(sdf.AssetPath("texture.png"))
        image.CreateInput("sourceColorSpace", types.Token).Set("sRGB")
        image.CreateInput("wrapS", types.Token).Set("clamp")
        image.CreateInput("wrapT", types.Token).Set("clamp")
        image.CreateInput("st", types.Float2).ConnectToSource(place.CreateOutput("result", types.Float2))
        diffuse.ConnectToSource(image.CreateOutput("rgb", types.Float3))
    else:
        color = shader("colour", "UsdPrimvarReader_float3")
        color.CreateInput("varname", types.String).Set("displayColor")
        color.CreateInput("fallback", types.Float3).Set((0.57, 0.57, 0.57))
        diffuse.ConnectToSource(color.CreateOutput("result", types.Float3))
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", types.Token))
    return material
