"""The adapters on small folders of their native layouts, in the variants that users have."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_folders import entries, listed, put

from smearsynth.base.errors import UserError
from smearsynth.base.images import decode_image, read_bytes, read_mask
from smearsynth.base.tables import canonical
from smearsynth.sources.entry import Method, Redistribution
from smearsynth.sources.kaggle import patient_of
from smearsynth.sources.source_files import natural

CELL = "C130P91ThinF_IMG_20151004_142709_cell_{}.png"


class TestLisc:
    @pytest.mark.parametrize("base", ["", "LISC Database/", "lisc/LISC DATABASE/"])
    def test_images_and_masks_meet_by_number_whatever_the_case(self, tmp_path: Path, base: str) -> None:
        images, masks = f"{base}Main Dataset", f"{base}ground truth Segmentation"
        put(tmp_path, f"{images}/Baso/2.bmp", f"{images}/Baso/10.BMP", f"{images}/EOSI/2.bmp")
        put(tmp_path, f"{masks}/baso/AreaForExpert1/10_expert.bmp", f"{masks}/baso/areaforexpert1/2_Expert.bmp")
        put(tmp_path, f"{masks}/eosi/areaforexpert1/2_expert.bmp")
        listing = entries("lisc", tmp_path)
        assert [(e.path, e.class_key, e.mask, e.group) for e in listing.entries] == [
            (f"{images}/Baso/2.bmp", "basophil", f"{masks}/baso/areaforexpert1/2_Expert.bmp", "baso/2"),
            (f"{images}/Baso/10.BMP", "basophil", f"{masks}/baso/AreaForExpert1/10_expert.bmp", "baso/10"),
            (f"{images}/EOSI/2.bmp", "eosinophil", f"{masks}/eosi/areaforexpert1/2_expert.bmp", "eosi/2"),
        ]
        assert {(e.method, e.mask_pad, e.tight) for e in listing.entries} == {(Method.GIVEN, 4, False)}
        assert listing.left_out == {}
        assert listing.facts.redistribution is Redistribution.FORBIDDEN

    def test_what_cannot_be_used_is_counted(self, tmp_path: Path) -> None:
        put(tmp_path, "Main Dataset/neut/1.bmp", "Main Dataset/neut/2.bmp", "Main Dataset/mixt/1.bmp")
        put(tmp_path, "Main Dataset/neut/Thumbs.db", "Main Dataset/neut/best.bmp", "Main Dataset/stem/4.bmp")
        put(
            tmp_path,
            "Main Dataset/neut/5\n.bmp",
            "__MACOSX/Main Dataset/neut/._1.bmp",
            "copy/Main Dataset/neut/1.bmp",
            "index.csv",
        )
        truth = "Ground Truth Segmentation/{}/areaforexpert1/{}_expert.bmp"
        put(tmp_path, truth.format("neut", 1), truth.format("mixt", 1), truth.format("neut", 99))
        listing = entries("lisc", tmp_path)
        assert [entry.path for entry in listing.entries] == ["Main Dataset/neut/1.bmp"]
        assert listing.left_out == {
            "'stem' names no class": 1,
            "class 'mixt' is not used": 1,
            "file name with control characters": 1,
            "file of unknown name": 1,
            "hidden or system file": 1,
            "image without a mask": 1,
            "mask without an image": 1,
            "not an image": 2,
            "second copy": 1,
        }


class TestIumc:
    def test_singular_and_plural_with_and_without_masks(self, tmp_path: Path) -> None:
        put(tmp_path, "Eosinophil_2.bmp", "Lymphocytes_1.bmp", "monocyte-3.bmp", "NEUTROPHILS_10.bmp", "notes_1.bmp")
        put(tmp_path, "Lymphocytes_1_mask.png", "NEUTROPHILS_10_Mask.bmp", "Monocytes_9_mask.png", mode="L")
        listing = entries("iumc", tmp_path)
        assert [(e.path, e.class_key, e.method, e.mask) for e in listing.entries] == [
            ("Eosinophil_2.bmp", "eosinophil", Method.OUTLINE, None),
            ("Lymphocytes_1.bmp", "lymphocyte", Method.GIVEN, "Lymphocytes_1_mask.png"),
            ("monocyte-3.bmp", "monocyte", Method.OUTLINE, None),
            ("NEUTROPHILS_10.bmp", "neutrophil", Method.GIVEN, "NEUTROPHILS_10_Mask.bmp"),
        ]
        assert all(entry.tight and entry.group == entry.path for entry in listing.entries)
        assert listing.left_out == {"'notes' names no class": 1, "mask without an image": 1}


class TestKaggle:
    def test_nested_copy_is_read_once(self, tmp_path: Path) -> None:
        for base in ("cell_images", "cell_images/cell_images"):
            put(tmp_path, f"{base}/Parasitized/{CELL.format(1)}", f"{base}/uninfected/{CELL.format(1)}")
            put(tmp_path, f"{base}/Parasitized/Thumbs.db")
        put(tmp_path, f"cell_images/cell_images/uninfected/{CELL.format(2)}")
        listing = entries("kaggle", tmp_path)
        assert [(e.path, e.class_key, e.group) for e in listing.entries] == [
            (f"cell_images/cell_images/uninfected/{CELL.format(2)}", "healthy_rbc", "C130"),
            (f"cell_images/Parasitized/{CELL.format(1)}", "infected_rbc", "C130"),
            (f"cell_images/uninfected/{CELL.format(1)}", "healthy_rbc", "C130"),
        ]
        assert listing.left_out == {"not an image": 2, "second copy": 2}

    def test_root_may_be_the_folder_itself(self, tmp_path: Path) -> None:
        put(tmp_path, f"cell_images/PARASITIZED/{CELL.format(1)}", f"cell_images/Uninfected/{CELL.format(2)}")
        inner = entries("kaggle", tmp_path / "cell_images").entries
        outer = entries("kaggle", tmp_path).entries
        assert [(f"cell_images/{e.path}", e.class_key, e.group) for e in inner] == [
            (e.path, e.class_key, e.group) for e in outer
        ]

    def test_a_cell_of_no_known_patient_is_left_out(self, tmp_path: Path) -> None:
        put(tmp_path, f"Parasitized/{CELL.format(1)}", "Parasitized/cell_127.png", CELL.format(2))
        assert entries("kaggle", tmp_path).left_out == {"file of unknown name": 1, "in no class folder": 1}

    @pytest.mark.parametrize(
        ("name", "patient"),
        [
            ("C130P91ThinF_IMG_20151004_142709_cell_127.png", "C130"),
            ("C1_thinF_IMG_20150604_104722_cell_9.png", "C1"),
            ("C39P4thinF_original_IMG_20150622_111206_cell_88.png", "C39"),
            ("C5NThinF_IMG_20150609_121955_cell_101.png", "C5"),
            ("C64P25N_ThinF_IMG_20150818_152455_cell_174.png", "C64"),
            ("C51AP12thinF_IMG_20150724_161126_cell_19.png", "C51"),
            ("C37BP2_thinF_IMG_20150620_131423a_cell_92.png", "C37"),
            ("C167P128ReThinF_IMG_20151201_105707_cell_232.png", "C167"),
            ("c130p91thinf_img_20151004_142709_cell_127.PNG", "C130"),
            ("IMG_20151004_142709_cell_127.png", None),
            ("C130.png", None),
            ("C130_cell_127.png.txt", None),
        ],
    )
    def test_patient(self, name: str, patient: str | None) -> None:
        assert patient_of(name) == patient

    @given(
        number=st.integers(1, 999),
        smear=st.sampled_from(["", "A", "B"]),
        infected=st.one_of(st.just(""), st.integers(1, 200).map("P{}".format)),
        kind=st.sampled_from(["", "N", "Re", "N_", "_"]),
        thin=st.sampled_from(["ThinF", "thinF", "thin_original", "thinF_original"]),
        cell=st.integers(0, 9999),
    )
    def test_nothing_after_the_number_changes_the_patient(self, number, smear, infected, kind, thin, cell) -> None:
        assert patient_of(f"C{number}{smear}{infected}{kind}{thin}_IMG_20150101_000000_cell_{cell}.png") == f"C{number}"


class TestMamic:
    def test_folder_names_in_every_spelling(self, tmp_path: Path) -> None:
        put(tmp_path, "Thrombocytes/1.png", "platelet clumps/1.png", "Infected_RBCs/1.png", "HEALTHY RBC/1.png")
        put(tmp_path, "platelet/2.png", "artefacts/1.png", "slide.png")
        listing = entries("mamic", tmp_path)
        assert {e.path: e.class_key for e in listing.entries} == {
            "HEALTHY RBC/1.png": "healthy_rbc",
            "Infected_RBCs/1.png": "infected_rbc",
            "platelet/2.png": "thrombocyte",
            "platelet clumps/1.png": "platelet_clump",
            "Thrombocytes/1.png": "thrombocyte",
        }
        assert {(e.method, e.tight, e.box) for e in listing.entries} == {(Method.STAIN, False, None)}
        assert listing.left_out == {"'artefacts' names no class": 1, "in no class folder": 1}
        assert listing.facts.calibrate == ("infected_rbc", "healthy_rbc")

    def test_every_box_of_a_field_is_an_entry_of_one_group(self, tmp_path: Path) -> None:
        put(tmp_path, "fields/a.png", "fields/b.png", "thrombocyte/c.png")
        rows = "File;Class;X;Y;Width;Height;by\nA.PNG;Healthy RBC;0;0;12;10;me\n\na.png;debris;1;2;3;4;me\n"
        (tmp_path / "fields/boxes.csv").write_text(rows + "./b.png;platelet;1.0;2;3;4;me\n", encoding="utf-8-sig")
        listing = entries("mamic", tmp_path, classes={"debris": None})
        assert [(e.path, e.group, e.class_key, e.box) for e in listing.entries] == [
            ("fields/a.png", "fields/a.png", "healthy_rbc", (0, 0, 12, 10)),
            ("fields/b.png", "fields/b.png", "thrombocyte", (1, 2, 3, 4)),
            ("thrombocyte/c.png", "thrombocyte/c.png", "thrombocyte", None),
        ]
        assert listing.left_out == {"box of class 'debris', not used": 1}
        assert listing.tables == ("fields/boxes.csv",)


class TestCrops:
    def test_folders_and_masks(self, tmp_path: Path) -> None:
        put(tmp_path, "train/Neutrophils/1.jpg", "train/Neutrophils/2.bmp", "train/Neutrophils/3.bmp", "bands/x.jpg")
        put(tmp_path, "train/Neutrophils/2.png", "train/Neutrophils/3_mask.png", "bands/y_mask.png", mode="L")
        listing = entries("crops", tmp_path, classes={"BAND": "neutrophil"}, also="healthy_rbc")
        assert [(e.path, e.class_key, e.method, e.mask) for e in listing.entries] == [
            ("bands/x.jpg", "neutrophil", Method.STAIN, None),
            ("train/Neutrophils/1.jpg", "neutrophil", Method.STAIN, None),
            ("train/Neutrophils/2.bmp", "neutrophil", Method.GIVEN, "train/Neutrophils/2.png"),
            ("train/Neutrophils/3.bmp", "neutrophil", Method.GIVEN, "train/Neutrophils/3_mask.png"),
        ]
        assert all(entry.also_red for entry in listing.entries)
        assert listing.left_out == {"mask without an image": 1}
        assert listing.facts.calibrate == ("healthy_rbc",)

    def test_two_photos_of_one_name_are_not_taken_for_image_and_mask(self, tmp_path: Path) -> None:
        put(tmp_path, "monocyte/1.bmp", "monocyte/1.png")
        with pytest.raises(UserError, match=r"which of monocyte/1\.bmp, monocyte/1\.png is the mask.*1_mask\.png"):
            entries("crops", tmp_path)
        assert listed("crops", tmp_path, exclude=["*.png"]) == {"monocyte/1.bmp": "monocyte"}

    def test_labels_by_name_stem_and_number(self, tmp_path: Path) -> None:
        put(tmp_path, "001.bmp", "2.bmp", "cell_a.bmp", "b/7.bmp", "unlabelled.bmp")
        put(tmp_path, "001.png", mode="L")
        (tmp_path / "l.csv").write_text("image ID,class label\n1,1\n002,2\nCell_A.bmp,1\nb/7,Monocytes\nlost,2\n")
        listing = entries("crops", tmp_path, labels="./l.csv", classes={"1": "neutrophil", "2": "lymphocyte"})
        assert {e.path: (e.class_key, e.mask) for e in listing.entries} == {
            "001.bmp": ("neutrophil", "001.png"),
            "2.bmp": ("lymphocyte", None),
            "b/7.bmp": ("monocyte", None),
            "cell_a.bmp": ("neutrophil", None),
        }
        assert listing.left_out == {"image without a label": 1, "label without an image": 1}
        assert listing.tables == ("l.csv",)

    def test_a_group_by_the_path_or_by_a_column(self, tmp_path: Path) -> None:
        put(tmp_path, "p1_a.bmp", "p1_b.bmp", "p2_a.bmp")
        (tmp_path / "l.csv").write_text(
            "sep=;\nid;class;Patient ID\np1_a;monocyte;7\np1_b;monocyte;7\np2_a;monocyte;8\n"
        )
        column = entries("crops", tmp_path, labels="l.csv", group_column="Patient ID")
        assert [entry.group for entry in column.entries] == ["7", "7", "8"]
        assert (column.facts.grouping, column.facts.patients_known) == ("Patient ID", True)
        for group, known in (("^p[0-9]+", False), ("^(?P<patient>p[0-9]+)_", True)):
            path = entries("crops", tmp_path, labels="l.csv", group=group)
            assert [entry.group for entry in path.entries] == ["p1", "p1", "p2"]
            assert path.facts.patients_known == known
        with pytest.raises(UserError, match=r"`group: \^q` finds nothing in this name"):
            entries("crops", tmp_path, labels="l.csv", group="^q")
        with pytest.raises(UserError, match="no column group among"):
            entries("crops", tmp_path, labels="l.csv", group_column="slide")
        with pytest.raises(ValueError, match="group and group_column both say"):
            entries("crops", tmp_path, labels="l.csv", group_column="slide", group="p")
        with pytest.raises(ValueError, match="is a column of the source's `labels`"):
            entries("crops", tmp_path, group_column="slide")

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_labels_as_a_spreadsheet_writes_them(self, tmp_path: Path, separator: str, encoding: str) -> None:
        put(tmp_path, "001.bmp", "2.bmp")
        text = "id,class\r\n1.0,monocyte\r\n2.0,lymphocyte\r\n".replace(",", separator)
        (tmp_path / "l.csv").write_bytes(text.encode(encoding))
        assert listed("crops", tmp_path, labels="l.csv") == {"001.bmp": "monocyte", "2.bmp": "lymphocyte"}

    def test_facts_are_what_the_recipe_says(self, tmp_path: Path) -> None:
        put(tmp_path, "monocyte/1.bmp")
        unknown = entries("crops", tmp_path).facts
        assert (unknown.licence, unknown.redistribution) == ("not stated", Redistribution.NOT_STATED)
        said = entries("crops", tmp_path, licence="CC-BY-4.0", redistribution="allowed", cite="A, 2020").facts
        assert (said.licence, said.redistribution, said.cite) == ("CC-BY-4.0", Redistribution.ALLOWED, "A, 2020")


def test_classes_are_mapped_and_left_out(tmp_path: Path) -> None:
    put(tmp_path, "neutrophil/1.jpg", "platelet/1.jpg", "ig/1.jpg")
    assert listed("crops", tmp_path, classes={"IG": "neutrophil", "platelets": None}) == {
        "ig/1.jpg": "neutrophil",
        "neutrophil/1.jpg": "neutrophil",
    }


def test_a_mapped_name_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "neutrophil/1.jpg")
    with pytest.raises(UserError, match=r"maps 'neutrophlis', which is not there.*neutrophil"):
        entries("crops", tmp_path, classes={"neutrophlis": None})


def test_exclude_takes_files_away_in_any_case(tmp_path: Path) -> None:
    put(tmp_path, "neutrophil/1.jpg", "neutrophil/BAD_2.jpg", "neutrophil/sub/bad_3.jpg")
    listing = entries("crops", tmp_path, exclude=["*/bad_*"])
    assert [entry.path for entry in listing.entries] == ["neutrophil/1.jpg"]
    assert listing.left_out == {"excluded by the recipe": 2}
    with pytest.raises(UserError, match="exclude: bda_"):
        entries("crops", tmp_path, exclude=["bda_*"])


def test_what_is_no_file_inside_the_root_is_counted(tmp_path: Path) -> None:
    put(tmp_path, "other/1.jpg", "mine/neutrophil/1.jpg")
    folder = tmp_path / "mine/neutrophil"
    os.mkfifo(folder / "pipe.jpg")
    (folder / "dead.jpg").symlink_to("gone.jpg")
    (folder / "out.jpg").symlink_to(tmp_path / "other/1.jpg")
    (folder / "in.jpg").symlink_to("1.jpg")
    listing = entries("crops", tmp_path / "mine")
    assert [entry.path for entry in listing.entries] == ["neutrophil/1.jpg", "neutrophil/in.jpg"]
    assert listing.left_out == {"no file, or a link that leads out of the source": 3}


@pytest.mark.parametrize("name", ["mine", "mine/platelet"])
def test_a_folder_that_may_not_be_read_is_an_error(tmp_path: Path, name: str) -> None:
    put(tmp_path, "mine/neutrophil/1.jpg", "mine/platelet/1.jpg")
    (tmp_path / name).chmod(0)
    try:
        if os.access(tmp_path / name, os.R_OK):
            pytest.skip("this user may read everything")
        with pytest.raises(UserError, match=f"{name}: the folder cannot be read .*; change its permissions"):
            entries("crops", tmp_path / "mine")
    finally:
        (tmp_path / name).chmod(0o755)


@pytest.mark.parametrize("kind", ["lisc", "iumc", "mamic", "kaggle", "crops", "fields"])
def test_no_cell_at_all_names_folder_layout_and_remedy(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UserError, match=r"the folder is empty.*expected .*set `root`") as empty:
        entries(kind, tmp_path)
    put(tmp_path, "README.txt", "holiday.jpg")
    with pytest.raises(UserError, match="1 x not an image") as other:
        entries(kind, tmp_path)
    assert all(str(fault.value).startswith(str(tmp_path.resolve())) for fault in (empty, other))


def test_order_does_not_depend_on_the_file_system(tmp_path: Path) -> None:
    names = [f"neutrophil/{name}.jpg" for name in ("10", "9", "b2", "B10", "a")]
    put(tmp_path, *names)
    ordered = [f"neutrophil/{name}.jpg" for name in ("9", "10", "a", "b2", "B10")]
    assert list(listed("crops", tmp_path)) == ordered


@given(st.lists(st.text("aA10_.é²", max_size=6), unique=True))
def test_natural_order_leaves_no_tie_to_the_file_system(paths: list[str]) -> None:
    assert sorted(paths, key=natural) == sorted(paths, key=natural, reverse=True)[::-1]


@given(st.sampled_from(["platelet clump", "infected rbc"]), st.sampled_from([" ", "_", "-", ""]), st.booleans())
def test_spelling_does_not_change_a_name(name: str, gap: str, plural: bool) -> None:
    written = name.replace(" ", gap) + "s" * plural
    assert canonical(written) == canonical(written.upper()) == canonical(name)


@pytest.mark.parametrize(
    ("kind", "left_out"),
    [
        ("lisc", {"class 'mixt' is not used": 1, "image without a mask": 1}),
        ("iumc", {}),
        ("mamic", {}),
        ("kaggle", {}),
    ],
)
def test_drawn_sources_are_read_whole(kind: str, left_out: dict[str, int]) -> None:
    root = Path(__file__).parents[1] / "sample_sources" / kind
    listing = entries(kind, root)
    assert listing.left_out == left_out
    for entry in listing.entries:
        image = decode_image(read_bytes(root / entry.path), entry.path)
        if entry.mask is not None:
            assert read_mask(root / entry.mask, shape=image.shape[:2], pad=entry.mask_pad).any()
