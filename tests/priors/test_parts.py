"""Property: the parts of the real models fit together, by the numbers of their published configurations."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dreampgc.priors.parts import misfits

WORDS = 49408


def facts(unet: dict[str, Any], *widths: int, prediction: str = "epsilon") -> dict[str, Any]:
    """What `misfits` compares, of a model with text encoders of these widths."""
    plain = {"in_channels": 4, "addition_embed_type": None, "class_embed_type": None, "encoder_hid_dim_type": None}
    found: dict[str, Any] = {
        "unet": SimpleNamespace(**(plain | unet)),
        "vae": SimpleNamespace(latent_channels=4),
        "scheduler": SimpleNamespace(prediction_type=prediction, num_train_timesteps=1000),
    }
    for suffix, width in zip(("", "_2"), widths, strict=False):
        found[f"text_encoder{suffix}"] = SimpleNamespace(hidden_size=width, projection_dim=width, vocab_size=WORDS)
        found[f"tokenizer{suffix}"] = WORDS
    return found


SDXL = {
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


@pytest.mark.parametrize(
    "model",
    [
        facts({"cross_attention_dim": 768}, 768),
        facts({"cross_attention_dim": 1024}, 1024),
        facts({"cross_attention_dim": 1024}, 1024, prediction="v_prediction"),
        facts(SDXL, 768, 1280),
    ],
    ids=["sd15", "sd21", "sd21-v", "sdxl"],
)
def test_the_real_models_fit(model: dict[str, Any]) -> None:
    assert misfits(model) == {}
    for part in model:  # what could not be read is no misfit of the others
        assert misfits({name: fact for name, fact in model.items() if name != part}) == {}


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (facts({"cross_attention_dim": 1024}, 768), "wants text of width 1024, but the text encoder gives 768"),
        (facts(SDXL | {"projection_class_embeddings_input_dim": 2560}, 768, 1280), "wants 2560 added numbers"),
        (facts({"cross_attention_dim": 768, "in_channels": 8}, 768), "takes 8 channels"),
        (facts({"cross_attention_dim": 1024, "class_embed_type": "timestep"}, 1024), "conditions other than a text"),
    ],
    ids=["encoder of SD 1 in SD 2", "SDXL's refiner", "Zero123", "upscaler"],
)
def test_models_of_another_purpose_do_not(model: dict[str, Any], says: str) -> None:
    found = misfits(model)
    assert list(found) == ["unet"]
    assert says in found["unet"]
