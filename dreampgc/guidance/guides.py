"""What a prior is told about each view: a text, or pictures and where they were taken from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dreampgc.cameras import Views
from dreampgc.priors.base import LatentPrior, Prior, Reference, TextCondition, ViewCondition, ViewPrior
from dreampgc.priors.prompts import view_prompts, view_weights


class Guide(Protocol):
    """A prior that knows what it is to see; all that score distillation asks for."""

    @property
    def prior(self) -> LatentPrior:
        """The model that answers."""
        ...

    def noise(self, noisy: Tensor, timesteps: Tensor, views: Views) -> Tensor:
        """The guided noise in latents ``noisy`` ``[B,4,s,s]`` at ``timesteps`` ``[B]``, as seen from ``B`` views."""
        ...


class TextGuide:
    """A prompt, told differently from each side ("front view").

    ``scale`` is the guidance scale ``s`` of ``eps = eps_0 + s (eps_y - eps_0)``: 1 is the conditional
    prediction (the paper's released code writes ``eps_y + s (eps_y - eps_0)``: its 100 is 101 here).
    ``perp_neg`` above 0 pushes views away from what only a front shows, by so much at the sides and the back. It
    costs a third evaluation of the noise predictor.

    Raises:
        InputError: a prompt that the prior does not understand.
    """

    def __init__(
        self, prior: Prior, prompt: str, *, negative_prompt: str = "", scale: float = 100.0, perp_neg: float = 0.0
    ) -> None:
        self.prior = prior
        self.scale = scale
        self.perp_neg = perp_neg
        with torch.no_grad():
            self._phrases = prior.encode_text(view_prompts(prompt, prior.view_phrases))
            self._negative = prior.encode_text([negative_prompt])
        prior.release_text_encoders()

    def noise(self, noisy: Tensor, timesteps: Tensor, views: Views) -> Tensor:
        """Classifier-free guidance, all branches in one batch: ``eps_0 + s (eps_y - eps_0)``.

        With `perp_neg`, Perp-Neg (Armandpour et al. 2023) for the view that the Janus problem repeats: the front's
        direction ``eps_f - eps_0`` is subtracted so many times, but only its part perpendicular to ``eps_y - eps_0``,
        so that what the front shares with the view at hand stays.
        """
        conditions = [self._negative.repeated(len(noisy)), self.condition(views)]
        if self.perp_neg > 0:
            conditions.append(self._phrases.map(lambda x: x[:1]).repeated(len(noisy)))
        count = len(conditions)
        unconditional, conditional, *front = self.prior.predict_noise(
            torch.cat([noisy] * count), torch.cat([timesteps] * count), TextCondition.joined(conditions)
        ).chunk(count)
        direction = conditional - unconditional
        if front:
            away = self._away_from_front(views).view(-1, 1, 1, 1)
            direction = direction - away * perpendicular(front[0] - unconditional, direction)
        return unconditional + self.scale * direction

    def condition(self, views: Views) -> TextCondition:
        """The text of each view: the phrases' embeddings mixed by where the camera is."""
        return self._phrases.mixed(self._weights(views))

    def _away_from_front(self, views: Views) -> Tensor:
        """Perp-Neg's weight of each view ``[B]``: nothing at the front, ``perp_neg`` where no front is in sight."""
        return self.perp_neg * (1 - self._weights(views)[:, 0]).to(self.prior.device)

    def _weights(self, views: Views) -> Tensor:
        return view_weights(views.azimuth, views.elevation, self.prior.view_phrases)


def perpendicular(x: Tensor, y: Tensor) -> Tensor:
    """Each sample of ``x`` ``[B,...]`` without its component along the same sample of ``y``."""
    axes = tuple(range(1, x.ndim))
    along = (x * y).sum(axes, keepdim=True) / y.square().sum(axes, keepdim=True).clamp_min(1e-12)
    return x - along * y


@dataclass(frozen=True)
class Known:
    """A picture that a prior of views was shown, and the rest of where it was taken from.

    ``azimuth`` in degrees and ``distance`` in world units; the elevation is the reference's own.
    """

    reference: Reference
    azimuth: float
    distance: float


class ViewGuide:
    """One or several pictures of the object; each view is told by the one that was taken nearest to it.

    ``scale`` is that of `TextGuide`. ``unit`` is the prior's unit of length in world units, for differences in
    distance.

    Raises:
        ValueError: there is no picture.
    """

    def __init__(self, prior: ViewPrior, known: Sequence[Known], *, scale: float = 3.0, unit: float = 1.0) -> None:
        if not known:
            raise ValueError("a guide by pictures without a picture")
        self.prior = prior
        self.scale = scale
        self.unit = unit
        self._references = [each.reference for each in known]
        columns = [(each.azimuth, each.reference.elevation, each.distance, 0.0) for each in known]
        self._cameras = Views(*torch.tensor(columns, dtype=torch.float32).T.to(prior.device))

    def noise(self, noisy: Tensor, timesteps: Tensor, views: Views) -> Tensor:
        """Classifier-free guidance, both branches in one batch: ``eps_0 + s (eps_v - eps_0)``."""
        view = self.condition(views)
        unconditional, conditional = self.prior.predict_noise(
            torch.cat([noisy] * 2), torch.cat([timesteps] * 2), ViewCondition.joined([view.unconditional(), view])
        ).chunk(2)
        return unconditional + self.scale * (conditional - unconditional)

    def condition(self, views: Views) -> ViewCondition:
        """What is known of each of ``B`` views: the nearest picture, and the way from its camera."""
        nearest = self._nearest(views)
        return ViewCondition.chosen([self._told(number, views) for number in range(len(self._references))], nearest)

    def _told(self, number: int, views: Views) -> ViewCondition:
        """What one picture says of all views."""
        camera = self._cameras[number : number + 1]
        distance = (views.distance - camera.distance) / self.unit
        return self.prior.view(
            self._references[number], views.azimuth - camera.azimuth, views.elevation - camera.elevation, distance
        )

    def _nearest(self, views: Views) -> Tensor:
        """The number of the picture with the least angle to each view, ``[B]``."""
        directions = [cameras.positions() / cameras.distance[:, None] for cameras in (views, self._cameras)]
        return (directions[0] @ directions[1].T).argmax(dim=1)
