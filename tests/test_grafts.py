"""Grafts: of one split, with parasites where the maps say, without a seam, always the same; files that forge them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from grafted_bank import RING_AT, SPEC, bank_with_rings, grafted
from hypothesis import given
from hypothesis import strategies as st

from smearsynth.bank import bank_file
from smearsynth.bank.bank import Bank
from smearsynth.bank.grafts import with_grafts
from smearsynth.bank.parasite_stages import blob, dot
from smearsynth.bank.parasites import density_of, healed_density, read_parasites
from smearsynth.base.errors import UserError
from smearsynth.taxonomy import HEALTHY_RBC, INFECTED_RBC


@pytest.fixture(scope="module")
def bank() -> Bank:
    return grafted()


def assembled(bank: Bank) -> list[int]:
    return [row for row in range(len(bank)) if bank.parts[row]]


def parts(bank: Bank, row: int) -> list[int]:
    return [int(part) for part in bank.parts[row].split()]


def test_a_ring_is_found_where_it_was_drawn_and_nothing_in_a_smooth_cell() -> None:
    bank = bank_with_rings()
    for row in np.flatnonzero(np.isin(bank.class_id, (HEALTHY_RBC, INFECTED_RBC))).tolist():
        cell = bank.rgba(row)[..., 3] >= 128
        before = density_of(bank, row)
        read = read_parasites(before, cell)
        after = healed_density(before, cell, read.mask)
        if bank.class_id[row] == HEALTHY_RBC:
            assert not read.mask.any()
            assert np.abs(after - before).max() == 0
        elif read.mask.any():
            ys, xs = np.nonzero(read.mask)
            middle = np.array(cell.shape) // 2 + RING_AT
            assert np.abs(np.array([ys.mean(), xs.mean()]) - middle).max() < 2
            assert 30 < len(ys) < 120
            assert len(read.parasites) == 1
            assert after[read.mask][:, 1].max() < 0.45 < before[read.mask][:, 1].max()


def test_every_fourth_infected_cell_of_a_source_is_unknown_and_the_others_are_read(bank: Bank) -> None:
    cut = [row for row in range(len(bank)) if bank.class_id[row] == INFECTED_RBC and not bank.parts[row]]
    unknown = [row for row in cut if (bank.parasite_map(row) == 255).any()]
    assert len(cut) == 5 * len(unknown) == 30
    for row in cut:
        values, cell = bank.parasite_map(row), bank.rgba(row)[..., 3] >= 128
        assert not values[~cell].any()
        assert set(np.unique(values[cell])) == ({255} if row in unknown else {0, 1})


def test_parts_are_a_healthy_host_and_infected_donors_of_the_same_split(bank: Bank) -> None:
    donors = set()
    for row in assembled(bank):
        host, *others = parts(bank, row)
        rows = [host, *others]
        assert (bank.split[rows] == bank.split[row]).all()
        assert (bank.source[row], bank.groups[row]) == (bank.source[host], bank.groups[host])
        healed = bank.assembly[row] == "healed"
        assert bank.class_id[host] == (INFECTED_RBC if healed else HEALTHY_RBC)
        assert all(bank.class_id[donor] == INFECTED_RBC for donor in others)
        assert bool(others) <= (bank.class_id[row] == INFECTED_RBC)
        donors |= {(int(bank.source[donor]), int(bank.source[row])) for donor in others}
    assert donors == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_each_kind_comes_in_its_number(bank: Bank) -> None:
    kinds = [bank.assembly[row] for row in assembled(bank)]
    infected = [row for row in assembled(bank) if bank.class_id[row] == INFECTED_RBC]
    assert 100 < len(infected) <= 3 * 36
    staged = [row for row in infected if "ring at" not in bank.assembly[row]]
    assert 0.35 < len(staged) / len(infected) < 0.65
    assert sum(kind == "healed" for kind in kinds) == 24
    assert len(kinds) - len(infected) - 24 == 36
    for word in ("ring at", "trophozoite", "schizont", "gametocyte", "stain grain", "knobs"):
        assert any(word in kind for kind in kinds), word


def test_a_healthy_cell_holds_no_parasite_and_a_graft_lies_inside_its_cell(bank: Bank) -> None:
    for row in assembled(bank):
        values, cell = bank.parasite_map(row), bank.rgba(row)[..., 3] >= 128
        assert values.any() == (bank.class_id[row] == INFECTED_RBC)
        assert not values[~cell].any()
        assert values.max() <= 1


def test_beyond_a_ring_the_cell_is_its_host_to_the_bit_and_no_step_shows_at_the_seam(bank: Bank) -> None:
    rings = [row for row in assembled(bank) if bank.assembly[row].startswith("ring at")]
    assert len(rings) > 20
    for row in rings:
        host = parts(bank, row)[0]
        new, old = density_of(bank, row), density_of(bank, host)
        near = cv2.dilate(bank.parasite_map(row), np.ones((13, 13), np.uint8)) > 0
        rim = cv2.dilate((bank.rgba(row)[..., 3] < 128).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        # A level of 8 bits is 1/level of density; the darkest colour here is 90.
        assert np.abs(new - old)[~near & ~rim].max() <= 1.5 / 90
        added = np.abs(new - old)[..., 1]
        steps = np.maximum(np.abs(np.diff(added, axis=0))[:, :-1], np.abs(np.diff(added, axis=1))[:-1])
        assert np.percentile(steps[~near[:-1, :-1]], 99) < 0.03


def test_the_same_seed_gives_the_same_bank_and_another_one_another(bank: Bank) -> None:
    before = bank_with_rings()
    assert with_grafts(before, SPEC, 0, workers=2).digest == bank.digest
    other = with_grafts(before, SPEC, 1)
    assert other.digest != bank.digest
    assert other.pixels[: len(before.pixels)].tobytes() == before.pixels.tobytes()


def test_a_bank_with_parasites_is_read_as_it_was_written_and_one_without_keeps_its_format(
    bank: Bank, tmp_path: Path
) -> None:
    bank_file.save_bank(bank, tmp_path / "with.h5")
    read = bank_file.load_bank(tmp_path / "with.h5")
    assert (read.digest, read.assembly) == (bank.digest, bank.assembly)
    assert np.array_equal(read.parasite, bank.parasite)
    plain = bank_with_rings()
    bank_file.save_bank(plain, tmp_path / "without.h5")
    assert not bank_file.load_bank(tmp_path / "without.h5").has_parasites


@pytest.mark.parametrize("forgery", ["healthy", "value", "length", "donor"])
def test_a_bank_whose_parasites_cannot_be_is_refused(bank: Bank, tmp_path: Path, forgery: str) -> None:
    values, texts = bank.parasite.copy(), list(bank.parts)
    row = next(row for row in assembled(bank) if len(parts(bank, row)) > 1)
    if forgery == "healthy":
        healthy = int(np.flatnonzero(bank.class_id == HEALTHY_RBC)[0])
        values[bank.offset[healthy] + bank.height[healthy] * bank.width[healthy] // 2] = 1
    elif forgery == "value":
        values[int(bank.offset[row])] = 7
    elif forgery == "length":
        values = values[:-1]
    else:
        texts[row] = f"{texts[row].split()[0]} 0"
    bank_file.save_bank(replace(bank, parasite=values, parts=tuple(texts)), tmp_path / "b.h5")
    with pytest.raises(UserError, match=r"b\.h5: .*(parasite|not made of|holds a parasite)"):
        bank_file.load_bank(tmp_path / "b.h5")


PLACES = st.floats(-40, 90)


@given(PLACES, PLACES, st.floats(0.1, 30))
def test_a_dot_is_the_one_drawn_on_the_whole_array(y: float, x: float, radius: float) -> None:
    rows, columns = np.mgrid[:53, :41]
    drawn = np.zeros((53, 41))
    here, spot = dot(drawn.shape, y, x, radius)
    drawn[here] = spot[..., 0]
    assert np.array_equal(drawn, np.clip(radius + 0.5 - np.hypot(rows - y, columns - x), 0, 1))


@given(PLACES, PLACES, st.floats(0.5, 25), st.floats(0.5, 25), st.integers(0, 2**32))
def test_a_blob_is_the_one_drawn_on_the_whole_array(y: float, x: float, tall: float, wide: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:53, :41]
    turn = rng.uniform(0, np.pi)
    u = ((columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)) / wide
    v = ((rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)) / tall
    wavy, angle = np.zeros(u.shape), np.arctan2(v, u)
    for k in (2, 3, 4, 5):
        wavy += rng.normal(0, 0.12 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    naive = cv2.GaussianBlur((np.hypot(u, v) * (1 + wavy) < 1).astype(np.float64), (0, 0), 0.8)
    assert np.array_equal(blob(naive.shape, y, x, tall, wide, np.random.default_rng(seed), soft=0.8), naive)


def test_a_burr_cell_has_spikes_all_around_and_is_as_large_as_its_host(bank: Bank) -> None:
    def roughness(row: int) -> float:
        """Of the distance of the rim over 128 directions, the strongest wave of 9 to 20 to the turn, px."""
        alpha = bank.rgba(row)[..., 3].astype(np.float32)
        middle = (alpha.shape[1] - 1) / 2, (alpha.shape[0] - 1) / 2
        rays = cv2.warpPolar(alpha, (64, 128), middle, 32, cv2.WARP_POLAR_LINEAR)
        return float(np.abs(np.fft.rfft((rays >= 128).sum(axis=1) / 2))[9:21].max() / 64)

    burr = [row for row in assembled(bank) if bank.assembly[row].startswith("burr cell")]
    assert len(burr) > 10
    ratio = [roughness(row) / roughness(parts(bank, row)[0]) for row in burr]
    assert np.median(ratio) > 3
    assert min(ratio) > 1
    assert all(0.85 < bank.area[row] / bank.area[parts(bank, row)[0]] < 1.2 for row in burr)
