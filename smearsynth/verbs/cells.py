"""The bank of a recipe, made and shown: which cells are cut out, and which are refused and why."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smearsynth.bank.bank_file import save_bank
from smearsynth.bank.cell_gallery import as_text as tables
from smearsynth.bank.cell_gallery import count_cells, draw_gallery
from smearsynth.bank.make_bank import make_bank
from smearsynth.bank.rescaling import scale_text
from smearsynth.base.workers import checked_workers
from smearsynth.dataset.layout import check_outside
from smearsynth.verbs.check import check


def cells(
    recipe_path: str | Path,
    *,
    out: str | Path | None = None,
    save: str | Path | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
    progress: bool = True,
) -> dict[str, Any]:
    """Makes the bank of the recipe in `recipe_path`, draws a gallery of its cells and counts them.

    out: the gallery, a PNG, by default ./NAME-cells.png; further pages are ./NAME-cells-2.png and so on, all in place
    of those of an earlier gallery. save: where
    the bank is written, for `build(bank=...)`; None: nowhere. workers: processes, by default one per core. overrides:
    "path=value" each. progress: bars on stderr, or lines in a log.

    Keys of what is returned: `cells` (class -> source -> split -> cells), `refused` (source -> class -> reason ->
    cells), `left_out` (source -> reason -> files), `duplicates` (pairs), `unreadable` (a sentence per file),
    `um_per_px` and `scale`, what that rests on (by source), `gallery` and all its `pages`. Raises UserError as `check`
    does, and where a class is left without cells.

    >>> made = smearsynth.cells("recipes/quickstart.yaml", out="cells.png", save="cells.h5", progress=False)
    >>> list(made["um_per_px"])
    ['lisc', 'iumc', 'mamic', 'kaggle']
    """
    checked = check(recipe_path, overrides=overrides)
    gallery = Path(out) if out is not None else Path(f"{checked.recipe.name}-cells.png")
    for file in (gallery, save):
        if file is not None:
            check_outside(Path(file))
    workers = checked_workers(workers)
    made = make_bank(checked.recipe, listings=dict(checked.listings), workers=workers, progress=progress)
    drawn = draw_gallery(made.bank, made.refused)
    pages = [gallery, *(gallery.with_stem(f"{gallery.stem}-{number}") for number in range(2, len(drawn) + 1))]
    for page, file in zip(drawn, pages, strict=True):
        page.save(file, "PNG")
    left = len(drawn) + 1
    while (old := gallery.with_stem(f"{gallery.stem}-{left}")).is_file():  # of a gallery that had more pages
        old.unlink()
        left += 1
    if save is not None:
        save_bank(made.bank, Path(save))
    return {
        **count_cells(made),
        "unreadable": list(made.errors),
        "um_per_px": made.um_per_px,
        "scale": {s.name: scale_text(s, made.listings[s.name], made.um_per_px[s.name]) for s in checked.recipe.sources},
        "gallery": gallery,
        "pages": pages,
    }


def as_text(found: dict[str, Any]) -> str:
    """What `cells` returned, for a person."""
    scales = "\n".join(f"{name}: {scale}" for name, scale in found["scale"].items())
    gallery = "Gallery: " + ", ".join(str(page) for page in found["pages"])
    return "\n\n".join([tables(found), scales, *found["unreadable"], gallery])
