"""The captions of the training pictures as tokens, put together on the device."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from dreampgc.priors.prompts import MINI, view_weights
from dreampgc.world.objects import Caption
from dreampgc.world.paints import ATTRIBUTES
from mini_prior.data import NAMES, NONE, Dataset

#: How a picture may be called: with all attributes, with the upper object's, with the base's, with none; how often.
FORMS = ((True, True), (True, False), (False, True), (False, False))
FORM_SHARES = (0.76, 0.08, 0.08, 0.08)
#: At most this many phrases share the condition of a view: two neighbours on the ring, and overhead.
MIXED = 3


class Captions:
    """Tokens of any caption of ``data``: one of four forms of its object, followed by a view phrase or by none.

    Every known word is one token, so a caption's tokens are those of the object and those of the view, one after the
    other.
    """

    def __init__(self, tokenizer: CLIPTokenizer, data: Dataset) -> None:
        device = data.rgba.device
        self.length = tokenizer.model_max_length
        unique, self.rows = torch.unique(data.objects, dim=0, return_inverse=True)
        texts = [str(make_caption(row, form)) for row in unique.tolist() for form in FORMS]
        words = [tokens[:-1] for tokens in tokenizer(texts).input_ids]  # the start token, no end token
        self.words = torch.tensor([w + [0] * (self.length - len(w)) for w in words], device=device)
        self.count = torch.tensor([len(w) for w in words], device=device)
        phrases = [*(f", {phrase}" for phrase in MINI.phrases), ""]
        ends = tokenizer(phrases, padding="max_length", max_length=self.length + 1, return_tensors="pt").input_ids
        self.ends = ends[:, 1:].to(device)  # the phrase, the end token, padding
        empty = tokenizer("", padding="max_length", max_length=self.length, return_tensors="pt").input_ids
        self.empty = empty[0].to(device)
        self.weights = view_weights(data.azimuth, data.elevation, MINI)
        self.form_edges = torch.tensor(FORM_SHARES, device=device).cumsum(0)[:-1]

    def draw(self, index: Tensor, dice: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens ``[B,MIXED,L]`` and their shares ``[B,MIXED]`` in the conditions of pictures ``index`` ``[B]``.

        ``dice`` ``[3,B]`` is uniform. 60 % are mixed over the view phrases as guidance mixes them, 25 % have the
        nearest phrase, 15 % no view; 10 % are empty.
        """
        shares, phrases = self.weights[index].topk(MIXED, dim=1)
        nearest = torch.zeros_like(shares)
        nearest[:, 0] = 1
        shares = torch.where(dice[0, :, None] < 0.6, shares, nearest)
        phrases = torch.where(dice[0, :, None] < 0.85, phrases, len(self.ends) - 1)
        form = torch.bucketize(dice[1], self.form_edges)
        row = (self.rows[index] * len(FORMS) + form)[:, None, None]
        place = torch.arange(self.length, device=index.device)
        count = self.count[row]
        after = self.ends[phrases[..., None], (place - count).clamp_min(0)]
        tokens = torch.where(place < count, self.words[row, place], after)
        return torch.where((dice[2] < 0.1)[:, None, None], self.empty, tokens), shares


def make_caption(row: list[int], form: tuple[bool, bool] = (True, True)) -> Caption:
    """The caption of a row of `Dataset.objects`, with the upper object's attribute, the base's, both or none."""
    name, attribute, base, base_attribute = row
    under = None if base == NONE else Caption(NAMES[base], ATTRIBUTES[base_attribute] if form[1] else None)
    return Caption(NAMES[name], ATTRIBUTES[attribute] if form[0] else None, under)
