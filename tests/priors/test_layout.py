"""Which files of a model are read and which are fetched: names only, no weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dreampgc.priors.layout import PartError, choose_files, defects, find_weights, parts_of

#: Names in the hub's repository of SDXL, as far as they matter here: two precisions, pickles, other frameworks.
SDXL = """
.gitattributes LICENSE.md README.md model_index.json pipeline.png sd_xl_base_1.0.safetensors
scheduler/scheduler_config.json
text_encoder/config.json text_encoder/flax_model.msgpack text_encoder/model.fp16.safetensors
text_encoder/model.onnx text_encoder/model.safetensors text_encoder/openvino_model.xml
text_encoder_2/config.json text_encoder_2/model.fp16.safetensors text_encoder_2/model.safetensors
text_encoder_2/pytorch_model.bin
tokenizer/merges.txt tokenizer/special_tokens_map.json tokenizer/tokenizer_config.json tokenizer/vocab.json
tokenizer_2/merges.txt tokenizer_2/special_tokens_map.json tokenizer_2/tokenizer_config.json tokenizer_2/vocab.json
unet/config.json unet/diffusion_flax_model.msgpack unet/diffusion_pytorch_model.fp16.safetensors
unet/diffusion_pytorch_model.safetensors unet/model.onnx_data
vae/config.json vae/diffusion_pytorch_model.fp16.safetensors vae/diffusion_pytorch_model.safetensors
vae_1_0/config.json vae_1_0/diffusion_pytorch_model.safetensors vae_decoder/config.json
"""


def touch(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("{}")
    return directory


def test_one_precision_is_fetched_and_nothing_but_what_is_read(tmp_path: Path) -> None:
    chosen = choose_files(SDXL.split())
    weights = [name for name in chosen if name.endswith("safetensors")]
    assert weights == [
        "text_encoder/model.fp16.safetensors",
        "text_encoder_2/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ]
    rest = {name for name in chosen if name not in weights}
    assert {"model_index.json", "tokenizer_2/special_tokens_map.json", "scheduler/scheduler_config.json"} <= rest
    assert all(name.endswith((".json", ".txt")) and not name.startswith(("vae_", "sd_")) for name in rest)
    assert defects(touch(tmp_path, *chosen)) == []


def test_full_precision_is_fetched_where_there_is_no_half() -> None:
    names = [name for name in SDXL.split() if name != "vae/diffusion_pytorch_model.fp16.safetensors"]
    chosen = choose_files([*names, "unet/diffusion_pytorch_model.non_ema.safetensors"])
    assert "vae/diffusion_pytorch_model.safetensors" in chosen
    assert "unet/diffusion_pytorch_model.non_ema.safetensors" not in chosen


@pytest.mark.parametrize(
    ("half", "index"),
    [
        ("diffusion_pytorch_model.fp16-0000{}-of-00002.safetensors", "safetensors.index.fp16.json"),
        ("diffusion_pytorch_model-0000{}-of-00002.fp16.safetensors", "safetensors.index.fp16.json"),
    ],
)
def test_shards_are_fetched_with_their_index(half: str, index: str) -> None:
    shards = [f"unet/{half.format(number)}" for number in (1, 2)]
    full = [f"unet/diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    indices = [f"unet/diffusion_pytorch_model.{end}" for end in (index, "safetensors.index.json")]
    assert choose_files([*shards, *full, *indices]) == sorted([indices[0], *shards])
    assert choose_files([*full, indices[1]]) == sorted([indices[1], *full])


def test_a_repository_of_pickles_is_not_fetched() -> None:
    with pytest.raises(PartError, match="unet has no weights in safetensors"):
        choose_files(["unet/config.json", "unet/diffusion_pytorch_model.bin"])


def write_index(folder: Path, *shards: str) -> None:
    index = {"metadata": {}, "weight_map": {f"weight{number}": shard for number, shard in enumerate(shards)}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


def test_whole_weights_come_before_shards_and_full_precision_before_half(tmp_path: Path) -> None:
    folder = tmp_path / "unet"
    touch(tmp_path, "unet/diffusion_pytorch_model.fp16.safetensors")
    assert find_weights(tmp_path, "unet").variant == "fp16"
    touch(folder, "a.safetensors", "b.safetensors")
    write_index(folder, "b.safetensors", "a.safetensors", "a.safetensors")
    sharded = find_weights(tmp_path, "unet")
    assert (sharded.variant, [file.name for file in sharded.files]) == (None, ["a.safetensors", "b.safetensors"])
    touch(tmp_path, "unet/diffusion_pytorch_model.safetensors")
    assert len(find_weights(tmp_path, "unet").files) == 1


@pytest.mark.parametrize(
    ("shards", "says"),
    [
        (["a.safetensors", "lost.safetensors"], r"lacks lost\.safetensors, which .*index\.json names"),
        (["a.safetensors", "evil.bin"], r"names a file that is no safetensors in .*: evil\.bin"),
    ],
)
def test_an_index_names_nothing_but_safetensors_that_are_there(tmp_path: Path, shards: list[str], says: str) -> None:
    touch(tmp_path, "unet/a.safetensors", "unet/evil.bin")
    write_index(tmp_path / "unet", *shards)
    with pytest.raises(PartError, match=says):
        find_weights(tmp_path, "unet")


def test_the_unet_says_whether_there_is_a_second_text_encoder(tmp_path: Path) -> None:
    touch(tmp_path, "unet/config.json")
    assert "text_encoder_2" not in parts_of(tmp_path)
    (tmp_path / "unet/config.json").write_text('{"addition_embed_type": "text_time"}')
    assert {"text_encoder_2", "tokenizer_2"} <= set(parts_of(tmp_path))


def test_either_way_to_store_a_tokenizer_will_do(tmp_path: Path) -> None:
    def says() -> bool:
        return any("tokenizer" in sentence for sentence in defects(tmp_path))

    touch(tmp_path, "unet/config.json", "tokenizer/vocab.json")
    assert says()
    touch(tmp_path, "tokenizer/merges.txt")
    assert not says()
    touch(tmp_path, "tokenizer/tokenizer.json")
    (tmp_path / "tokenizer/vocab.json").unlink()
    assert not says()


def test_a_folder_of_something_else_is_one_sentence(tmp_path: Path) -> None:
    assert defects(touch(tmp_path, "notes.txt")) == [
        "it has none of the folders unet, vae, text_encoder, tokenizer, scheduler"
    ]


def test_files_are_looked_at_without_torch() -> None:
    code = "import sys, dreampgc.priors.layout; sys.exit(bool({'torch', 'safetensors'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
