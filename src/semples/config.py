"""Settings of a run: one frozen dataclass per section, checked on creation, all defaults those of the demo.

``load`` and the command line live in :mod:`semples.settings`; here is what can be set, and nothing of torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from semples.errors import ConfigError

BACKGROUND_WORDS = (
    "ground", "land", "grass", "tree", "building", "wall", "sky", "lake", "water", "river", "sea", "railway",
    "railroad", "helmet", "cloud", "house", "mountain", "ocean", "road", "rock", "street", "valley", "bridge",
)  # fmt: skip
"""Generic backgrounds, as in CLIP-ES (arXiv 2212.09506)."""

DEFAULT_PAIRS = {
    "boat": "water",
    "train": "rails",
    "plane": "sky",
    "car": "road",
    "bird": "forest",
    "cat": "wood",
    "fish": "sand",
    "house": "snow",
    "ball": "grass",
    "sheep": "rocks",
}
"""Object -> context of the default scenes."""


def _positive(section: object, prefix: str, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if value <= 0:
            raise ConfigError(f"{prefix}.{name} is {value}, expected a number above 0")


def _not_negative(section: object, prefix: str, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if value < 0:
            raise ConfigError(f"{prefix}.{name} is {value}, expected 0 or more")


def _share(section: object, prefix: str, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if not 0 <= value <= 1:
            raise ConfigError(f"{prefix}.{name} is {value}, expected a number from 0 to 1")


@dataclass(frozen=True)
class DataConfig:
    """Where images and tags come from."""

    reader: Literal["scenes", "voc", "coco", "folder"] = "scenes"
    """Built-in synthetic scenes, a VOC folder, COCO annotations, or a folder of your own images."""
    root: str | None = None
    """Folder of the data set. Scenes are drawn into it; their default is inside the run directory."""
    train_split: str = "train"
    """voc: name of ImageSets/Segmentation/NAME.txt to train on."""
    val_split: str | None = "val"
    """voc: name of the held-out split, or null for none."""
    labels: Literal["auto", "tags", "xml", "npy"] = "auto"
    """voc: where image-level labels are read from; auto takes the first there is. coco: auto (annotations) or npy."""
    train_annotations: str = "auto"
    """coco: JSON file of the training instances, relative to the root; auto finds the usual names."""
    val_annotations: str | None = "auto"
    """coco: that of the held-out images, or null for none; auto: beside the training one, "val" for "train"."""
    train_images: str = "auto"
    """coco: folder of the training images, relative to the root; auto: train2017 and the like, or images."""
    val_images: str = "auto"
    """coco: folder of the held-out images."""
    classes: list[str] | None = None
    """folder: class names in mask order; null takes all tags, sorted."""
    prompt_names: dict[str, str] = field(default_factory=dict)
    """Class name -> the word to give the vision-language model, where it knows a better one."""
    val_fraction: float = 0.1
    """folder: share of the images held out, chosen by a stable hash of their names."""
    pairs: dict[str, str] = field(default_factory=lambda: dict(DEFAULT_PAIRS))
    """scenes: object -> the context it comes with; the objects named are the classes."""
    bias: float = 0.9
    """scenes: probability that an object stands in its own context."""
    image_size: int = 96
    """scenes: side of the images in pixels."""
    train_size: int = 400
    """scenes: number of training images."""
    val_size: int = 100
    """scenes: number of held-out images."""
    cache_mb: int = 1024
    """Decoded images are kept in memory up to this many megabytes."""
    workers: int = 0
    """Processes that decode images beside the training process."""

    def __post_init__(self) -> None:
        _share(self, "data", "bias", "val_fraction")
        _positive(self, "data", "image_size", "train_size", "val_size")
        _not_negative(self, "data", "workers", "cache_mb")
        if self.reader != "scenes" and not self.root:
            raise ConfigError(f"data.root is not set: give the folder of your images (reader {self.reader})")


@dataclass(frozen=True)
class VisionLanguageConfig:
    """The frozen vision-language model."""

    model: str = "bundled"
    """A CLIP, SigLIP or ALIGN checkpoint: hub name, local folder, or "bundled" (knows the built-in scenes only)."""
    score: Literal["auto", "cosine", "sigmoid"] = "auto"
    """Match score of two features; auto: sigmoid for SigLIP, else cosine."""
    template: str = "a photo of {}."
    """Text around a class name and around learned prompts."""
    image_size: int | None = None
    """Side in pixels that images are resized to for it; positions are interpolated. null: the checkpoint's own."""
    prompt_stop: Literal["word", "bare"] = "word"
    """End of the template after a learned prompt: the tokens of ordinary text, or (CLIP only, as published) the bare
    pieces that stand inside of words."""
    normalization: Literal["own", "imagenet"] = "own"
    """Mean and deviation of its images: its own, or ImageNet's as published."""

    def __post_init__(self) -> None:
        if self.image_size is not None:
            _positive(self, "vision_language", "image_size")
        if self.template.count("{}") != 1:
            raise ConfigError(f'vision_language.template is "{self.template}", expected exactly one {{}}')


@dataclass(frozen=True)
class MaskGeneratorConfig:
    """The network whose class activation maps become masks."""

    name: str = "cam"
    """"cam", "weaktr" (needs a ViT or DeiT), "clip" (the vision-language model itself: nothing trains but prompts), or
    the import path of your own class."""
    backbone: str = "bundled"
    """Any transformers backbone: hub name, local folder, or "bundled" (the bundled vision-language model's; for weaktr
    the bundled ViT)."""
    checkpoint: str | None = None
    """weaktr: a checkpoint of the WeakTr authors (.pth or .safetensors) to start stage 0 from, beside its backbone."""
    output_stride: int | None = 8
    """Input pixels per CAM pixel; smaller than the backbone's own dilates its last stages. null: its own. weaktr has
    its patch size whatever stands here."""
    kernel_size: int = 3
    """Side of the CAM head's convolution."""
    freeze_backbone: bool = True
    """Train only the head in stage 0 too (stages 1 and 3 always do)."""
    image_size: int = 128
    """Side of the square training crops in pixels."""
    crop_scale: float = 0.6
    """Smallest share of the image's area that a random training crop keeps; 1 resizes the whole image."""
    background_words: list[str] = field(default_factory=lambda: list(BACKGROUND_WORDS))
    """clip: what stage 0 contrasts the classes with; class names, and words the model does not know, are left out."""
    affinity_steps: int | None = None
    """Times that attention between patches spreads the CAMs, where there is any. null: 2 for clip, 0 for others."""
    affinity_threshold: float = 0.4
    """Spread CAMs stay in the boxes around what is above this share of their maximum."""
    fusion_pool: Literal["max", "average"] = "max"
    """weaktr: pooling of each attention head's features (VOC recipe: max, COCO: average)."""
    fusion_reduction: int = 8
    """weaktr: bottleneck of the attention fusion over all heads (VOC recipe: 8, COCO: 4)."""
    fusion_feat_reduction: int = 8
    """weaktr: bottleneck of the attention fusion over the features of one head."""
    head_channels: Literal["contiguous", "strided"] = "contiguous"
    """weaktr: channels that stand for a head in the fusion: its own, or dealt out with a stride as published."""
    position_interpolation: Literal["exact", "offset"] = "exact"
    """weaktr: position embeddings at other sizes: to the exact grid, or with an offset of 0.1 as published."""
    leftover: Literal["resize", "drop"] = "resize"
    """weaktr: sides that are no multiple of the patch: resize the image to one, or drop the rest as published."""

    def __post_init__(self) -> None:
        _positive(self, "mask_generator", "image_size", "kernel_size", "fusion_reduction", "fusion_feat_reduction")
        _share(self, "mask_generator", "crop_scale", "affinity_threshold")
        if self.affinity_steps is not None:
            _not_negative(self, "mask_generator", "affinity_steps")
        if self.output_stride is not None:
            _positive(self, "mask_generator", "output_stride")
        if self.kernel_size % 2 == 0:
            raise ConfigError(f"mask_generator.kernel_size is {self.kernel_size}, expected an odd number")
        if self.checkpoint is not None and self.name != "weaktr":
            raise ConfigError(f"mask_generator.checkpoint is for weaktr, but mask_generator.name is {self.name}")


@dataclass(frozen=True)
class AugmentationConfig:
    """Changes to training crops beside random cropping and mirroring: in stages 1 and 3, never in stage 2."""

    classify: bool = False
    """Also in stage 0."""
    randaugment_operations: int = 0
    """Operations of RandAugment for each crop; 0: none (the paper: 2)."""
    randaugment_magnitude: int = 9
    """Severity of those operations, 0 to 10."""
    color_jitter: float = 0.0
    """Brightness, contrast and saturation vary by this share up and down (the paper: 0.4)."""
    random_erasing: float = 0.0
    """Probability that a rectangle is painted over in the crop's mean colour (the paper: 0.25)."""

    def __post_init__(self) -> None:
        _not_negative(self, "augmentation", "randaugment_operations")
        _share(self, "augmentation", "color_jitter", "random_erasing")
        if not 0 <= self.randaugment_magnitude <= 10:
            raise ConfigError(
                f"augmentation.randaugment_magnitude is {self.randaugment_magnitude}, expected a number from 0 to 10"
            )


@dataclass(frozen=True)
class GuidanceConfig:
    """Language guidance: stages 1 to 3."""

    enabled: bool = True
    """Off: pseudo masks come from the classifier's CAMs alone."""


@dataclass(frozen=True)
class OptimizerConfig:
    """What every training stage needs."""

    epochs: int = 10
    """Passes over the training images."""
    batch_size: int = 32
    """Images per step."""
    learning_rate: float = 1e-3
    """Peak rate of AdamW; cosine to 0."""
    weight_decay: float = 0.03
    """Decoupled weight decay."""
    warmup: float = 0.0
    """Share of the steps with a linearly rising rate."""

    _section = "optimizer"

    def __post_init__(self) -> None:
        _positive(self, self._section, "epochs", "batch_size", "learning_rate")
        _share(self, self._section, "warmup")
        _not_negative(self, self._section, "weight_decay")


@dataclass(frozen=True)
class ClassifyConfig(OptimizerConfig):
    """Stage 0: multi-label classification."""

    epochs: int = 15
    """Passes over the training images."""
    learning_rate: float = 2e-2
    """Peak rate of AdamW; cosine to 0."""
    backbone_rate: float = 0.1
    """Learning rate of the backbone as a share of the head's, unless it is frozen."""

    _section = "classify"

    def __post_init__(self) -> None:
        super().__post_init__()
        _not_negative(self, self._section, "backbone_rate")


@dataclass(frozen=True)
class MatchConfig(OptimizerConfig):
    """Stage 1: segment-label matching."""

    epochs: int = 10
    """Passes over the training images."""
    learning_rate: float = 5e-3
    """Peak rate of AdamW; cosine to 0."""
    lambda_background: float = 1.0
    """Weight of: the masked-out background must not match the class text."""

    _section = "match"

    def __post_init__(self) -> None:
        super().__post_init__()
        _not_negative(self, self._section, "lambda_background")


@dataclass(frozen=True)
class PromptsConfig(OptimizerConfig):
    """Stage 2: contrastive prompt learning."""

    epochs: int = 100
    """Passes over the cached background features."""
    batch_size: int = 64
    """Background regions per step."""
    learning_rate: float = 1e-2
    """Peak rate of AdamW; cosine to 0."""
    length: int = 4
    """Learned vectors per class (the paper: 30)."""
    start: Literal["uniform", "words"] = "words"
    """First values of the vectors: uniform in [0, 1) as in the paper, or normal at the scale of word embeddings."""
    score: Literal["auto", "cosine", "sigmoid"] = "cosine"
    """Match score of this stage; the cosine goes on pulling where the sigmoid is satisfied. auto: as elsewhere."""
    approach: float = 0.2
    """Share of the epochs that first uses the model's own score: below 0 a clamped cosine has no gradient."""
    lambda_text: float = 0.02
    """Weight of: the prompt must differ from the class text."""
    nearest_words: int = 5
    """Words kept per class and epoch."""
    words: str | None = None
    """Text file of words to read the prompts with, one per line; null: the whole words of the tokenizer."""

    _section = "prompts"

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, self._section, "length", "nearest_words")
        _not_negative(self, self._section, "lambda_text")
        _share(self, self._section, "approach")


@dataclass(frozen=True)
class RefineConfig(MatchConfig):
    """Stage 3: prompt-guided semantic refinement, restarted from stage 0."""

    lambda_suppress: float = 0.5
    """Weight of: the foreground must not match the learned background prompt."""

    _section = "refine"

    def __post_init__(self) -> None:
        super().__post_init__()
        _not_negative(self, self._section, "lambda_suppress")


@dataclass(frozen=True)
class CamsConfig:
    """Multi-scale inference of class activation maps."""

    scales: list[float] = field(default_factory=lambda: [1.33, 2.0])
    """Image scales whose CAMs are summed; they should frame the scale of the training crops."""
    flip: bool = True
    """Add the mirrored image at each scale."""

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) <= 0:
            raise ConfigError(f"cams.scales is {self.scales}, expected at least one number above 0")


@dataclass(frozen=True)
class PseudoMasksConfig:
    """Stage 4: from CAMs to masks."""

    threshold: float = 0.5
    """CAM value (0 to 1) above which a pixel belongs to a class."""
    refinement: list[Literal["pixel_adaptive", "dense_crf"]] = field(default_factory=lambda: ["pixel_adaptive"])
    """Steps by which the photograph itself corrects the CAMs before they are cut, in this order."""
    ignore_band: float = 0.0
    """Width of the band around the threshold: what its lower and upper end label differently is ignored (255)."""

    def __post_init__(self) -> None:
        _share(self, "pseudo_masks", "threshold", "ignore_band")
        if len(set(self.refinement)) != len(self.refinement):
            raise ConfigError(f"pseudo_masks.refinement is {self.refinement}, expected each step once at most")


@dataclass(frozen=True)
class PixelAdaptiveConfig:
    """Refinement pixel_adaptive: means over neighbours of a like colour (PAMR, arXiv 2005.08104)."""

    dilations: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 12, 24])
    """Distances of the neighbours in pixels; made for photographs of about 500 pixels."""
    iterations: int = 10
    """Rounds of averaging."""
    colour_scale: float = 0.1
    """Colour difference that counts as an edge, in local standard deviations; smaller keeps to finer edges."""

    def __post_init__(self) -> None:
        _positive(self, "pixel_adaptive", "iterations", "colour_scale")
        if not self.dilations or min(self.dilations) < 1:
            raise ConfigError(f"pixel_adaptive.dilations is {self.dilations}, expected at least one number above 0")


@dataclass(frozen=True)
class DenseCrfConfig:
    """Refinement dense_crf: a fully connected CRF (pip install "semples[crf]"); defaults of the paper's VOC recipe."""

    iterations: int = 10
    """Mean-field iterations."""
    label_confidence: float = 0.7
    """Probability that a pixel's label before the CRF is right."""
    gaussian_sxy: float = 4.0
    """Reach of the smoothness kernel in pixels."""
    gaussian_compat: float = 3.0
    """Weight of the smoothness kernel."""
    bilateral_sxy: float = 83.0
    """Reach of the appearance kernel in pixels."""
    bilateral_srgb: float = 5.0
    """Its reach in colour, in steps of 1 / 255."""
    bilateral_compat: float = 3.0
    """Weight of the appearance kernel."""

    def __post_init__(self) -> None:
        _positive(self, "dense_crf", "iterations", "gaussian_sxy", "bilateral_sxy", "bilateral_srgb")
        _not_negative(self, "dense_crf", "gaussian_compat", "bilateral_compat")
        if not 0 < self.label_confidence < 1:
            raise ConfigError(
                f"dense_crf.label_confidence is {self.label_confidence}, expected a number between 0 and 1"
            )


@dataclass(frozen=True)
class SegmentConfig(OptimizerConfig):
    """Stage 5: the segmentation network."""

    epochs: int = 20
    """Passes over the training images."""
    learning_rate: float = 4e-3
    """Peak rate of AdamW; cosine to 0."""
    model: str = "bundled"
    """Any semantic segmentation or backbone checkpoint: hub name, local folder, or "bundled" (a tiny UPerNet)."""
    image_size: int = 96
    """Side of the square training crops in pixels."""
    smallest_scale: float = 0.8
    """Training images are scaled by a random factor from here ..."""
    largest_scale: float = 1.4
    """... to here before cropping."""
    backbone_rate: float = 0.3
    """Learning rate of pretrained parameters as a share of the new ones'."""
    supervised_bound: bool | None = None
    """Also train the same network on true masks, to show what is left to gain. null: for built-in scenes only."""

    _section = "segment"

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, self._section, "image_size", "smallest_scale")
        _not_negative(self, self._section, "backbone_rate")
        if self.largest_scale < self.smallest_scale:
            raise ConfigError(
                f"segment.largest_scale is {self.largest_scale}, expected segment.smallest_scale "
                f"({self.smallest_scale}) or more"
            )


@dataclass(frozen=True)
class EvaluationConfig:
    """Stage 6: scores against ground truth, where there is some."""

    classes: list[str] | None = None
    """Means are taken over these ("background" is one); null: over all classes that occur."""


@dataclass(frozen=True)
class ReportConfig:
    """The report."""

    images: int = 24
    """Images of each split in its gallery; with many the pictures are stored smaller."""

    def __post_init__(self) -> None:
        _positive(self, "report", "images")


@dataclass(frozen=True)
class Config:
    """All settings of a run."""

    seed: int = 0
    """Seed of scenes, weights, order and augmentation."""
    device: str = "auto"
    """"auto", "cpu", "cuda", "cuda:1", "mps"."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Mixed precision of training; auto: bf16 on CUDA devices that have it, else fp32."""
    checkpoint_seconds: float = 30.0
    """A killed run repeats at most about this many seconds of training; 0 keeps a checkpoint after every step."""
    data: DataConfig = field(default_factory=DataConfig)
    vision_language: VisionLanguageConfig = field(default_factory=VisionLanguageConfig)
    mask_generator: MaskGeneratorConfig = field(default_factory=MaskGeneratorConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    classify: ClassifyConfig = field(default_factory=ClassifyConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    cams: CamsConfig = field(default_factory=CamsConfig)
    pseudo_masks: PseudoMasksConfig = field(default_factory=PseudoMasksConfig)
    pixel_adaptive: PixelAdaptiveConfig = field(default_factory=PixelAdaptiveConfig)
    dense_crf: DenseCrfConfig = field(default_factory=DenseCrfConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    report: ReportConfig = field(default_factory=ReportConfig)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}, expected 0 or more")
        if self.checkpoint_seconds < 0:
            raise ConfigError(f"checkpoint_seconds is {self.checkpoint_seconds}, expected 0 or more")
