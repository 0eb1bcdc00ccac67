"""Files that people write by hand in YAML (recipes, configs of trainings, palettes), as plain data with line numbers.

Errors are collected, so that nobody runs a command five times to find five typos. The reading is strict where a plain
YAML reader is silent: a repeated key, of which one value would be lost, is an error, and so are tags and aliases, which
hide what a file says. Scalars follow YAML 1.2, as editors and JSON Schema do: `no` and `on` are text, `010` is ten,
`1e-3` is a number. The price is that PyYAML's nodes are walked here, since its loader forgets their lines.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from smearsynth.base.errors import UserError, printable

MAX_BYTES = 256_000
"""What is larger was not written by hand, and can take half a minute to read."""

Key = tuple[str | int, ...]
"""Path to a value: ("sources", 1, "root"), written `sources[1].root`."""


class Place(NamedTuple):
    """Where a value was written: `where` is a file and line or, with `argument`, one of that argument's values."""

    where: str
    argument: str = ""


@dataclass(frozen=True)
class ErrorLine:
    """One error: its place, the key that it is about, () for the file itself, and a sentence with what mends it."""

    place: Place
    key: Key
    sentence: str

    def text(self, name: Callable[[str], str] = str) -> str:
        """`PLACE: KEY: SENTENCE`; `name` gives the name of an argument, as in `UserError.text`."""
        where, argument = self.place
        prefix = f"{name(argument)} " if argument else ""
        return printable(": ".join(part for part in (prefix + where, dotted(self.key), self.sentence) if part))


class ConfigError(UserError):
    """All errors of a file and of what is laid over it; a line each."""

    def __init__(self, errors: Iterable[ErrorLine]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(line.text() for line in self.errors))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.errors,)

    def text(self, name: Callable[[str], str] = str) -> str:
        return "\n".join(line.text(name) for line in self.errors)


class ConfigKind(NamedTuple):
    """How sentences speak of a file. noun: "recipe". start: of its text, "`version: 1`". example: of an override,
    "scene.overlap=0.2"."""

    noun: str
    start: str
    example: str


@dataclass
class ConfigFile:
    """data: mappings, lists and scalars. places: of every key, () being the file itself. errors: those found so far."""

    kind: ConfigKind
    places: dict[Key, Place]
    data: dict[str, Any] = field(default_factory=dict)
    errors: list[ErrorLine] = field(default_factory=list)


def read_config(path: Path, kind: ConfigKind) -> ConfigFile:
    """The content of a file. Raises ConfigError where it cannot be read at all, or is no mapping."""
    return parse_config(_read_text(path, kind), str(path), kind)


def parse_config(text: str, where: str, kind: ConfigKind) -> ConfigFile:
    """The content of a text; `where` names its origin. Raises ConfigError where it is no YAML mapping."""
    file = ConfigFile(kind, {(): Place(where)})
    data = _Parser(file, lambda mark: Place(f"{where}:{mark.line + 1}")).parse(text)
    if not isinstance(data, dict):
        found = "empty" if data is None else "a list" if isinstance(data, list) else "a single value"
        raise _refusal(Place(where), f"is {found}: a {kind.noun} is a mapping that starts with {kind.start}")
    file.data = data
    return file


def parse_value(text: str, place: Place, kind: ConfigKind) -> tuple[Any, list[ErrorLine]]:
    """One value written as YAML, and its errors, with key paths within it."""
    file = ConfigFile(kind, {(): place})
    try:
        return _Parser(file, lambda _: place).parse(text), file.errors
    except ConfigError as error:
        return None, list(error.errors)


def override(file: ConfigFile, text: str) -> None:
    """Sets one value, "path=value", or notes in the errors why it cannot be set.

    The path names keys as `scene.overlap` and list items as `sources[0].root`; the value is read as YAML. A mapping
    that the file leaves to its defaults is opened on the way; a list is not, since its length would be a guess.
    """
    place = Place(text, "overrides")
    path, equals, written = text.partition("=")
    key = _parse_key(path.strip())
    if not equals or not key:
        file.errors.append(ErrorLine(place, (), f"must read path=value, as in {file.kind.example}"))
        return
    value, errors = parse_value(written, place, file.kind)
    if errors:
        file.errors += [replace(error, key=(*key, *error.key)) for error in errors]
        return
    holder: Any = file.data
    for depth, part in enumerate(key):
        fits = isinstance(holder, dict) if isinstance(part, str) else isinstance(holder, list) and part < len(holder)
        if not fits:
            sentence = f"has no {dotted((part,))} that could be set: set it as a whole"
            file.errors.append(ErrorLine(place, key[:depth], sentence))
            return
        if depth == len(key) - 1:
            holder[part] = value
        elif part not in holder and isinstance(part, str):
            file.places[key[: depth + 1]] = place
            holder = holder.setdefault(part, {})
        else:
            holder = holder[part]
    file.places = {known: where for known, where in file.places.items() if known[: len(key)] != key} | {key: place}


def dotted(key: Key) -> str:
    """A key path as it is written in an override: sources[1].root."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


def nearest_place(places: Mapping[Key, Place], key: Key) -> Place:
    """Where `key` was written; for a key that was not, where the nearest one around it was. places: () is in it."""
    return next(places[key[:n]] for n in range(len(key), -1, -1) if key[:n] in places)


def dump_yaml(data: dict[str, Any]) -> str:
    """YAML text that is read back as the same data, here and by readers of YAML 1.1."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=110)


_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    name: re.compile(rf"(?!.{{101}})(?:{pattern})\Z")
    for name, pattern in {
        "null": r"~|null|Null|NULL|",
        "bool": r"true|True|TRUE|false|False|FALSE",
        "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
        "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    }.items()
}
"""What is no text by YAML 1.2's core schema. A number of more than 100 characters is text here: no key takes one, and
Python refuses to read one of thousands of digits."""
_NO_CHARACTER = re.compile("[\0\ud800-\udfff]")
_KEY_PART = re.compile(r"(?:^|\.)([^.\[\]]+)|\[([0-9]{1,9})\]")


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML's own class attribute)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            problem = f"the alias *{event.anchor} is not read here: write the value out"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if _NO_CHARACTER.search(node.value):
            problem = "an escape stands for NUL or half a character, which no path or terminal takes"
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return node


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


for _name, _pattern in _SCALARS.items():
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, None)
    _Dumper.add_implicit_resolver(_TAG + _name, _pattern, None)


def _refusal(place: Place, sentence: str) -> ConfigError:
    return ConfigError([ErrorLine(place, (), sentence)])


def _read_text(path: Path, kind: ConfigKind) -> str:
    place = Place(str(path))
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise _refusal(place, f"is larger than {MAX_BYTES:,} bytes: this is no {kind.noun}")
        return raw.decode("utf-8-sig")
    except ConfigError:
        raise
    except FileNotFoundError:
        raise _refusal(place, f"is not there: check the path of the {kind.noun}") from None
    except IsADirectoryError:
        raise _refusal(place, f"is a folder: name the {kind.noun} file in it") from None
    except UnicodeDecodeError as error:
        raise _refusal(place, f"byte {error.start} is not UTF-8: save the {kind.noun} as UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _refusal(place, f"cannot be read ({reason}): check the path and its permissions") from None


class _Parser:
    """From text to data; notes in `file` the place of every key and the errors on the way."""

    def __init__(self, file: ConfigFile, place: Callable[[yaml.Mark], Place]) -> None:
        self.file, self.place = file, place

    def parse(self, text: str) -> Any:
        """Raises ConfigError where the text is no YAML."""
        whole = self.file.places[()]
        try:
            node = yaml.compose(text, Loader=_Loader)
            return None if node is None else self.value(node, ())
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable text"
            sentence = f"is not valid YAML ({problem}): check indentation, quotes and brackets there"
            raise _refusal(self.place(mark) if mark else whole, sentence) from None
        except RecursionError:
            raise _refusal(whole, f"is nested too deeply: a {self.file.kind.noun} has a handful of levels") from None

    def value(self, node: yaml.Node, key: Key) -> Any:
        self.file.places.setdefault(key, self.place(node.start_mark))
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*key, i)) for i, child in enumerate(node.value)]
        return self.scalar(node, key)

    def mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name_node, child in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                self.error(name_node, key, "a key must be plain text, not a list or mapping: write it as one word")
                continue
            name = name_node.value
            if name in found:
                first = self.file.places[*key, name].where
                self.error(name_node, (*key, name), f"is there for the second time (first: {first}): remove one")
                continue
            self.file.places[*key, name] = self.place(name_node.start_mark)
            found[name] = self.value(child, (*key, name))
        return found

    def scalar(self, node: yaml.Node, key: Key) -> Any:
        text, kind = node.value, node.tag.removeprefix(_TAG)
        if kind == "str":
            return text
        if kind not in _SCALARS or not _SCALARS[kind].match(text):
            noun = self.file.kind.noun
            self.error(node, key, f'the tag "{node.tag}" is not read in a {noun}: write the plain value')
            return text
        if kind == "int":
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if kind == "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return None if kind == "null" else text.lower() == "true"

    def error(self, node: yaml.Node, key: Key, sentence: str) -> None:
        self.file.errors.append(ErrorLine(self.place(node.start_mark), key, sentence))


def _parse_key(path: str) -> Key:
    """The key that is written as `path`; () where it is none."""
    parts = list(_KEY_PART.finditer(path))
    whole = "".join(part.group() for part in parts) == path
    return tuple(part[1] if part[1] is not None else int(part[2]) for part in parts if whole)
