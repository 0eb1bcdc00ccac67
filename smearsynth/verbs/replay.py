"""One sample made again from the recipe and the bank of its set, with its plan, beside what is stored."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.command_line import columns
from smearsynth.base.errors import UserError
from smearsynth.base.fixed_point import ONE
from smearsynth.dataset import layout
from smearsynth.dataset.contact_sheet import Panel, save_sheet
from smearsynth.dataset.index import combination
from smearsynth.dataset.provenance import bank_of
from smearsynth.dataset.verify.stated_index import Stated, stated_of
from smearsynth.recipe.reading import load_recipe
from smearsynth.rendering.looks import render
from smearsynth.scene.light import GREY, UNITS
from smearsynth.scene.planner import Planner
from smearsynth.scene.scene import OBJECT_FIELDS, Scene
from smearsynth.shards.format import GENERATOR_VERSION, sample_id
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import CLASSES, SPLITS

_ID = re.compile(r"(train|val|test)-([0-9]{8})(?:@([A-Za-z0-9_-]+))?")


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A sample and its plan.

    differs: a sentence for each of image, label, instance and objects that is not as it is stored; none is as it
    should be. objects: a mapping per row, OBJECT_FIELDS and where its cell comes from. light: optical parameters of
    the look, see `scene.light`. dropped: cells left out because too little of them showed.
    """

    sample: str
    look: str
    combination: str
    differs: tuple[str, ...]
    dropped: int
    objects: tuple[dict[str, Any], ...]
    light: Mapping[str, tuple[int, ...]]


class _Place(NamedTuple):
    """Where a sample is: `row` of the shard `file`."""

    split: str
    scene: int
    look: int
    file: str
    row: int


def replay(path: str | Path, sample: str, *, bank: str | Path | None = None, out: str | Path | None = None) -> Replay:
    """Plans and renders the sample with the id `sample` of a dataset again, and compares it with the stored one.

    bank: its file, where the set was handed on without cells.h5. out: PNG to write, the stored image, the one made
    again, and the label. Raises UserError where there is no such set or sample, or another generator version made it.
    """
    folder = Path(path)
    if out is not None:
        layout.check_outside(Path(out))
    stated = stated_of(folder)
    place = _place(folder, stated, sample)
    if stated.generator_version != GENERATOR_VERSION:
        raise UserError(
            f"{folder} was made by generator version {stated.generator_version} and this smearsynth is version "
            f"{GENERATOR_VERSION}: replay with the smearsynth that made it."
        )
    cells = bank_of(folder, stated, None if bank is None else Path(bank))
    if cells is None:
        raise UserError(f"{folder} was handed on without {layout.BANK}: name its bank by --bank.")
    scene = _planned(folder, stated, cells, place)
    image = render(scene, place.look, cells)
    stored = _stored(folder, place)
    if out is not None:
        save_sheet([Panel(images=[stored["image"], image], label=stored["label"])], CLASSES, Path(out))
    made = {"image": image, "label": scene.label, "instance": scene.instance, "objects": scene.objects}
    differs = (_difference(name, stored[name], np.asarray(array)) for name, array in made.items())
    return Replay(
        sample=sample,
        look=stated.looks[place.look],
        combination=combination(scene.objects[:, 0], scene.background),
        differs=tuple(filter(None, differs)),
        dropped=scene.dropped,
        objects=tuple(_told(row, cells) for row in scene.objects.tolist()),
        light=scene.lights[place.look].values,
    )


def as_text(made: Replay) -> str:
    """The sample for a person: a line on the whole, one on the light, and the objects from the lowest up, lengths in
    px and angles in degrees."""
    verdict = "; ".join(made.differs) or "image, label, instance and objects are as they are stored"
    head = [f"{made.sample}: {verdict}", f"{made.combination}, look {made.look}, {made.dropped} cells left out"]
    light = ", ".join(_lit(name, values) for name, values in made.light.items())
    table = columns(_COLUMNS, [_row(told) for told in made.objects], text=_TEXT)
    return "\n".join([*head, *([f"light: {light}"] if light else []), table])


_COLUMNS = ("class", "cell", "x", "y", "angle", "flip", "scale", "visible", "of", "source", "file")
_TEXT = ("class", "source", "file")


def _row(told: Mapping[str, Any]) -> tuple[Any, ...]:
    place = (f"{told[axis] / 256:.1f}" for axis in ("cx", "cy"))
    pose = (f"{told['angle'] * 360 / 65536:.0f}", told["flip"], f"{told['scale'] / 65536:.2f}")
    return told["class"], told["cell"], *place, *pose, told["visible"], told["full"], told["source"], told["path"]


def _lit(name: str, values: Sequence[int]) -> str:
    """A value in grey levels, shares, factors or micrometres; of the noise, all but its key."""
    units = [GREY, ONE] if name == "noise" else [UNITS[name]] * len(values)
    return " ".join([name, *(f"{value / unit:.3g}" for value, unit in zip(values[-len(units) :], units, strict=True))])


def _place(folder: Path, stated: Stated, sample: str) -> _Place:
    """Where the sample is; UserError where it is not."""
    match = _ID.fullmatch(sample)
    split, scene = (match[1], int(match[2])) if match else ("", 0)
    for look in range(len(stated.looks)):
        for file in stated.shards:
            here = file.split == split and 0 <= scene - file.first_scene < file.scenes
            if here and sample == sample_id(split, scene, look, stated.looks):
                row = (scene - file.first_scene) * len(stated.looks) + look
                return _Place(split, scene, look, file.name, row)
    scenes = {str(name): part.scenes for name, part in stated.splits.items()}
    held = ", ".join(f"{name} {scenes[name]}" for name in SPLITS)
    last = sample_id("train", 42, len(stated.looks) - 1, stated.looks)
    raise UserError(f"{folder} holds no sample {sample!r}; an id is such as {last}, and its scenes are {held}.")


def _planned(folder: Path, stated: Stated, bank: Bank, place: _Place) -> Scene:
    recipe = load_recipe(folder / layout.RECIPE, roots=False)
    if recipe.sample_hash() != stated.recipe_hash:
        raise UserError(
            f"{folder / layout.RECIPE} is not what the set was built from, or of another version of smearsynth: "
            "`smearsynth verify` tells which."
        )
    planner = Planner(recipe.scene, recipe.looks, recipe.size, recipe.seed, bank, recipe.cells.mix)
    return planner.plan(place.split, place.scene)


def _stored(folder: Path, place: _Place) -> dict[str, npt.NDArray[Any]]:
    reader = ShardReader(folder / place.file)
    pixels = {name: reader.read(name, place.row) for name in ("image", "label", "instance")}
    return {**pixels, "objects": reader.objects(place.row)}


def _difference(name: str, stored: npt.NDArray[Any], made: npt.NDArray[Any]) -> str:
    """How an array differs, such as "label differs at 3 pixels, first at x=7, y=5"; "" where it does not."""
    if np.array_equal(stored, made):
        return ""
    if stored.shape != made.shape:
        return f"{name} has the shape {stored.shape} and was made as {made.shape}"
    unequal = stored != made
    if name == "objects":
        return f"objects differ in {unequal.any(axis=1).sum()} rows, first in row {np.argwhere(unequal)[0, 0]}"
    pixels = unequal.any(axis=2) if unequal.ndim == 3 else unequal
    y, x = np.argwhere(pixels)[0]
    return f"{name} differs at {pixels.sum()} pixels, first at x={x}, y={y}"


def _told(row: list[int], bank: Bank) -> dict[str, Any]:
    """An object row by names, its class as a key, and source and path of its cell."""
    told: dict[str, Any] = dict(zip(OBJECT_FIELDS, row, strict=True))
    cell = told["cell"]
    return {
        **told,
        "class": CLASSES[told["class"]].key,
        "source": bank.sources[bank.source[cell]],
        "path": bank.paths[cell],
    }
