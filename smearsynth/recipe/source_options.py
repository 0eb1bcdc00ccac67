"""The recipe's `sources`: the folder of each database, what its files are, and how large its cells are."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from smearsynth.base.validation import Spec
from smearsynth.recipe.cell_options import ClassKey

Kind = Literal["lisc", "iumc", "mamic", "kaggle", "crops", "fields"]

_KINDS_WITH = {"also": ("crops",), "rest": ("fields",)}
"""Kinds that have a key which is not for crops and fields alike."""
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class CalibrateSpec(Spec):
    """Scale of a source from the size of its cells, where nobody knows its um per pixel."""

    area: tuple[ClassKey, ...] = Field(
        min_length=1,
        description="class keys; one factor for the whole source brings their median areas to the taxonomy's means",
    )


def _inside(path: str) -> str:
    if not path.strip() or path.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", path):
        raise ValueError("must be a path inside the source's root, without a leading / and without ..")
    return path


Inside = Annotated[str, AfterValidator(_inside)]


class SourceSpec(Spec):
    """One database, as its owner ships it.

    `root` is absolute once validated: seen from the validation context's `folder` (that of the recipe, else the working
    directory), with variables of the environment filled in. It must be there, with its `labels`, unless the context
    says `roots: False`: a source need not be at hand where the bank is already made.
    """

    kind: Kind = Field(
        description="which database this is; crops: your own folders of single cells; fields: images of many "
        "cells, some of them named by points or boxes"
    )
    root: Path = Field(
        description="folder of the database, relative to the recipe; ${NAME} expands from the environment"
    )
    name: str = Field(
        default="",
        pattern=r"^[^/\\\x00-\x1f]{0,100}$",
        description="name in tables, `cells.mix` and groups, different for each source; left out: the last folder of "
        "root as it is written, or the kind where that is a variable",
    )
    classes: dict[str, ClassKey | None] = Field(
        default={},
        description="the source's own folder or label names -> class key, or null to leave those cells out; "
        "what is not named keeps the class that the source gives it",
    )
    um_per_px: float | None = Field(
        default=None,
        ge=0.01,
        le=2,
        description="micrometres per pixel of its images; 0.01-2; null: the source's own value, of fields also the "
        "column um_per_px of their labels",
    )
    calibrate: CalibrateSpec | None = Field(
        default=None, description="scale from the median area of some classes, instead of um_per_px"
    )
    labels: Inside | None = Field(
        default=None,
        description="crops: CSV file within root with the columns id, class, for a flat folder of images; fields: file "
        "or folder within root with points, boxes or outlines (CSV, Pascal VOC, CVAT, COCO, YOLO, QuPath, ImageJ, "
        "Chula), null: all that are there",
    )
    also: Literal["healthy_rbc"] | None = Field(
        default=None, description="crops only: healthy_rbc also cuts the whole, isolated red cells around each cell"
    )
    rest: Literal["ignore", "healthy_rbc"] = Field(
        default="ignore",
        description="fields only: what cells are that nobody named; healthy_rbc cuts those that are whole and isolated",
    )
    group: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="crops and fields: regular expression that is searched in the path of an image, of which the "
        "brackets, else the whole match, name what no split may divide; (?P<patient>...) or (?P<slide>...) also says "
        "what that is; null: each image",
    )
    group_column: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="crops and fields: column of the labels that names what no split may divide, such as patient or "
        "slide; of fields, those in CSV",
    )
    page: int | None = Field(
        default=None,
        ge=1,
        description="crops and fields: page of their TIFF images, where several could be the image; from 1",
    )
    most_refused: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="share of the cells it names that may be refused; a build stops above it; 0-1",
    )
    exclude: tuple[Inside, ...] = Field(
        default=(), description="globs of files to leave out, relative to root, such as mixt/*.bmp"
    )
    title: str | None = Field(default=None, description="crops and fields: what its owner calls the database")
    version: str | None = Field(
        default=None,
        description="version of the database, or day of its download, as the card shall tell it; what was read is "
        "pinned by its sha256 in any case",
    )
    licence: str | None = Field(
        default=None,
        description='crops and fields: licence of the images, such as "CC-BY-4.0"; the other kinds state their own',
    )
    redistribution: Literal["allowed", "forbidden", "not_stated"] = Field(
        default="not_stated",
        description="crops and fields: whether the licence lets the images be handed on, as `publish` needs",
    )
    cite: str | None = Field(default=None, description="crops and fields: the work to cite for these images")
    _written_root: str = PrivateAttr("")

    @model_validator(mode="wrap")
    @classmethod
    def _as_written(cls, data: Any, handler: ModelWrapValidatorHandler["SourceSpec"]) -> "SourceSpec":
        if not isinstance(data, dict) or not isinstance(data.get("root"), str | Path):
            return handler(data)
        written = str(data["root"])
        spec = handler({"name": _own_name(written, data.get("kind")), **data})
        spec._written_root = written
        return spec

    @field_validator("root", mode="before")
    @classmethod
    def _find(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str | Path):
            raise ValueError('must be text: the path of a folder, such as "../lisc"')
        context = info.context or {}
        # os.path goes on where Path raises: a name that no disk can have is a wrong name, not a failure.
        root = Path(os.path.realpath(Path(context.get("folder", "."), _expanded(str(value)))))
        if context.get("roots", True):
            _refuse(_root_missing(str(value), root))
        return root

    @field_validator("calibrate")
    @classmethod
    def _one_scale(cls, value: CalibrateSpec | None, info: ValidationInfo) -> CalibrateSpec | None:
        if value is not None and info.data.get("um_per_px") is not None:
            raise ValueError("um_per_px and calibrate both set the scale: remove one of them")
        return value

    @field_validator(
        "labels", "also", "rest", "group", "group_column", "page", "title", "licence", "redistribution", "cite"
    )
    @classmethod
    def _only_own(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        kinds = _KINDS_WITH.get(info.field_name, ("crops", "fields"))
        kind = info.data.get("kind", kinds[0])
        if value != cls.model_fields[info.field_name].default and kind not in kinds:
            raise ValueError(f"only sources of kind {' or '.join(kinds)} have it, and this one is {kind}: remove it")
        return value

    @field_validator("group")
    @classmethod
    def _is_expression(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except (re.error, RecursionError) as error:
            raise ValueError(f"is no regular expression ({error}): put it in quotes, as in 'P[0-9]+'") from None
        return value

    @field_validator("group_column")
    @classmethod
    def _one_group(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and info.data.get("group"):
            raise ValueError("group and group_column both say what no split may divide: remove one of them")
        if value and info.data.get("kind") == "crops" and "labels" in info.data and info.data["labels"] is None:
            raise ValueError("is a column of the source's `labels`, and it has none: name the table there")
        return value

    @field_validator("labels")
    @classmethod
    def _labels_exist(cls, value: str | None, info: ValidationInfo) -> str | None:
        root = info.data.get("root")
        if value and root and (info.context or {}).get("roots", True):
            _refuse(_labels_missing(root, value, info.data.get("kind")))
        return value

    def missing(self) -> Iterator[tuple[str, str]]:
        """Key and sentence for each of `root` and `labels` that is not there."""
        if sentence := _root_missing(self._written_root, self.root):
            yield "root", sentence
        elif self.labels and (sentence := _labels_missing(self.root, self.labels, self.kind)):
            yield "labels", sentence

    @field_serializer("root")
    def _root_as_written(self, root: Path) -> str:
        """As its author wrote it: no path of the machine that a set was made on leaves it."""
        return self._written_root or str(root)


def _expanded(text: str) -> str:
    """With the value of each `${NAME}`; a variable that is not set stays as it is written."""
    return _VARIABLE.sub(lambda match: os.environ.get(match[1]) or match[0], text)


def _refuse(sentence: str | None) -> None:
    if sentence:
        raise ValueError(sentence)


def _root_missing(written: str, root: Path) -> str | None:
    """Why a source cannot be read from `root`; None where it is a folder."""
    unset = _VARIABLE.search(_expanded(written))
    if unset:
        name = unset[1]
        return f"the environment variable {name} is not set: set it to a folder: `{name}=/data smearsynth ...`"
    if written.strip() and os.path.isdir(root):  # noqa: PTH112
        return None
    return f"{root}: no folder is there: set root to the folder that the database was unpacked to"


def _labels_missing(root: Path, labels: str, kind: Any) -> str | None:
    if os.path.isfile(root / labels) or (kind == "fields" and os.path.isdir(root / labels)):  # noqa: PTH112, PTH113
        return None
    what = "a file or folder of labels" if kind == "fields" else "a CSV file"
    return f"{root / labels}: no such file: give the name of {what} in root"


def _own_name(written: str, kind: Any) -> str:
    """Taken from the text, not from the disk, so that it is the same wherever a variable points."""
    last = re.split(r"[/\\]", written.rstrip("/\\"))[-1].removesuffix(":")
    if last == ".":
        last = PurePosixPath(written).name
    return str(kind) if last in ("", "..") or _VARIABLE.search(last) else last
