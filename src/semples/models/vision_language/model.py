"""A frozen vision-language model: CLIP, SigLIP or ALIGN in transformers format."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semples.errors import ModelError
from semples.models.layers.folding import fold_batch_norms
from semples.models.loading import image_statistics, load_pretrained, load_tokenizer, resolve

ScoreKind = Literal["cosine", "sigmoid"]
PromptStop = Literal["word", "bare"]
BUNDLED = "vision_language"
KINDS = ("clip", "siglip", "align")
WORD_END = "</w>"
"""Mark of tokens that end a word in CLIP's vocabulary."""
EXPECTED = "expected a CLIP, SigLIP or ALIGN checkpoint"
HINTS = {
    "siglip2": ": of SigLIP 2 take one of fixed resolution (no naflex in its name), "
    "such as google/siglip2-base-patch16-224",
    **dict.fromkeys(("clip_text_model", "clip_vision_model"), ": this is one half of a CLIP, take the whole"),
    **dict.fromkeys(("siglip_text_model", "siglip_vision_model"), ": this is one half of a SigLIP, take the whole"),
}
"""Model type that cannot be used -> what to do."""
STATISTICS = {
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "siglip": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "align": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and deviation that each kind was published with, for folders without a preprocessor_config.json."""


class VisionLanguageModel(nn.Module):
    """Image and text encoder of a frozen CLIP, SigLIP or ALIGN, with gradients through it to pixels and prompts.

    Shapes: B images, N texts, K classes, L prompt vectors, W width of the token embedding, D joint space.
    All features come out L2-normalised, unless ``normalize=False`` asks for them as the projection gives them.

    Args:
        model: A transformers ``CLIPModel``, ``SiglipModel`` or ``AlignModel``.
        tokenizer: Its tokenizer.
        mean: Mean colour of its preprocessing, RGB in [0, 1].
        std: Standard deviation of its preprocessing.
        score: Match score; None takes the one it was trained with (SigLIP: sigmoid, CLIP and ALIGN: cosine).
        template: Text around a class name, with one ``{}``.
        image_size: Side that images are resized to; None takes the checkpoint's own.
        prompt_stop: What follows learned vectors: "word" the tokens that follow a class name; "bare" those of CLIP
            without their mark of a word's end, as in the published SemPLeS (``docs/method.md``).

    Raises:
        ModelError: Another kind of model, a score it cannot give, or images smaller than a patch.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        score: ScoreKind | None = None,
        template: str = "a photo of {}.",
        image_size: int | None = None,
        prompt_stop: PromptStop = "word",
    ) -> None:
        super().__init__()
        kind = model.config.model_type
        self.model = model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.tokenizer = tokenizer
        self.kind: Literal["clip", "siglip", "align"] = kind
        self.score_kind: ScoreKind = score or ("sigmoid" if kind == "siglip" else "cosine")
        if self.score_kind == "sigmoid" and not hasattr(model, "logit_bias"):
            raise ModelError(f"vision_language.score is sigmoid, but this {kind} has no bias: set it to cosine")
        self.template = template
        self.image_size = _checked_size(image_size, model.config.vision_config)
        """Side of the square images that the image encoder is given, in pixels."""
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.prefix, self.suffix = self._template_tokens()
        if prompt_stop == "bare":
            self.suffix = self._bare(self.suffix)
        side = self.image_size
        fold_batch_norms(model, lambda: self.encode_images(torch.zeros(1, 3, side, side)))

    def train(self, mode: bool = True) -> VisionLanguageModel:  # noqa: ARG002
        """Stay in evaluation mode: the model is frozen."""
        return super().train(False)

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
        """Most learned vectors that fit beside the template's own tokens."""
        return self._max_length - len(self.prefix) - len(self.suffix)

    @property
    def fill(self) -> Tensor:
        """Mean colour [3] in [0, 1]: what a masked-out pixel becomes (zero after normalisation)."""
        return self.mean.flatten()

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
        """Factor on cosines in front of the softmax over texts, as the model was trained with."""
        return 1 / float(self.model.temperature) if self.kind == "align" else float(self.model.logit_scale.exp())

    @property
    def _max_length(self) -> int:
        return int(self.model.config.text_config.max_position_embeddings)

    def encode_images(self, pixels: Tensor, normalize: bool = True) -> Tensor:
        """Encode pixels [B, 3, H, W] in [0, 1] of any size to features [B, D]."""
        size = (self.image_size, self.image_size)
        if pixels.shape[-2:] != size:
            pixels = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)
        pixels = ((pixels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        is_own_size = self.image_size == self.model.config.vision_config.image_size
        options = {} if is_own_size or self.kind == "align" else {"interpolate_pos_encoding": True}
        features: Tensor = self.model.get_image_features(pixel_values=pixels, **options).pooler_output
        return F.normalize(features, dim=-1) if normalize else features

    def encode_texts(self, texts: list[str], normalize: bool = True) -> Tensor:
        """Encode N whole texts to features [N, D]. Too long texts are cut at the model's length."""
        tokens = self._tokenize(texts)
        ends = self._end_positions(tokens)
        tokens = tokens[:, : int(ends.max()) + 1]
        return self._encode_embeddings(self._embed(tokens), ends, normalize)

    def encode_classes(self, names: list[str], normalize: bool = True) -> Tensor:
        """Encode class names, each inside the template, to features [K, D]."""
        return self.encode_texts([self.template.format(name) for name in names], normalize)

    def knows(self, text: str) -> bool:
        """Whether the tokenizer has tokens for all of a text."""
        return (
            self.tokenizer.unk_token_id
            not in self.tokenizer(self._as_trained(text), add_special_tokens=False)["input_ids"]
        )

    def encode_prompts(self, vectors: Tensor, normalize: bool = True) -> Tensor:
        """Encode learned vectors [K, L, W], each inside the template, to features [K, D].

        Raises:
            ModelError: The vectors do not fit the text encoder.
        """
        classes, length, _ = vectors.shape
        if length > self.longest_prompt:
            raise ModelError(
                f"prompts.length is {length}, but this text encoder has room for {self.longest_prompt}: set it lower"
            )
        before = self._embed_ids(self.prefix).expand(classes, -1, -1)
        after_ids = self._pad(self.suffix, length) if self.kind == "siglip" else self.suffix
        after = self._embed_ids(after_ids).expand(classes, -1, -1)
        embeddings = torch.cat([before, vectors, after], dim=1)
        ends = torch.full((classes,), embeddings.shape[1] - 1, device=vectors.device)
        return self._encode_embeddings(embeddings, ends, normalize)

    def _encode_embeddings(self, embeddings: Tensor, ends: Tensor, normalize: bool) -> Tensor:
        """Run the text tower on token embeddings [N, T, W] of which those up to ends [N] belong to the texts.

        CLIP looks back only and is read at the end; SigLIP attends to its padding and is read at the last
        position; ALIGN masks its padding and is read at the first position.
        """
        if self.kind == "align":
            is_text = torch.arange(embeddings.shape[1], device=ends.device) <= ends[:, None]
            output = self.model.get_text_features(inputs_embeds=embeddings, attention_mask=is_text.long())
            features: Tensor = output.pooler_output
            return F.normalize(features, dim=-1) if normalize else features
        text = self.model.text_model
        hidden = text.embeddings(inputs_embeds=embeddings)
        mask = None
        if self.kind == "clip":
            length = hidden.shape[1]
            mask = hidden.new_full((length, length), float("-inf")).triu(1)[None, None]
        hidden = text.encoder(inputs_embeds=hidden, attention_mask=mask).last_hidden_state
        pooled = text.final_layer_norm(hidden)[torch.arange(len(hidden), device=hidden.device), ends]
        project = self.model.text_projection if self.kind == "clip" else text.head
        features = project(pooled)
        return F.normalize(features, dim=-1) if normalize else features

    def _embed(self, tokens: Tensor) -> Tensor:
        embedding: Tensor = self.model.text_model.get_input_embeddings()(tokens)
        return embedding

    def _embed_ids(self, ids: list[int]) -> Tensor:
        return self._embed(torch.tensor([ids], device=self.mean.device))

    def _pad(self, suffix: list[int], length: int) -> list[int]:
        return suffix + [self.tokenizer.pad_token_id] * (self.longest_prompt - length)

    def _tokenize(self, texts: list[str]) -> Tensor:
        batch = self.tokenizer(
            [self._as_trained(text) for text in texts],
            padding="max_length",
            padding_side="right",  # the tokenizer of SigLIP 2 would pad on the left by default
            truncation=True,
            max_length=self._max_length,
            return_tensors="pt",
        )
        return torch.as_tensor(batch["input_ids"], device=self.mean.device)

    def _as_trained(self, text: str) -> str:
        """Lower case for SigLIP: it was trained so, and not every tokenizer of SigLIP 2 does it by itself."""
        return text.lower() if self.kind == "siglip" else text

    def _end_positions(self, tokens: Tensor) -> Tensor:
        """Position of each text's last token; for SigLIP, which reads its padding too, the last position."""
        if self.kind == "siglip":
            return torch.full((len(tokens),), tokens.shape[1] - 1, device=tokens.device)
        end = self.tokenizer.eos_token_id if self.kind == "clip" else self.tokenizer.sep_token_id
        is_end: Tensor = tokens == end
        return is_end.int().argmax(dim=1)

    def _template_tokens(self) -> tuple[list[int], list[int]]:
        """Token ids before and after the class name: what two texts with different names share."""
        first, second = (
            [int(i) for i in self.tokenizer(self._as_trained(self.template.format(w)))["input_ids"]]
            for w in ("cat", "boat")
        )
        prefix = _common_prefix(first, second)
        suffix = _common_prefix(first[::-1], second[::-1])[::-1]
        return prefix, suffix

    def _bare(self, ids: list[int]) -> list[int]:
        """Replace tokens that end a word by the same pieces inside of one."""
        tokens: list[str] = self.tokenizer.convert_ids_to_tokens(ids)
        bare: list[int] = self.tokenizer.convert_tokens_to_ids([token.removesuffix(WORD_END) for token in tokens])
        if not any(token.endswith(WORD_END) for token in tokens) or None in bare:
            raise ModelError(
                f"vision_language.prompt_stop is bare, but the tokens after a class name are {tokens}: "
                "set it to word for tokenizers other than CLIP's"
            )
        return bare


def _common_prefix(first: list[int], second: list[int]) -> list[int]:
    shared = []
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        shared.append(a)
    return shared


def load_vision_language_model(
    name: str,
    score: ScoreKind | None = None,
    template: str = "a photo of {}.",
    image_size: int | None = None,
    prompt_stop: PromptStop = "word",
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
) -> VisionLanguageModel:
    """Load a CLIP, SigLIP or ALIGN checkpoint.

    Args:
        name: "bundled", a local folder in transformers format, or a hub name.
        score: Match score; None takes the one it was trained with.
        template: Text around a class name.
        image_size: Side that images are resized to, with positions interpolated; None takes the checkpoint's own.
        prompt_stop: Tokens after learned vectors.
        statistics: Mean and standard deviation (RGB in [0, 1]) to normalise with in place of its own.

    Raises:
        ModelError: No such folder, none of these models, or a tokenizer that does not belong to it.
    """
    source = resolve(name, BUNDLED)
    model = load_pretrained("AutoModel", source)
    kind = model.config.model_type
    if kind not in KINDS:
        raise ModelError(f"{name} is a {kind} model, {EXPECTED}{HINTS.get(kind, '')}")
    tokenizer = load_tokenizer(source, model.config.text_config.vocab_size)
    mean, std = statistics or image_statistics(source, STATISTICS[kind])
    return VisionLanguageModel(model, tokenizer, mean, std, score, template, image_size, prompt_stop)


def _checked_size(image_size: int | None, config: Any) -> int:
    smallest = getattr(config, "patch_size", 1)
    if image_size is not None and image_size < smallest:
        raise ModelError(
            f"vision_language.image_size is {image_size}, but this model's patches have {smallest} pixels a side: "
            f"set it to a multiple of that, or to null for {config.image_size}"
        )
    return int(image_size or config.image_size)
