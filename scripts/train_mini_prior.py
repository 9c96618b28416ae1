#!/usr/bin/env python3
"""Train the embedded prior: pictures of the procedural world → VAE → UNet and text encoder → Stable Diffusion's layout.

    python scripts/train_mini_prior.py                    # on a GPU; 23 minutes on an H100
    python scripts/train_mini_prior.py --smoke            # tiny, on a CPU: does every part run?

Interrupted, it goes on where its last checkpoint (in ``--work``) was. Everything is drawn from ``--seed``. On several
GPUs, ``--only data-0`` and ``--only data-1`` render the halves of the pictures side by side, and after ``--only vae``
UNets of several sizes (``--channels``) can be trained at once. With ``--vae`` a finished VAE is taken as it is, and
with ``--work``, ``--views``, ``--distance`` and ``--fov`` of ``train_mini_zero123.py`` the pictures that it made.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from mini_prior.autoencoder import encode_dataset, held_out_psnr, make_autoencoder, train_autoencoder  # noqa: E402
from mini_prior.captions import Captions  # noqa: E402
from mini_prior.data import Dataset  # noqa: E402
from mini_prior.denoiser import Denoiser, held_out_loss, train_denoiser  # noqa: E402
from mini_prior.export import export_prior, fit_map, sample_sheet, save_grid, write_card  # noqa: E402
from mini_prior.session import HALVES, Session, make_parser  # noqa: E402
from mini_prior.tokenizer import make_tokenizer  # noqa: E402


def parse_arguments() -> argparse.Namespace:
    """The recipe's numbers; the defaults made the weights that dreampgc ships."""
    parser = make_parser(__doc__, output="build/mini")
    parser.add_argument("--only", choices=(*HALVES, "vae"), help="stop after this part")
    parser.add_argument("--vae", type=Path, metavar="DIR", help="a finished prior whose VAE to take, not to train one")
    parser.add_argument("--vae-steps", type=int, default=11_000)
    parser.add_argument("--vae-batch", type=int, default=64)
    parser.add_argument("--vae-rate", type=float, default=1e-3)
    parser.add_argument("--unet-steps", type=int, default=14_000)
    parser.add_argument("--unet-batch", type=int, default=512)
    parser.add_argument("--unet-rate", type=float, default=8e-4)
    parser.add_argument("--channels", type=int, nargs=3, default=(96, 128, 176), help="of the UNet's three levels")
    arguments = parser.parse_args()
    if arguments.smoke:
        small = {"size": 32, "images": 2, "shapes": 1, "vae_steps": 2, "vae_batch": 2, "unet_steps": 1, "unet_batch": 2}
        vars(arguments).update(small, channels=(32, 32, 32), save_every=1, sample_steps=1)
    return arguments


def main() -> None:
    """Run the four parts."""
    arguments = parse_arguments()
    session = Session(arguments)
    device, say = session.device, session.say

    halves = [name for name in HALVES if arguments.only in (None, "vae", name)]
    data = Dataset.joined([session.pictures(name) for name in halves])
    say("data", images=len(data))
    if arguments.only in halves:
        return
    held_out = session.pictures("held-out")

    if arguments.vae:
        vae = session.finished_vae(arguments.vae)
    else:
        vae = make_autoencoder(arguments.size).to(device, memory_format=torch.channels_last)
        steps = session.trainer("vae", arguments.vae_steps, arguments.vae_rate)
        train_autoencoder(vae, data, steps, batch=arguments.vae_batch)
    psnr, rebuilt = held_out_psnr(vae, held_out)
    say("vae", held_out_psnr=round(psnr, 2))
    if arguments.only == "vae":
        return
    latents = encode_dataset(vae, data, torch.Generator(device).manual_seed(arguments.seed))
    if not arguments.vae:
        vae.register_to_config(scaling_factor=round(1 / latents.float().std().item(), 5))
    scaling = vae.config["scaling_factor"]
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = make_tokenizer(Path(folder))
        model = Denoiser(tokenizer, arguments.size // 8, tuple(arguments.channels)).to(device)
        model.unet.to(memory_format=torch.channels_last)
        captions = Captions(tokenizer, data)
        name = "-".join(["unet", *map(str, arguments.channels)])
        steps = session.trainer(name, arguments.unet_steps, arguments.unet_rate)
        train_denoiser(model, captions, (latents * scaling).half(), steps, batch=arguments.unet_batch)
        unseen = encode_dataset(vae, held_out, torch.Generator(device).manual_seed(arguments.seed))
        few = min(256, arguments.unet_batch)
        loss = held_out_loss(model, Captions(tokenizer, held_out), (unseen * scaling).half(), batch=few)
        say("unet", held_out_loss=round(loss, 5))
        export_prior(arguments.output, vae, model, tokenizer)
    fit_map(vae, data).save(arguments.output)
    save_grid(rebuilt, arguments.output / "reconstructions.webp", 12)
    sheet = sample_sheet(vae, model, tokenizer, arguments.size // 8, steps=arguments.sample_steps)
    save_grid(sheet, arguments.output / "samples.webp", 16)
    figures = {
        "held_out_VAE_PSNR_dB": round(psnr, 2),
        "held_out_noise_MSE": round(loss, 5),
        "latent_scaling_factor": round(scaling, 4),
        "VAE_parameters": sum(p.numel() for p in vae.parameters()),
        "UNet_parameters": sum(p.numel() for p in model.unet.parameters()),
        "text_encoder_parameters": sum(p.numel() for p in model.text_encoder.parameters()),
        "training_pictures": len(data),
        "VAE_steps": 0 if arguments.vae else arguments.vae_steps,
        "UNet_steps": arguments.unet_steps,
        "seconds": round(session.seconds),
        "device": session.device_name,
    }
    write_card(arguments.output, figures, data)
    say("done")


if __name__ == "__main__":
    main()
