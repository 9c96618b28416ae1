"""The CLIP text encoders of a prior: one (SD 1 and 2) or two (SDXL), in memory only while there is text to encode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dreampgc.priors.base import TextCondition


class TextEncoders:
    """Turns texts into conditions; each list of texts is computed once.

    ``read`` gives pairs of a tokenizer and a frozen CLIP encoder. One of them gives its last hidden states. Of two
    (SDXL), the hidden states before the last layer are concatenated, and the second's projection is the pooled
    embedding. ``silent_empty``: the empty text is all zeros, as SDXL was trained.
    """

    def __init__(self, read: Callable[[], Sequence[tuple[Any, Any]]], *, silent_empty: bool = False) -> None:
        self._read = read
        self._silent_empty = silent_empty
        self._known: dict[tuple[str, ...], TextCondition] = {}
        self.encoders: Sequence[tuple[Any, Any]] = read()

    def release(self) -> None:
        """Free the encoders' memory; `encode` reads them again for texts that it does not know."""
        self.encoders = ()

    def encode(self, texts: Sequence[str]) -> TextCondition:
        """One condition for each text, float32; what is longer than the encoder's length is cut off."""
        distinct = tuple(dict.fromkeys(texts))
        if distinct not in self._known:
            self.encoders = self.encoders or self._read()
            self._known[distinct] = self._embed(list(distinct))
        rows = [distinct.index(text) for text in texts]
        return self._known[distinct].map(lambda x: x[rows])

    @torch.no_grad()
    def _embed(self, texts: list[str]) -> TextCondition:
        if len(self.encoders) == 1:
            return TextCondition(_run(*self.encoders[0], texts).last_hidden_state.float())
        outputs = [_run(*encoder, texts, output_hidden_states=True) for encoder in self.encoders]
        tokens = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        condition = TextCondition(tokens.float(), outputs[-1].text_embeds.float())
        return condition.map(lambda x: _silenced(x, texts)) if self._silent_empty else condition


def _run(tokenizer: Any, encoder: Any, texts: list[str], **options: Any) -> Any:
    length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    tokens = tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    return encoder(tokens.input_ids.to(encoder.device), **options)


def _silenced(embeddings: Tensor, texts: list[str]) -> Tensor:
    """``embeddings`` ``[N,...]`` with zeros for the texts that say nothing."""
    empty = torch.tensor([not text.strip() for text in texts], device=embeddings.device)
    return embeddings.masked_fill(empty.view(-1, *[1] * (embeddings.ndim - 1)), 0.0)
