"""The report in a real browser; needs Chromium, its driver and selenium (`apt-get install chromium-driver`)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_run import HOSTILE, make_run, put_cams, put_json
from safetensors.numpy import save_file

from matching import assert_mentions
from semples.html_report import write_report

pytestmark = pytest.mark.whole

pytestmark = pytest.mark.slow

PIXELS = """
const canvas = arguments[0] ?? document.querySelector("#canvas");
return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
"""
SETTLED = """
const done = arguments[arguments.length - 1];
const wait = (frames) => frames ? requestAnimationFrame(() => wait(frames - 1)) : setTimeout(done, 50);
wait(4);
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium (pip install selenium)")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs Chromium and chromedriver (apt-get install chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


def complaints(browser: Any) -> list[Any]:
    """Errors and what the policy forbade; that reading canvases is slow concerns the tests alone."""
    return [entry for entry in browser.get_log("browser") if entry["source"] != "rendering"]


class Page:
    """The open report, and what a reader can do with it."""

    def __init__(self, browser: Any, path: Path) -> None:
        self.browser = browser
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.get(path.as_uri())
        self.settle()

    def settle(self) -> None:
        """Wait until what was asked for has been drawn."""
        self.browser.execute_async_script(SETTLED)

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    def press(self, key: str) -> None:
        self.browser.switch_to.active_element.send_keys(key)
        self.settle()

    def choose(self, select: str, value: str) -> None:
        self.find(f"#{select} option[value='{value}']").click()
        self.settle()

    def script(self, code: str, *arguments: Any) -> Any:
        return self.browser.execute_script(code, *arguments)

    def pixels(self, canvas: Any = None) -> np.ndarray[Any, Any]:
        return np.array(self.script(PIXELS, canvas)).reshape(6, 8, 4)[..., :3]

    def open_first(self) -> None:
        self.find(".gallery-tile").click()
        self.settle()

    def captions(self) -> list[str]:
        return [tile.text for tile in self.all(".gallery-tile")]

    def ids(self) -> list[str]:
        return [str(tile.get_attribute("aria-label")).split(":")[0] for tile in self.all(".gallery-tile")]

    def pressed(self) -> str:
        return str(self.find("[data-choose][aria-pressed=true]").get_attribute("data-choose"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose images differ in score and in change: the last CAM of "a" is a ramp, that of "folder/b" is empty."""
    directory = make_run(tmp_path)
    save_file(
        {"cams": np.zeros((2, 6, 8), np.uint8), "classes": np.arange(2)},
        directory / "3-refine/cams/folder/b.safetensors",
    )
    put_cams(directory / "3-refine/cams/a.safetensors", [0])
    return directory


@pytest.fixture
def page(browser: Any, run: Path) -> Iterator[Page]:
    yield Page(browser, write_report(run))
    assert complaints(browser) == []


def test_it_shows_the_gallery_instead_of_the_static_pictures(page: Page) -> None:
    assert len(page.all(".gallery-tile")) == 3
    assert not page.find(".static").is_displayed()
    assert page.pressed() == "refined"
    assert page.find("#count").text == "3 of 3 images"


def test_the_slider_changes_the_pixels(page: Page) -> None:
    page.open_first()
    before = page.pixels()
    slider = page.find("#threshold")
    assert slider.get_attribute("value") == "0.4"
    for _ in range(20):
        slider.send_keys("\ue014")  # arrow right
    page.settle()
    assert page.find("#value").text == "0.60"
    after = page.pixels()
    ramp = np.linspace(0, 255, 48).astype(np.uint8).reshape(6, 8)
    for pixels, threshold in ((before, 0.4), (after, 0.6)):
        # the photograph is (100, 100, 100), the class (128, 0, 0), its outline lighter
        assert ((pixels[..., 0] > pixels[..., 1] + 40) == (ramp > 255 * threshold)).all()
    page.find("#reset-threshold").click()
    page.settle()
    assert page.find("#value").text == "0.40"
    assert (page.pixels() == before).all()


def test_colors_are_those_of_the_overlays_in_python(page: Page) -> None:
    page.open_first()
    page.find("[data-choose=pseudo]").click()
    page.settle()
    pixels = page.pixels()
    assert pixels[5, 0].tolist() == [100, 100, 100]
    # inside 0.45 * 100 + 0.55 * (128, 0, 0), on the outline 0.6 * (128, 0, 0) + 0.4 * 255
    assert abs(pixels[4, 6] - [115, 45, 45]).max() <= 1
    assert abs(pixels[4, 3] - [179, 102, 102]).max() <= 1


def test_heat_shows_more_than_the_cut(page: Page) -> None:
    page.open_first()
    page.find("#heat").click()
    page.settle()
    pixels = page.pixels()
    assert (pixels[5, 7] == [226, 229, 151]).all() or (pixels[5, 7] == 255).all()  # hot, or on the white line
    assert abs(pixels[0, 0] - [64, 64, 65]).max() <= 1  # cold: 0.8 * 0.8 * 100 and a fifth of (0, 0, 4)


def test_prompt_maps_are_heat_whatever_the_threshold(browser: Any, run: Path) -> None:
    put_cams(run / "2-prompt-maps/a.safetensors", [0])
    page = Page(browser, write_report(run))
    page.open_first()
    page.find("[data-choose=prompt]").click()
    page.settle()
    pixels = page.pixels()
    assert pixels[5, 7].tolist() == [226, 229, 151]
    page.script("const s = document.querySelector('#threshold'); s.value = 0.9; s.dispatchEvent(new Event('input'))")
    page.settle()
    assert (page.pixels() == pixels).all()
    assert page.find("#caption").text == "Prompt"


def test_a_foreign_script_does_not_run(browser: Any, run: Path) -> None:
    path = write_report(run)
    path.write_text(path.read_text().replace("</body>", "<script>document.title = 'mine'</script></body>"))
    browser.get(path.as_uri())
    assert browser.title.startswith("semples")
    assert "Content Security Policy" in complaints(browser)[0]["message"]


def test_filters_by_class_and_split(page: Page) -> None:
    page.choose("class", "1")
    assert page.captions() == [f"cat, {HOSTILE}, 28.7"]  # background 27 of 47 known pixels, the class none
    assert page.find("#count").text == "1 of 3 images"
    page.choose("class", "")
    page.choose("split", "val")
    assert page.captions() == [f"{HOSTILE}, 100.0"]
    assert page.pressed() == "prediction"  # held-out images have no CAM
    assert page.find("[data-choose=refined]").get_attribute("disabled")


def test_orders_by_result_and_by_change(browser: Any, run: Path) -> None:
    wrong = run / "6-evaluate/predictions/folder/b.png"
    shutil.copy(run / "6-evaluate/truth/a.png", wrong)
    page = Page(browser, write_report(run))
    assert page.ids() == ["a", "folder/b", "c"]
    page.choose("order", "change")
    assert page.ids() == ["folder/b", "a", "c"]
    page.choose("order", "worst")
    assert page.ids()[0] == "a"


def test_the_keyboard_is_enough(page: Page) -> None:
    page.script("document.querySelector('.gallery-tile').focus()")
    page.press("\ue014")
    assert page.script("return document.activeElement.dataset.index") == "1"
    page.press("2")
    assert page.pressed() == "cam"
    page.press("\ue007")  # enter
    assert page.find("#viewer-title").text == "folder/b"
    page.press("7")
    assert page.pressed() == "truth"
    page.press("\ue014")
    assert page.find("#viewer-title").text == "c"
    page.press("\ue014")
    assert page.find("#viewer-title").text == "a"
    page.press("\ue00c")  # escape
    assert not page.find("#viewer").is_displayed()
    assert page.script("return document.activeElement.dataset.index") == "0"


def test_the_viewer_shows_classes_with_their_words_and_scores(page: Page) -> None:
    page.all(".gallery-tile")[1].click()
    page.settle()
    page.find("[data-choose=prediction]").click()
    page.settle()
    rows = [row.text.replace("\n", " ") for row in page.all("#present-classes li")]
    assert rows == ["cat IoU 100.0 background learned: sofa, rug", f"{HOSTILE} background learned: sea"]
    assert_mentions(page.find("#caption").text, "Prediction", "mIoU", "100.0")
    assert "CAM + full 28.7" in page.find("#by-layer").text.replace("\n", " ")
    all_classes = page.pixels()
    page.all("#present-classes button")[1].click()
    page.settle()
    assert (page.pixels() == 100).all()  # nothing of that class
    page.all("#present-classes button")[1].click()
    page.settle()
    assert (page.pixels() == all_classes).all()


def test_a_missing_picture_is_said(browser: Any, run: Path) -> None:
    (run / "4-pseudo-masks/a.png").unlink()
    page = Page(browser, write_report(run))
    page.open_first()
    page.find("[data-choose=pseudo]").click()
    page.settle()
    assert_mentions(page.find("#caption").text, "Pseudo mask", "missing")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phones_need_no_sideways_scrolling_in_either_scheme(page: Page, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.settle()
    assert page.script("return document.documentElement.scrollWidth") == 360
    brightness = "return Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    assert (page.script(brightness) > 128) == (scheme == "light")
    page.find("#theme").click()
    assert (page.script(brightness) > 128) == (scheme == "dark")
    page.open_first()
    assert page.script("return document.querySelector('#viewer').scrollWidth") <= 360


def test_without_scripts_the_pictures_are_there(browser: Any, run: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(write_report(run).as_uri())
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert browser.find_element("css selector", ".static img").is_displayed()
    assert not browser.find_element("css selector", "#controls").is_displayed()


def test_a_run_without_pictures_has_a_page_too(browser: Any, run: Path) -> None:
    put_json(run / "dataset.json", {**json.loads((run / "dataset.json").read_text()), "train": []})
    Page(browser, write_report(run))
    assert complaints(browser) == []
