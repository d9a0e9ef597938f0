"""Tables of tags, lists of images, annotations and class labels that are wrong, hostile or contradict the images."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sample_data import SIZE

from .case import Case
from .files import encoded, payload, photos, run_of

GOOD = "image,tags\n0.png,boat\n1.png,train\n2.png,boat\n3.png,train\n"


def _table(what: str, text: str | bytes, *says: str | int) -> Case:
    def build(folder: Path) -> Sequence[str]:
        root = photos(folder)
        (root / "tags.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        return run_of(folder, root)

    return Case("tag files", what, build, ("tags.csv", *says))


def _line(what: str, line: str, *says: str | int) -> Case:
    return _table(what, f"{GOOD}{line}\n", *says)


def _spoiled(what: str, spoil: Callable[[Path, Path], None], *says: str | int, kind: str = "tag files") -> Case:
    """A case in which ``spoil`` gets the folder of the case and the photographs in it."""

    def build(folder: Path) -> Sequence[str]:
        root = photos(folder)
        spoil(folder, root)
        return run_of(folder, root)

    return Case(kind, what, build, says)


def _file_link_out(folder: Path, root: Path) -> None:
    (folder / "secret.png").write_bytes((root / "0.png").read_bytes())
    (root / "0.png").unlink()
    (root / "0.png").symlink_to(folder / "secret.png")


def _folder_link_out(folder: Path, root: Path) -> None:
    (folder / "elsewhere").mkdir()
    shutil.move(root / "3.png", folder / "elsewhere" / "3.png")
    (root / "sub").symlink_to(folder / "elsewhere")
    (root / "tags.csv").write_text(GOOD.replace("3.png", "sub/3.png"))


def _mask_link_out(folder: Path, root: Path) -> None:
    (folder / "secret.png").write_bytes((root / "masks" / "0.png").read_bytes())
    (root / "masks" / "0.png").unlink()
    (root / "masks" / "0.png").symlink_to(folder / "secret.png")


def _link_loop(_: Path, root: Path) -> None:
    (root / "0.png").unlink()
    (root / "0.png").symlink_to(root / "0.png")


def _class_folders(_: Path, root: Path) -> None:
    (root / "tags.csv").unlink()
    for index, name in ((0, "boat"), (1, "train")):
        (root / name).mkdir()
        shutil.move(root / f"{index}.png", root / name / f"{index}.png")


def _empty_class(folder: Path, root: Path) -> None:
    _class_folders(folder, root)
    (root / "boat" / "0.png").unlink()


def _nested_class(folder: Path, root: Path) -> None:
    _class_folders(folder, root)
    (root / "boat" / "more").mkdir()


def _foreign_class(folder: Path, root: Path) -> None:
    _class_folders(folder, root)
    (root / "boat").rename(root / "bota")


def _class_folder_out(folder: Path, root: Path) -> None:
    _class_folders(folder, root)
    shutil.move(root / "boat", folder / "boat")
    (root / "boat").symlink_to(folder / "boat")


def _nothing(_: Path, root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def _table_is_folder(_: Path, root: Path) -> None:
    (root / "tags.csv").unlink()
    (root / "tags.csv").mkdir()


def _same_stem(_: Path, root: Path) -> None:
    shutil.copy(root / "0.png", root / "0.jpg")
    (root / "tags.csv").write_text(GOOD + "0.jpg,boat\n")


TABLES = [
    _table("empty", "", 1, "image,tags"),
    _table("no header", GOOD.removeprefix("image,tags\n"), 1, "image,tags"),
    _table("header alone", "image,tags\n", "image,tags"),
    _table("semicolons", GOOD.replace(",", ";"), 1, "image;tags", "image,tags"),
    _table("tabs", GOOD.replace(",", "\t"), 1, "image,tags"),
    _table("other columns", GOOD.replace("image,tags", "file,label"), 1, "image,tags"),
    _table("UTF-16", GOOD.encode("utf-16"), 1, "UTF-8"),
    _table("UTF-16 without mark", GOOD.encode("utf-16-le"), 1, "image,tags"),
    _table("UTF-32", GOOD.encode("utf-32"), 1, "UTF-8"),
    _table("Latin-1", (GOOD + "é.png,boat\n").encode("latin-1"), 6, "UTF-8"),
    _table("Windows-1252", (GOOD + "“.png,boat\n").encode("cp1252"), 6, "UTF-8"),
    _table("a PNG", encoded("PNG"), 1, "UTF-8"),
    _table("zeros", bytes(100), 1, "image,tags"),
    _table("an open quote", GOOD + '"4.png,boat\n', 6, "CSV"),
    _table("carriage returns inside a name", GOOD + '"4\r.png",boat\n', 7, "4\\r.png"),
    _line("an image twice", "0.png,boat", 6, "0.png", 2),
    _line("an image twice, written otherwise", "./0.png,boat", 6, "0.png", 2),
    _line("three columns", "4.png,boat,train", 6, 3, 2, '"|"'),
    _line("one column", "4.png", 6, 1, 2),
    _line("no tag", "4.png,", "4.png"),
    _line("no image", ",boat", 6, "''"),
    _line("no such image", "9.png,boat", "9.png"),
    _line("a folder as image", "masks,boat", "masks"),
    _line("a parent folder", "../0.png,boat", 6, "../0.png"),
    _line("two parent folders", "../../etc/passwd,boat", 6, "../../etc/passwd"),
    _line("a parent folder inside", "a/../../0.png,boat", 6, "a/../../0.png"),
    _line("an absolute path", "/etc/passwd,boat", 6, "/etc/passwd"),
    _line("a Windows path", "C:\\photos\\0.png,boat", 6, "C:\\photos\\0.png", '"/"'),
    _line("a network path", "\\\\server\\0.png,boat", 6, "\\\\server\\0.png", '"/"'),
    _line("a drive", "C:0.png,boat", 6, "C:0.png", '"/"'),
    _line("a zero byte", "4\0.png,boat", 6, "4\\x00.png"),
    _line("an escape sequence", "\x1b[31m4.png,boat", 6, "\\x1b[31m4.png"),
    _line("a name of 300 letters", "a" * 300 + ".png,boat", 6, "a" * 40 + "...", "long"),
    _line("a path of 5,000 letters", "a/" * 2500 + "b.png,boat", 6, "a/" * 20 + "...", "long"),
    _line("not an image by its suffix", "tags.csv,boat", ".bmp", ".webp"),
    _table("an unknown tag", GOOD.replace("0.png,boat", "0.png,bota"), "0.png", "bota", "boat"),
    _table("a tag in capitals", GOOD.replace("0.png,boat", "0.png,BOAT"), "0.png", "BOAT", "boat", "train"),
    _table("a tag with a comma for |", GOOD.replace("0.png,boat", "0.png,boat,train"), 2, 3, '"|"'),
    _table("a numeric tag", GOOD.replace("0.png,boat", "0.png,1"), "0.png", '"1"', "boat", "train"),
    _table("markup as tag", GOOD.replace("0.png,boat", "0.png,<script>"), "0.png", "<script>", "boat", "train"),
    _spoiled("a link out of the root", _file_link_out, "0.png", "link", "photos"),
    _spoiled("a folder that leads out of the root", _folder_link_out, "sub/3.png", "link", "photos"),
    _spoiled("a mask that leads out of the root", _mask_link_out, "masks/0.png", "link", "photos"),
    _spoiled("a link to itself", _link_loop, "tags.csv", "0.png"),
    _spoiled("a class without images", _empty_class, "photos/boat"),
    _spoiled("a folder in a class folder", _nested_class, "photos/boat", "more"),
    _spoiled("a class folder of another name", _foreign_class, "0.png", "bota", "boat"),
    _spoiled("a class folder that leads out of the root", _class_folder_out, "boat/0.png", "link", "photos"),
    _spoiled("an empty folder", _nothing, "photos", "tags.csv"),
    _spoiled("a folder named tags.csv", _table_is_folder, "tags.csv"),
    _spoiled("two images of one id", _same_stem, "0.jpg", "0.png", '"0"'),
]


# COCO


def _coco(folder: Path, change: Callable[[dict[str, Any]], object], labels: str = "auto") -> list[str]:
    root = photos(folder)
    height, width = SIZE
    content: dict[str, Any] = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": height, "width": width} for i in range(4)],
        "annotations": [{"id": i, "image_id": i, "category_id": 1 + i % 2} for i in range(4)],
        "categories": [{"id": 1, "name": "boat"}, {"id": 2, "name": "train"}],
    }
    changed = change(content)
    (root / "annotations").mkdir()
    text = changed if isinstance(changed, str) else json.dumps(content)
    (root / "annotations" / "train.json").write_text(text)
    words = run_of(folder, root, "--data.labels", labels)
    (folder / "own.yaml").write_text(f"data: {{reader: coco, root: {root}}}\n")
    return words


def _json(what: str, change: Callable[[dict[str, Any]], object], *says: str | int) -> Case:
    return Case("annotations", what, lambda folder: _coco(folder, change), ("train.json", *says))


def _set(key: str, index: int, **values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content[key][index].update(values)


ANNOTATIONS = [
    _json("no JSON", lambda _: "{", "JSON"),
    _json("empty", lambda _: "", "JSON"),
    _json("a list", lambda _: "[]", "list", "COCO"),
    _json("nested 100,000 deep", lambda _: "[" * 100_000, "JSON"),
    _json("no categories", lambda content: content.pop("categories"), '"categories"', "COCO"),
    _json("no images", lambda content: content.pop("images"), '"images"', "COCO"),
    _json("annotations of text", lambda content: content.update(annotations="x"), '"annotations"', "COCO"),
    _json("an image id twice", _set("images", 1, id=0), "image 0"),
    _json("an image id of text", _set("images", 1, id="1"), 2, "'1'", "whole number"),
    _json("an image id true", _set("images", 1, id=True), 2, "True", "whole number"),
    _json("a category id twice", _set("categories", 1, id=1), "category 1"),
    _json("a category without name", lambda content: bool(content["categories"][0].pop("name")), "category 1", "name"),
    _json(
        "an unknown category",
        _set("annotations", 0, category_id=7),
        "annotation 0",
        "category_id",
        7,
        1,
        "boat",
        2,
        "train",
    ),
    _json("an unknown image", _set("annotations", 0, image_id=9), "annotation 0", "image_id", 9),
    _json("a parent folder", _set("images", 0, file_name="../0.png"), "image 0", "../0.png"),
    _json("an absolute path", _set("images", 0, file_name="/etc/passwd"), "image 0", "/etc/passwd"),
    _json("no such file", _set("images", 0, file_name="9.png"), "image 0", "9.png", "data.train_images"),
    _json("a file twice", _set("images", 1, file_name="0.png"), "image 1", "image 0", '"0"'),
    _json("another size", _set("images", 0, height=9), "image 0", "9 x 48", "0.png", "40 x 48"),
    _json("size 0 x 0", _set("images", 0, height=0, width=0), "image 0", "0 x 0", "0.png", "40 x 48"),
    _json("a negative size", _set("images", 0, height=-40), "image 0", "-40 x 48", "0.png", "40 x 48"),
    _json("a size of text", _set("images", 0, height="40"), "image 0", "height", "'40'", "whole number"),
    _json("no annotation at all", lambda content: content.update(annotations=[]), "label", "data.labels", "auto"),
    _json("a class named background", _set("categories", 0, name="background"), "categories", "background"),
    _json("two classes of one name", _set("categories", 0, name="train"), "categories", "train"),
]


# VOC


def _voc(folder: Path, spoil: Callable[[Path], object]) -> list[str]:
    photos(folder)
    root = folder / "voc"
    for name in ("JPEGImages", "ImageSets/Segmentation", "Annotations"):
        (root / name).mkdir(parents=True)
    for index in range(2):
        (root / "JPEGImages" / f"{index}.jpg").write_bytes(encoded("JPEG"))
        xml = f"<annotation><object><name>{('boat', 'train')[index]}</name></object></annotation>"
        (root / "Annotations" / f"{index}.xml").write_text(xml)
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("0\n1\n")
    spoil(root)
    words = run_of(folder, root)
    (folder / "own.yaml").write_text(f"data: {{reader: voc, root: {root}, val_split: null}}\n")
    return words


def _layout(what: str, spoil: Callable[[Path], object], *says: str | int) -> Case:
    return Case("VOC folders", what, lambda folder: _voc(folder, spoil), says)


def _split(text: str | bytes) -> Callable[[Path], object]:
    content = text.encode() if isinstance(text, str) else text
    return lambda root: (root / "ImageSets/Segmentation/train.txt").write_bytes(content)


def _xml(text: str) -> Callable[[Path], object]:
    return lambda root: (root / "Annotations/0.xml").write_text(text)


def _npy(content: bytes) -> Callable[[Path], object]:
    def spoil(root: Path) -> None:
        shutil.rmtree(root / "Annotations")
        (root / "cls_labels.npy").write_bytes(content)

    return spoil


def _object_npy(data: bytes) -> bytes:
    """An .npy file of objects with any pickle inside."""
    buffer = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + data


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=True)
    return buffer.getvalue()


_ENTITIES = '<!DOCTYPE a [<!ENTITY x "boat">]><annotation><object><name>&x;</name></object></annotation>'
_FILE = (
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><object><name>&x;</name></object></annotation>'
)
_NPY_FIX = ("cls_labels.npy", "tags.csv")

VOC = [
    _layout(
        "no images", lambda root: shutil.rmtree(root / "JPEGImages"), "voc", "JPEGImages", "ImageSets/Segmentation"
    ),
    _layout(
        "no split",
        lambda root: (root / "ImageSets/Segmentation/train.txt").unlink(),
        "Segmentation/train.txt",
        '"train"',
    ),
    _layout("an empty split", _split("\n\n"), "Segmentation/train.txt", "empty"),
    _layout("an image that is not there", _split("0\n7\n"), "JPEGImages/7.jpg"),
    _layout("an id twice", _split("0\n0\n"), "train.txt", 2, 0, 1),
    _layout("ids with flags", _split("0 1\n1 -1\n"), "train.txt", 1, '"0 1"'),
    _layout("file names for ids", _split("0.jpg\n"), "train.txt", 1, "0.jpg"),
    _layout("a parent folder", _split("../0\n"), "train.txt", 1, "../0"),
    _layout("an absolute path", _split("/etc/passwd\n"), "train.txt", 1, "/etc/passwd"),
    _layout("UTF-16", _split("0\n1\n".encode("utf-16")), "train.txt", 1, "UTF-8"),
    _layout("XML cut short", _xml("<annotation><object>"), "Annotations/0.xml", "VOC"),
    _layout("empty XML", _xml(""), "Annotations/0.xml", "VOC"),
    _layout("XML with entities", _xml(_ENTITIES), "Annotations/0.xml", "DOCTYPE", "tags.csv"),
    _layout("XML that names a file", _xml(_FILE), "Annotations/0.xml", "DOCTYPE", "tags.csv"),
    _layout(
        "XML in an unknown encoding",
        _xml("<?xml version='1.0' encoding='x'?><a/>"),
        "Annotations/0.xml",
        "encoding",
        "x",
        "tags.csv",
    ),
    _layout("XML without objects", _xml("<annotation/>"), "train.txt", "image 0", "tags"),
    _layout(
        "XML with an unknown class",
        _xml(_ENTITIES.split("]>")[1].replace("&x;", "bota")),
        "Annotations/0.xml",
        "bota",
        "boat",
    ),
    _layout("no XML of an image", lambda root: (root / "Annotations/0.xml").unlink(), "Annotations/0.xml", "tags.csv"),
    _layout("labels: a pickle that runs code", _npy(_object_npy(payload())), "posix.mkdir", *_NPY_FIX),
    _layout("labels: a bare pickle", _npy(payload()), *_NPY_FIX),
    _layout("labels: numbers without ids", _npy(_saved(np.zeros(3))), "float64", *_NPY_FIX),
    _layout("labels: cut short", _npy(_saved({"0": np.zeros(20), "1": np.zeros(20)})[:-40]), *_NPY_FIX),
    _layout(
        "labels: too few flags",
        _npy(_saved({"0": np.ones(3), "1": np.ones(3)})),
        "cls_labels.npy",
        "image 0",
        "[3]",
        20,
    ),
    _layout("labels: other values", _npy(_saved({"0": np.full(20, 7.0)})), "cls_labels.npy", "image 0", 0, 1),
    _layout("labels: an image without entry", _npy(_saved({"0": np.eye(20)[0]})), "cls_labels.npy", "image 1"),
    _layout("labels: objects in arrays", _npy(_saved({"0": np.array([None])})), *_NPY_FIX),
    _layout("labels: zero bytes", _npy(b""), *_NPY_FIX),
]

CASES = [*TABLES, *ANNOTATIONS, *VOC]
