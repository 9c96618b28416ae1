"""The parts of ``scripts/train_mini_prior.py``: data, autoencoder, denoiser, and the Stable-Diffusion layout."""
