"""The text tower: a vocabulary of whole words, and a shallow BERT that starts from a deeper one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import AlignModel, AutoTokenizer, BertTokenizer

from photo_data import split_words
from photo_words import COCO_CLASSES, CONTEXT_WORDS, IMAGENET_GROUPS, PHRASES, TEMPLATES, VOC_CLASSES
from semples.data.plurals import plural
from semples.models.vision_language.loading import load_vision_language_model

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "'", "-")
MAX_LENGTH = 32
"""Longest text in tokens."""
TRAINED_LENGTH = 18
"""Tokens of a text that are read in training; few captions are longer, and padding costs time."""
LAYERS = (0, 1)
"""Layers of the teacher that the text tower starts from."""


def required_words() -> list[str]:
    """List the words of all class names, their plurals, synonyms, contexts and templates."""
    phrases = [phrase for group in PHRASES.values() for phrase in group]
    texts = [*COCO_CLASSES, *VOC_CLASSES, *phrases, *CONTEXT_WORDS, *TEMPLATES, *IMAGENET_GROUPS]
    plurals = [plural(name) for name in (*COCO_CLASSES, *VOC_CLASSES, *CONTEXT_WORDS)]
    return list(dict.fromkeys(word for text in (*texts, *plurals) for word in split_words(text)))


def choose_vocabulary(counts: Mapping[str, int], size: int) -> list[str]:
    """Choose the special tokens, the required words and the commonest words of the captions, the commonest first."""
    required = required_words()
    kept = dict.fromkeys([*SPECIAL, *required])
    for word in counts:
        if len(kept) >= size:
            break
        kept.setdefault(word)
    words = sorted(set(kept) - set(SPECIAL), key=lambda word: (-counts.get(word, 0), word))
    return [*SPECIAL, *words]


def build_tokenizer(vocabulary: Sequence[str]) -> BertTokenizer:
    """Build a tokenizer of whole lower-case words."""
    return BertTokenizer(
        vocab={word: number for number, word in enumerate(vocabulary)},
        do_lower_case=True,
        model_max_length=MAX_LENGTH,
    )


def text_config(vocabulary: int) -> dict[str, Any]:
    """Describe the text tower for transformers: MiniLM with fewer layers and words."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_hidden_layers": len(LAYERS),
        "num_attention_heads": 12,
        "max_position_embeddings": MAX_LENGTH,
        "pad_token_id": 0,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }


@torch.no_grad()
def start_text_tower(model: AlignModel, vocabulary: Sequence[str], teacher: AlignModel, folder: Path) -> None:
    """Copy layers, positions, projection and embeddings (for each word, the mean over its pieces), in place.

    Args:
        model: The model, whose text tower is shallower than the teacher's.
        vocabulary: Its words.
        teacher: The larger model.
        folder: The teacher's folder, for its tokenizer.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    own, other = model.text_model.embeddings, teacher.text_model.embeddings
    words = other.word_embeddings.weight
    for number, word in enumerate(vocabulary):
        pieces = tokenizer(word, add_special_tokens=False)["input_ids"]
        own.word_embeddings.weight[number] = words[pieces].mean(0)
    own.position_embeddings.weight.copy_(other.position_embeddings.weight[:MAX_LENGTH])
    own.token_type_embeddings.weight.copy_(other.token_type_embeddings.weight)
    own.LayerNorm.load_state_dict(other.LayerNorm.state_dict())
    for layer, number in zip(model.text_model.encoder.layer, LAYERS, strict=True):
        layer.load_state_dict(teacher.text_model.encoder.layer[number].state_dict())
    model.text_projection.load_state_dict(teacher.text_projection.state_dict())
    for parameter in model.text_model.pooler.parameters():  # ALIGN reads the first token; its pooler is never used
        parameter.zero_()


def run_text(model: AlignModel, tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Encode the beginnings of texts as the first token's state [N, 384], before the projection."""
    batch = tokenizer(list(texts), padding=True, truncation=True, max_length=TRAINED_LENGTH, return_tensors="pt")
    output = model.text_model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    states: Tensor = output.last_hidden_state[:, 0]
    return states


@torch.inference_mode()
def teach_texts(texts: Sequence[str], folder: Path, batch: int = 256) -> Tensor:
    """Encode texts with the teacher: L2-normalized features, float16 [N, D]."""
    teacher = load_vision_language_model(str(folder))
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # texts of one length need little padding
    features = torch.empty(len(texts), teacher.model.config.projection_dim, dtype=torch.float16)
    for start in tqdm(range(0, len(order), batch), "teacher", mininterval=10):
        part = order[start : start + batch]
        features[part] = teacher.encode_texts([texts[i] for i in part]).half()
    return features
