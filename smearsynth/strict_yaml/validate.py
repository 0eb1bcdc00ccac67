"""A document to the model that gives its keys their meaning, or to all of its faults at once."""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from smearsynth.strict_yaml.document import Document
from smearsynth.strict_yaml.faults import DocumentError
from smearsynth.strict_yaml.overrides import apply
from smearsynth.strict_yaml.sentences import faults_of

M = TypeVar("M", bound=BaseModel)


def validate(
    model: type[M], document: Document, overrides: Sequence[str] = (), *, context: dict[str, Any] | None = None
) -> M:
    """`document` as a `model`, valid in every key.

    overrides: "path=value" each, laid over the document in their order. context: for the model's own validators.
    Raises DocumentError with every fault of the document and the overrides.
    """
    for override in overrides:
        apply(document, override)
    valid, faults = None, document.faults
    try:
        valid = model.model_validate(_with_tuples(document.data), strict=True, context=context)
    except ValidationError as error:
        faults = faults + faults_of(error, document, model)
    if valid is None or faults:
        raise DocumentError(faults)
    return valid


def _with_tuples(value: Any) -> Any:
    """Strict validation takes tuples for tuples only, and YAML has lists."""
    if isinstance(value, dict):
        return {name: _with_tuples(inner) for name, inner in value.items()}
    return tuple(_with_tuples(inner) for inner in value) if isinstance(value, list) else value
