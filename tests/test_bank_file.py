"""cells.h5: what is saved is loaded, and whatever else a file holds ends in one sentence."""

import hashlib
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from grafted_bank import grafted
from synthetic_bank import synthetic_bank

from smearsynth.bank.bank import OF_GRAFTS, Bank
from smearsynth.bank.bank_file import load_bank, save_bank
from smearsynth.bank.clumps import with_clumps
from smearsynth.base.errors import UserError

GOLDEN = "30c2ff88d5877a47c58bb941bc092f056b0aa214fcc6325bfda22e54782a4b05"


@pytest.fixture(scope="module")
def bank() -> Bank:
    whole = synthetic_bank(per_class=2)
    few = replace(whole, class_id=np.where(whole.class_id == 7, 6, whole.class_id).astype(np.uint8))
    return with_clumps(few, size_range=(3, 4), per_thrombocyte=1.0, seed=0)


@pytest.fixture(scope="module")
def file(bank, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bank") / "cells.h5"
    save_bank(bank, path)
    return path


def test_a_bank_comes_back_as_it_was(bank, file):
    loaded = load_bank(file)
    for field in fields(Bank):
        before, after = getattr(bank, field.name), getattr(loaded, field.name)
        if isinstance(before, tuple):
            assert before == after
        else:
            assert before.dtype == after.dtype
            assert np.array_equal(before, after)


def test_equal_banks_give_equal_bytes_and_leave_nothing_else(bank, file, tmp_path):
    save_bank(bank, tmp_path / "other name.h5")
    assert (tmp_path / "other name.h5").read_bytes() == file.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["other name.h5"]


def test_a_save_that_fails_leaves_the_bank_before_it(bank, file, tmp_path):
    path = tmp_path / "cells.h5"
    path.write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match=r"invalid literal|could not convert"):
        save_bank(replace(bank, area=np.array(["x"])), path)
    assert path.read_bytes() == file.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["cells.h5"]


def test_golden_digest():
    """Changes only together with GENERATOR_VERSION: a bank that somebody published must keep its name."""
    assert synthetic_bank(per_class=1).digest == GOLDEN


@pytest.mark.parametrize("graft", [False, True])
def test_the_digest_is_what_its_docstring_says(bank, graft):
    bank, sha = grafted() if graft else bank, hashlib.sha256()
    for name in sorted({field.name for field in fields(Bank)} - (set() if graft else OF_GRAFTS)):
        value = getattr(bank, name)
        if isinstance(value, tuple):
            sha.update(f"{name}({len(value)},)".encode())
            for text in value:
                sha.update(len(text.encode()).to_bytes(8, "little") + text.encode())
        else:
            sha.update(f"{name}{value.shape}".encode() + value.astype(value.dtype.newbyteorder("<")).tobytes())
    assert bank.digest == sha.hexdigest()


@pytest.mark.parametrize("name", [field.name for field in fields(Bank)])
def test_every_field_enters_the_digest(name):
    bank = grafted()
    value = getattr(bank, name)
    if isinstance(value, tuple):
        changed = ("é" + value[0], *value[1:])
    else:
        changed = value.copy()
        changed.flat[0] += 1
    assert replace(bank, **{name: changed}).digest != bank.digest


def at(name: str, i: int, value: float) -> Callable[[Bank], Bank]:
    def change(bank: Bank) -> Bank:
        array = getattr(bank, name).copy()
        array[i] = value
        return replace(bank, **{name: array})

    return change


def reaching_margin(bank: Bank) -> Bank:
    pixels = bank.pixels.copy()
    pixels[bank.offset[3] + bank.width[3] + 5, 3] = 1
    return replace(bank, pixels=pixels)


def parts(text: str) -> Callable[[Bank], Bank]:
    return lambda bank: replace(bank, parts=(*bank.parts[:-1], text))


WRONG = {
    "offset past the end": (at("offset", 0, 10**15), "outside the pixels"),
    "offset one row too far": (at("offset", -1, 0), None),
    "negative offset": (at("offset", 2, -1), "outside the pixels"),
    "negative height": (at("height", 0, -5), "impossible size"),
    "height whose product overflows": (at("height", 0, 2**31 - 1), "impossible size"),
    "width within its margin": (at("width", 0, 4), "impossible size"),
    "background as a class": (at("class_id", 0, 0), "class id"),
    "class 10": (at("class_id", 0, 10), "class id"),
    "split 3": (at("split", 0, 3), "split"),
    "source 2 of 2": (at("source", 0, 2), "source"),
    "scale not a number": (at("scale", 0, float("nan")), "scale"),
    "scale 0": (at("scale", 0, 0), "scale"),
    "half measured glass": (at("glass_measured", 0, 2), "glass_measured"),
    "an area too large": (at("area", 1, 10**6), "area of cell 1"),
    "a mask in its margin": (reaching_margin, "cell 3 reaches into its margin"),
    "a part that is no row": (parts("1 2 999999"), "not made of platelets"),
    "a part that is no number": (parts("1 x"), "not made of platelets"),
    "a part that is no platelet": (parts("0 0 0"), "not made of platelets"),
    "a number longer than Python reads": (parts("9" * 5000), "not made of platelets"),
    "a divided group": (lambda bank: replace(bank, groups=("a",) * len(bank)), "group stands in two splits"),
    "no source": (lambda bank: replace(bank, sources=()), "source"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_bank_that_would_mislead_compiled_loops_is_refused(bank, tmp_path, what):
    change, says = WRONG[what]
    path = tmp_path / "cells.h5"
    save_bank(change(bank), path)
    with pytest.raises(UserError, match=says or "cell") as error:
        load_bank(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "smearsynth cells RECIPE" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_random_damage_is_never_taken_for_a_bank(bank, file, tmp_path):
    whole, random = file.read_bytes(), np.random.default_rng(0)
    path = tmp_path / "cells.h5"
    for trial in range(300):
        damaged = bytearray(whole)
        metadata = trial % 3 > 0
        for place in random.integers(0, 9000 if metadata else len(whole), random.integers(1, 8)):
            damaged[place] ^= random.integers(1, 256)
        path.write_bytes(damaged[: random.integers(0, len(whole))] if trial % 20 == 0 else damaged)
        try:
            loaded = load_bank(path)
        except UserError:
            continue
        assert loaded.digest == bank.digest


@pytest.mark.parametrize("name", ["pixels", "offset", "groups", "parts"])
def test_a_field_that_is_missing_or_of_another_type_is_named(file, tmp_path, name):
    path = tmp_path / "cells.h5"
    for change in (
        lambda _: None,
        lambda h5: h5.create_group(name),
        lambda h5: h5.create_dataset(name, data=np.zeros((2, 2, 2))),
        lambda h5: h5.create_dataset(name, data=1),
    ):
        path.write_bytes(file.read_bytes())
        with h5py.File(path, "a") as h5:
            del h5[name]
            change(h5)
        with pytest.raises(UserError, match="not a whole bank"):
            load_bank(path)


def test_other_versions_missing_files_and_folders_end_in_a_sentence(file, tmp_path):
    path = tmp_path / "cells.h5"
    for key, value, says in (
        ("format_version", 3, "bank format 3 is newer .* upgrade"),
        ("format_version", 2, "not a whole bank .*no dataset assembly"),
        ("format_version", "one", "not a whole bank"),
        ("taxonomy_version", 9, "taxonomy 9 .* make the bank again"),
        ("um_per_px", 0.1, "0.1 um/px.* make the bank again"),
        ("digest", np.bytes_("0" * 64), "does not match its digest"),
    ):
        path.write_bytes(file.read_bytes())
        with h5py.File(path, "a") as h5:
            h5.attrs[key] = value
        with pytest.raises(UserError, match=says):
            load_bank(path)
    for missing in (tmp_path / "none.h5", tmp_path):
        with pytest.raises(UserError, match="no such bank"):
            load_bank(missing)
