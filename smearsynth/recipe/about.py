"""The recipe's `about`: what only its author knows of the set, for card and Croissant."""

from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field

from smearsynth.recipe.base import Spec


def _a_day(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is no day of the calendar: write it as 2026-01-31') from None
    return text


class AboutSpec(Spec):
    """Who made the set, where and when. It decides no sample; a set that is handed on should have all of it."""

    version: str | None = Field(
        default=None,
        pattern=r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$",
        description="version of the set, MAJOR.MINOR.PATCH: another major one has other samples",
    )
    creators: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="people or institutions that the set is to be cited by"
    )
    url: str | None = Field(
        default=None, pattern=r"^https?://[^\s<>\"{}|\\^`]+$", description="page on the web where the set is found"
    )
    published: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_a_day)] | None = Field(
        default=None, description="day on which the set was or will be published, as 2026-01-31"
    )
    limits: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="what the set can not show, a sentence each, beside what its counts tell anyway"
    )
