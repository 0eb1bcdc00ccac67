"""Smears as Python objects: those of a set, and those of a recipe, which are rendered when they are asked for.

The cells of a recipe are cut at the first smear, and kept for as long as the program runs: a second `open` or `render`
of the recipe has them at once. Sources that change meanwhile are not looked at again.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from smearsynth.bank.bank import Bank
from smearsynth.base.errors import UserError
from smearsynth.base.workers import checked_workers
from smearsynth.dataset.smears import Arrays, Sample, SmearSet, SmearSplit, stored_smears
from smearsynth.engines.build_plan import BuildPlan, make_plan
from smearsynth.engines.shard_job import warm_up
from smearsynth.recipe.model import Recipe
from smearsynth.rendering.looks import render as render_look
from smearsynth.shards.format import Header, sample_id
from smearsynth.taxonomy import SPLITS
from smearsynth.verbs.preparation import prepare_cells, read_recipe

_BANKS: dict[tuple[str, ...], Bank] = {}
"""By what decides them: a recipe's keys, its folder, and the bank's file where one was named."""
_OF_CELLS = {"sources", "cells", "split", "seed", "lock", "publish"}
_MAKING = Lock()


def open(
    path: str | Path,
    *,
    bank: str | Path | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
    progress: bool = True,
) -> SmearSet:
    """The smears of `path`, a set's folder or a recipe's file, by split.

    Those of a recipe are the ones that `build` would write, pixel for pixel, and are rendered when they are asked for:
    a few milliseconds each, once its cells are cut. bank, overrides: as for `build`, of a recipe only. workers: cut its
    cells, by default one per core. progress: bars on stderr meanwhile, or lines in a log. Raises UserError where
    there is no such set or recipe, or it has errors.

    >>> smears = smearsynth.open("recipes/quickstart.yaml")
    >>> list(smears), len(smears["train"])
    (['train', 'val', 'test'], 400)
    >>> stored = smearsynth.open("quickstart")
    >>> stored["val"][7].digest == smears["val"][7].digest
    True
    """
    path = Path(path)
    if path.is_dir():
        if bank is not None or overrides:
            raise UserError(
                f"{path} is a set, whose smears are there as they are: leave these out, or name a recipe",
                "bank",
                "overrides",
            )
        return stored_smears(path)
    recipe, cells = _recipe_and_cells(path, bank, workers, overrides, progress)
    samples = {str(split): scenes * len(recipe.looks) for split, scenes in recipe.count.items() if scenes}
    return SmearSet(
        recipe.name,
        {split: SmearSplit(split, RenderedSmears(split, cells, n)) for split in SPLITS if (n := samples.get(split))},
    )


def render(
    recipe: str | Path,
    split: str,
    index: int,
    *,
    bank: str | Path | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
    progress: bool = True,
) -> Sample:
    """Sample `index` of a split of a recipe, made in memory: the one that `build` would write there.

    index: 0 or more; it may lie beyond the recipe's count, since no sample depends on how many there are. bank,
    workers, overrides, progress: as for `open`. Raises UserError.

    >>> smearsynth.render("recipes/quickstart.yaml", "train", 42).id
    'train-00000042'
    """
    if split not in SPLITS:
        raise UserError(f"{split!r} is no split: name one of {', '.join(SPLITS)}", "split")
    if index < 0:
        raise UserError(f"{index} is no number of a sample: give 0 or more", "index")
    _, cells = _recipe_and_cells(Path(recipe), bank, workers, overrides, progress)
    return SmearSplit(split, RenderedSmears(split, cells, index + 1))[index]


def _recipe_and_cells(
    path: Path, bank: str | Path | None, workers: int | None, overrides: Sequence[str], progress: bool
) -> tuple[Recipe, "RecipeCells"]:
    workers = checked_workers(workers)
    recipe = read_recipe(path, overrides, roots=bank is None)
    return recipe, RecipeCells(recipe, path.absolute().parent, bank, workers, progress)


class RecipeCells:
    """A recipe, and the plan of its smears, which is made with its bank at the first of them. Pickled with the bank, so
    that no other process cuts the cells again."""

    def __init__(self, recipe: Recipe, folder: Path, bank: str | Path | None, workers: int, progress: bool) -> None:
        """folder: which the roots of the recipe are relative to."""
        self.recipe, self._workers, self._progress = recipe, workers, progress
        self._bank = None if bank is None else Path(bank).absolute()
        keys = recipe.model_dump_json(include=_OF_CELLS)
        self._kind = keys, str(sorted(recipe.scene.classes())), str(folder), str(self._bank or "")
        self._plan: BuildPlan | None = None

    @property
    def plan(self) -> BuildPlan:
        """Raises UserError where cells cannot be cut, or do not suffice."""
        # Once it is there no lock is taken: a process that is forked meanwhile would wait for it for ever.
        if self._plan is None:
            with _MAKING:
                if self._kind not in _BANKS:
                    _BANKS[self._kind] = prepare_cells(
                        self.recipe, bank=self._bank, resumed=None, workers=self._workers, progress=self._progress
                    ).bank
                self._plan = make_plan(self.recipe, _BANKS[self._kind], Path(self.recipe.name))
        return self._plan

    def prepare(self) -> None:
        """Makes the plan, and compiles what is compiled at its first call."""
        warm_up(self.plan, workers=self._workers, progress=self._progress)

    def __getstate__(self) -> dict[str, Any]:
        plan = self.plan
        return {**self.__dict__, "_plan": None, "bank": plan.bank}

    def __setstate__(self, state: dict[str, Any]) -> None:
        _BANKS.setdefault(state["_kind"], state.pop("bank"))
        self.__dict__.update(state)


class RenderedSmears:
    """A split of a recipe, its first `samples` smears."""

    def __init__(self, split: str, cells: RecipeCells, samples: int) -> None:
        self._split, self._cells, self._samples = split, cells, samples
        self.size = cells.recipe.size

    @property
    def header(self) -> Header:
        return replace(self._cells.plan.header, split=self._split)

    @property
    def most_objects(self) -> int:
        return self._cells.plan.max_objects

    def __len__(self) -> int:
        return self._samples

    def sample_id(self, i: int) -> str:
        looks = self.header.looks
        return sample_id(self._split, *divmod(i, len(looks)), looks)

    def read(self, i: int, names: Collection[str]) -> Arrays:
        plan = self._cells.plan
        index, look = divmod(i, len(plan.header.looks))
        scene = plan.planner.plan(self._split, index)
        arrays: Arrays = {"label": scene.label, "instance": scene.instance, "objects": scene.objects}
        if scene.parasite is not None:
            arrays["parasite"] = scene.parasite
        if "image" in names:
            arrays["image"] = render_look(scene, look, plan.bank)
        return {name: array for name, array in arrays.items() if name in names}

    def prepare(self) -> None:
        """Cuts the cells, and compiles what is compiled at its first call."""
        self._cells.prepare()
