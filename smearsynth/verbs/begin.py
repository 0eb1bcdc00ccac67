"""The first part of a build: what all shards of a set have in common is written, once, by whoever comes first."""

from dataclasses import asdict

from smearsynth.cells import bank as banks
from smearsynth.dataset import layout, state
from smearsynth.dataset.state import Identity
from smearsynth.engines.plan import BuildPlan
from smearsynth.errors import UserError
from smearsynth.recipe import Recipe, resolved_yaml
from smearsynth.verbs.prepare import Cells


def begin(recipe: Recipe, cells: Cells, plan: BuildPlan, identity: Identity, *, overwrite: bool) -> None:
    """For a whole set: nobody else writes to it. From here until it is finished the folder has no index.

    Raises UserError that names what differs where the folder holds another set, or a larger one.
    """
    with layout.locked(plan.out):
        if overwrite:
            layout.clear(plan.out)
        _begin(recipe, cells, plan, identity)


def begin_slice(recipe: Recipe, cells: Cells, plan: BuildPlan, identity: Identity) -> None:
    """For a slice: where another slice of the same set has begun, there is nothing to do. Raises as `begin`."""
    if (plan.out / layout.IDENTITY).exists():
        state.check_same(plan.out, identity)
    if _begun(recipe, plan):
        return
    with layout.locked(plan.out, patience=layout.PATIENCE_OF_SLICES):
        if not _begun(recipe, plan):
            _begin(recipe, cells, plan, identity)


def check_begun(recipe: Recipe, plan: BuildPlan, identity: Identity) -> None:
    """UserError where the folder is no longer what was begun. The caller holds its lock."""
    state.check_same(plan.out, identity)
    if not _begun(recipe, plan):
        raise UserError(f"{plan.out} was begun anew meanwhile, with another recipe: give one of the two another --out.")


def _begun(recipe: Recipe, plan: BuildPlan) -> bool:
    """Whether all is there that a set of this recipe begins with, the bank being written last."""
    bank, told = plan.out / layout.BANK, plan.out / layout.RECIPE
    return bank.is_file() and told.is_file() and told.read_text(encoding="utf-8") == resolved_yaml(recipe)


def _begin(recipe: Recipe, cells: Cells, plan: BuildPlan, identity: Identity) -> None:
    out = plan.out
    if (out / layout.IDENTITY).exists():
        state.check_same(out, identity)
        state.check_growing(out, recipe.count, plan.identity)
    layout.sweep(out)
    (out / layout.INDEX).unlink(missing_ok=True)
    layout.write_json(out, layout.IDENTITY, asdict(identity))
    layout.write_text(out, layout.RECIPE, resolved_yaml(recipe))
    layout.write_json(out, layout.SOURCES, cells.sources)
    if cells.lock:
        layout.write_text(out, layout.LOCK, cells.lock)
    kept = out / layout.BANK
    # A bank that lies there and was not read may be damaged.
    if cells.file != kept or not kept.is_file():
        with layout.written(out, layout.BANK) as part:
            banks.save(cells.bank, part)
