from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from matching import mentions
from semples.data.scenes import COLORS, CONTEXTS, OBJECTS, PATTERNS, Placement, Scene, compose, draw_scene, paint
from semples.data.scenes.sketch import Shape, Sketch, rounded
from semples.data.scenes.texture import Area, noise, ramp, scatter

BoolArray = npt.NDArray[np.bool_]
GREEN, RED = (0, 200, 0), (200, 0, 0)


def draw(seed: int, size: int, *placements: Placement) -> Scene:
    return draw_scene(np.random.default_rng(seed), size, placements)


def grown(mask: BoolArray) -> BoolArray:
    """Also the eight neighbors of every pixel."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    result: BoolArray = np.any([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
    return result


def filled(color: tuple[int, int, int]) -> Callable[[np.random.Generator, Area], Image.Image]:
    return lambda _rng, area: Image.new("RGB", (area.width, area.height), color)


@pytest.fixture
def plain_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "PAINTERS", {"grass": filled(GREEN), "wall": filled(RED)})


def test_names_are_the_promised_ones() -> None:
    expected_objects = "boat train plane car bird cat fish house ball sheep umbrella flower mushroom balloon"
    expected_contexts = "water rails sky grass snow sand night wall road forest tiles wood city rocks"
    assert expected_objects.split() == list(OBJECTS)
    assert expected_contexts.split() == list(CONTEXTS)
    assert len({*OBJECTS, *CONTEXTS, *COLORS, *PATTERNS}) == 14 + 14 + 10 + 4


@pytest.mark.parametrize("size", [32, 64, 96, 128])
def test_scene_has_the_promised_shapes(size: int) -> None:
    scene = draw(0, size, Placement("cat", "night"), Placement("car", "road"))
    assert scene.image.shape == (size, size, 3)
    assert scene.mask.shape == (size, size)
    assert scene.image.dtype == scene.mask.dtype == np.uint8
    assert set(np.unique(scene.mask)) == {0, 1, 2}


def test_every_object_draws_in_every_context() -> None:
    for thing in OBJECTS:
        for context in CONTEXTS:
            scene = draw(1, 48, Placement(thing, context))
            share = (scene.mask == 1).mean()
            assert 0.02 < share < 0.5, (thing, context, share)
            assert scene.image[scene.mask == 0].std() > 2, (thing, context)


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    placements = (Placement("boat", "water"), Placement("bird", "rocks"))
    first, again, other = draw(5, 96, *placements), draw(5, 96, *placements), draw(6, 96, *placements)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.mask.tobytes() == again.mask.tobytes()
    assert first.appearances == again.appearances
    assert first.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize("thing", OBJECTS)
def test_outside_the_mask_there_is_nothing_but_ground(thing: str) -> None:
    for seed in range(4):
        scene = draw(seed, 64, Placement(thing, None))
        ground = np.median(scene.image[scene.mask == 0])
        away = np.abs(scene.image.astype(int) - ground).max(axis=2)
        # Noise has a standard deviation of at most 4 and a border pixel may be half covered. Beyond the
        # border only hair-thin lines (whiskers, ropes) that cover no half pixel may stay outside the mask.
        assert (away[~grown(scene.mask == 1)] >= 24).mean() < 0.002
        # Pale or dark tones of a pattern may come near the ground's gray.
        assert (away[scene.mask == 1] >= 16).mean() > 0.5


def test_ball_covers_pi_quarters_of_its_box() -> None:
    for seed in range(6):
        mask = draw(seed, 128, Placement("ball", None)).mask == 1
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        assert mask.sum() / box == pytest.approx(np.pi / 4, abs=0.035)


def test_context_alone_has_an_empty_mask_and_no_look() -> None:
    scene = draw(0, 64, Placement(None, "city"))
    assert not scene.mask.any()
    assert scene.appearances == (None,)


@pytest.mark.usefixtures("plain_contexts")
def test_single_context_fills_the_image() -> None:
    image = draw(0, 64, Placement(None, "grass")).image.astype(int)
    assert (image[..., 1] > image[..., 0] + 60).all()


@pytest.mark.usefixtures("plain_contexts")
def test_two_contexts_share_the_image_and_each_object_stands_in_its_own() -> None:
    for seed in range(12):
        empty = draw(seed, 64, Placement(None, "grass"), Placement(None, "wall")).image.astype(int)
        first = empty[..., 1] > empty[..., 0]
        assert 0.3 < first.mean() < 0.7
        # The contexts are drawn before the objects, so the same seed has the same border.
        mask = draw(seed, 64, Placement("ball", "grass"), Placement("house", "wall")).mask
        assert first[mask == 1].mean() > 0.6
        assert first[mask == 2].mean() < 0.4


@pytest.mark.usefixtures("plain_contexts")
def test_borders_run_both_ways() -> None:
    corners = set()
    for seed in range(20):
        image = draw(seed, 64, Placement(None, "grass"), Placement(None, "wall")).image.astype(int)
        corners.add(bool(image[4, 59, 1] > image[4, 59, 0]))
    assert corners == {True, False}


def test_equal_contexts_are_one_filling(monkeypatch: pytest.MonkeyPatch) -> None:
    areas = []

    def record(_rng: np.random.Generator, area: Area) -> Image.Image:
        areas.append(area)
        return Image.new("RGB", area[:2])

    monkeypatch.setattr(compose, "PAINTERS", {"sand": record})
    draw(0, 96, Placement("cat", "sand"), Placement("fish", "sand"))
    assert areas == [Area(192, 192, 192)]


def test_second_object_lies_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "_draw_offset", lambda _rng, _low, _high, extent, side: (side - extent) / 2)
    mask = draw(0, 64, Placement("house", None), Placement("ball", None)).mask
    assert mask[32, 32] == 2
    assert (mask == 2).sum() == pytest.approx(np.pi / 4 * np.prod(np.ptp(np.argwhere(mask == 2), axis=0) + 1), rel=0.06)


def test_size_words_follow_the_drawn_size() -> None:
    areas: dict[str | None, list[int]] = {"small": [], None: [], "large": []}
    for seed in range(60):
        scene = draw(seed, 48, Placement("ball", None))
        look = scene.appearances[0]
        assert look is not None
        areas[look.size].append(int(scene.mask.sum()))
    assert np.median(areas[None]) < np.median(areas["large"])
    for seed in range(60):
        scene = draw(seed, 48, Placement("ball", None), Placement("ball", None))
        for value, look in enumerate(scene.appearances, start=1):
            assert look is not None
            areas[look.size].append(int((scene.mask == value).sum()))
    assert np.median(areas["small"]) < np.median(areas[None])


def test_every_color_and_pattern_comes_up_and_colors_look_like_their_words() -> None:
    looks, rng = set(), np.random.default_rng(0)
    for _ in range(300):
        chosen = paint.choose_paint(rng, np.array([128.0, 128.0, 128.0]))
        looks |= {chosen.color, chosen.pattern}
        assert np.abs(np.subtract(chosen.body, COLORS[chosen.color])).max() <= 15
    assert looks == {*COLORS, *PATTERNS} - {
        word for word, rgb in COLORS.items() if np.linalg.norm(np.subtract(rgb, 128)) < 110
    }


@pytest.mark.parametrize(("ground", "never"), [((240, 240, 240), "white"), ((36, 36, 42), "black")])
def test_color_differs_from_the_surroundings(ground: tuple[int, int, int], never: str) -> None:
    rng = np.random.default_rng(0)
    assert never not in {paint.choose_paint(rng, np.array(ground, dtype=float)).color for _ in range(100)}


def test_without_a_visible_color_the_farthest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paint, "COLORS", {"black": (36, 36, 42), "brown": (122, 76, 42)})
    assert paint.choose_paint(np.random.default_rng(0), np.array([60.0, 50.0, 42.0])).color == "brown"


def test_posed_sketch_starts_at_zero_and_has_the_asked_size() -> None:
    square = Sketch([Shape(np.array([(3.0, 3.0), (5.0, 3.0), (5.0, 5.0), (3.0, 5.0)]), "body")])
    for seed in range(5):
        points = paint.pose(np.random.default_rng(seed), square, 80.0).shapes[0].points
        np.testing.assert_allclose(points.min(axis=0), 0, atol=1e-9)
        extent = points.max(axis=0)
        assert 0.75 * extent.max() + 0.25 * extent.min() == pytest.approx(80)


def test_rounded_cuts_a_square_into_sixteen_corners() -> None:
    points = rounded([(0, 0), (4, 0), (4, 4), (0, 4)])
    assert points.shape == (16, 2)
    # One round of Chaikin puts corners at 1 and 3 on every side, the second at 1.5 and 2.5.
    assert [1.5, 0.0] in points.tolist()
    assert points.min() == 0


def test_ramp_goes_through_its_colors() -> None:
    image = np.asarray(ramp(np.array([[-1.0, 0.0, 0.5, 1.0, 7.0]], dtype=np.float32), [(0, 0, 0), (200, 100, 0)]))
    assert image[0, :, 0].tolist() == [0, 0, pytest.approx(100, abs=1), 200, 200]
    assert image[0, 3].tolist() == [200, 100, 0]


def test_noise_and_scatter_fill_a_long_area() -> None:
    rng, area = np.random.default_rng(0), Area(40, 90, 90)
    values = noise(rng, area, 0.2)
    assert values.shape == (90, 40)
    assert values.dtype == np.float32
    points = np.array(scatter(rng, area, 100))
    assert points.shape == (44, 2)
    assert (points < (40, 90)).all()


@pytest.mark.parametrize(
    ("placements", "named"),
    [
        ((), ("placements", 0)),
        ((Placement("cat", None),) * 3, ("placements", 3)),
        ((Placement("dog", None),), ("object", "dog")),
        ((Placement("cat", "moon"),), ("context", "moon")),
    ],
)
def test_bad_placements_are_refused(placements: tuple[Placement, ...], named: Sequence[object]) -> None:
    with pytest.raises(ValueError, match=mentions(*named)):
        draw(0, 64, *placements)
