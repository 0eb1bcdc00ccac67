"""The command line. Each command imports what it needs when it runs, so that help answers at once."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from smearsynth.commands import CONTEXT, Commands, NewFile, as_json, show

Command = Callable[..., Any]


NEW_FILE = NewFile()

recipe = click.argument("recipe", type=click.Path(path_type=Path))
overrides = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change one key of the recipe; may be repeated."
)
workers = click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one per core]")
bank = click.option(
    "--bank", type=click.Path(path_type=Path), help="A bank that is already made (cells.h5); no source is read."
)


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(package_name="smearsynth")
def main() -> None:
    """Annotated blood smears, composited from real single cells, with exact labels.

    \b
    To begin, on a fresh clone:
      smearsynth build recipes/quickstart.yaml
    """


@main.command()
@recipe
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the dataset.  [default: ./NAME]")
@workers
@click.option("--engine", default="local", show_default=True, help="Where shards are built.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted or smaller set of the same recipe.")
@click.option("--overwrite", is_flag=True, help="Replace the set that is there.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many scenes per split.")
@bank
@overrides
@click.option("--dry-run", is_flag=True, help="Print the plan and what it will cost; build nothing.")
@as_json
def build(dry_run: bool, as_json: bool, **options: Any) -> None:
    """Build the dataset of RECIPE.

    \b
    Example: a small set first, then the rest of it
      smearsynth build recipes/smear10.yaml --limit 100
      smearsynth build recipes/smear10.yaml --resume
    """
    recipe_path = options.pop("recipe")
    if dry_run:
        from smearsynth import dry_run as dry

        forecast = dry.dry_run(recipe_path, **_without(options, "engine", "resume", "overwrite"))
        show(as_json, asdict(forecast), lambda: dry.as_text(forecast))
        return
    from smearsynth.build import build as run

    result = run(recipe_path, **options)
    for sentence in result.unread:
        click.echo(f"Left out: {sentence}", err=True)
    text = f"{result.smears} smears in {result.out}, {result.per_second} per second\ndigest {result.digest}"
    show(as_json, asdict(result), lambda: text)


@main.command()
@recipe
@overrides
@as_json
def check(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Tell every fault of RECIPE and its sources.

    Without a fault: what each source holds, and under which licence.

    \b
    Example:
      smearsynth check recipes/smear10.yaml
    """
    from smearsynth.check import as_text, describe
    from smearsynth.check import check as run

    found = describe(run(recipe, overrides=overrides))
    show(as_json, found, lambda: as_text(found))


@main.command()
def schema() -> None:
    """Print the JSON Schema of a recipe.

    Editors complete keys and show their meaning with it.

    \b
    Example: then name the file in the first line of a recipe,
    as `# yaml-language-server: $schema=recipe.schema.json`
      smearsynth schema > recipe.schema.json
    """
    from smearsynth.recipe import schema as run

    click.echo(json.dumps(run(), indent=2))


@main.command()
@recipe
@click.option("--out", type=NEW_FILE, help="Gallery to write, a PNG.  [default: ./NAME-cells.png]")
@click.option("--save", type=NEW_FILE, help="Also write the bank, for build --bank.")
@workers
@overrides
@as_json
def cells(
    recipe: Path, out: Path | None, save: Path | None, workers: int | None, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Make the bank of RECIPE and show it.

    Which cells are cut out, and which are refused and why, in tables and in a gallery.

    \b
    Example:
      smearsynth cells recipes/quickstart.yaml --out cells.png
    """
    from smearsynth.cells import bank as banks
    from smearsynth.cells.counts import as_text, count_cells
    from smearsynth.cells.gallery import draw_gallery
    from smearsynth.cells.make import make_bank
    from smearsynth.check import check as read
    from smearsynth.prepare import checked_workers

    checked = read(recipe, overrides=overrides)
    made = make_bank(checked.recipe, workers=checked_workers(workers), progress=True)
    gallery = out or Path(f"{checked.recipe.name}-cells.png")
    draw_gallery(made.bank, made.refused).save(gallery, "PNG")
    if save:
        banks.save(made.bank, save)
    counts = count_cells(made.bank, refusals=made.refusals, listings=made.listings, pairs=made.pairs)
    figures = {**counts, "unreadable": list(made.faults), "um_per_px": made.um_per_px, "gallery": gallery}
    show(as_json, figures, lambda: "\n\n".join([as_text(counts), *made.faults, f"Gallery: {gallery}"]))


@main.command()
@click.argument("path", metavar="RECIPE|DATASET", type=click.Path(path_type=Path))
@click.option("--out", type=NEW_FILE, help="PNG to write.  [default: NAME.png, or DATASET/preview.png]")
@workers
@bank
@overrides
def preview(path: Path, **options: Any) -> None:
    """Draw a contact sheet of smears and labels.

    Of a dataset that is there, or of what a recipe would give.

    \b
    Example:
      smearsynth preview recipes/quickstart.yaml --out preview.png
    """
    from smearsynth.preview import preview as run

    click.echo(run(path, **options))


@main.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--labels", is_flag=True, help="Derive every label again from `objects` and the bank.")
@workers
@click.option(
    "--bank", type=click.Path(path_type=Path), help="The bank of a set that was handed on without its cells.h5."
)
@as_json
def verify(dataset: Path, as_json: bool, **options: Any) -> None:
    """Check every file and every sample of DATASET.

    Each fault is named with its file and sample. Ends with 0 if the set is whole, 1 if it has faults, 2 if there is
    no set that could be checked.

    \b
    Example: also whether each label is what its cells make it
      smearsynth verify smears --labels
    """
    from smearsynth.verify import as_text
    from smearsynth.verify import verify as run

    found = run(dataset, **options)
    show(as_json, asdict(found), lambda: as_text(found))
    if not found.whole:
        click.get_current_context().exit(1)


@main.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("sample", metavar="ID")
@click.option("--out", type=NEW_FILE, help="PNG to write: the stored image, the one made again, the label.")
@bank
@as_json
def replay(dataset: Path, sample: str, as_json: bool, **options: Any) -> None:
    """Make the sample ID of DATASET again and show its plan.

    Tells whether it is as it is stored, and where each of its cells comes from.

    \b
    Example:
      smearsynth replay smears train-00000042 --out sample.png
    """
    from smearsynth.dataset.replay import as_text
    from smearsynth.dataset.replay import replay as run

    made = run(dataset, sample, **options)
    show(as_json, asdict(made), lambda: as_text(made))


@main.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@as_json
def diff(a: Path, b: Path, as_json: bool) -> None:
    """Tell what differs between two datasets or two recipes.

    Of datasets: recipe, figures, and which samples. Of recipes: every key, with the defaults written out.

    \b
    Example:
      smearsynth diff smears smears-of-last-year
    """
    from smearsynth.dataset.diff import as_text
    from smearsynth.dataset.diff import diff as run

    found = run(a, b)
    show(as_json, asdict(found), lambda: as_text(found))


@main.command()
@recipe
@click.option("--smears", type=click.IntRange(min=1), default=2000, show_default=True, help="How many to make.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@bank
@overrides
@as_json
def bench(recipe: Path, as_json: bool, **options: Any) -> None:
    """Measure smears per second and memory.

    By stage and from plan to index; making the bank and compilation are not counted.

    \b
    Example: one core, then two
      smearsynth bench recipes/quickstart.yaml
      smearsynth bench recipes/quickstart.yaml --workers 2
    """
    from smearsynth.bench import as_text
    from smearsynth.bench import bench as run

    figures = run(recipe, **options)
    show(as_json, figures, lambda: as_text(figures))


@main.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--against", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Real images.")
@click.option(
    "--um-per-px",
    default="auto",
    show_default=True,
    metavar="X|FILE.csv|auto",
    help="Scale of the real images, micrometres per pixel; auto: the median single red cell is 7.3 um.",
)
@click.option("--look", metavar="NAME", help="Look to measure.  [default: the first]")
@click.option(
    "--samples", type=click.IntRange(min=1), default=200, show_default=True, help="At most so many smears, and images."
)
@click.option("--out", type=NEW_FILE, help="HTML page to write: both sets side by side, table and plots.")
@as_json
def fidelity(dataset: Path, against: Path, as_json: bool, **options: Any) -> None:
    """Measure how far the smears of DATASET are from real fields.

    FOLDER has img/ and mask/, white where a cell is, or images alone; then Otsu's threshold tells cells on both sides.
    Both sets are compared at 0.20 um/px. Yardstick: the distance between two halves of the real images.

    \b
    Example:
      smearsynth fidelity quickstart --against my_fields --out fidelity.html
    """
    from smearsynth.fidelity.compare import as_text
    from smearsynth.fidelity.compare import fidelity as run

    found = run(dataset, against, **options)
    show(as_json, found.figures(), lambda: as_text(found))


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, other cells.")
def phantoms(folder: Path, seed: int) -> None:
    """Draw sample sources to try things out.

    Four folders, laid out like LISC, IUMC, MAMIC and the NIH malaria cells; nobody's licence is on them.

    \b
    Example:
      smearsynth phantoms my_sources
    """
    from smearsynth.phantoms.write import write_sources

    for name, files in write_sources(folder, seed).items():
        click.echo(f"{folder / name}: {files} files")


def _without(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}
