"""The recipe's `looks`: how smears are coloured."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from smearsynth.base.validation import Range, Spec, Within, WrongValueError, did_you_mean

Base = Literal["reference", "natural"]
_Channel = Annotated[Range, Within(1, 255)]


class LookSpec(Spec):
    """One look: the name of a base, or a mapping with a name of its own that overrides parameters of a base.

    `reference` (white background, cells pasted with hard edges) has no parameters. Values are drawn per smear.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$", description="name in shards and sample ids")
    base: Base = Field(default="natural", description="reference or natural")
    glass_range: Annotated[Range, Within(1, 255)] = Field(
        default=(95, 252), description="grey level of the empty glass on the optical axis; 1-255"
    )
    glass_warmth_range: Annotated[Range, Within(-0.5, 0.5)] = Field(
        default=(-0.04, 0.24),
        description="white balance from blue to yellow: red is raised and blue lowered by half of this share; "
        "measured: fields -0.01-0.03, pbc 0.23, tecom 0.31; -0.5 to 0.5",
    )
    glass_tint_range: Annotated[Range, Within(-0.2, 0.2)] = Field(
        default=(-0.03, 0.04),
        description="white balance from magenta to green: green is raised by this share; measured: fields 0-0.03, "
        "iumc 0.04; -0.2 to 0.2",
    )
    illumination_range: Annotated[Range, Within(0, 0.5)] = Field(
        default=(0.0, 0.08),
        description="share of the light that is lost in the corner farthest from the optical axis; measured: up to "
        "0.09 over a whole field; 0-0.5",
    )
    field_stop_chance: float = Field(
        default=0.03, ge=0, le=1, description="share of smears that the edge of the field of view runs through; 0-1"
    )
    field_stop_range: Annotated[Range, Within(0, 0.9)] = Field(
        default=(0.2, 0.6),
        description="share of the light that is lost beyond that edge; cells there keep their label, so not all; 0-0.9",
    )
    stain_strength_range: Annotated[Range, Within(0.25, 2)] = Field(
        default=(0.75, 1.4),
        description="factor on the optical density of every cell; measured on white cells, against pbc: iumc 0.7-1, "
        "tecom 1-1.5; 0.25-2",
    )
    stain_warmth_range: Annotated[Range, Within(-1, 1)] = Field(
        default=(-0.4, 0.6),
        description="tint of the stain: what it takes of red light is lowered and of blue light raised by half of this "
        "share; drawn near the place in its range that the warmth of the glass has in its own; measured against pbc: "
        "fields -0.5 to 0, iumc -0.15, tecom 0.7; -1 to 1",
    )
    red_cell_colour_range: tuple[_Channel, _Channel, _Channel] = Field(
        default=((100, 230), (104, 224), (150, 236)),
        description="red, green and blue of the body of a typical red cell, on a glass of 255, before strength and "
        "warmth; drawn together from dark to bright, so that the hue stays that of stained haemoglobin; measured: "
        "85, 94, 148 to 203, 213, 224 in fields, pbc 211, 189, 214; each 1-255",
    )
    white_cell_own_share: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="share of its own deviation from the stain of its class and source that a white cell or platelet "
        "keeps once laboratories are matched; 0-1",
    )
    red_cell_own_share: float = Field(
        default=0.12,
        ge=0,
        le=1,
        description="share of its own deviation from the typical colour that a red cell keeps; 0-1",
    )
    cell_density_spread_range: Annotated[Range, Within(0, 0.9)] = Field(
        default=(0.0, 0.45),
        description="how unlike the cells of one smear are: the optical density of each is multiplied by its own draw, "
        "1 minus to 1 plus this share; measured: red cells of a field 0.25-0.6 (5th to 95th percentile); 0-0.9",
    )

    point_spread_range: Annotated[Range, Within(0, 0.25)] = Field(
        default=(0.0, 0.25),
        description="standard deviation in um of the blur by objective and focus; measured: borders of red cells rise "
        "(20-80 %, green) over 0.22-0.42 um in fields and 0.19-0.52 in pbc, those of unblurred smears over 0.25-0.36, "
        "of blurred ones over 0.31-0.46; 0-0.25",
    )
    red_spread_range: Annotated[Range, Within(0, 0.2)] = Field(
        default=(0.0, 0.13),
        description="further blur of red, um: colours focus apart; measured: 0.06-0.13 in fields, 0.17 in pbc; 0-0.2",
    )
    blue_spread_range: Annotated[Range, Within(0, 0.2)] = Field(
        default=(0.0, 0.2), description="further blur of blue, um; measured: 0.08-0.22 in fields, 0.28 in pbc; 0-0.2"
    )
    colour_shift_range: Annotated[Range, Within(-0.2, 0.2)] = Field(
        default=(-0.06, 0.06),
        description="shift in um of red and of blue against green, in x and in y; measured: 0.01-0.05 in fields, up to "
        "0.08 in pbc; -0.2 to 0.2",
    )
    noise_range: Annotated[Range, Within(0, 8)] = Field(
        default=(0.0, 3.0),
        description="standard deviation of the camera's noise at white, in grey levels; measured: 1.0-2.5 in the glass "
        "of fields, from 0.9 in pbc; 0-8",
    )
    read_noise_range: Annotated[Range, Within(0, 1)] = Field(
        default=(0.1, 0.6),
        description="share of its variance that does not grow with the light (read noise; the rest is shot noise); 0-1",
    )
    gamma_range: Annotated[Range, Within(0.5, 2)] = Field(
        default=(0.85, 1.2), description="exponent of the camera's tone curve: above 1 is darker; 0.5-2"
    )

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in get_args(Base):
            hint = did_you_mean(value, get_args(Base)) or f": the looks are {' and '.join(get_args(Base))}"
            raise ValueError(f'there is no look "{value}"{hint}')
        return {"name": value, "base": value}

    @model_validator(mode="after")
    def _reference_is_fixed(self) -> "LookSpec":
        given = sorted(self.model_fields_set - {"name", "base"})
        if self.base == "reference" and given:
            raise WrongValueError("the look reference has no parameters: remove it or set base: natural", given[0])
        return self

    @model_serializer(mode="wrap")
    def _only_its_own(self, full: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = full(self)
        return {k: values[k] for k in ("name", "base")} if self.base == "reference" else values
