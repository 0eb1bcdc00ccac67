"""Which combination a sample is of: all are met equally often, and a short build meets a mixture of them.

The planner: from (split, index) to a scene.

Every draw comes from a stream keyed by (seed, split, index, stage), so a sample depends on no other, on no count and
on no worker.
"""

from collections.abc import Sequence
from functools import cached_property
from math import gcd

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.errors import UserError
from smearsynth.base.fixed_point import ONE
from smearsynth.base.streams import State, between, stream
from smearsynth.recipe.look_options import LookSpec
from smearsynth.recipe.scene_options import UNIT_FIELD, Combination, SceneSpec
from smearsynth.scene import label_maps, masks
from smearsynth.scene.cell_sampler import Mix, Stock, common_sources, pick, stock_of
from smearsynth.scene.distractors import dirt, draw_distractors
from smearsynth.scene.light import light
from smearsynth.scene.masks import Footprints
from smearsynth.scene.placed_cells import Table, table
from smearsynth.scene.placement import Reds, Rules, place
from smearsynth.scene.scene import OBJECT_FIELDS, Scene, background_of
from smearsynth.scene.warp import pool_of
from smearsynth.taxonomy import CLASSES, RED_CELLS


def stride_of(n: int) -> int:
    """The step coprime with n next above the golden section of n, so that n steps meet each of n once."""
    step = max(1, round(n * 0.618))
    while gcd(step, n) != 1:
        step += 1
    return step


def combination_of(chosen: tuple[Combination, ...], index: int) -> Combination:
    """The combination of sample `index`."""
    return chosen[index * stride_of(len(chosen)) % len(chosen)]


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
        self._bank, self._mix, self._pool = bank, mix or {}, pool_of(bank)
        self._combinations = spec.chosen()
        self._rules = self._fix_rules()
        self._dirt = dirt(spec.distractors, size)
        self._stocks: dict[str, Stock] = {}
        self._sources: dict[tuple[str, Combination], npt.NDArray[np.int64]] = {}
        most = max(len(foreground_of(c, size)) for c in self._combinations)
        if most > self._rules.max_objects:
            raise UserError(
                f"scene.max_objects: {self._rules.max_objects} is fewer than the {most} white cells and platelets of "
                f"one smear of {size[0]}x{size[1]} px: raise it or restrict scene.combinations"
            )

    def plan(self, split: str, index: int) -> Scene:
        """The scene of sample `index` of `split` ("train", "val" or "test")."""
        combination = combination_of(self._combinations, index)
        foreground = foreground_of(combination, self._size)
        stock = self._stock(split)
        reds = self._reds(combination, stream(self._seed, split, index, "red cells"))
        lying = self._table(len(foreground))
        state = stream(self._seed, split, index, "placement")
        source = self._white_cells_from(split, index, combination)
        wanted = np.array(foreground, np.int64)
        n = place(state, lying, self._pool, stock, source, self._rules, wanted, reds)
        if n < 0:
            raise UserError(
                f"size: a field of {self._size[0]}x{self._size[1]} px has no room for {combination.name}: "
                "enlarge it, allow scene.border or restrict scene.combinations"
            )
        distractors = draw_distractors(stream(self._seed, split, index, "distractors"), self._dirt)
        return self._scene(split, index, lying, n, distractors)

    def _fix_rules(self) -> Rules:
        spec = self._spec
        low, high = (round(s * ONE) for s in spec.scale_range)
        diagonal = np.hypot(self._pool.width, self._pool.height).max()
        return Rules(
            height=self._size[0],
            width=self._size[1],
            overlap=round(spec.overlap * ONE),
            white_cell_overlap=round(spec.white_cell_overlap * ONE),
            gap_low=spec.gap_range[0],
            gap_high=spec.gap_range[1],
            border=spec.border,
            rotate=spec.rotate,
            flip=spec.flip,
            scale_low=low,
            scale_high=high,
            min_visible=round(spec.min_visible * ONE),
            max_objects=spec.rows(self._size),
            reach=int(diagonal * high / ONE) // 2 + 1,
        )

    @cached_property
    def _words(self) -> tuple[int, int]:
        """The most words that drawing any cell takes, and any red cell."""
        words = masks.room(self._pool, np.arange(len(self._bank)), self._rules.scale_high)
        return int(words.max()), int(words[np.isin(self._bank.class_id, RED_CELLS)].max(initial=0))

    def _table(self, foreground: int) -> Table:
        """A table with room for all cells of a smear and for one that is tried."""
        largest, largest_red = self._words
        rows = self._rules.max_objects + 1
        return table(self._size, rows, (foreground + 1) * largest + rows * largest_red)

    def _stock(self, split: str) -> Stock:
        """The split's cells; UserError if a class that the combinations need has none."""
        if split not in self._stocks:
            stock = stock_of(self._bank, split, self._mix)
            for cls in sorted(self._spec.classes()):
                if not stock.weight[cls].any():
                    key = CLASSES[cls].key
                    raise UserError(
                        f"no {key} to draw in split {split}: add a source of {key}, mend cells.mix, or restrict "
                        "scene.combinations to classes that have cells"
                    )
            self._stocks[split] = stock
        return self._stocks[split]

    def _white_cells_from(self, split: str, index: int, combination: Combination) -> int:
        """The source of the white cells of a smear, -1 for any."""
        if self._spec.white_cells_from == "any":
            return -1
        where = split, combination
        if where not in self._sources:
            self._sources[where] = common_sources(self._stock(split), combination.foreground)
        weights = self._sources[where]
        return pick(stream(self._seed, split, index, "white cells' source"), weights) if weights.any() else -1

    def _reds(self, combination: Combination, key: State) -> Reds:
        spec = self._spec
        ranges = (
            spec.density_range,
            spec.infected_share(),
            (0, 1 - 1 / ONE),
            spec.overlapping_range,
            spec.touching_range,
        )
        density, infected, phase, overlapping, touching = (
            between(key, round(low * ONE), round(high * ONE)) for low, high in ranges
        )
        mixed = combination.background == "mixed"
        if not mixed:
            infected = ONE if combination.background == "infected" else 0
        return Reds(density, infected, phase, overlapping, touching, mixed and spec.backgrounds == "equal")

    def _scene(
        self,
        split: str,
        index: int,
        lying: Table,
        n: int,
        distractors: npt.NDArray[np.int32],
    ) -> Scene:
        """The scene of the first n cells of the table, which lie topmost first."""
        poses = lying.poses[:n][::-1].copy()
        box, full, rows = lying.prints
        prints = Footprints(box[:n][::-1].copy(), full[:n][::-1].copy(), rows)
        made = label_maps.maps(prints, poses[:, 0].copy(), self._size, self._rules.min_visible)
        objects = np.empty((len(made.kept), len(OBJECT_FIELDS)), np.int32)
        objects[:, :7] = poses[made.kept]
        objects[:, 7] = np.arange(len(objects))
        objects[:, 8:13] = made.visible
        objects[:, 13] = made.full
        lights = [light(k, stream(self._seed, split, index, "light", k.base), len(objects)) for k in self._looks]
        return Scene(
            split=split,
            index=index,
            objects=objects,
            label=made.label,
            instance=made.instance,
            dropped=n - len(objects),
            background=background_of(set(objects[:, 0].tolist())),
            distractors=distractors,
            lights=tuple(lights),
        )
