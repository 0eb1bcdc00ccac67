"""Sources, tables and locks of somebody else: no name leaves its folder, and what fits two things is not guessed."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from smearsynth.base.errors import UserError
from smearsynth.base.tables import canonical, locate, read_table
from smearsynth.fields.scale import Scale
from smearsynth.recipe.reading import load_recipe
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.entry import Listing
from smearsynth.sources.listing import apply_lock, list_entries, read_lock

SHA = "0" * 64
BOXES = "file,class,x,y,width,height\n"


def put(root: Path, *paths: str) -> Path:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), 200).save(file)
    return root


def listing(kind: str, root: Path, **keys: object) -> Listing:
    return list_entries(SourceSpec.model_validate({"kind": kind, "root": root, **keys}))


def refusal(kind: str, root: Path, **keys: object) -> str:
    with pytest.raises(UserError) as caught:
        listing(kind, root, **keys)
    return str(caught.value)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("../secret.png", "leads out of the source's folder"),
            ("a/../../secret.png", "leads out"),
            ("/etc/passwd", "leads out"),
            ("out/secret.png", "leads out"),
            ("secret-link.png", "leads out"),
            ("a\0b", "names no file"),
            ("x" * 5000, "names no file"),
            ("loop", "names no file"),
            ("\ud800", "names no file"),
        ],
    )
    def test_no_way_out_of_a_source(self, tmp_path: Path, name: str, message: str) -> None:
        root = put(tmp_path / "source", "a/b.png")
        put(tmp_path, "secret.png")
        (root / "out").symlink_to(tmp_path)
        (root / "secret-link.png").symlink_to("../secret.png")
        (root / "loop").symlink_to("loop")
        with pytest.raises(UserError, match=message):
            locate(root, name)
        if "\ud800" in name or "\n" in name:
            return
        (tmp_path / "lock").write_text(f"{SHA}  source/{name}\n")
        spec = SourceSpec.model_validate({"kind": "crops", "root": root, "classes": {"a": "monocyte"}})
        with pytest.raises(UserError, match=message):
            apply_lock(list_entries(spec), spec, read_lock(tmp_path / "lock"))

    def test_links_pipes_and_names_that_no_list_can_hold_are_left_out(self, tmp_path: Path) -> None:
        root = put(
            tmp_path / "source", "monocyte/1.png", "monocyte/\u202e2.png", "monocyte/3\u2028.png", "monocyte/4\x1b.png"
        )
        put(tmp_path, "secret/6.png")
        (root / "monocyte/6.png").symlink_to("../../secret/6.png")
        (root / "monocyte/7.png").symlink_to("1.png")
        os.mkfifo(root / "monocyte/8.png")
        (Path(os.fsdecode(os.fsencode(root) + b"/monocyte/\xff.png"))).write_bytes(b"")
        found = listing("crops", root)
        assert [entry.path for entry in found.entries] == ["monocyte/1.png", "monocyte/7.png"]
        assert found.left_out == {
            "file name with control characters": 4,
            "no file, or a link that leads out of the source": 2,
        }

    def test_a_linked_folder_is_read_once_and_no_further(self, tmp_path: Path) -> None:
        root = put(tmp_path / "source", "monocyte/1.png")
        put(tmp_path, "disk/5.png", "disk/more/6.png", "secret/7.png")
        (tmp_path / "disk/out.png").symlink_to("../secret/7.png")
        (tmp_path / "disk/back").symlink_to(root)
        for name, target in (("disk", "disk"), ("again", "disk/more"), ("up", "."), ("self", "source/monocyte")):
            (root / "monocyte" / name).symlink_to(tmp_path / target)
        found = listing("crops", root)
        paths = ["monocyte/1.png", "monocyte/again/6.png", "monocyte/disk/5.png"]
        assert [entry.path for entry in found.entries] == paths
        assert found.left_out == {
            "link to a folder that is read anyway, or that holds this one": 3,
            "no file, or a link that leads out of the source": 1,
        }
        assert locate(root, "monocyte/disk/5.png") == tmp_path / "disk/5.png"
        for name in ("monocyte/disk/out.png", "monocyte/disk/../secret/7.png", "monocyte/up/secret/7.png"):
            with pytest.raises(UserError, match="leads out"):
                locate(root, name)

    @pytest.mark.parametrize("labels", ["../labels.csv", "/etc/passwd", "a\\..\\b.csv", "..", "C:/../labels.csv"])
    def test_a_table_outside_is_no_table_of_the_source(self, tmp_path: Path, labels: str) -> None:
        put(tmp_path / "source", "1.png")
        (tmp_path / "labels.csv").write_text("id,class\n1,monocyte\n")
        (tmp_path / "r.yaml").write_text(f"sources: [{{kind: crops, root: source, labels: '{labels}'}}]")
        with pytest.raises(UserError, match=r"sources\[0\]\.labels: .* inside the source's root"):
            load_recipe(tmp_path / "r.yaml")

    def test_a_table_that_is_a_link_out_is_not_read(self, tmp_path: Path) -> None:
        root = put(tmp_path / "source", "1.png")
        (tmp_path / "secret.csv").write_text("id,class\n1,monocyte\n")
        (root / "labels.csv").symlink_to("../secret.csv")
        assert "labels.csv: leads out of the source's folder" in refusal("crops", root, labels="labels.csv")


class TestWhatFitsTwo:
    """Each of these gave one of two classes, masks or fields in silence."""

    def test_fields_that_differ_in_case(self, tmp_path: Path) -> None:
        root = put(tmp_path, "a.png", "A.png", "B.png", "straße.png", "strasse.png")
        (root / "t.csv").write_text(
            BOXES + "a.png,platelet,1,2,3,4\nb.png,platelet,1,2,3,4\nstraße.png,clump,1,2,3,4\n"
        )
        assert [entry.path for entry in listing("mamic", root).entries] == ["a.png", "B.png", "straße.png"]
        (root / "t.csv").write_text(BOXES + "STRASSE.png,platelet,1,2,3,4\n")
        assert "STRASSE.png fits strasse.png, straße.png; write the name as it is" in refusal("mamic", root)

    def test_a_field_is_not_excluded_by_another_of_its_name_in_other_case(self, tmp_path: Path) -> None:
        root = put(tmp_path, "a.png", "x/A.png")
        (root / "x/t.csv").write_text(BOXES + "A.png,platelet,1,2,3,4\na.png,platelet,900,2,3,4\n")
        assert "line 3: the box x=900" in refusal("mamic", root, exclude=["a.png"])

    @pytest.mark.parametrize("kind", ["iumc", "crops"])
    @pytest.mark.parametrize("second", ["Neutrophil_1_mask.bmp", "neutrophil_1_Mask.png", "neutrophil_1.png"])
    def test_masks_or_images_of_one_name(self, tmp_path: Path, kind: str, second: str) -> None:
        root = put(tmp_path, "n/Neutrophil_1.png", "n/Neutrophil_1_mask.png", f"n/{second}")
        keys = {"classes": {"n": "neutrophil"}} if kind == "crops" else {}
        assert "it cannot be told which mask belongs to which image" in refusal(kind, root, **keys)

    def test_lisc_images_of_one_number(self, tmp_path: Path) -> None:
        masks = "Ground Truth Segmentation/neut/areaforexpert1"
        root = put(tmp_path, "Main Dataset/neut/1.png", "copy/Main Dataset/neut/1.png", f"{masks}/1_expert.png")
        assert listing("lisc", root).left_out == {"second copy": 1}
        put(tmp_path, "Main Dataset/neut/01.png")
        assert "have one number; `exclude` the one that does not count" in refusal("lisc", root)

    def test_codes_are_names_as_they_stand(self, tmp_path: Path) -> None:
        root = put(tmp_path, "1.png", "2.png", "3.png")
        (root / "l.csv").write_text("id,class\n1,1\n2,-1\n3,1.0\n")
        classes = {"1": "neutrophil", "-1": None, "1.0": "monocyte"}
        found = listing("crops", root, labels="l.csv", classes=classes)
        assert [(entry.path, entry.class_key) for entry in found.entries] == [
            ("1.png", "neutrophil"),
            ("3.png", "monocyte"),
        ]
        del classes["-1"]
        assert "'-1' names no class; map it" in refusal("crops", root, labels="l.csv", classes=classes)

    def test_a_name_that_fits_two_keys_of_the_recipe(self, tmp_path: Path) -> None:
        root = put(tmp_path, "cell/1.png", "cells/2.png")
        classes = {"cell": "neutrophil", "cells": "monocyte"}
        found = listing("crops", root, classes=classes)
        assert {entry.path: entry.class_key for entry in found.entries} == {
            "cell/1.png": "neutrophil",
            "cells/2.png": "monocyte",
        }
        put(tmp_path, "CELL/3.png")
        assert "'CELL' fits 'cell' and 'cells' in `classes`" in refusal("crops", root, classes=classes)

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ("id,class,Class\n1,monocyte,neutrophil\n", "'class' heads two columns"),
            ("id,class\n1,5,monocyte\n", "line 2: it has more values than the first line has columns"),
            ('id,class\n1,"monocyte\n2,neutrophil\n', "cannot be read as a table .*unexpected end of data"),
            ('id,class\n1,"mono"cyte\n', "cannot be read as a table"),
        ],
    )
    def test_a_table_with_two_readings(self, tmp_path: Path, table: str, message: str) -> None:
        (tmp_path / "t.csv").write_text(table)
        with pytest.raises(UserError, match=message):
            read_table(tmp_path, "t.csv", {"id": ("id",), "class": ("class",)})

    def test_a_lock_with_two_digests_of_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "lock").write_text(f"{SHA}  s/a.png\n{SHA}  s/a.png\n")
        assert read_lock(tmp_path / "lock") == {"s": {"a.png": SHA}}
        (tmp_path / "lock").write_text(f"{SHA}  s/a.png\n{'1' * 64}  s/a.png\n")
        with pytest.raises(UserError, match=r"lock:2: s/a\.png has another sha256 above"):
            read_lock(tmp_path / "lock")

    def test_a_table_of_scales_with_two_of_a_file(self, tmp_path: Path) -> None:
        table = tmp_path / "s.csv"
        table.write_text("a.png,0.1\na.png,0.1\n")
        assert Scale(str(table)).spec == str(table)
        for text in ("a.png,0.1\na.png,0.2\n", 'a.png,0.1\n"b.png,0.2\n', "x" * 200_000 + ",0.1\n"):
            table.write_text(text)
            with pytest.raises(UserError, match=r"s\.csv"):
                Scale(str(table))


def test_a_sentence_moves_no_cursor(tmp_path: Path) -> None:
    root = put(tmp_path, "a.png")
    (root / "t.csv").write_text(BOXES + "\x1b[2J\u202e.png,platelet,1,2,3,4\nb\0.png,platelet,1,2,3,4\n")
    first, second = refusal("mamic", root).splitlines()
    assert "line 2: no image \\x1b[2J\\u202e.png in" in first
    assert "line 3: no image b\\x00.png in" in second


def test_what_is_no_file_or_has_no_end_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(UserError, match="cannot be read as a lock"):
            read_lock(path)


WORDS = [
    "id",
    "class",
    "file",
    "x",
    "y",
    "width",
    "height",
    "1",
    "-1",
    "a.png",
    "../a",
    "monocyte",
    "nan",
    "1e9",
    '"',
    "\0",
]
CELL = st.one_of(st.sampled_from(WORDS), st.text(max_size=8), st.integers(-3, 50).map(str))
TABLE = st.one_of(
    st.lists(st.lists(CELL, max_size=7).map(",".join), max_size=6).map("\n".join).map(str.encode),
    st.lists(st.lists(CELL, min_size=6, max_size=6).map(",".join), max_size=4).map(
        lambda rows: (BOXES + "\n".join(rows)).encode(errors="surrogatepass")
    ),
    st.binary(max_size=80),
)


@given(table=TABLE)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_table_gives_cells_inside_their_images_or_a_sentence(tmp_path: Path, table: bytes) -> None:
    root = put(tmp_path / "source", "a.png", "1.png") if not (tmp_path / "source").exists() else tmp_path / "source"
    (root / "t.csv").write_bytes(table)
    for kind, keys in (("mamic", {}), ("crops", {"labels": "t.csv"})):
        try:
            found = listing(kind, root, **keys)
        except UserError as error:
            told = str(error)
            assert told.startswith(str(root))
            continue
        for entry in found.entries:
            assert entry.path in ("a.png", "1.png")
            x, y, w, h = entry.box or (0, 0, 1, 1)
            assert x >= 0
            assert y >= 0
            assert x + w <= 40
            assert y + h <= 30


@given(
    lock=st.one_of(
        st.binary(max_size=200), st.text(max_size=60).map(lambda name: f"{SHA}  s/{name}\n".encode(errors="replace"))
    )
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_lock_gives_names_inside_the_source_or_a_sentence(tmp_path: Path, lock: bytes) -> None:
    root = put(tmp_path / "s", "monocyte/1.png") if not (tmp_path / "s").exists() else tmp_path / "s"
    (tmp_path / "lock").write_bytes(lock)
    spec = SourceSpec.model_validate({"kind": "crops", "root": root})
    with pytest.raises(UserError):
        apply_lock(list_entries(spec), spec, read_lock(tmp_path / "lock"))


@given(name=st.text(max_size=12))
def test_only_names_with_letters_are_read_loosely(name: str) -> None:
    if not any(c.isalpha() for c in name):
        assert canonical(name) == name.strip()
    else:
        assert canonical(f" {name.upper()} ") == canonical(name.upper())
