"""Priors: frozen diffusion models that say how a render should change."""
