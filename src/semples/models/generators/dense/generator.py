"""CAMs from single places of the vision-language model's image tower: class texts against background texts.

Shapes: B images, K classes, N backgrounds, D joint space, h x w places (patches, or cells of a feature map).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from semples.errors import ConfigError
from semples.models.generators.base import MaskGeneratorOutput
from semples.models.generators.dense.windows import windowed_features
from semples.models.generators.text_contrast import TextContrastGenerator
from semples.models.vision_language.adapter import DenseAttention
from semples.models.vision_language.class_texts import Phrases
from semples.models.vision_language.model import VisionLanguageModel

EVERY = -1
"""Owner of a background that belongs to all images, whatever their classes."""


class DenseGenerator(TextContrastGenerator):
    """The softmax, at each place, over the present classes' texts and background texts; nothing in it is trained.

    CAMs are probabilities and, unlike those of generator clip, not divided by their maximum: when scales are summed, a
    scale counts as much as it is sure. Afterwards they are treated like those of every generator: min-max normalized at
    inference, and divided by their maximum for the soft masks of stage 2 (:attr:`divide_by_peak`).

    Without any background word the softmax would compare the present classes alone, and a single one would fill the
    image: CAMs are then the cosines with the class texts, shifted and scaled to [0, 1].

    There is no affinity: attention does not cross windows, and the last attention is replaced anyway.

    Args:
        vision_language: The frozen model; shared, and not part of this module's state dict.
        names: One phrase or several for each of the K classes, worded for the model.
        background_words: Words for things that are never objects, as for :class:`TextContrastGenerator`; empty, with
            ``words_of_classes`` empty too, for none.
        attention: How places look at each other in the last attention; None takes the best of the model's kind.
        softmax_scale: Factor on cosines; None takes the model's own.
        window: Side in pixels of the windows in which larger images are encoded; None encodes every image as a whole.
        words_of_classes: Further such words, those of all classes in ``data.background_words``.
        competing_prompts: Whether the places of an image compete with the prompts of its own classes or of all classes.
        keep_background_words: Whether the background words stay beside the prompts.

    Raises:
        ConfigError: There are background words, but none is left; or the window is smaller than a place.
        ModelError: The image tower does not have this attention.
    """

    label: ClassVar[str] = "dense"
    owners: Tensor
    """0-based class [N] that each background belongs to, int64; :data:`EVERY` for all images."""
    needs_backgrounds: ClassVar[bool] = False

    def __init__(
        self,
        vision_language: VisionLanguageModel,
        names: Sequence[Phrases],
        background_words: Sequence[str],
        attention: DenseAttention | None = None,
        softmax_scale: float | None = None,
        window: int | None = None,
        words_of_classes: Sequence[str] = (),
        competing_prompts: Literal["own", "all"] = "own",
        keep_background_words: bool = True,
    ) -> None:
        super().__init__(vision_language, names, background_words, words_of_classes)
        self.competing_prompts, self.keep_background_words = competing_prompts, keep_background_words
        self.register_buffer("owners", torch.full((len(self.backgrounds),), EVERY))
        self.attention = vision_language.adapter.checked_attention(attention)
        self.scale = vision_language.logit_scale if softmax_scale is None else softmax_scale
        self.window, self.cell = window, vision_language.adapter.cell
        if window is not None and window < self.cell:
            raise ConfigError(
                f"mask_generator.window: {window} is less than a patch of this model, which has {self.cell} pixels a "
                f"side; set it to a multiple of {self.cell}, or to null"
            )

    def replace_backgrounds(self, features: Tensor) -> None:
        """Let the classes compete with the prompts [K, D] of the classes from now on, beside the words or without."""
        words = self.backgrounds if self.keep_background_words else self.backgrounds[:0]
        prompts = features.detach().to(self.texts)
        own = torch.arange(len(prompts), device=prompts.device)
        self.owners = torch.cat(
            [
                own if self.competing_prompts == "own" else torch.full_like(own, EVERY),
                own.new_full((len(words),), EVERY),
            ]
        )
        self.backgrounds = torch.cat([prompts, words])

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the backgrounds and their owners, whose number may differ from the current one.

        In a file without owners, every background belongs to all images.
        """
        every = torch.full((len(state_dict["backgrounds"]),), EVERY)
        state_dict = {"owners": every, **state_dict}
        self.owners = torch.empty_like(state_dict["owners"], device=self.texts.device)
        return super().load_state_dict(state_dict, strict, assign)

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:
        """Compute CAMs [B, K, h, w] in [0, 1]: the probability of a present class at each place, 0 for absent ones.

        Without backgrounds they are (1 + cosine) / 2 in place of the probability.

        Args:
            pixels: [B, 3, H, W] in [0, 1], any size.
            labels: [B, K]; required, because the present classes compete.

        Returns:
            CAMs, float32 or better, and logits {"dense": scaled cosines [B, K], mean over places}.

        Raises:
            ValueError: No labels.
        """
        labels = self.require_labels(labels)
        features = self.place_features(pixels)
        with torch.autocast(pixels.device.type, enabled=False):  # half precision is too coarse in front of a softmax
            cosines = place_cosines(features, torch.cat([self.texts, self.backgrounds]))  # [B, K + N, h, w]
            if len(self.backgrounds):
                cams = class_probabilities(cosines, labels, self.scale, self.owners)
            else:
                cams = shifted_cosines(cosines, labels)
            logits = self.scale * cosines[:, : len(self.texts)].mean((2, 3))
        return MaskGeneratorOutput(cams, {"dense": logits})

    def place_features(self, pixels: Tensor) -> Tensor:
        """Encode the places [B, h, w, D] of pixels [B, 3, H, W], with this generator's attention and windows."""

        def encode(images: Tensor) -> Tensor:
            return self.vision_language.dense_features(images, self.attention)

        if self.window is None:
            return encode(pixels)
        return windowed_features(encode, pixels, self.window, self.cell)


def place_cosines(features: Tensor, texts: Tensor) -> Tensor:
    """Return the cosine of each place with each text.

    Args:
        features: Features of places [B, h, w, D] of any length.
        texts: L2-normalized features of texts [M, D].

    Returns:
        Cosines [B, M, h, w] with the dtype of the texts.
    """
    return (F.normalize(features.to(texts.dtype), dim=-1) @ texts.T).permute(0, 3, 1, 2)


def class_probabilities(cosines: Tensor, labels: Tensor, scale: float, owners: Tensor | None = None) -> Tensor:
    """Return the softmax over the present classes and their backgrounds at each place, without the backgrounds.

    Args:
        cosines: Of places with K classes, then with N backgrounds: [B, K + N, h, w].
        labels: [B, K], 0 or 1.
        scale: Factor on cosines.
        owners: 0-based class [N] of each background, int64, which is absent with its class; :data:`EVERY` for one that
            belongs to all images. None if all do.

    Returns:
        Probabilities [B, K, h, w] in [0, 1], 0 for absent classes.
    """
    classes = labels.shape[1]
    absent = labels <= 0  # [B, K]
    if owners is None:
        absent = F.pad(absent, (0, cosines.shape[1] - classes))  # [B, K + N]
    else:
        absent = torch.cat([absent, absent[:, owners.clamp(min=0)] & (owners != EVERY)], 1)
    logits = (scale * cosines).masked_fill(absent[:, :, None, None], float("-inf"))
    return logits.softmax(1)[:, :classes]


def shifted_cosines(cosines: Tensor, labels: Tensor) -> Tensor:
    """Return (1 + cosine) / 2 of each place with each present class.

    Args:
        cosines: Of places with K classes: [B, K, h, w].
        labels: [B, K], 0 or 1.

    Returns:
        Values [B, K, h, w] in [0, 1], 0 for absent classes.
    """
    return ((1 + cosines) / 2).clamp(0, 1) * (labels > 0)[:, :, None, None]
