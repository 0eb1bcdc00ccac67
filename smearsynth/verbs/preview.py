"""A contact sheet of a dataset, or of what a recipe would give."""

from collections.abc import Sequence
from pathlib import Path

from smearsynth.dataset import layout
from smearsynth.dataset.sheet import Panel, chosen, read_panels, save_sheet
from smearsynth.engines.plan import BuildPlan, make_plan
from smearsynth.errors import UserError
from smearsynth.render import render
from smearsynth.taxonomy import CLASSES
from smearsynth.verbs.prepare import checked_workers, find_cells, read_recipe


def preview(
    path: str | Path,
    *,
    out: str | Path | None = None,
    bank: str | Path | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
    progress: bool = True,
) -> Path:
    """Writes the sheet as PNG and gives its path: `out`, else NAME.png in the working directory, after the recipe or
    the dataset's folder. A dataset is left as it is: its files are sealed by its index.

    path: a dataset's folder or a recipe. bank, overrides: as for `build`, of a recipe only; workers: cut its cells.
    Raises UserError.
    """
    path, sheet = Path(path), _outside(out) if out is not None else None
    if path.is_dir():
        if bank is not None or overrides:
            raise UserError(
                f"{path} is a dataset, which is shown as it is: leave out --bank and --set, or name a recipe."
            )
        sheet = sheet or _outside(f"{path.resolve().name}.png")
        save_sheet(*read_panels(path), sheet)
        return sheet
    recipe = read_recipe(path, overrides, roots=bank is None)
    sheet = sheet or _outside(f"{recipe.name}.png")
    cells = find_cells(path, overrides, bank=bank, resumed=None, workers=checked_workers(workers), progress=progress)
    plan, _ = make_plan(recipe, cells.bank, sheet.parent)
    save_sheet(_panels(plan), CLASSES, sheet)
    return sheet


def _outside(sheet: str | Path) -> Path:
    """UserError where it would lie in a dataset."""
    layout.check_outside(Path(sheet))
    return Path(sheet)


def _panels(plan: BuildPlan) -> list[Panel]:
    first = plan.jobs[0]
    scenes = [plan.planner.plan(first.split, index) for index in chosen(first.stop)]
    looks = range(len(plan.header.looks))
    return [Panel(images=[render(s, look, plan.bank) for look in looks], label=s.label) for s in scenes]
