#!/usr/bin/env python3
"""Train the embedded prior of views: pairs of views of procedural objects → latents of a finished VAE → Zero123.

    python scripts/train_mini_zero123.py                  # on a GPU
    python scripts/train_mini_zero123.py --smoke          # tiny, on a CPU: does every part run?

Interrupted, it goes on where its last checkpoint (in ``--work``) was. Everything is drawn from ``--seed``. On several
GPUs, ``--only data-0`` and ``--only data-1`` render the halves of the pictures side by side.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import evaluate_views  # noqa: E402
from mini_prior.autoencoder import encode_over_white  # noqa: E402
from mini_prior.data import Dataset  # noqa: E402
from mini_prior.export_views import export_views, write_view_card  # noqa: E402
from mini_prior.novel_views import Pairs, ViewDenoiser, held_out_view_loss, train_views  # noqa: E402
from mini_prior.session import HALVES, Session, make_parser  # noqa: E402

from dreampgc.priors.catalog import MINI_DIRECTORY  # noqa: E402
from dreampgc.priors.zero123 import Zero123Prior  # noqa: E402


def parse_arguments() -> argparse.Namespace:
    """The recipe's numbers; what the shipped weights were made with stands in their figures.json (fewer steps)."""
    parser = make_parser(__doc__, output="build/mini-zero123")
    parser.set_defaults(views=4, distance=evaluate_views.DISTANCE, fov=evaluate_views.FOV)
    parser.add_argument("--only", choices=HALVES, help="stop after this part")
    parser.add_argument("--vae", type=Path, metavar="DIR", default=MINI_DIRECTORY, help="a finished prior: its VAE")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--channels", type=int, nargs=3, default=(80, 112, 144), help="of the UNet's three levels")
    parser.add_argument("--objects", type=int, default=64, help="held-out objects whose novel views are measured")
    arguments = parser.parse_args()
    if arguments.views < 2:
        parser.error("--views must be 2 or more: it learns from pairs of views")
    if arguments.smoke:
        small = {"size": 32, "images": 8, "shapes": 1, "steps": 2, "batch": 4, "channels": (32, 32, 32)}
        vars(arguments).update(small, objects=2, save_every=1, sample_steps=1)
    return arguments


def main() -> None:
    """Run the four parts: pictures, latents, networks, novel views."""
    arguments = parse_arguments()
    session = Session(arguments)
    device = session.device
    halves = [name for name in HALVES if arguments.only in (None, name)]
    data = Dataset.joined([session.pictures(name) for name in halves])
    session.say("data", images=len(data))
    if arguments.only:
        return
    vae = session.finished_vae(arguments.vae)
    scaling = vae.config["scaling_factor"]
    parts = (data, session.pictures("held-out"))
    pairs, unseen = (Pairs(part, encode_over_white(vae, part), scaling) for part in parts)
    session.say("latents")
    model = ViewDenoiser(arguments.size, tuple(arguments.channels), scaling).to(device)
    model.unet.to(memory_format=torch.channels_last)
    trainer = session.trainer("-".join(["views", *map(str, arguments.channels)]), arguments.steps, arguments.rate)
    train_views(model, pairs, trainer, batch=arguments.batch)
    loss = held_out_view_loss(model.eval(), unseen, batch=min(256, arguments.batch))
    session.say("views", held_out_loss=round(loss, 5))

    export_views(arguments.output, model, arguments.size)
    # What is measured is what was written.
    prior = Zero123Prior.load(arguments.output, device, torch.float32, vae=arguments.vae)
    trial_data = evaluate_views.render_trial(arguments.objects, 4, arguments.size, device)
    trial = evaluate_views.run_trial(prior, trial_data, steps=arguments.sample_steps)
    evaluate_views.save_sheet(trial, arguments.output / "samples.webp")
    measured = evaluate_views.figures(trial)
    figures = {
        "held_out_noise_MSE": round(loss, 5),
        "UNet_parameters": sum(p.numel() for p in model.unet.parameters()),
        "image_encoder_parameters": sum(p.numel() for p in model.image_encoder.parameters()),
        "projection_parameters": sum(p.numel() for p in model.projection.parameters()),
        "training_pictures": len(data),
        "views_of_an_object": data.views,
        "steps": arguments.steps,
        "batch": arguments.batch,
        "measured_objects": arguments.objects,
        "seconds": round(session.seconds),
        "device": session.device_name,
    }
    write_view_card(arguments.output, figures, measured, arguments.size)
    session.say("done", PSNR=measured["samples"]["PSNR_dB"], mask_IoU=measured["samples"]["mask_IoU"])


if __name__ == "__main__":
    main()
