"""Run every check of a folder of golden numbers: ``python tests/parity.py DIR``.

Sizes, options and tolerances come from the folder's ``meta.json``, numbers from ``fixture.safetensors``, and what is
compared with them from public functions of semples. One line per expected tensor (``out.*``) with its largest error
and its tolerance; the last line is ``N of N``. A tensor without a check fails. Exit status 1 on any failure.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import load_file
from torch import Tensor

from references import early_stopping_best, label_map
from semples.inference.cams import merged_cams
from semples.method.losses import MatchScore, cosine, match_loss, prompt_loss, suppress_loss, total
from semples.method.masks import masked_regions, positive_pairs, soft_masks, upsample_cams
from semples.method.metrics import ConfusionMatrix
from semples.models.generators.weaktr.generator import WeakTrGenerator, WeakTrOptions
from semples.models.generators.weaktr.weights import load_weaktr_checkpoint
from semples.models.vision_language.loading import load_vision_language_model
from semples.models.vision_language.model import PromptStop, VisionLanguageModel
from weaktr_support import GOLDEN_NAMES, build_weaktr, trace

AS_THEY_ARE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""Mean and deviation of models whose input the fixture has normalised already."""
Tensors = dict[str, Tensor]


@cache
def load_clip(folder: Path, template: str, prompt_stop: PromptStop) -> VisionLanguageModel:
    """Load a CLIP that takes images as they are; it is frozen, so that all checks may share it."""
    return load_vision_language_model(str(folder), template=template, prompt_stop=prompt_stop, statistics=AS_THEY_ARE)


@dataclass(frozen=True)
class Golden:
    """A folder of golden numbers."""

    folder: Path

    @cached_property
    def meta(self) -> dict[str, Any]:
        """Sizes, options and tolerances."""
        content: dict[str, Any] = json.loads((self.folder / "meta.json").read_text(encoding="utf-8"))
        return content

    @cached_property
    def tensors(self) -> Tensors:
        """Inputs ``in.*`` and expected outputs ``out.*``."""
        return load_file(self.folder / "fixture.safetensors")

    def given(self, name: str) -> Tensor:
        """Return an input."""
        return self.tensors[f"in.{name}"]

    @property
    def expected(self) -> Tensors:
        """All expected outputs."""
        return {name: value for name, value in sorted(self.tensors.items()) if name.startswith("out.")}

    @cached_property
    def clip(self) -> VisionLanguageModel:
        """The CLIP with the published full stop after prompts."""
        return self._load_clip(self.meta["clip"]["stop_id_in_prompt_template"])

    @cached_property
    def clip_of_plain_text(self) -> VisionLanguageModel:
        """The CLIP with the full stop of ordinary text after prompts."""
        return self._load_clip(self.meta["clip"]["stop_id_in_class_text"])

    def _load_clip(self, stop_id: int) -> VisionLanguageModel:
        folder = (self.folder / "weights" / "clip_hf").resolve()
        for prompt_stop in get_args(PromptStop):
            clip = load_clip(folder, self.meta["template"], prompt_stop)
            if clip.suffix[0] == stop_id:
                return clip
        raise ValueError(f"no choice of prompt_stop gives the full stop {stop_id} of meta.json")

    @cached_property
    def score(self) -> MatchScore:
        """The clamped cosine."""
        lowest, _ = self.meta["similarity_clamp"]
        return MatchScore("cosine", clamp=lowest)

    def generator(self) -> WeakTrGenerator:
        """Build the mask generator with the published options and load its weights."""
        sizes = self.meta["mask_generator"]
        generator = build_weaktr(
            self.meta["num_classes"],
            image_size=sizes["image_size"],
            patch_size=sizes["patch"],
            width=sizes["width"],
            depth=sizes["depth"],
            heads=sizes["heads"],
            mlp_width=sizes["mlp_hidden"],
            layer_norm_eps=sizes["layer_norm_eps"],
            statistics=AS_THEY_ARE,
            options=WeakTrOptions(
                pool="max" if sizes["pool"] == "max" else "average",
                reduction=sizes["reduction"],
                feat_reduction=sizes["feat_reduction"],
                head_channels="strided",
                interpolation="offset",
                leftover="drop",
            ),
        )
        load_weaktr_checkpoint(self.folder / "weights" / "mask_generator.safetensors", generator, GOLDEN_NAMES)
        generator.freeze_trunk()
        return generator.eval()

    def masks(self, cams: Tensor, kind: str) -> Tensor:
        """Soft masks of all pairs, with the eps of that kind ("soft" or "sharp")."""
        pairs = positive_pairs(self.given("labels"))
        size = (self.images.shape[-2], self.images.shape[-1])
        return soft_masks(cams, *pairs, size, self.meta["mask_eps"][kind], divide_by_peak=False)

    def regions(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Foregrounds and backgrounds of all pairs; what is masked away is zero."""
        image_index, _ = positive_pairs(self.given("labels"))
        return masked_regions(self.images, masks, image_index, torch.zeros(3))

    @property
    def images(self) -> Tensor:
        """The images of the masks and the losses."""
        return self.given("mg.square.input")


def text_outputs(golden: Golden) -> Tensors:
    """Features of images, sentences, class texts and learned prompts, as the projections give them."""
    clip = golden.clip
    vectors = golden.given("prompt.vectors").clone().requires_grad_()
    prompts = clip.encode_prompts(vectors, normalize=False)
    scalar = (golden.given("prompt.probe") * prompts).sum()
    scalar.backward()
    assert vectors.grad is not None
    return {
        "clip.image_features": clip.encode_images(golden.given("clip.pixels"), normalize=False),
        "text.features": clip.encode_classes(golden.meta["class_names"], normalize=False),
        "tok.features": clip.encode_texts(golden.meta["tokenizer_sentences"], normalize=False),
        "prompt.features": prompts,
        "prompt.features_alt_stop": golden.clip_of_plain_text.encode_prompts(vectors, normalize=False),
        "prompt.scalar": scalar,
        "prompt.grad": vectors.grad,
    }


def generator_outputs(golden: Golden) -> Tensors:
    """Every step of the mask generator on every batch of images, and its outputs on the usual way."""
    generator = golden.generator()
    found: Tensors = {}
    for name in golden.tensors:
        if not (name.startswith("in.mg.") and name.endswith(".input")):
            continue
        pixels = golden.tensors[name]
        intermediate, output = trace(generator, pixels), generator(pixels)
        assert output.affinity is not None
        steps = {
            "attn_out": intermediate.attention_outputs,
            "attn_first_image": intermediate.attention[:, 0],
            "fusion_weight": intermediate.gates,
            "tokens": intermediate.tokens,
            "coarse_map": intermediate.coarse_map,
            "class_attn": intermediate.class_attention,
            "cam": intermediate.cams,
            "patch_attn": output.affinity,
            "fine_cam": output.cams,
            "class_logits": output.logits["class_token"],
            "coarse_logits": output.logits["coarse"],
            "fused_logits": output.logits["fused"],
        }
        prefix = name.removeprefix("in.").removesuffix(".input")
        found |= {f"{prefix}.{step}": value for step, value in steps.items()}
    return found


def mask_outputs(golden: Golden) -> Tensors:
    """Soft masks and masked images of every pair."""
    cams = golden.generator()(golden.images).cams
    image_index, class_index = positive_pairs(golden.given("labels"))
    size = (golden.images.shape[-2], golden.images.shape[-1])
    upsampled = upsample_cams(cams, size, align_corners=True)[image_index, class_index]
    found = {
        "mask.pairs": torch.stack([image_index, class_index], dim=1),
        "mask.map_min": upsampled.amin((-2, -1)),
        "mask.map_max": upsampled.amax((-2, -1)),
    }
    for kind in golden.meta["mask_eps"]:
        masks = golden.masks(cams, kind)
        foreground, background = golden.regions(masks)
        found |= {f"mask.{kind}": masks, f"mask.{kind}.fg": foreground, f"mask.{kind}.bg": background}
    return found


def clamp_outputs(golden: Golden) -> Tensors:
    """Values and gradients of the two logarithms of a clamped similarity."""
    found: Tensors = {}
    for name, log in (("toward", golden.score.log), ("away", golden.score.log_not)):
        similarity = golden.given("clamp.similarity")[:, None].clone().requires_grad_()  # features of one channel
        value = -log(similarity, torch.ones_like(similarity)).mean()
        value.backward()
        assert similarity.grad is not None
        found |= {f"clamp.{name}": value, f"clamp.{name}.grad": similarity.grad[:, 0]}
    return found


def guided_outputs(golden: Golden, stage: str) -> Tensors:
    """Loss, parts, cosines and gradients of matching ("a") and refinement ("c")."""
    clip, generator, score, weights = golden.clip, golden.generator(), golden.score, golden.meta["weights"][stage]
    _, class_index = positive_pairs(golden.given("labels"))
    texts = clip.encode_classes(golden.meta["class_names"])[class_index]
    masks = golden.masks(generator(golden.images).cams, golden.meta["stage_mask"][stage])
    foreground, background = (clip.encode_images(region) for region in golden.regions(masks))
    parts = match_loss(foreground, background, texts, score, weights[0])
    plain = match_loss(foreground, background, texts, score, 1.0)
    found = {
        "match_fg": plain["match_foreground"],
        "match_bg": plain["match_background"],
        "cos_fg_text": cosine(foreground, texts),
        "cos_bg_text": cosine(background, texts),
    }
    if stage == "c":
        prompts = clip.encode_prompts(golden.given("prompt.vectors"))[class_index]
        parts |= suppress_loss(foreground, prompts, score, weights[1])
        found |= suppress_loss(foreground, prompts, score, 1.0)
        found["cos_fg_prompt"] = cosine(foreground, prompts)
    found["loss"] = total(parts)
    found["loss"].backward()
    found |= {f"grad.{name}": p.grad for name, p in generator.named_parameters() if p.grad is not None}
    return {f"stage_{stage}.{name}": value for name, value in found.items()}


def prompt_stage_outputs(golden: Golden) -> Tensors:
    """Loss, parts, cosines and gradient of prompt learning ("b")."""
    clip, score = golden.clip, golden.score
    _, class_index = positive_pairs(golden.given("labels"))
    with torch.no_grad():
        texts = clip.encode_classes(golden.meta["class_names"])[class_index]
        masks = golden.masks(golden.generator()(golden.images).cams, golden.meta["stage_mask"]["b"])
        background = clip.encode_images(golden.regions(masks)[1])
    vectors = golden.given("prompt.vectors").clone().requires_grad_()
    prompts = clip.encode_prompts(vectors)[class_index]
    loss = total(prompt_loss(background, texts, prompts, score, golden.meta["weights"]["b"][0], text_score=score))
    loss.backward()
    assert vectors.grad is not None
    plain = prompt_loss(background, texts, prompts, score, 1.0, text_score=score)
    return {
        "stage_b.loss": loss,
        "stage_b.pull": plain["pull"],
        "stage_b.push": plain["push"],
        "stage_b.cos_bg_prompt": cosine(background, prompts),
        "stage_b.cos_text_prompt": cosine(texts, prompts),
        "stage_b.grad.prompts": vectors.grad,
    }


def multiscale_outputs(golden: Golden) -> Tensors:
    """Multi-scale maps, label maps, IoU and the sweep over thresholds."""
    generator, settings = golden.generator(), golden.meta["multiscale"]
    found: Tensors = {}
    pictures = []
    for index, (height, width) in enumerate(settings["sizes_hw"]):
        scaled = [golden.given(f"ms.{index}.input.scale{float(scale)}")[None] for scale in settings["scales"]]
        maps = merged_cams(
            lambda images: generator(images).cams, scaled, (height, width), settings["flip"], settings["minmax_eps"]
        )[0]
        classes = torch.nonzero(golden.given(f"ms.{index}.labels"))[:, 0]
        pictures.append((maps[classes], classes, golden.given(f"ms.{index}.truth").numpy()))
        found |= {f"ms.{index}.class_ids": classes, f"ms.{index}.maps": maps[classes]}

    def matrix_at(threshold: float) -> ConfusionMatrix:
        matrix = ConfusionMatrix(golden.meta["num_classes"] + 1)
        for cams, classes, truth in pictures:
            matrix.update(label_map(cams, classes, threshold).numpy(), truth)
        return matrix

    for threshold in settings["thresholds"]:
        matrix = matrix_at(threshold)
        found[f"ms.iou.t{threshold:g}"] = torch.from_numpy(matrix.iou)
        found[f"ms.miou.t{threshold:g}"] = torch.tensor(matrix.miou)
        for index, (cams, classes, _) in enumerate(pictures):
            found[f"ms.{index}.pred.t{threshold:g}"] = label_map(cams, classes, threshold)
    mious = [matrix_at(threshold).miou for threshold in settings["sweep"]]
    found["ms.sweep.miou"] = torch.tensor(mious)
    found["ms.sweep.best"] = torch.tensor(early_stopping_best(settings["sweep"], mious))
    return found


GROUPS: dict[str, Callable[[Golden], Tensors]] = {
    "vision-language model": text_outputs,
    "mask generator": generator_outputs,
    "masks": mask_outputs,
    "clamp": clamp_outputs,
    "stage a": lambda golden: guided_outputs(golden, "a"),
    "stage b": prompt_stage_outputs,
    "stage c": lambda golden: guided_outputs(golden, "c"),
    "multi-scale": multiscale_outputs,
}


@dataclass(frozen=True)
class Check:
    """One expected tensor beside what semples gives."""

    name: str
    passed: bool
    note: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.passed else 'FAIL'} {self.name:44} {self.note}"


def all_outputs(golden: Golden) -> tuple[Tensors, list[str]]:
    """Compute every output, under the names of the expected ones, and what went wrong on the way."""
    found: Tensors = {}
    problems = []
    for title, group in GROUPS.items():
        try:
            found |= {f"out.{name}": value.detach() for name, value in group(golden).items()}
        except Exception as error:  # the other groups' checks still run; those of this one fail as skipped
            problems.append(f"{title}: {type(error).__name__}: {error}")
    return found, problems


def compare(name: str, expected: Tensor, found: Tensors, tolerances: Mapping[str, Mapping[str, float]]) -> Check:
    """Compare one tensor: floats within their tolerance, integers exactly."""
    if name not in found:
        return Check(name, False, "skipped: nothing to compare it with")
    value = found[name]
    if value.shape != expected.shape:
        return Check(name, False, f"has shape {tuple(value.shape)}, expected {tuple(expected.shape)}")
    error = largest_error(value.double(), expected.double())
    if not expected.is_floating_point():
        return Check(name, error == 0, f"largest error {error:g}, exact")
    if name not in tolerances:
        return Check(name, False, "meta.json has no tolerance for it")
    tolerance = tolerances[name]["atol"]
    return Check(name, error <= tolerance, f"largest error {error:.2e}, tolerance {tolerance:.2e}")


def largest_error(value: Tensor, expected: Tensor) -> float:
    """Largest absolute difference; infinite where one is NaN and the other is not."""
    difference = (value - expected).abs()
    difference[value.isnan() & expected.isnan()] = 0
    return float(difference.nan_to_num(nan=float("inf")).max()) if difference.numel() else 0.0


def run_checks(folder: Path) -> Iterator[Check]:
    """Yield one check for each expected tensor of a folder."""
    golden = Golden(folder)
    found, problems = all_outputs(golden)
    for problem in problems:
        print(problem)
    for name, expected in golden.expected.items():
        yield compare(name, expected, found, golden.meta["tolerance"])


def main(arguments: list[str] | None = None) -> int:
    """Print all checks and the count; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    checks = []
    for check in run_checks(parser.parse_args(arguments).folder):
        print(check)
        checks.append(check)
    passed = sum(check.passed for check in checks)
    print(f"{passed} of {len(checks)}")
    return 0 if checks and passed == len(checks) else 1


if __name__ == "__main__":
    sys.exit(main())
