"""What an augmentation may do: its ranges, and the parameters drawn from them."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class AugmentSpec(BaseModel):
    """Ranges of all augmentations; the defaults change nothing. A range is drawn from evenly, per sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flips: bool = Field(False, description="Mirror left-right and top-bottom, each with probability 1/2.")
    quarter_turns: bool = Field(False, description="Turn by 0, 90, 180 or 270 degrees; square images only.")
    scale_range: tuple[float, float] = Field((1.0, 1.0), description="Zoom about the centre; 2 is twice as large.")
    od_gain_range: tuple[float, float] = Field(
        (1.0, 1.0), description="Factor on the optical density of each colour channel, drawn for each."
    )
    od_offset_range: tuple[float, float] = Field(
        (0.0, 0.0), description="Added to the optical density of each colour channel, drawn for each."
    )
    blur_range: tuple[float, float] = Field((0.0, 0.0), description="Sigma of a Gaussian blur, px.")
    noise_range: tuple[float, float] = Field((0.0, 0.0), description="Standard deviation of noise, grey levels of 255.")
    jpeg_range: tuple[int, int] = Field((100, 100), description="JPEG quality, 100 is none; not on the device.")

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        for name, value in self:
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{name} {list(value)} runs backwards: put the smaller first.")
        return self

    @property
    def changes_nothing(self) -> bool:
        """Whether every sample stays as it is."""
        return self == AugmentSpec()
