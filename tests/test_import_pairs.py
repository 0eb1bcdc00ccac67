"""Names of images and masks, splits that divide no group, patches that make up the image again."""

import os
from collections import Counter
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from segtrain.importing.image_mask_pairs import find_pairs
from segtrain.importing.import_plan import Patches, Target, cover, fits, read_patches, read_size, resample, windows
from segtrain.importing.import_splits import (
    SplitRule,
    divided_groups,
    read_groups,
    read_rule,
    read_table,
    split_as_stated,
    split_by_shares,
    with_copies,
)
from smearsynth.base.errors import UserError

SIDES = st.integers(8, 60)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


class TestPairs:
    @pytest.mark.parametrize(
        ("image", "mask"),
        [
            ("a.png", "a.png"),
            ("a.jpg", "a.PNG"),
            ("a.png", "a_mask.png"),
            ("A.png", "a-mask.tif"),
            ("a.png", "a.mask.png"),
            ("a.png", "a_label.bmp"),
            ("a.png", "a_gt.png"),
            ("a.png", "mask_a.png"),
            ("a.png", "a_segmentation.gif"),
            ("a_image.png", "a_mask.png"),
            ("a.jpg", "a.jpg.png"),
            ("a.jpg", "a.jpg_mask.png"),
            ("a b (2).png", "a b (2) mask.png"),
            ("train/x/a.png", "train/x/a_mask.png"),
            ("label_1.png", "label_1.png"),
        ],
    )
    def test_the_usual_names_go_together(self, tmp_path: Path, image: str, mask: str) -> None:
        images, masks = touch(tmp_path / "i", image, "other.png"), touch(tmp_path / "m", mask, "other_mask.png")
        pairs, errors = find_pairs(images, masks)
        assert not errors
        assert {p.name: p.mask_name for p in pairs} == {image: mask, "other.png": "other_mask.png"}

    def test_both_in_one_folder_or_one_in_the_other(self, tmp_path: Path) -> None:
        both = touch(tmp_path / "both", "a.jpg", "a_mask.png", "b.jpg", "b-mask.png")
        pairs, errors = find_pairs(both, both)
        assert ([(p.name, p.mask_name) for p in pairs], errors) == (
            [("a.jpg", "a_mask.png"), ("b.jpg", "b-mask.png")],
            [],
        )
        outer = touch(tmp_path / "outer", "a.jpg", "masks/a.png")
        pairs, errors = find_pairs(outer, outer / "masks")
        assert ([(p.name, p.mask_name) for p in pairs], errors) == ([("a.jpg", "a.png")], [])

    def test_folders_that_are_links_count(self, tmp_path: Path) -> None:
        touch(tmp_path, "disk/b.png", "masks/a.png", "masks/more/b.png", "images/a.png")
        (tmp_path / "images/more").symlink_to(tmp_path / "disk")
        (tmp_path / "images/more/back").symlink_to(tmp_path / "images")
        pairs, errors = find_pairs(tmp_path / "images", tmp_path / "masks")
        assert ([pair.name for pair in pairs], errors) == (["a.png", "more/b.png"], [])

    def test_an_accent_of_either_spelling_is_the_same(self, tmp_path: Path) -> None:
        images, masks = touch(tmp_path / "i", "p\u00e4.png"), touch(tmp_path / "m", "pa\u0308_mask.png")
        pairs, errors = find_pairs(images, masks)
        assert not errors
        assert len(pairs) == 1

    def test_a_name_that_is_no_text_is_told(self, tmp_path: Path) -> None:
        name = os.fsdecode(b"p\xff.png")
        try:
            images, masks = touch(tmp_path / "i", name, "a.png"), touch(tmp_path / "m", name, "a.png")
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
        pairs, errors = find_pairs(images, masks)
        assert not pairs
        assert len(errors) == 2
        assert all("no UTF-8; rename the file" in error for error in errors)

    def test_each_split_in_folders_of_its_own(self, tmp_path: Path) -> None:
        touch(tmp_path, "train/x/a.png", "train/y/a_mask.png", "valid/x/a.png", "valid/y/a.png")
        pairs, errors = find_pairs(tmp_path / "{split}" / "x", tmp_path / "{split}" / "y")
        assert not errors
        assert {p.name: p.mask_name for p in pairs} == {"train/a.png": "train/a_mask.png", "valid/a.png": "valid/a.png"}
        assert split_as_stated(read_rule(None, [p.name for p in pairs]), [p.name for p in pairs])[0] == ["train", "val"]
        with pytest.raises(UserError, match="must stand in both"):
            find_pairs(tmp_path / "{split}" / "x", tmp_path / "train" / "y")
        with pytest.raises(UserError, match="is no folder"):
            find_pairs(tmp_path / "{split}" / "x", tmp_path / "{split}" / "z")

    def test_every_file_without_a_partner_or_with_two_is_named(self, tmp_path: Path) -> None:
        images = touch(tmp_path / "i", "a.png", "b.png", "c.png", "c.jpg", "x/d.png")
        masks = touch(tmp_path / "m", "a_mask.png", "a-label.png", "c.png", "y/d.png", "e.png")
        pairs, errors = find_pairs(images, masks)
        assert not [p for p in pairs if p.name != "c.jpg"]
        text = "\n".join(errors)
        for words in (
            "i/a.png: could have the masks a-label.png, a_mask.png",
            "i/b.png: has no mask",
            "m/c.png: could be the mask of",
            "i/x/d.png: has no mask",
            "m/y/d.png: has no image",
            "m/e.png: has no image",
        ):
            assert words in text
        assert len(errors) == 6

    def test_folders_that_are_missing_or_empty(self, tmp_path: Path) -> None:
        images = touch(tmp_path / "i", "a.png")
        with pytest.raises(UserError, match="is no folder"):
            find_pairs(images, tmp_path / "m")
        (tmp_path / "m").mkdir()
        with pytest.raises(UserError, match="holds no image"):
            find_pairs(images, tmp_path / "m")


class TestSplit:
    @given(
        st.lists(st.integers(0, 12), min_size=3, max_size=60),
        st.tuples(*[st.integers(1, 9)] * 3),
        st.integers(0, 2**31),
        st.randoms(),
    )
    def test_no_group_is_divided_and_the_order_of_images_is_nothing(self, numbers, shares, seed, random) -> None:
        groups = [f"P{n}" for n in numbers]
        wanted = dict(zip(("train", "val", "test"), shares, strict=True))
        assume(len(set(groups)) >= 3)
        found = split_by_shares(groups, wanted, seed=seed)
        assert not divided_groups(groups, found)
        assert set(found) == {"train", "val", "test"}
        order = list(range(len(groups)))
        random.shuffle(order)
        assert split_by_shares([groups[i] for i in order], wanted, seed=seed) == [found[i] for i in order]

    def test_fewer_groups_than_splits_are_refused(self) -> None:
        with pytest.raises(UserError, match="cannot fill 3 splits"):
            split_by_shares(["a", "b", "a"], {"train": 8, "val": 1, "test": 1}, seed=0)

    @given(st.integers(3, 200), st.integers(0, 1000))
    def test_single_images_meet_their_shares(self, count: int, seed: int) -> None:
        found = Counter(split_by_shares([str(i) for i in range(count)], {"train": 8, "val": 1, "test": 1}, seed=seed))
        for split, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
            assert abs(found[split] - share * count) < 2

    def test_the_split_of_the_study_with_forty_pairs(self) -> None:
        names = [f"{i}.png" for i in range(40)]
        rule = read_rule("train=30,val=5,test=5", names)
        found = split_by_shares(names, rule.shares, seed=0)
        assert Counter(found) == {"train": 30, "val": 5, "test": 5}
        assert found == split_by_shares(names, rule.shares, seed=0)
        assert found != split_by_shares(names, rule.shares, seed=1)

    @pytest.mark.parametrize("asked", ["train", "train=x", "train=-1", "train=0", "training=1", "train=1,train=2", "5"])
    def test_shares_that_are_none(self, asked: str) -> None:
        with pytest.raises(UserError, match=r": give shares.* \(split\)"):
            read_rule(asked, ["a.png"])

    def test_folders_are_a_split_only_where_all_images_lie_in_them(self) -> None:
        assert read_rule(None, ["Train/a.png", "valid/b.png", "test/x/c.png"]) == SplitRule()
        assert read_rule(None, ["train/a.png", "b.png"]).shares
        names = ["training/a.png", "dev/b.png", "testing/c.png"]
        assert split_as_stated(SplitRule(), names) == (["train", "val", "test"], [])
        _, errors = split_as_stated(SplitRule(), ["train/a.png", "b.png", "extra/c.png"])
        assert len(errors) == 2
        assert "b.png: lies in none" in errors[0]
        assert "extra/c.png is extra" in errors[1]

    def test_a_table_by_path_name_or_stem(self, tmp_path: Path) -> None:
        table = tmp_path / "s.csv"
        table.write_text("x/a.png,train\nb.png,val\nc,test\n")
        rule = read_rule(str(table), [])
        assert split_as_stated(rule, ["x/a.png", "y/b.png", "z/c.tif"]) == (["train", "val", "test"], [])
        _, (error,) = split_as_stated(rule, ["d.png"])
        assert "has no line for d.png" in error

    def test_a_table_with_a_header_may_have_more_columns(self, tmp_path: Path) -> None:
        table = tmp_path / "s.csv"
        table.write_text("Group,image,split\nP1,a.png,train\n")
        assert read_table(table, "split") == {"a.png": "train"}
        assert read_table(table, "group") == {"a.png": "P1"}

    @pytest.mark.parametrize("text", ["a.png\n", "a.png,train\na.png,test\n", "a.png,\n", "a,b,c\n"])
    def test_lines_that_are_none_are_named(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "s.csv").write_text(text)
        with pytest.raises(UserError, match=r"s\.csv, line [12]:"):
            read_table(tmp_path / "s.csv", "split")


class TestGroups:
    def test_an_expression_finds_the_patient(self) -> None:
        names = ["P01_1.png", "P01_2.png", "P02_1.png", "x.png"]
        groups, (error,) = read_groups(r"(P\d+)_", names)
        assert groups == ["P01", "P01", "P02", ""]
        assert "x.png" in error
        assert read_groups(r"^P\d+", names[:3])[0] == ["P01", "P01", "P02"]
        with pytest.raises(UserError, match="no regular expression"):
            read_groups("(", names)

    def test_a_group_in_two_splits_is_named(self) -> None:
        (error,) = divided_groups(["a", "b", "a"], ["train", "val", "test"])
        assert "a: stands in train and test" in error

    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
    def test_copies_join_groups_as_a_naive_closure_does(self, pairs: list[tuple[int, int]]) -> None:
        groups, digests = [f"g{g}" for g, _ in pairs], [f"d{d}" for _, d in pairs]
        naive = [{i} for i in range(len(pairs))]
        for _ in pairs:
            for i in range(len(pairs)):
                for j in range(len(pairs)):
                    if groups[i] == groups[j] or digests[i] == digests[j]:
                        naive[i] = naive[j] = naive[i] | naive[j]
        found = with_copies(groups, digests)
        for i in range(len(pairs)):
            assert {j for j in range(len(pairs)) if found[j] == found[i]} == naive[i]
            assert found[i] == min(groups[j] for j in naive[i])


class TestPatches:
    @given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([0.0, 0.25, 0.5, 0.9]))
    def test_patches_make_up_the_image_again(self, h: int, w: int, ph: int, pw: int, overlap: float) -> None:
        patches = Patches(size=(ph, pw), overlap=overlap)
        assert fits(patches, (h, w)) == (ph <= h and pw <= w)
        assume(fits(patches, (h, w)))
        image = np.arange(h * w).reshape(h, w)
        again = np.full((h, w), -1)
        found = windows(patches, (h, w))
        for y, x in found:
            patch = image[y : y + ph, x : x + pw]
            assert patch.shape == (ph, pw)
            again[y : y + ph, x : x + pw] = patch
        assert (again == image).all()
        assert cover(patches, (h, w))
        for axis, side in ((0, ph), (1, pw)):
            starts = sorted({window[axis] for window in found})
            assert all(b - a <= max(1, side * (1 - overlap)) for a, b in pairwise(starts))

    @given(SIDES, SIDES, st.integers(8, 40), st.integers(1, 40))
    def test_as_many_as_asked_for_and_all_different(self, h: int, w: int, side: int, count: int) -> None:
        patches = Patches(size=(side, side), count=count)
        assume(fits(patches, (h, w)))
        found = windows(patches, (h, w))
        assert len(set(found)) == count
        assert all(0 <= y <= h - side and 0 <= x <= w - side for y, x in found)
        seen = np.zeros((h, w), bool)
        for y, x in found:
            seen[y : y + side, x : x + side] = True
        assert cover(patches, (h, w)) == seen.all()

    def test_fifteen_of_a_photograph_are_three_rows_of_five(self) -> None:
        found = windows(Patches(size=(512, 512), count=15), (1200, 1920))
        assert len({y for y, _ in found}) == 3
        assert len({x for _, x in found}) == 5
        assert found[0] == (0, 0)
        assert found[-1] == (688, 1408)

    def test_no_two_patches_are_the_same_where_there_is_no_room(self) -> None:
        assert not fits(Patches(size=(40, 40), count=2), (40, 40))
        assert fits(Patches(size=(40, 40), count=2), (40, 41))
        assert not fits(Patches(size=(40, 40), count=10**15), (96, 96))

    @pytest.mark.parametrize("asked", ["", "7", "x", "64,1.0", "64,-0.5", "64,a", "64x", "64,0.5,2"])
    def test_requests_that_are_none(self, asked: str) -> None:
        with pytest.raises(UserError, match=r"\(patches\)"):
            read_patches(asked)

    def test_requests(self) -> None:
        assert read_patches("64") == read_patches("64,0") == Patches(size=(64, 64))
        assert read_patches("64x48,0.25") == Patches(size=(48, 64), overlap=0.25)
        assert read_patches("64,15") == Patches(size=(64, 64), count=15)
        assert read_size("640x480", "resize") == (480, 640)


class TestResample:
    @given(SIDES, SIDES, SIDES, SIDES)
    def test_labels_take_the_pixel_under_their_centre(self, h: int, w: int, to_h: int, to_w: int) -> None:
        label = np.arange(h * w).astype(np.uint8).reshape(h, w)
        image = np.zeros((h, w, 3), np.uint8)
        _, (found,) = resample(image, [label], (to_h, to_w))
        assert found.shape == (to_h, to_w)
        for y in range(to_h):
            for x in range(to_w):
                # Where a centre falls between two pixels, either is nearest.
                sy, sx = (y + 0.5) * h / to_h, (x + 0.5) * w / to_w
                rows = {min(h - 1, int(sy)), max(0, int(np.ceil(sy)) - 1)}
                columns = {min(w - 1, int(sx)), max(0, int(np.ceil(sx)) - 1)}
                assert found[y, x] in {label[r, c] for r in rows for c in columns}

    @pytest.mark.parametrize("factor", [0.35, 0.7, 1.7])
    def test_image_and_label_stay_upon_each_other(self, factor: float) -> None:
        y, x = np.mgrid[:200, :260]
        label = ((y - 97.3) ** 2 + (x - 130.6) ** 2 < 60**2).astype(np.uint8)
        image = np.repeat((label * np.uint8(200))[..., None], 3, axis=2)
        size = (round(200 * factor), round(260 * factor))
        small, (found,) = resample(image, [label], size)
        grey = (small[..., 0] > 100).astype(np.uint8)
        shift = [np.argwhere(m).mean(axis=0) for m in (grey, found)]
        assert np.abs(shift[0] - shift[1]).max() < 0.1
        usual = cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST)
        assert np.abs(np.argwhere(usual).mean(axis=0) - shift[0]).max() > np.abs(shift[0] - shift[1]).max()

    def test_scale_and_size(self) -> None:
        target = Target(um_per_px=0.2)
        assert target.size_of((1200, 1600), 0.069) == (414, 552)
        assert target.um_per_px_of((1200, 1600), 0.069) == 0.2
        assert Target(size=(60, 80)).um_per_px_of((1200, 1600), 0.05) == pytest.approx(1.0)
        assert Target().size_of((1200, 1600), 0.069) == (1200, 1600)
