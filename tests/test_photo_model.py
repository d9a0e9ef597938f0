"""The bundled model that has seen photographs: small, complete, and able to tell animals apart."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from conftest import REPOSITORY
from semples.data.plurals import plural
from semples.models.loading import resolve
from semples.models.vision_language.loading import load_vision_language_model
from semples.models.vision_language.model import VisionLanguageModel

sys.path.insert(0, str(REPOSITORY / "tools"))

from photo_evaluation import area_under_curve, average_precision, read_animals
from photo_losses import imagenet_loss, locality_loss, matching_loss
from photo_words import COCO_CLASSES, CONTEXT_WORDS, PHRASES, VOC_CLASSES

FOLDER = Path(resolve("bundled/photos", "vision_language"))


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return load_vision_language_model(str(FOLDER))


class TestAsset:
    def test_it_is_at_most_20_megabytes_in_half_precision(self) -> None:
        assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 20_000_000
        with safe_open(FOLDER / "model.safetensors", framework="pt") as weights:
            kinds = {weights.get_tensor(name).dtype for name in weights.keys()}  # noqa: SIM118
        assert kinds <= {torch.float16, torch.int64}

    def test_the_card_states_data_use_and_numbers(self) -> None:
        card = (FOLDER / "README.md").read_text(encoding="utf-8")
        for word in ("Flickr8k", "COCO", "EfficientNet-Lite2", "MiniLM", "research", "recall", "average precision"):
            assert re.search(word, card, re.IGNORECASE), word

    @pytest.mark.parametrize("side", [224, 320])
    def test_it_loads_in_single_precision_and_reads_places(self, model: VisionLanguageModel, side: int) -> None:
        assert model.kind == "align"
        assert next(model.model.parameters()).dtype == torch.float32
        torch.testing.assert_close(model.fill, torch.full((3,), 127 / 255))
        cut = model.cut(torch.rand(1, 3, side, side))
        assert cut.grid == (side // 32, side // 32)
        assert cut.activations.shape == (1, (side // 32) ** 2, cut.features.shape[1])

    def test_the_mean_over_places_is_the_feature(self, model: VisionLanguageModel) -> None:
        pixels = torch.rand(2, 3, 224, 224)
        torch.testing.assert_close(model.cut(pixels).features, model.encode_images(pixels), atol=1e-5, rtol=0)

    def test_it_knows_class_names_synonyms_and_contexts(self, model: VisionLanguageModel) -> None:
        phrases = [phrase for group in PHRASES.values() for phrase in group]
        names = [*VOC_CLASSES, *COCO_CLASSES, *CONTEXT_WORDS]
        names += [*phrases, *map(plural, names)]
        assert [name for name in names if not model.knows(f"a photo of {name}.")] == []
        assert not model.knows("zyzzyva")

    def test_synonyms_are_closer_than_other_classes(self, model: VisionLanguageModel) -> None:
        texts = model.encode_classes(["dog", "puppy", "sofa", "couch", "airplane", "aeroplane"])
        cosines = (texts @ texts.T).fill_diagonal_(-1)
        assert cosines.argmax(1).tolist() == [1, 0, 3, 2, 5, 4]

    def test_cats_rank_above_other_photographs(self, model: VisionLanguageModel, shared_data: Path) -> None:
        animals = read_animals(shared_data / "data" / "voc2012-animals", "all")
        columns = {name: animals.tags[:, VOC_CLASSES.index(name)] for name in ("cat", "horse", "sheep")}
        alone = animals.tags.sum(1) == 1
        rows = [int(row) for tagged in columns.values() for row in (tagged & alone).nonzero()[0][:6]]
        with torch.inference_mode():
            images = torch.cat([model.encode_images(animals.pixels(row)) for row in rows])
            scores = images @ model.encode_classes(["cat"])[0]
        truth = torch.tensor([bool(columns["cat"][row]) for row in rows]).numpy()
        assert average_precision(scores.double().numpy(), truth) > 0.9


@pytest.mark.parametrize(
    ("name", "expected"),
    [("bus", "buses"), ("city", "cities"), ("person", "people"), ("bench", "benches"),
     ("dining table", "dining tables"), ("toy mouse", "toy mice"), ("donkey", "donkeys"), ("skis", "skis")],
)  # fmt: skip
def test_plurals(name: str, expected: str) -> None:
    assert plural(name) == expected


class TestMeasures:
    def test_average_precision_by_hand(self) -> None:
        scores, truth = torch.tensor([0.9, 0.8, 0.7, 0.6]).double().numpy(), torch.tensor([1, 0, 1, 0]).bool().numpy()
        assert average_precision(scores, truth) == pytest.approx((1 + 2 / 3) / 2)

    def test_area_under_curve_by_hand(self) -> None:
        inside, outside = torch.tensor([1.0, 3.0]).double().numpy(), torch.tensor([0.0, 1.0, 2.0, 4.0]).double().numpy()
        assert area_under_curve(inside, outside) == pytest.approx((1.5 + 3) / 8)


class TestLosses:
    @staticmethod
    def _unit(*shape: int) -> Tensor:
        torch.manual_seed(0)
        return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)

    def test_matching_loss_by_hand_and_without_the_unknown(self) -> None:
        similarity = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        by_hand = torch.nn.functional.softplus(torch.tensor(-2.0))
        assert matching_loss(similarity, torch.eye(2, dtype=torch.int8)) == pytest.approx(float(by_hand))
        wide = torch.tensor([[2.0, 0.0, 9.0], [0.0, 2.0, 9.0]])
        unknown = torch.tensor([[1, 0, -1], [0, 1, -1]], dtype=torch.int8)
        assert matching_loss(wide, unknown) == pytest.approx(float(by_hand))

    def test_matching_loss_without_any_positive_is_zero_with_a_gradient(self) -> None:
        similarity = torch.zeros(2, 2, requires_grad=True)
        loss = matching_loss(similarity, torch.zeros(2, 2, dtype=torch.int8))
        loss.backward()
        assert loss.item() == 0
        assert similarity.grad is not None
        assert similarity.grad.isfinite().all()

    def test_locality_loss_prefers_what_is_visible(self) -> None:
        visible, hidden = self._unit(6, 8).chunk(2)
        assert locality_loss(visible, visible, hidden) < locality_loss(hidden, visible, hidden)

    def test_locality_loss_by_hand(self) -> None:
        masked = visible = torch.eye(2)
        by_hand = torch.log(1 + 2 * torch.tensor(-1 / 0.07).exp())
        assert locality_loss(masked, visible, visible.flip(0)) == pytest.approx(float(by_hand))

    def test_imagenet_loss_is_smallest_at_the_teachers_answer(self) -> None:
        teacher = torch.tensor([[0.8, 0.1, 0.1]])
        assert imagenet_loss(teacher.log(), teacher) < imagenet_loss(torch.zeros(1, 3), teacher)
