"""Image-level labels from tags.csv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from matching import assert_mentions, mentions, refusal
from semples.data.catalogues import VOC, catalogue_from_names
from semples.data.tags import read_tags_csv, read_utf8, relative_name, require_tags, tag_indices
from semples.errors import DataError


def read(tmp_path: Path, content: bytes) -> dict[str, tuple[str, ...]]:
    (tmp_path / "tags.csv").write_bytes(content)
    return read_tags_csv(tmp_path / "tags.csv")


def test_tags_are_split_at_bars_in_the_order_of_the_file(tmp_path: Path) -> None:
    tags = read(tmp_path, b"image,tags\nb.jpg,dog|cat\na.jpg,dog\n")
    assert list(tags.items()) == [("b.jpg", ("dog", "cat")), ("a.jpg", ("dog",))]


@pytest.mark.parametrize(
    "content",
    [
        b"image,tags\na/1.jpg,potted plant|dog\nb,\n",
        b"\xef\xbb\xbfimage,tags\r\na/1.jpg,potted plant|dog\r\nb,\r\n",
        b"image,tags\ra/1.jpg,potted plant|dog\rb,\r",
        b" Image , Tags \n\n ./a/1.jpg , potted plant | dog | \n,\nb,  ",
        b'"image","tags"\n"a/1.jpg", "potted plant|dog"\nb,||\n',
    ],
    ids=["plain", "excel", "old mac", "blanks", "quotes"],
)
def test_spelling_of_other_programs_does_no_harm(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) == {"a/1.jpg": ("potted plant", "dog"), "b": ()}


def test_quoted_name_may_hold_a_comma(tmp_path: Path) -> None:
    assert read(tmp_path, 'image,tags\n"Ü, 1.jpg",dog\n'.encode()) == {"Ü, 1.jpg": ("dog",)}


def test_header_alone_is_an_empty_table(tmp_path: Path) -> None:
    assert read(tmp_path, b"image,tags\n") == {}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", (1, '""', "image,tags")),
        (b"\na.jpg,dog\n", (2, "a.jpg,dog", "image,tags")),
        (b"image;tags\na.jpg;dog\n", (1, "image;tags", '","')),
        (b"image,tags\na.jpg\n", (2, 1, 2, "image", "tags")),
        (b"image,tags\na.jpg,dog,cat\n", (2, 3, 2, '"|"')),
        (b"image,tags\na.jpg,dog\n\n./a.jpg,cat\n", (4, "a.jpg", 2)),
        (b"image,tags\na.jpg,dog\n\xe9.jpg,cat\n", (3, "0xe9", "UTF-8")),
        ("image,tags\n".encode("utf-16"), (1, "0xff", "UTF-8")),
        (b'image,tags\n"a.jpg,dog\n', (2, "CSV", "unexpected end of data")),
        (b"image,tags\n,dog\n", (2, "''")),
        (b"image,tags\n.,dog\n", (2, "'.'")),
        (b'image,tags\n"a\nb.jpg",dog\n', (3, r"a\nb.jpg")),
        (b"image,tags\n/etc/a.jpg,dog\n", (2, "/etc/a.jpg")),
        (b"image,tags\na/../../b.jpg,dog\n", (2, "a/../../b.jpg")),
        (b"image,tags\na\\b.jpg,dog\n", (2, r"a\b.jpg")),
        (b"image,tags\nC:/b.jpg,dog\n", (2, "C:/b.jpg")),
    ],
)
def test_errors_name_the_line(tmp_path: Path, content: bytes, named: Sequence[object]) -> None:
    text = refusal(lambda: read(tmp_path, content))
    assert text.startswith(str(tmp_path / "tags.csv"))
    assert_mentions(text, *named)


def test_missing_file_says_what_it_should_hold(tmp_path: Path) -> None:
    text = refusal(lambda: read_tags_csv(tmp_path / "tags.csv"))
    assert_mentions(text, tmp_path / "tags.csv", "No such file or directory", "CSV")


def test_indices_are_ascending_without_repeats() -> None:
    assert tag_indices(["person", "aeroplane", "person", "dog"], VOC, "here") == (0, 11, 14)
    assert tag_indices([], VOC, "here") == ()


def test_unknown_tag_names_the_nearest_class() -> None:
    text = refusal(lambda: tag_indices(["dog", "Horse"], VOC, "tags.csv, image a.jpg"))
    assert_mentions(text, "tags.csv, image a.jpg", "Horse", "horse")


def test_unknown_tag_without_a_near_one_names_all_classes() -> None:
    text = refusal(lambda: tag_indices(["xyz"], catalogue_from_names(["cat", "dog"]), "tags.csv"))
    assert_mentions(text, "tags.csv", "xyz", "cat", "dog")


def test_training_images_need_a_tag() -> None:
    require_tags((0,), "a.jpg", "tags.csv")
    assert_mentions(refusal(lambda: require_tags((), "a.jpg", "tags.csv")), "tags.csv", "a.jpg", "tags")


def test_relative_name_keeps_what_file_systems_allow() -> None:
    for name in ("a b.jpg", "Screenshot 9.41\u202fAM.png", "..a.jpg", "犬/1.jpg"):
        assert relative_name(name, "here") == name


def test_name_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(DataError, match=mentions("here", r"a\udce9.jpg")):
        relative_name(b"a\xe9.jpg".decode("utf-8", "surrogateescape"), "here")


def test_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf2007_000032\n")
    assert read_utf8(tmp_path / "a.txt", "ids") == "2007_000032\n"


def test_real_tags_are_read(shared_data: Path) -> None:
    tags = read_tags_csv(shared_data / "data/voc2012-animals/tags.csv")
    assert len(tags) == 1120
    assert tags["JPEGImages/2007_000032.jpg"] == ("aeroplane", "person")
    assert {tag for given in tags.values() for tag in given} <= set(VOC.names)
