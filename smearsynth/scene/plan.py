"""The planner: from (split, index) to a scene.

Every draw comes from a stream keyed by (seed, split, index, stage), so a sample depends on no other, on no count and
on no worker.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from smearsynth.cells.bank import Bank
from smearsynth.errors import UserError
from smearsynth.fixed_point import ONE
from smearsynth.recipe.combinations import Combination
from smearsynth.recipe.looks import LookSpec
from smearsynth.recipe.scene import SceneSpec
from smearsynth.scene import labels, schedule
from smearsynth.scene.footprints import Footprints
from smearsynth.scene.light import light
from smearsynth.scene.place import Reds, Rules, place
from smearsynth.scene.scene import OBJECT_FIELDS, Light, Scene
from smearsynth.scene.stock import Mix, Stock, stock_of, white_cells_of_one_source
from smearsynth.scene.table import Table, table
from smearsynth.scene.warp import pool_of, tile_sizes
from smearsynth.streams import between, stream
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, INFECTED_RBC, RED_CELLS


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
        self._stocks: dict[str, Stock] = {}
        most = max(len(schedule.foreground(c, size)) for c in self._combinations)
        if most > self._rules.max_objects:
            raise UserError(
                f"scene.max_objects: {self._rules.max_objects} is fewer than the {most} white cells and platelets of "
                f"one smear of {size[0]}x{size[1]} px: raise it or restrict scene.combinations"
            )

    def plan(self, split: str, index: int) -> Scene:
        """The scene of sample `index` of `split` ("train", "val" or "test")."""
        combination = schedule.combination(self._combinations, index)
        foreground = schedule.foreground(combination, self._size)
        stock = self._stock(split)
        if self._spec.white_cells_from == "one_source":
            key = stream(self._seed, split, index, "white cells' source")
            stock = white_cells_of_one_source(stock, foreground, key)
        reds = self._reds(combination, stream(self._seed, split, index, "red cells"))
        lying = self._table(len(foreground))
        state = stream(self._seed, split, index, "placement")
        n = place(state, lying, self._pool, stock, self._rules, np.array(foreground, np.int64), reds)
        if n < 0:
            raise UserError(
                f"size: a field of {self._size[0]}x{self._size[1]} px has no room for {combination.name}: "
                "enlarge it, allow scene.border or restrict scene.combinations"
            )
        lights = [light(k, stream(self._seed, split, index, "light", k.base)) for k in self._looks]
        return self._scene(split, index, lying, n, tuple(lights))

    def _fix_rules(self) -> Rules:
        spec = self._spec
        low, high = (round(s * ONE) for s in spec.scale_range)
        diagonal = np.hypot(self._pool.width, self._pool.height).max()
        return Rules(
            height=self._size[0],
            width=self._size[1],
            overlap=round(spec.overlap * ONE),
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
    def _tile_pixels(self) -> tuple[int, int]:
        """The largest tile of any cell and of any red cell."""
        sizes = tile_sizes(self._pool, np.arange(len(self._bank)), self._rules.scale_high)
        return int(sizes.max()), int(sizes[np.isin(self._bank.class_id, RED_CELLS)].max(initial=0))

    def _table(self, foreground: int) -> Table:
        largest, largest_red = self._tile_pixels
        rows = self._rules.max_objects
        return table(self._size, rows, foreground * largest + rows * largest_red, largest)

    def _stock(self, split: str) -> Stock:
        """The split's cells; UserError if a class that the combinations need has none."""
        if split not in self._stocks:
            stock = stock_of(self._bank, split, self._mix)
            for cls in sorted(self._needed()):
                if not stock.weight[cls].any():
                    key = CLASSES[cls].key
                    raise UserError(
                        f"no {key} to draw in split {split}: add a source of {key}, mend cells.mix, or restrict "
                        "scene.combinations to classes that have cells"
                    )
            self._stocks[split] = stock
        return self._stocks[split]

    def _needed(self) -> set[int]:
        classes = {c for combination in self._combinations for c in combination.foreground}
        backgrounds = {combination.background for combination in self._combinations}
        classes |= {INFECTED_RBC} if backgrounds & {"infected", "mixed"} else set()
        return classes | ({HEALTHY_RBC} if backgrounds & {"healthy", "mixed"} else set())

    def _reds(self, combination: Combination, key: npt.NDArray[np.uint64]) -> Reds:
        density = between(key, *(round(d * ONE) for d in self._spec.density_range))
        infected = between(key, *(round(s * ONE) for s in self._spec.infected_share()))
        phase = between(key, 0, ONE - 1)
        mixed = combination.background == "mixed"
        if not mixed:
            infected = ONE if combination.background == "infected" else 0
        return Reds(density, infected, phase, mixed and self._spec.backgrounds == "equal")

    def _scene(self, split: str, index: int, lying: Table, n: int, lights: tuple[Light, ...]) -> Scene:
        """The scene of the first n cells of the table, which lie topmost first."""
        poses = lying.poses[:n][::-1].copy()
        box, full, mask = lying.prints
        prints = Footprints(box[:n][::-1].copy(), full[:n][::-1].copy(), mask)
        made = labels.maps(prints, poses[:, 0].copy(), self._size, self._rules.min_visible)
        rows = np.arange(len(made.kept))
        columns = (poses[made.kept], rows[:, None], made.visible, prints.full[made.kept, None])
        objects = np.hstack(columns).astype(np.int32)
        assert objects.shape[1] == len(OBJECT_FIELDS)
        kinds = set(objects[:, 0].tolist())
        return Scene(
            split=split,
            index=index,
            objects=objects,
            label=made.label,
            instance=made.instance,
            dropped=n - len(rows),
            background=(HEALTHY_RBC in kinds) + 2 * (INFECTED_RBC in kinds),
            lights=lights,
        )
