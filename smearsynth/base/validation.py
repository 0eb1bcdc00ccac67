"""From a hand-written file to a pydantic model, or to all errors at once, each a sentence in the file's own words.

Pydantic finds what is wrong; `Spec` says it, since only a model knows its keys, for "did you mean", and their meaning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails, PydanticCustomError

from smearsynth.base.config_file import ConfigError, ConfigFile, ErrorLine, Key, nearest_place, override


class WrongValueError(ValueError):
    """Raised by a validator of a whole mapping or list, about the value at `key` within it."""

    def __init__(self, sentence: str, *key: str | int) -> None:
        super().__init__(sentence)
        self.key = key


class Spec(BaseModel):
    """Base of what is read from such files: an unknown key is an error, values never change, numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _say(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            raise ValidationError.from_exception_data(cls.__name__, _in_sentences(error, cls)) from None


M = TypeVar("M", bound=Spec)


def validate(
    model: type[M], file: ConfigFile, overrides: Sequence[str] = (), *, context: dict[str, Any] | None = None
) -> M:
    """`file` as a `model`, valid in every key.

    overrides: "path=value" each, laid over the file in their order. context: for the model's own validators. Raises
    ConfigError with every error of the file and the overrides.
    """
    for text in overrides:
        override(file, text)
    try:
        valid = model.model_validate(_with_tuples(file.data), strict=True, context=context)
    except ValidationError as error:
        valid = None
        for details in _in_sentences(error, model):
            key = _written(file.data, details["loc"])
            file.errors.append(ErrorLine(nearest_place(file.places, key), key, str(details["type"])))
    if valid is None or file.errors:
        raise ConfigError(dict.fromkeys(file.errors))
    return valid


def validate_part(model: type[M], data: Any, *, context: dict[str, Any] | None = None) -> M | None:
    """One mapping of a file as a `model`; None where it is none."""
    try:
        return model.model_validate(_with_tuples(data), strict=True, context=context)
    except ValidationError:
        return None


def _with_tuples(value: Any) -> Any:
    """Strict validation takes tuples for tuples only, and YAML has lists."""
    if isinstance(value, dict):
        return {name: _with_tuples(inner) for name, inner in value.items()}
    return tuple(_with_tuples(inner) for inner in value) if isinstance(value, list) else value


def _written(data: Any, key: Key) -> Key:
    """`key`, but where one value was written that stands for many, as one side does for a square field, its key."""
    for depth, part in enumerate(key):
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list):
            data = data[part] if isinstance(part, int) and part < len(data) else None
        else:
            return key[:depth]
    return key


def _in_sentences(error: ValidationError, model: type[BaseModel]) -> list[InitErrorDetails]:
    """The same errors, with messages in our words."""
    found = []
    for details in error.errors(include_url=False):
        # A list is called too short, too, where its items have errors of their own.
        if details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]:
            continue
        cause = details.get("ctx", {}).get("error")
        key = (*details["loc"], *(cause.key if isinstance(cause, WrongValueError) else ()))
        sentence = PydanticCustomError("sentence", "{sentence}", {"sentence": _sentence(details, model)})
        loc = tuple(part for part in key if part != "[key]")
        found.append(InitErrorDetails(type=sentence, loc=loc, input=details["input"]))
    return found


_MUST = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text: put it in quotes",
    "tuple_type": "a list such as [a, b]",
    "dict_type": "a mapping such as {{key: value}}",
    "model_type": "a mapping such as {{key: value}}",
    "model_attributes_type": "a mapping such as {{key: value}}",
    "literal_error": "{expected}",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
}


def _sentence(details: ErrorDetails, model: type[BaseModel]) -> str:
    kind, loc, given, ctx = details["type"], details["loc"], details["input"], details.get("ctx", {})
    field = model.model_fields.get(str(loc[0])) if len(loc) == 1 else None
    meaning = f" ({field.description})" if field and field.description else ""
    if kind in ("sentence", "value_error"):
        return str(ctx.get("sentence") or ctx["error"])
    if kind == "missing":
        return f"is missing: add it{meaning}"
    if kind == "extra_forbidden":
        names = sorted(model.model_fields)
        return "unknown key" + (did_you_mean(loc[-1], names) or f": the keys here are {', '.join(names)}")
    if kind in ("too_short", "too_long"):
        bound = f"at least {ctx['min_length']}" if kind == "too_short" else f"at most {ctx['max_length']}"
        return f"must hold {bound}, not {ctx['actual_length']}{meaning}"
    if kind not in _MUST:
        return f"may not be {_shown(given)}{meaning}"
    hint = did_you_mean(given, ctx["expected"].split("'")[1::2]) if kind == "literal_error" else ""
    if loc and loc[-1] == "[key]":
        return f"unknown key: it must be {ctx['expected']}{hint}"
    limits = {name: int(v) if isinstance(v, float) and v.is_integer() else v for name, v in ctx.items()}
    return f"must be {_MUST[kind].format(**limits)}, not {_shown(given)}{hint}"


def did_you_mean(given: object, known: Sequence[str]) -> str:
    """The end of a sentence, ': did you mean "NAME"?', with the nearest of the known names; "" where none is near."""
    near = get_close_matches(str(given), known, n=1)
    return f': did you mean "{near[0]}"?' if near else ""


def _shown(value: Any) -> str:
    """A value as a person would name it, on one line and not too long."""
    if value is None:
        return "empty"
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = str(value).lower() if isinstance(value, bool) else ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


Range = tuple[float, float]
IntRange = tuple[int, int]
"""A range [low, high] from which a value is drawn uniformly."""


@dataclass(frozen=True)
class Within:
    """Bounds of both ends of a range, for `Annotated[Range, Within(0, 1)]` or `Annotated[IntRange, Within(0, 8)]`; the
    ends must be in order."""

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        end: Any = Annotated[get_args(source)[0], Field(ge=self.low, le=self.high)]
        return handler.generate_schema(Annotated[tuple[end, end], AfterValidator(_ascending)])


def _ascending(pair: Range) -> Range:
    if pair[0] > pair[1]:
        raise ValueError(f"the low end {pair[0]} is above the high end {pair[1]}: write [low, high]")
    return pair
