"""Faults of a document: where each one is, which key it is about, and in one sentence what is wrong and what mends it.

A document's faults are collected and told together, so that nobody has to run a command five times to find five typos.

A document's text to plain data and the line of every key, before anything is known of what the keys mean.

Scalars follow YAML 1.2 (the core schema that editors and JSON Schema assume): `no` and `on` are text, `010` is ten,
`1e-3` is a number. Tags, aliases and repeated keys are faults: the first two can hide what a document says, and of the
last one a plain YAML reader silently drops a value.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from smearsynth.base.errors import UserError, printable

Key = tuple[str | int, ...]
"""Path to a value of the document: ("sources", 1, "root")."""


def dotted(key: Key) -> str:
    """A key path as it is written in an override: sources[1].root."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


def nearest_place(places: Mapping[Key, str], key: Key) -> str:
    """Where `key` was written; for a key that was not, where the nearest one around it was. places: () is in it."""
    return next(places[key[:n]] for n in range(len(key), -1, -1) if key[:n] in places)


@dataclass(frozen=True)
class Fault:
    """where: "recipe.yaml:12", or the override that brought the value in. key: () for the document as a whole."""

    where: str
    key: Key
    sentence: str

    def __str__(self) -> str:
        return printable(": ".join(part for part in (self.where, dotted(self.key), self.sentence) if part))


class DocumentError(UserError):
    """All faults of a document; its text has one a line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


MAX_BYTES = 256_000
"""A document is written by hand; what is larger is another kind of file, and can take half a minute to read."""

_PREFIX = "tag:yaml.org,2002:"
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CORE = {
    "null": re.compile(r"~|null|Null|NULL|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": _FLOAT,
}


@dataclass(frozen=True, kw_only=True)
class DocumentKind:
    """What sentences call a document. noun: "recipe". start: how one begins, "`version: 1`". option: what overrides a
    value on the command line, "--set". example: an override, "scene.overlap=0.2"."""

    noun: str
    start: str
    option: str
    example: str


@dataclass
class Document:
    """data: mappings, lists and scalars. places: key path -> where it was written. faults: what is wrong already."""

    kind: DocumentKind
    data: dict[str, Any]
    places: dict[Key, str]
    faults: list[Fault] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML's own class attribute)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(
                None, None, f"the alias *{event.anchor} is not read here: write the value out", event.start_mark
            )
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or 1.2 would take for something else than text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


for _name, _pattern in _CORE.items():
    _whole = re.compile(f"(?:{_pattern.pattern})\\Z")
    _Loader.add_implicit_resolver(_PREFIX + _name, _whole, None)
    _Dumper.add_implicit_resolver(_PREFIX + _name, _whole, None)


def read_document(path: Path, kind: DocumentKind) -> Document:
    """The document in a file. Raises DocumentError where it cannot be read at all."""
    where = str(path)
    return parse_document(_text(path, where, kind), where, kind)


def parse_document(text: str, where: str, kind: DocumentKind) -> Document:
    """The document in `text`; `where` names its origin. Raises DocumentError where it is no YAML mapping."""
    node = _compose(text, where, kind)
    if not isinstance(node, yaml.MappingNode):
        found = "empty" if node is None else "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
        raise _refusal(where, f"is {found}: a {kind.noun} is a mapping that starts with {kind.start}")
    document = Document(kind, {}, {(): where})
    document.data = _Reader(where, document).value(node, ())
    return document


def parse_value(text: str, where: str, kind: DocumentKind) -> tuple[Any, list[Fault]]:
    """One value written as YAML, as after `--set key=`, and its faults."""
    node = _compose(text, where, kind, lines=False)
    document = Document(kind, {}, {(): where})
    value = None if node is None else _Reader(where, document, lines=False).value(node, ())
    return value, document.faults


def dump_yaml(data: dict[str, Any]) -> str:
    """YAML text that `parse` reads back as the same data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=110)


def _refusal(where: str, sentence: str) -> DocumentError:
    return DocumentError([Fault(where, (), sentence)])


def _text(path: Path, where: str, kind: DocumentKind) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _refusal(where, f"is not there: check the path of the {kind.noun}") from None
    except IsADirectoryError:
        raise _refusal(where, f"is a folder: name the {kind.noun} file in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _refusal(where, f"cannot be read ({reason}): check the path and its permissions") from None
    if len(raw) > MAX_BYTES:
        raise _refusal(where, f"is larger than {MAX_BYTES:,} bytes: this is no {kind.noun}")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refusal(where, f"byte {error.start} is not UTF-8: save the {kind.noun} as UTF-8 text") from None


def _compose(text: str, where: str, kind: DocumentKind, *, lines: bool = True) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark and lines else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable text"
        sentence = f"is not valid YAML ({problem}): check indentation, quotes and brackets there"
        raise _refusal(where + line, sentence) from None
    except RecursionError:
        raise _refusal(where, f"is nested too deeply: a {kind.noun} has a handful of levels") from None


class _Reader:
    """Turns nodes into data; notes the place of every key and the faults on the way."""

    def __init__(self, where: str, document: Document, *, lines: bool = True) -> None:
        self.where, self.document, self.lines = where, document, lines

    def value(self, node: yaml.Node, key: Key) -> Any:
        self.document.places.setdefault(key, self._place(node))
        if isinstance(node, yaml.MappingNode):
            return {name: self.value(child, (*key, name)) for name, child in self._pairs(node, key)}
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*key, i)) for i, child in enumerate(node.value)]
        return self._scalar(node, key)

    def _pairs(self, node: yaml.MappingNode, key: Key) -> Iterator[tuple[str, yaml.Node]]:
        seen: dict[str, str] = {}
        for name_node, child in node.value:
            place = self._place(name_node)
            if not isinstance(name_node, yaml.ScalarNode):
                self._fault(place, key, "a key must be plain text, not a list or mapping: write it as one word")
                continue
            name = self._readable(name_node.value, place, key)
            if name in seen:
                first = f" (first: {seen[name]})" if self.lines else ""
                self._fault(place, (*key, name), f"the key stands here for the second time{first}: remove one")
                continue
            seen[name] = place
            self.document.places[(*key, name)] = place
            yield name, child

    def _scalar(self, node: yaml.Node, key: Key) -> Any:
        place, text = self._place(node), self._readable(node.value, self._place(node), key)
        kind = node.tag.removeprefix(_PREFIX)
        if kind == "str":
            return text
        if kind not in _CORE or not _CORE[kind].fullmatch(text):
            self._fault(
                place, key, f'the tag "{node.tag}" is not read in a {self.document.kind.noun}: write the plain value'
            )
            return text
        if kind == "int":
            return self._whole_number(text, place, key)
        if kind == "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return None if kind == "null" else text.lower() == "true"

    def _whole_number(self, text: str, place: str, key: Key) -> int:
        if len(text) > 100:
            self._fault(place, key, "the number has more than 100 digits: no key takes one that large")
            return 0
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))

    def _readable(self, text: str, place: str, key: Key) -> str:
        if any("\ud800" <= c <= "\udfff" or c == "\0" for c in text):
            self._fault(place, key, "the text holds an escaped character that is none: remove the escape")
            return "".join(c for c in text if not "\ud800" <= c <= "\udfff" and c != "\0")
        return text

    def _place(self, node: yaml.Node) -> str:
        return f"{self.where}:{node.start_mark.line + 1}" if self.lines else self.where

    def _fault(self, place: str, key: Key, sentence: str) -> None:
        self.document.faults.append(Fault(place, key, sentence))
