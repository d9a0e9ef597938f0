"""A frozen vision-language model, whatever its kind: an adapter holds everything that differs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semples.errors import ConfigError, ModelError
from semples.models.layers.folding import fold_batch_norms
from semples.models.layers.normalize import Normalize
from semples.models.vision_language.adapter import Adapter, CutForward, DenseAttention, ScoreKind
from semples.models.vision_language.class_texts import Phrases, class_feature, class_texts
from semples.models.vision_language.memory import bytes_kept, images_within_budget, in_parts
from semples.models.vision_language.vocabulary import WORD_END

PromptStop = Literal["word", "bare"]

TEXTS_AT_ONCE = 256
"""Texts embedded in one pass, where classes have several."""


class VisionLanguageModel(nn.Module):
    """Image and text encoder of a frozen CLIP, SigLIP or ALIGN, with gradients through it to pixels and prompts.

    Shapes: B images, N texts, K classes, L prompt vectors, W width of the token embedding, D joint space.
    All features are L2-normalized, unless ``normalize=False`` asks for the output of the projection.

    Args:
        adapter: The transformers model and its tokenizer, with everything that is particular to their kind.
        mean: Mean color of its preprocessing, RGB in [0, 1].
        std: Standard deviation of its preprocessing.
        score: Match score; None takes the score that the model was trained with.
        template: Text around a class name or a learned prompt, with one ``{}``.
        templates: Texts around a class name in place of ``template``, over which features are averaged; none keeps it.
        image_size: Side that images are resized to; None takes the checkpoint's own.
        prompt_stop: Tokens after learned vectors: "word" takes the tokens that follow a class name; "bare" takes CLIP's
            tokens without their mark of a word's end, as the published SemPLeS does (``docs/method.md``).

    Raises:
        ModelError: The model cannot give that score, the tokenizer has no bare tokens, or images are smaller than a
            patch.
    """

    def __init__(
        self,
        adapter: Adapter,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        score: ScoreKind | None = None,
        template: str = "a photo of {}.",
        image_size: int | None = None,
        prompt_stop: PromptStop = "word",
        templates: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.adapter = adapter
        self.model = adapter.model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.tokenizer = adapter.tokenizer
        self.score_kind: ScoreKind = score or adapter.score
        if self.score_kind == "sigmoid" and not hasattr(self.model, "logit_bias"):
            raise ModelError(
                f"vision_language.score: sigmoid needs a bias, which this {self.kind} does not have; set it to cosine"
            )
        self.template = template
        self.class_templates = tuple(templates) or (template,)
        self.image_size = _checked_size(image_size, self.model.config.vision_config)
        """Side in pixels of the square images that the image encoder sees."""
        self.normalize_pixels = Normalize(mean, std)
        self.prefix, self.suffix = self._template_tokens()
        if prompt_stop == "bare":
            self.suffix = self._without_word_ends(self.suffix)
        side = self.image_size
        fold_batch_norms(self.model, lambda: self.encode_images(torch.zeros(1, 3, side, side)))

    def train(self, mode: bool = True) -> VisionLanguageModel:  # noqa: ARG002
        """Stay in evaluation mode: the model is frozen."""
        return super().train(False)

    @property
    def kind(self) -> str:
        """Model type in transformers, such as "clip"."""
        return str(self.model.config.model_type)

    @property
    def prompt_width(self) -> int:
        """Width W of the token embedding."""
        return int(self.model.config.text_config.hidden_size)

    @property
    def word_deviation(self) -> float:
        """Standard deviation of the token embeddings: the scale of vectors that the text encoder knows."""
        return float(self.model.text_model.get_input_embeddings().weight.std())

    @property
    def longest_prompt(self) -> int:
        """Largest number of learned vectors that fit beside the template's own tokens."""
        return self._max_length - len(self.prefix) - len(self.suffix)

    @property
    def fill(self) -> Tensor:
        """Mean color [3] in [0, 1] that replaces masked-out pixels; it is zero after normalization."""
        return self.normalize_pixels.mean.flatten()

    @property
    def scale(self) -> float:
        """Scale of the sigmoid score (1 for the cosine)."""
        return float(self.model.logit_scale.exp()) if self.score_kind == "sigmoid" else 1.0

    @property
    def bias(self) -> float:
        """Bias of the sigmoid score (0 for the cosine)."""
        return float(self.model.logit_bias) if self.score_kind == "sigmoid" else 0.0

    @property
    def logit_scale(self) -> float:
        """Factor on cosines in front of the softmax over texts, as the model was trained."""
        return self.adapter.logit_scale

    @property
    def _max_length(self) -> int:
        return int(self.model.config.text_config.max_position_embeddings)

    @cached_property
    def _bytes_per_pixel(self) -> float:
        """Memory that encoding keeps for the backward pass, per pixel of the image that the encoder sees."""
        image = self.fill.new_zeros(1, 3, self.image_size, self.image_size)
        return bytes_kept(self.model, self._encode_part, image) / self.image_size**2

    @property
    def images_at_once(self) -> int:
        """Number of images, at least one, that are encoded with gradients in one pass within a bound on memory.

        With more of them in one pass, the graph of all their activations would have to be kept at once.
        """
        return images_within_budget(self._bytes_per_pixel * self.image_size**2, self.fill.device)

    def encode_images(self, pixels: Tensor, normalize: bool = True) -> Tensor:
        """Encode pixels [B, 3, H, W] in [0, 1] of any size to features [B, D].

        Without gradients, large batches are encoded in parts, to bound memory.
        """
        if len(pixels) < 2 or torch.is_grad_enabled():
            return self._encode_part(pixels, normalize)
        return in_parts(lambda part: self._encode_part(part, normalize), pixels, self.images_at_once)

    def _encode_part(self, pixels: Tensor, normalize: bool = True) -> Tensor:
        size = (self.image_size, self.image_size)
        if pixels.shape[-2:] != size:
            pixels = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)
        pixels = self.normalize_pixels(pixels).contiguous(memory_format=torch.channels_last)
        features = self.adapter.image_features(pixels)
        return F.normalize(features, dim=-1) if normalize else features

    def cut(self, pixels: Tensor) -> CutForward:
        """Run the image tower for Grad-CAM, with gradients back to the cut and no further.

        The cut is the last place before the image becomes one vector where every position still has its own token.

        Args:
            pixels: [B, 3, H, W] in [0, 1] of any size. Positions are interpolated; sides that are not a multiple of
                the patch are resized to the nearest one, and images too small for a convolutional tower are enlarged.

        Raises:
            ModelError: The image tower lacks a part that the cut needs.
        """
        return self.adapter.cut(self.normalize_pixels(pixels))

    def dense_features(self, pixels: Tensor, attention: DenseAttention | None = None) -> Tensor:
        """Encode each place of pixels [B, 3, H, W] in [0, 1] of any size to features [B, h, w, D], not normalized.

        Without gradients, large batches are encoded in parts, to bound memory.

        Args:
            pixels: The images, resized as for :meth:`cut`.
            attention: How places look at each other in the last attention; None takes the default of the model's kind.

        Raises:
            ModelError: The image tower does not know that attention, or lacks a part.
        """

        def encode(part: Tensor) -> Tensor:
            return self.adapter.dense_features(self.normalize_pixels(part), attention)

        if len(pixels) < 2 or torch.is_grad_enabled():
            return encode(pixels)
        size = images_within_budget(self._bytes_per_pixel * pixels[0, 0].numel(), self.fill.device)
        return in_parts(encode, pixels, size)

    def encode_texts(self, texts: Sequence[str], normalize: bool = True) -> Tensor:
        """Encode N whole texts to features [N, D].

        Raises:
            ConfigError: The text encoder reads fewer tokens than a text has.
        """
        self._require_room("texts", texts, "shorten it")
        return self._encode_tokens(texts, normalize)

    def encode_classes(
        self, names: Sequence[Phrases], normalize: bool = True, setting: str = "data.prompt_names"
    ) -> Tensor:
        """Encode K class names to features [K, D].

        The feature of a class is the mean over its phrases inside each template, normalized again; a class with one
        text has the feature of the text.

        Args:
            names: One phrase or several for each class.
            normalize: False leaves out the last normalization: of the projection's output if every class has one text,
                else of the mean.
            setting: Setting that the names are from, for the error.

        Raises:
            ConfigError: The text encoder reads fewer tokens than a text has.
        """
        self.require_room(setting, names)
        by_class = [class_texts(phrases, self.class_templates) for phrases in names]
        texts = [text for own in by_class for text in own]
        if len(texts) == len(by_class):
            return self._encode_tokens(texts, normalize)
        batches = [texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(texts), TEXTS_AT_ONCE)]
        features = torch.cat([self._encode_tokens(batch) for batch in batches])
        return torch.stack([class_feature(own, normalize) for own in features.split([len(own) for own in by_class])])

    def encode_words(self, words: Sequence[str]) -> Tensor:
        """Encode N words of a vocabulary, each inside the template alone, to features [N, D].

        Long texts are truncated: a vocabulary may hold anything.
        """
        return self._encode_tokens([self.template.format(word) for word in words])

    def require_room(self, setting: str, names: Sequence[Phrases]) -> None:
        """Check that the text encoder reads class names to their end, each inside each template.

        Args:
            setting: Setting that the names are from, for the error.
            names: One phrase or several for each class.

        Raises:
            ConfigError: It reads fewer tokens than a text has.
        """
        source = "template" if self.class_templates == (self.template,) else "templates"
        bare = [template.format("a") for template in self.class_templates]
        self._require_room(f"vision_language.{source}", bare, "shorten the template")
        texts = [text for phrases in names for text in class_texts(phrases, self.class_templates)]
        self._require_room(setting, texts, f"shorten the phrase or vision_language.{source}")

    def has_room(self, phrase: str) -> bool:
        """Tell whether the text encoder reads a phrase to its end, inside each template."""
        return all(self._count_tokens(text) <= self._max_length for text in class_texts(phrase, self.class_templates))

    def _count_tokens(self, text: str) -> int:
        return len(self.tokenizer(self.adapter.as_trained(text), verbose=False)["input_ids"])

    def _require_room(self, setting: str, texts: Sequence[str], fix: str) -> None:
        limit = self._max_length
        for text in texts:
            if (count := self._count_tokens(text)) > limit:
                raise ConfigError(f'{setting}: "{text}" has {count} tokens, but this text encoder reads {limit}; {fix}')

    def knows(self, text: str) -> bool:
        """Tell whether the tokenizer has tokens for all of a text."""
        tokens = self.tokenizer(self.adapter.as_trained(text), add_special_tokens=False)["input_ids"]
        return self.tokenizer.unk_token_id not in tokens

    def encode_prompts(self, vectors: Tensor, normalize: bool = True) -> Tensor:
        """Encode learned vectors [K, L, W], each inside the template, to features [K, D].

        Raises:
            ModelError: The vectors do not fit the text encoder.
        """
        classes, length, _ = vectors.shape
        if length > self.longest_prompt:
            raise ModelError(
                f"prompts.length: {length} vectors do not fit, this text encoder has room for {self.longest_prompt}; "
                "set it lower"
            )
        before = self._embed_ids(self.prefix).expand(classes, -1, -1)
        after_ids = self.suffix + self.adapter.padding(self.longest_prompt - length)
        after = self._embed_ids(after_ids).expand(classes, -1, -1)
        embeddings = torch.cat([before, vectors, after], dim=1)
        ends = torch.full((classes,), embeddings.shape[1] - 1, device=vectors.device)
        return self._encode_embeddings(embeddings, ends, normalize)

    def _encode_tokens(self, texts: Sequence[str], normalize: bool = True) -> Tensor:
        """Encode N whole texts to features [N, D], truncating texts at the model's length."""
        tokens = self._tokenize(texts)
        ends = self.adapter.end_positions(tokens)
        tokens = tokens[:, : int(ends.max()) + 1]
        return self._encode_embeddings(self._embed(tokens), ends, normalize)

    def _encode_embeddings(self, embeddings: Tensor, ends: Tensor, normalize: bool) -> Tensor:
        features = self.adapter.text_features(embeddings, ends)
        return F.normalize(features, dim=-1) if normalize else features

    def _embed(self, tokens: Tensor) -> Tensor:
        embedding: Tensor = self.model.text_model.get_input_embeddings()(tokens)
        return embedding

    def _embed_ids(self, ids: list[int]) -> Tensor:
        return self._embed(torch.tensor([ids], device=self.fill.device))

    def _tokenize(self, texts: Sequence[str]) -> Tensor:
        batch = self.tokenizer(
            [self.adapter.as_trained(text) for text in texts],
            padding="max_length",
            padding_side="right",  # the tokenizer of SigLIP 2 would pad on the left by default
            truncation=True,
            max_length=self._max_length,
            return_tensors="pt",
        )
        return torch.as_tensor(batch["input_ids"], device=self.fill.device)

    def _template_tokens(self) -> tuple[list[int], list[int]]:
        """Find the token ids before and after the class name: the part that texts of two different names share."""
        first, second = (
            [int(i) for i in self.tokenizer(self.adapter.as_trained(self.template.format(name)))["input_ids"]]
            for name in ("cat", "boat")
        )
        prefix = _common_prefix(first, second)
        suffix = _common_prefix(first[::-1], second[::-1])[::-1]
        return prefix, suffix

    def _without_word_ends(self, ids: list[int]) -> list[int]:
        """Replace tokens that end a word by the same pieces inside a word."""
        tokens: list[str] = self.tokenizer.convert_ids_to_tokens(ids)
        inside: list[int] = self.tokenizer.convert_tokens_to_ids([token.removesuffix(WORD_END) for token in tokens])
        if not any(token.endswith(WORD_END) for token in tokens) or None in inside:
            raise ModelError(
                f"vision_language.prompt_stop: bare needs CLIP's tokenizer, but the tokens after a class name are "
                f"{tokens}; set it to word"
            )
        return inside


def _common_prefix(first: list[int], second: list[int]) -> list[int]:
    shared = []
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        shared.append(a)
    return shared


def _checked_size(image_size: int | None, config: Any) -> int:
    smallest = getattr(config, "patch_size", 1)
    if image_size is not None and image_size < smallest:
        raise ModelError(
            f"vision_language.image_size: {image_size} is less than a patch of this model, which has {smallest} pixels "
            f"a side; set it to a multiple of {smallest}, or to null for {config.image_size}"
        )
    return int(image_size or config.image_size)
