"""The one part of Zero123 that diffusers does not know."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

#: The numbers that tell a pose.
POSE_FEATURES = 4


class CLIPCameraProjection(ModelMixin, ConfigMixin):
    """A picture's CLIP embedding and a pose, ``[...,E+4]``, to one token ``[...,E]``: a linear layer."""

    @register_to_config
    def __init__(self, embedding_dim: int = 768, additional_embeddings: int = POSE_FEATURES) -> None:
        super().__init__()
        self.proj = torch.nn.Linear(embedding_dim + additional_embeddings, embedding_dim)

    def forward(self, embedding: Tensor) -> Tensor:
        """The token."""
        return self.proj(embedding)
