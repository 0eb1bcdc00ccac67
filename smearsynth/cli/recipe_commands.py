"""Commands about a recipe: from sources to a dataset."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from smearsynth.base.command_line import NEW_FILE, PATH, as_json, show

recipe = click.argument("recipe", type=PATH)
overrides = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change one key of the recipe; may be repeated."
)
workers = click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one per core]")
bank = click.option("--bank", type=PATH, help="A bank that is already made (cells.h5); no source is read.")


@click.command()
@recipe
@click.option("--out", type=PATH, help="Folder of the dataset.  [default: ./NAME]")
@workers
@click.option("--engine", default="local", show_default=True, help="Where shards are built: local or dask.")
@click.option("--scheduler", metavar="ADDR", help="Dask cluster to build on.  [default: processes of this machine]")
@click.option("--resume", is_flag=True, help="Go on with an interrupted or smaller set of the same recipe.")
@click.option("--overwrite", is_flag=True, help="Replace the set that is there.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many scenes per split.")
@click.option("--shards", metavar="A:B", help="Only the shards A to B-1; then `smearsynth finish` writes the index.")
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
    \b
    On a Dask cluster, or a slice of the shards on each of several machines:
      smearsynth build recipes/smear10.yaml --engine dask --scheduler tcp://head:8786
      smearsynth build recipes/smear10.yaml --shards 0:8
    """
    recipe_path = options.pop("recipe")
    if dry_run:
        from smearsynth.verbs import preview

        given = {name: options[name] for name in ("out", "workers", "limit", "bank", "overrides")}
        forecast = preview.dry_run(recipe_path, **given)
        show(as_json, asdict(forecast), lambda: preview.forecast_text(forecast))
        return
    from smearsynth.verbs.build import build as run

    result = run(recipe_path, **options)
    for sentence in result.unread:
        click.echo(f"Left out: {sentence}", err=True)
    rate = f"{result.smears} smears in {result.out}, {result.per_second} per second"
    then = f"digest {result.digest}" if result.digest else f"no index yet: smearsynth finish {result.out} writes it"
    show(as_json, asdict(result), lambda: "\n".join(line for line in (rate, then, result.claim) if line))


@click.command()
@recipe
@overrides
@as_json
def check(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Tell every fault of RECIPE and its sources, and what each source holds, and under which licence.

    Of a recipe without a fault, the scale of each source, too: stated, or found from a hundred of its images.

    \b
    Example:
      smearsynth check recipes/smear10.yaml
    """
    from smearsynth.base.config_file import ConfigError
    from smearsynth.verbs.check import as_text, survey

    found, errors = survey(recipe, overrides=overrides)
    if found["sources"] or not errors:
        show(as_json, found, lambda: as_text(found, errors))
    if errors:
        raise ConfigError(errors)


@click.command()
def schema() -> None:
    """Print the JSON Schema of a recipe.

    Editors complete keys and show their meaning with it.

    \b
    Example: then name the file in the first line of a recipe,
    as `# yaml-language-server: $schema=recipe.schema.json`
      smearsynth schema > recipe.schema.json
    """
    from smearsynth.recipe.reading import schema as run

    click.echo(json.dumps(run(), indent=2))


@click.command()
@recipe
@click.option("--out", type=NEW_FILE, help="Gallery, PNGs.  [default: ./NAME-cells.png, ./NAME-cells-2.png ...]")
@click.option("--save", type=NEW_FILE, help="Also write the bank, for build --bank.")
@workers
@overrides
@as_json
def cells(recipe: Path, as_json: bool, **options: Any) -> None:
    """Make the bank of RECIPE and show it.

    Which cells are cut out, and which are refused and why, in tables and in a gallery, source by source and class by
    class. The scale of each source, and what it rests on.

    \b
    Example:
      smearsynth cells recipes/quickstart.yaml --out cells.png
    """
    from smearsynth.verbs.cells import as_text
    from smearsynth.verbs.cells import cells as run

    found = run(recipe, **options)
    show(as_json, found, lambda: as_text(found))


@click.command()
@click.argument("path", metavar="RECIPE|DATASET", type=PATH)
@click.option("--out", type=NEW_FILE, help="PNG to write.  [default: ./NAME.png]")
@workers
@bank
@overrides
def preview(path: Path, **options: Any) -> None:
    """Draw a contact sheet of smears and labels.

    Of a dataset that is there, or of what a recipe would give.

    \b
    Example: what a recipe would give, then a set that is there
      smearsynth preview recipes/quickstart.yaml --out preview.png
      smearsynth preview smears
    """
    from smearsynth.verbs.preview import preview as run

    click.echo(run(path, **options))


@click.command()
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
    from smearsynth.verbs.preview import bench as run
    from smearsynth.verbs.preview import bench_text

    figures = run(recipe, **options)
    show(as_json, figures, lambda: bench_text(figures))


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, other cells.")
def phantoms(folder: Path, seed: int) -> None:
    """Draw sample sources to try things out.

    Four folders, laid out like LISC, IUMC, MAMIC and the NIH malaria cells; nobody's licence is on them.

    \b
    Example:
      smearsynth phantoms my_sources
    """
    from smearsynth.drawing.databases import phantoms as run

    for name, files in run(folder, seed).items():
        click.echo(f"{folder / name}: {files} files")
