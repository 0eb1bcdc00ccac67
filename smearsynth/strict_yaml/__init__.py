"""YAML that people write: read strictly, held against a typed model, every fault told with its line and remedy."""

from smearsynth.strict_yaml.document import Document, Kind, dump, parse, read
from smearsynth.strict_yaml.faults import DocumentError, Fault, Key
from smearsynth.strict_yaml.schema import keys_at
from smearsynth.strict_yaml.validate import validate

__all__ = ["Document", "DocumentError", "Fault", "Key", "Kind", "dump", "keys_at", "parse", "read", "validate"]
