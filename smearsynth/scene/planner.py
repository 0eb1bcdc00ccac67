"""The planner: from (split, index) to a scene.

Every draw comes from a stream keyed by (seed, split, index, stage), so a sample depends on no other, on no count and on
no worker.
"""

from collections.abc import Sequence
from math import gcd

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.errors import UserError
from smearsynth.base.fixed_point import ONE
from smearsynth.base.streams import between, stream
from smearsynth.recipe.look_options import LookSpec
from smearsynth.recipe.scene_options import UNIT_FIELD, Combination, SceneSpec
from smearsynth.scene.cell_sampler import (
    ANY_SOURCE,
    CellSampler,
    Mix,
    cell_sampler,
    common_source_weights,
    draw_weighted,
)
from smearsynth.scene.distractors import distractor_ranges, draw_distractors
from smearsynth.scene.footprints import Footprints, words_needed
from smearsynth.scene.label_maps import label_maps
from smearsynth.scene.light import light
from smearsynth.scene.parasite_maps import derive_parasites
from smearsynth.scene.placed_cells import PlacedCells, placed_cells
from smearsynth.scene.placement import Contents, Rules, place
from smearsynth.scene.scene import CLASS, FULL, OBJECT_FIELDS, POSE, VISIBLE, Scene, X, Z, background_of
from smearsynth.scene.warp import cell_pixels
from smearsynth.taxonomy import CLASSES, RED_CELLS


def combination_of(chosen: tuple[Combination, ...], index: int) -> Combination:
    """The combination of sample `index`: all are met equally often, and a short build meets a mixture of them.

    The step is coprime with their number n and next above its golden section, so that n samples meet each once.
    """
    step = max(1, round(len(chosen) * 0.618))
    while gcd(step, len(chosen)) != 1:
        step += 1
    return chosen[index * step % len(chosen)]


def foreground_of(combination: Combination, size: tuple[int, int]) -> tuple[int, ...]:
    """Class ids of the foreground of a field of `size` (height, width) px: repeated per 224x224 px, at least once."""
    return combination.foreground * max(1, round(size[0] * size[1] / UNIT_FIELD))


class Planner:
    """Plans the smears of one recipe on one bank.

    looks: the recipe's looks. size: height, width in px. mix: class key -> {source name: share}. Raises UserError
    where the recipe asks what the bank or the field cannot give; `plan` does so for the split it is asked for.
    """

    def __init__(
        self,
        spec: SceneSpec,
        looks: Sequence[LookSpec],
        size: tuple[int, int],
        seed: int,
        bank: Bank,
        mix: Mix | None = None,
    ) -> None:
        self._spec, self._looks, self._size, self._seed = spec, tuple(looks), size, seed
        self._bank, self._mix, self._cells = bank, mix or {}, cell_pixels(bank)
        self._combinations = spec.chosen()
        self._rules = _rules(spec, size)
        diagonal = np.hypot(self._cells.width, self._cells.height).max()
        largest = max(self._rules.scale_high, self._rules.platelet_scale_high)
        self._reach = int(diagonal * largest / ONE) // 2 + 1
        words = words_needed(self._cells, np.arange(len(bank)), largest)
        self._most_words = int(words.max())
        self._most_words_of_red_cells = int(words[np.isin(bank.class_id, RED_CELLS)].max(initial=0))
        self._distractors = distractor_ranges(spec.distractors, size)
        self._samplers: dict[str, CellSampler] = {}
        self._source_weights: dict[tuple[str, Combination], npt.NDArray[np.int64]] = {}
        most = max(len(foreground_of(c, size)) for c in self._combinations)
        if most > self._rules.max_objects:
            raise UserError(
                f"scene.max_objects: {self._rules.max_objects} is fewer than the {most} white cells and platelets of "
                f"one smear of {size[0]}x{size[1]} px: raise it or restrict scene.combinations"
            )

    def plan(self, split: str, index: int) -> Scene:
        """The scene of sample `index` of `split` ("train", "val" or "test")."""
        combination = combination_of(self._combinations, index)
        sampler = self._sampler(split)
        contents = self._contents(split, index, combination)
        placed = self._empty_field(len(contents.foreground))
        n = place(stream(self._seed, split, index, "placement"), placed, sampler, self._rules, contents)
        if n < 0:
            raise UserError(
                f"size: a field of {self._size[0]}x{self._size[1]} px has no room for {combination.name}: "
                "enlarge it, allow scene.border or restrict scene.combinations"
            )
        return self._scene(split, index, placed, n)

    def bare(self, split: str, index: int) -> Scene:
        """The same before any cell is placed: glass, light and distractors."""
        return self._scene(split, index, self._empty_field(0), 0)

    def _sampler(self, split: str) -> CellSampler:
        """The split's cells; UserError if a class that the combinations need has none."""
        if split not in self._samplers:
            sampler = cell_sampler(self._bank, split, self._mix)
            for cls in sorted(self._spec.classes()):
                if not sampler.weight[cls].any():
                    key = CLASSES[cls].key
                    raise UserError(
                        f"no {key} to draw in split {split}: add a source of {key}, mend cells.mix, or restrict "
                        "scene.combinations to classes that have cells"
                    )
            self._samplers[split] = sampler
        return self._samplers[split]

    def _contents(self, split: str, index: int, combination: Combination) -> Contents:
        state, spec = stream(self._seed, split, index, "red cells"), self._spec

        def draw(low: float, high: float) -> int:
            return int(between(state, round(low * ONE), round(high * ONE)))

        density, infected, phase = draw(*spec.density_range), draw(*spec.infected_share()), draw(0, 1 - 1 / ONE)
        overlapping, touching = draw(*spec.overlapping_range), draw(*spec.touching_range)
        mixed = combination.background == "mixed"
        if not mixed:
            infected = ONE if combination.background == "infected" else 0
        return Contents(
            foreground=np.array(foreground_of(combination, self._size), np.int64),
            white_source=self._white_source(split, index, combination),
            density=density,
            infected=infected,
            phase=phase,
            overlapping=overlapping,
            touching=touching,
            both=mixed and spec.backgrounds == "equal",
        )

    def _white_source(self, split: str, index: int, combination: Combination) -> int:
        """The source of the white cells of a smear."""
        if self._spec.white_cells_from == "any":
            return ANY_SOURCE
        key = split, combination
        if key not in self._source_weights:
            self._source_weights[key] = common_source_weights(self._sampler(split), combination.foreground)
        weights = self._source_weights[key]
        if not weights.any():
            return ANY_SOURCE
        return int(draw_weighted(stream(self._seed, split, index, "white cells' source"), weights))

    def _empty_field(self, foreground: int) -> PlacedCells:
        """Memory for all cells of a smear and for one that is tried."""
        rows = self._rules.max_objects + 1
        words = (foreground + 1) * self._most_words + rows * self._most_words_of_red_cells
        return placed_cells(self._size, self._cells, self._reach, rows, words)

    def _scene(self, split: str, index: int, placed: PlacedCells, n: int) -> Scene:
        """The scene of the first n placed cells, of which the first is the topmost."""
        poses = placed.poses[:n][::-1].copy()
        prints = Footprints(placed.prints.box[:n][::-1].copy(), placed.prints.full[:n][::-1].copy(), placed.prints.rows)
        maps = label_maps(prints, poses[:, CLASS].copy(), self._size, self._rules.min_visible)
        objects = np.empty((len(maps.kept), len(OBJECT_FIELDS)), np.int32)
        objects[:, POSE] = poses[maps.kept]
        objects[:, Z] = np.arange(len(objects))
        objects[:, X : VISIBLE + 1] = maps.visible
        objects[:, FULL] = maps.full
        lights = [light(k, stream(self._seed, split, index, "light", k.base), len(objects)) for k in self._looks]
        return Scene(
            split=split,
            index=index,
            objects=objects,
            label=maps.label,
            instance=maps.instance,
            dropped=n - len(objects),
            background=background_of(set(objects[:, CLASS].tolist())),
            distractors=draw_distractors(stream(self._seed, split, index, "distractors"), self._distractors),
            lights=tuple(lights),
            parasite=derive_parasites(objects, self._bank, self._size) if self._bank.has_parasites else None,
        )


def _rules(spec: SceneSpec, size: tuple[int, int]) -> Rules:
    low, high = (round(s * ONE) for s in spec.scale_range)
    platelet_low, platelet_high = (round(s * ONE) for s in spec.platelet_scale_range or spec.scale_range)
    return Rules(
        height=size[0],
        width=size[1],
        overlap=round(spec.overlap * ONE),
        platelet_overlap=round(spec.platelet_overlap * ONE),
        white_cell_overlap=round(spec.white_cell_overlap * ONE),
        gap_low=spec.gap_range[0],
        gap_high=spec.gap_range[1],
        border=spec.border,
        rotate=spec.rotate,
        flip=spec.flip,
        scale_low=low,
        scale_high=high,
        platelet_scale_low=platelet_low,
        platelet_scale_high=platelet_high,
        min_visible=round(spec.min_visible * ONE),
        max_objects=spec.rows(size),
    )
