"""Folders of annotated real fields that networks are held against, named in one file, and what networks reach there.

```yaml
fields:
  iml:                                  # name: of its columns in a table
    folder: ${SMEARSYNTH_FIELDS}/iml    # relative to the file
    um_per_px: 0.108                    # or a table FILE.csv, or auto
    classes: {red blood cell: healthy_rbc, ring: infected_rbc, difficult: null}
  masks: {folder: my_fields, um_per_px: auto}    # img/ and mask/, without names
```
Fields of laboratories that gave no cell to a training say what it is worth; its own test split does not.
"""

import os
import re
from pathlib import Path
from typing import Any

from pydantic import Field

from segtrain.evaluation.evaluate import evaluate
from segtrain.evaluation.figures import Figures
from smearsynth.base.config_file import ConfigError, ConfigKind, ErrorLine, nearest_place, read_config
from smearsynth.base.validation import Spec, validate
from smearsynth.fields.scale import AUTO

_KIND = ConfigKind(noun="file of field sets", start="`fields:`", example="fields.ward.um_per_px=0.1")


class FieldSet(Spec):
    """A folder of real fields, as `evaluate` takes it."""

    folder: str = Field(description="of the images and what is annotated in them; relative to the file")
    um_per_px: float | str = Field(default=AUTO, description="scale: a number, a table FILE.csv, or auto")
    classes: dict[str, str | None] | None = Field(
        default=None, description="what names of cells stand for: NAME: CLASS, or null to leave them out"
    )

    def measure(self, run: Path | None, cells: Path | None, *, progress: bool = True) -> Figures:
        """What `evaluate` says there of the network that finds cells, None for that of the package, and of that which
        names them. UserError as of `evaluate`."""
        given: dict[str, Any] = {"um_per_px": self.um_per_px, "progress": progress}
        if self.classes is None:
            return evaluate(run, self.folder, **given)
        return evaluate(run, self.folder, classes=self.classes, cells=cells, **given)


class _FieldSets(Spec):
    fields: dict[str, FieldSet] = Field(min_length=1, description="folders of real fields by name")


def read_field_sets(path: Path) -> dict[str, FieldSet]:
    """By name. Raises ConfigError with every error, folders that are not there included."""
    file = read_config(path, _KIND)
    sets = validate(_FieldSets, file).fields
    found = {}
    for name, one in sets.items():
        folder = path.parent / os.path.expandvars(one.folder)
        if not folder.is_dir():
            key = ("fields", name, "folder")
            unset = re.search(r"\$\{(\w+)\}", str(folder))
            why = f"the environment variable {unset[1]} is not set" if unset else f"there is no folder {folder}"
            file.errors.append(ErrorLine(nearest_place(file.places, key), key, f"{why}: name the folder of the fields"))
        table = one.um_per_px
        if isinstance(table, str) and table != AUTO:
            table = str(path.parent / os.path.expandvars(table))
        found[name] = one.model_copy(update={"folder": str(folder), "um_per_px": table})
    if file.errors:
        raise ConfigError(file.errors)
    return found
