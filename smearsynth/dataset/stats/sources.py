"""What an index tells of the cells and files that were refused, held against its form."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from smearsynth.dataset import layout
from smearsynth.dataset.verify.stated import BySource, Counts, Stated
from smearsynth.errors import UserError


class Source(BaseModel):
    """Part of what `dataset.provenance` tells; of a set that was built from a ready bank only the name is known."""

    model_config = ConfigDict(strict=True, frozen=True)

    name: str
    refused: BySource = {}
    files_left_out: Counts = {}


def sources_of(folder: Path, stated: Stated) -> tuple[Source, ...]:
    """Raises UserError where the index tells something else."""
    try:
        return tuple(Source.model_validate(source) for source in stated.sources)
    except ValidationError as error:
        raise UserError(
            f"{folder / layout.INDEX}: sources: {error.errors()[0]['msg']}; fetch or build the set again."
        ) from error
