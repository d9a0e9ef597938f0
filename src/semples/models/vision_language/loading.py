"""Loading a vision-language model from a checkpoint, and the kinds of models there are."""

from __future__ import annotations

from collections.abc import Sequence

from semples.errors import ModelError
from semples.models.loading import image_statistics, load_pretrained, load_tokenizer, resolve
from semples.models.vision_language.adapter import Adapter, ScoreKind
from semples.models.vision_language.align import AlignAdapter
from semples.models.vision_language.clip import ClipAdapter
from semples.models.vision_language.model import PromptStop, VisionLanguageModel
from semples.models.vision_language.siglip import SiglipAdapter

BUNDLED = "vision_language"
"""Purpose in :data:`semples.models.loading.BUNDLED_MODELS`."""

ADAPTERS: dict[str, type[Adapter]] = {
    "clip": ClipAdapter,
    "siglip": SiglipAdapter,
    "align": AlignAdapter,
}
"""Model type in transformers -> its adapter."""
KINDS = tuple(ADAPTERS)

HINTS = {
    "clip_text_model": "this is one half of a CLIP; give the whole model",
    "clip_vision_model": "this is one half of a CLIP; give the whole model",
    "siglip_text_model": "this is one half of a SigLIP; give the whole model",
    "siglip_vision_model": "this is one half of a SigLIP; give the whole model",
    "siglip2": "give a SigLIP 2 of fixed resolution (without naflex in its name), "
    "such as google/siglip2-base-patch16-224",
}
"""Model type that cannot be used -> advice."""


def load_vision_language_model(
    name: str,
    score: ScoreKind | None = None,
    template: str = "a photo of {}.",
    image_size: int | None = None,
    prompt_stop: PromptStop = "word",
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    templates: Sequence[str] = (),
) -> VisionLanguageModel:
    """Load a CLIP, SigLIP or ALIGN checkpoint.

    Args:
        name: "bundled/scenes", "bundled/photos", a local folder in transformers format, or a hub name.
        score: Match score; None takes the score that the model was trained with.
        template: Text around a class name or a learned prompt.
        image_size: Side that images are resized to, with interpolated positions; None takes the checkpoint's own.
        prompt_stop: Tokens after learned vectors.
        statistics: Mean and standard deviation (RGB in [0, 1]) that replace the checkpoint's own.
        templates: Texts around a class name in place of ``template``, over which features are averaged; none keeps it.

    Raises:
        ModelError: There is no such folder, the model is of another kind, or the tokenizer does not belong to it.
    """
    source = resolve(name, BUNDLED)
    model = load_pretrained("AutoModel", source)
    kind = model.config.model_type
    if kind not in ADAPTERS:
        hint = HINTS.get(kind, "give a model of one of these kinds")
        raise ModelError(f"{name}: this is a {kind} model, expected a CLIP, SigLIP or ALIGN checkpoint; {hint}")
    adapter = ADAPTERS[kind](model, load_tokenizer(source, model.config.text_config.vocab_size))
    mean, std = statistics or image_statistics(source, (adapter.mean, adapter.std))
    return VisionLanguageModel(adapter, mean, std, score, template, image_size, prompt_stop, templates)
