"""Every command of README and docs: all are parsed, and each is executed here or says what it needs."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from documented_commands import PAGES, Command, fenced, fenced_commands, inline_commands

import semples
from conftest import REPOSITORY
from matching import mentions
from sample_data import write_noise, write_tags
from semples.cli import main

pytestmark = pytest.mark.whole

TINY = {
    "device": "cpu",
    "guidance.enabled": "false",
    "mask_generator.backbone": "bundled",
    "mask_generator.image_size": "64",
    "vision_language.model": "bundled",
    "segment.model": "bundled",
    "segment.image_size": "64",
    "classify.epochs": "1",
    "segment.epochs": "1",
    "segment.batch_size": "4",
    "cams.scales": "[1.0]",
    "report.images": "4",
}
"""Settings that take the place of a page's models and lengths where its command is executed."""
TAKE_SETTINGS = ("run", "demo", "compare")
WALK = REPOSITORY / "docs" / "own-data.md"
README = REPOSITORY / "README.md"


def execute(command: Command) -> None:
    """Run a command in the working directory as it stands, with tiny settings."""
    words = command.semples_words
    if words is not None:
        tiny = [word for key, value in TINY.items() for word in (f"--{key}", value)]
        verb_runs = words[0] in TAKE_SETTINGS and "--print_config" not in words
        assert main([*words, *(tiny if verb_runs else ())]) == 0, f"{command} failed"
    elif command.words[0] == "make":
        make(command)
    elif command.words[1].startswith("examples/"):
        run_script(command.words[1:])
    else:
        pytest.fail(f'{command} is not executed by this test: do so here, or write "# needs ..." above it')


def make(command: Command) -> None:
    """What make would do; the targets themselves are the suites, and the demo below."""
    shown = subprocess.run(
        ["make", "-n", *command.words[1:]], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, f"{command}: {shown.stderr}"


def run_script(words: tuple[str, ...]) -> None:
    before = sys.argv
    sys.argv = list(words)
    try:
        runpy.run_path(str(REPOSITORY / words[0]), run_name="__main__")
    finally:
        sys.argv = before


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which own-data.md has been followed from a folder of photographs to the end."""
    place = tmp_path_factory.mktemp("walk")
    tags = {f"beach-{number:02}.jpg": ("person", "boat|person", "boat")[number % 3] for number in range(1, 13)}
    for number, name in enumerate(tags):
        write_noise(place / "photos" / name, (48, 64), number)
    write_tags(place / "photos", *(f"{name},{given}" for name, given in tags.items()))
    for folder in ("holiday", "more"):
        write_noise(place / folder / f"{folder}.jpg", (48, 64), 99)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("HF_HUB_OFFLINE", raising=False)  # doctor only looks; nothing is fetched
        for command in fenced_commands(WALK):
            if not command.needs:
                execute(command)
    return place


@pytest.fixture
def place(walked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it without the config, as other pages find it."""
    shutil.copytree(walked, tmp_path / "place")
    (tmp_path / "place" / "photos.yaml").unlink()
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def test_the_walk_ends_with_masks_for_cvat(walked: Path) -> None:
    run = walked / "runs" / "photos"
    assert (walked / "photos.yaml").is_file()
    assert (run / "report.html").is_file()
    assert (run / "export" / "coco" / "annotations.json").is_file()
    assert (run / "export" / "voc" / "labelmap.txt").is_file()
    assert {path.name for path in (walked / "predicted").glob("*.png")} == {"holiday.png", "more.png"}


@pytest.mark.parametrize("page", [page for page in PAGES if page != WALK], ids=lambda page: page.name)
def test_commands_of_a_page_are_executed(page: Path, place: Path) -> None:
    commands = [command for command in fenced_commands(page) if not command.needs]
    assert place.is_dir()
    for command in commands:
        execute(command)


def test_python_of_the_page_of_python(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8")
    assert [name for name in semples.__all__ if not re.search(rf"`{name}[`(.]", text)] == []
    shutil.copy("runs/photos/config.yaml", "photos.yaml")
    for code in fenced(text, "python"):
        exec(compile(code, "python.md", "exec"), {})
    output = capsys.readouterr().out
    assert "pseudo-masks done" in output
    assert re.search(r"^classify boat covers \d+% of the photograph$", output, re.MULTILINE)
    assert (place / "runs" / "photos" / "export" / "coco" / "annotations.json").is_file()


def test_python_of_the_readme(place: Path) -> None:
    (code,) = fenced(README.read_text(encoding="utf-8"), "python")
    assert len(code.splitlines()) <= 10
    shutil.copy("runs/photos/config.yaml", "photos.yaml")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    mask = names["mask"]
    assert isinstance(mask, np.ndarray)
    assert (mask.dtype, mask.shape) == (np.uint8, (48, 64))
    assert (place / "predicted" / "holiday.png").is_file()


@pytest.mark.usefixtures("place")
def test_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("runs/photos/config.yaml", "photos.yaml")
    doc = (REPOSITORY / "examples" / "own_photos.py").read_text().split('"""')[1]
    (command,) = fenced_commands(README, "```\n" + doc + "```\n")
    execute(command)
    output = capsys.readouterr().out
    assert re.search(r"background: [\d.]+% of beach-01.jpg\nboat: [\d.]+% of .*\nperson: ", output)
    assert output.endswith(f"1 masks in {Path('runs/photos/predicted')}\n")
    with pytest.raises(SystemExit, match=r"usage: python examples/own_photos\.py CONFIG IMAGE TAG,TAG NEW_IMAGES"):
        run_script(command.words[1:3])


COMMANDS = [command for page in PAGES for command in (*fenced_commands(page), *inline_commands(page))]


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("command", [c for c in COMMANDS if c.semples_words is not None], ids=str)
def test_every_command_is_parsed(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Verb, options, settings and the configs of the repository are real; the work itself is left out."""
    (tmp_path / "configs").symlink_to(REPOSITORY / "configs")
    for name in ("FILE", "my.yaml", "photos.yaml", "my-photos.yaml"):
        (tmp_path / name).touch()
    assert main(command.semples_words) == 0, capsys.readouterr().err


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.words[0] == "make"], ids=str)
def test_every_target_of_make_exists(command: Command) -> None:
    make(command)


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if c.words[0] == "python" and c.words[1].endswith(".py")], ids=str
)
def test_every_script_has_the_options_it_is_given(command: Command) -> None:
    source = (REPOSITORY / command.words[1]).read_text(encoding="utf-8")
    given = [word for word in command.words if word.startswith("--")]
    assert [option for option in given if f'"{option}"' not in source] == []


def test_what_is_neither_executed_nor_marked_is_found() -> None:
    first = "```\n# needs a checkpoint\nsemples run --config a.yaml\n```\n"
    text = f"{first}```\npython benchmarks/new.py\nsemples demo # needs time\n```\n"
    marked, free, own = fenced_commands(README, text)
    assert (marked.needs, free.needs, own.needs) == ("# needs a checkpoint", "", "# needs time")
    with pytest.raises(pytest.fail.Exception, match=mentions("python benchmarks/new.py", "# needs")):
        execute(free)


@pytest.mark.slow
def test_the_demo_at_full_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What ``make demo`` starts."""
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    assert (tmp_path / "demo" / "report.html").is_file()
    assert "Segmentation, held out" in capsys.readouterr().out
