"""Makes one sample again from the recipe and the bank of its set, and compares it with the stored one."""

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
from smearsynth.dataset.index_schema import IndexSchema, load_index
from smearsynth.dataset.provenance import bank_of
from smearsynth.recipe.reading import load_recipe
from smearsynth.rendering.looks import render
from smearsynth.scene.light import GREY, UNITS
from smearsynth.scene.planner import Planner
from smearsynth.scene.scene import OBJECT_FIELDS, Scene
from smearsynth.shards.format import GENERATOR_VERSION, sample_id
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import CLASSES, SPLITS

_ID = re.compile(r"(train|val|test)-([0-9]{8})(?:@([A-Za-z0-9_-]+))?")
_COLUMNS = ("class", "cell", "x", "y", "angle", "flip", "scale", "visible", "of", "source", "file")


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A sample and its plan; printed, a line on the whole, one on the light, and a table of the objects.

    differs: a sentence for each of image, label, instance and objects that is not as it is stored; none is as it
    should be. objects: a mapping per row, from the lowest up, with OBJECT_FIELDS and where its cell comes from. light:
    optical parameters of the look, see `scene.light`. dropped: cells left out because too little of them showed.
    """

    sample: str
    look: str
    combination: str
    differs: tuple[str, ...]
    dropped: int
    objects: tuple[dict[str, Any], ...]
    light: Mapping[str, tuple[int, ...]]

    def __str__(self) -> str:
        verdict = "; ".join(self.differs) or "image, label, instance and objects are as they are stored"
        lines = [f"{self.sample}: {verdict}", f"{self.combination}, look {self.look}, {self.dropped} cells left out"]
        if self.light:
            lines.append("light: " + ", ".join(_light_text(name, values) for name, values in self.light.items()))
        table = columns(_COLUMNS, [_table_row(row) for row in self.objects], text=("class", "source", "file"))
        return "\n".join([*lines, table])


def _light_text(name: str, values: Sequence[int]) -> str:
    """A value in grey levels, shares, factors or micrometres; of the noise, all but its key."""
    units = [GREY, ONE] if name == "noise" else [UNITS[name]] * len(values)
    return " ".join([name, *(f"{value / unit:.3g}" for value, unit in zip(values[-len(units) :], units, strict=True))])


def _table_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Under _COLUMNS: lengths in px, angles in degrees."""
    place = (f"{row[axis] / 256:.1f}" for axis in ("cx", "cy"))
    pose = (f"{row['angle'] * 360 / 65536:.0f}", row["flip"], f"{row['scale'] / 65536:.2f}")
    return row["class"], row["cell"], *place, *pose, row["visible"], row["full"], row["source"], row["path"]


def replay(path: str | Path, sample: str, *, bank: str | Path | None = None, out: str | Path | None = None) -> Replay:
    """Plans and renders the sample with the id `sample` of the dataset in `path` again, and compares it with the stored
    one.

    bank: its file, where the set was handed on without cells.h5. out: PNG to write, the stored image, the one made
    again, and the label. Raises UserError where there is no such set or sample, or another generator version made it.

    >>> smearsynth.replay("quickstart", "test-00000007").differs
    ()
    """
    folder = Path(path)
    if out is not None:
        layout.check_outside(Path(out))
    index = load_index(folder)
    place = _find(folder, index, sample)
    if index.generator_version != GENERATOR_VERSION:
        raise UserError(
            f"{folder} was made by generator version {index.generator_version} and this smearsynth is version "
            f"{GENERATOR_VERSION}: replay with the smearsynth that made it."
        )
    cells = bank_of(folder, index, None if bank is None else Path(bank))
    if cells is None:
        raise UserError(f"{folder} was handed on without {layout.BANK}: name its bank", "bank")
    scene = _plan(folder, index, cells, place)
    image = render(scene, place.look, cells)
    reader = ShardReader(folder / place.file)
    stored: dict[str, npt.NDArray[Any]] = {
        name: reader.read(name, place.row)
        for name in ("image", "label", "instance", "parasite")
        if name in reader.names
    }
    stored["objects"] = reader.objects(place.row)
    if out is not None:
        save_sheet([Panel(images=[stored["image"], image], label=stored["label"])], CLASSES, Path(out))
    made = {"image": image, "label": scene.label, "instance": scene.instance, "objects": scene.objects}
    if scene.parasite is not None:
        made["parasite"] = scene.parasite
    differs = (_difference(name, stored[name], np.asarray(array)) for name, array in made.items())
    return Replay(
        sample=sample,
        look=index.looks[place.look],
        combination=combination(scene.objects[:, 0], scene.background),
        differs=tuple(filter(None, differs)),
        dropped=scene.dropped,
        objects=tuple(_described(row, cells) for row in scene.objects.tolist()),
        light=scene.lights[place.look].values,
    )


class _Place(NamedTuple):
    """Where a sample is: `row` of the shard `file`."""

    split: str
    scene: int
    look: int
    file: str
    row: int


def _find(folder: Path, index: IndexSchema, sample: str) -> _Place:
    """Where the sample is; UserError where the set has none of that id."""
    match = _ID.fullmatch(sample)
    split, scene = (match[1], int(match[2])) if match else ("", 0)
    for look in range(len(index.looks)):
        for file in index.shards:
            inside = file.split == split and 0 <= scene - file.first_scene < file.scenes
            if inside and sample == sample_id(split, scene, look, index.looks):
                row = (scene - file.first_scene) * len(index.looks) + look
                return _Place(split, scene, look, file.name, row)
    scenes = {str(name): part.scenes for name, part in index.splits.items()}
    held = ", ".join(f"{name} {scenes[name]}" for name in SPLITS)
    example = sample_id("train", 42, len(index.looks) - 1, index.looks)
    raise UserError(f"{folder} holds no sample {sample!r}; an id is such as {example}, and its scenes are {held}.")


def _plan(folder: Path, index: IndexSchema, bank: Bank, place: _Place) -> Scene:
    recipe = load_recipe(folder / layout.RECIPE, roots=False)
    if recipe.sample_hash() != index.recipe_hash:
        raise UserError(
            f"{folder / layout.RECIPE} is not what the set was built from, or of another version of smearsynth: "
            "`smearsynth verify` says which."
        )
    planner = Planner(recipe.scene, recipe.looks, recipe.size, recipe.seed, bank, recipe.cells.mix)
    return planner.plan(place.split, place.scene)


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


def _described(row: list[int], bank: Bank) -> dict[str, Any]:
    """An object row by names, its class as a key, and source and path of its cell."""
    values: dict[str, Any] = dict(zip(OBJECT_FIELDS, row, strict=True))
    cell = values["cell"]
    return {
        **values,
        "class": CLASSES[values["class"]].key,
        "source": bank.sources[bank.source[cell]],
        "path": bank.paths[cell],
    }
