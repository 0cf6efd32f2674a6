"""Strict YAML: text becomes plain values, and every value keeps its line and column.

The values are built from libyaml's events and not by a PyYAML loader, for four reasons: a loader recurses (100,000
brackets overflow the stack of the C one, which kills the process), lets the last of two equal keys win, reads YAML 1.1
(`10:30` is 630 and `NO` is false), and forgets where a value stood. Scalars follow the core schema of YAML 1.2, less
octal, hexadecimal, infinite and not-a-number; keys are always text. Tags, merge keys and second documents are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yaml import events

from taskqueue.errors import ConfigError

#: 12,000 tasks fit in; more is not a configuration file
MAX_BYTES = 5_000_000
#: tasks.yaml itself needs 5
MAX_DEPTH = 32
#: values after aliases are followed, which is what validation has to walk
MAX_NODES = 500_000
MAX_ALIASES = 1_000

_FORBIDDEN_CHARACTER = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"(true|True|TRUE)|false|False|FALSE")
#: longer ones stay text: int() is slow on them, and no setting is that large
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,18}|(0|[1-9][0-9]{0,17})(\.[0-9]{0,18})?)([eE][-+]?[0-9]{1,3})?", re.ASCII)

Loc = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands: line and column, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Places of one item of a mapping or list; in a list `key` is `value`."""

    key: Place
    value: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file that has been read. Nobody changes `value`: the places hang on its lists and dicts."""

    name: str
    value: object
    top: Entry
    #: a text file that does not may have been cut short
    ends_with_newline: bool
    #: (id of the dict or list, key or index) -> where that item stands
    entries: Mapping[tuple[int, str | int], Entry] = field(repr=False)

    def find(self, loc: Loc) -> tuple[Entry, Loc]:
        """Return where `loc` stands, or as much of it as there is, and the parts of `loc` that are in the document.

        Parts that name no item, such as the tag of a union, are skipped.
        """
        node, entry, found = self.value, self.top, list[str | int]()
        for part in loc:
            here = self.entries.get((id(node), part))
            if here is None:
                continue
            entry = here
            found.append(part)
            node = _item(node, part)
        return entry, tuple(found)


def read_document(path: Path) -> Document:
    """Return the YAML file at `path`. Raises ConfigError when it cannot be read or is not strict YAML."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise ConfigError(f"{path}: cannot be read: {reason}; check the path and its permissions") from None
    return parse_document(content, str(path))


def parse_document(content: bytes | str, name: str) -> Document:
    """Return the value of the YAML `content`; `name` stands in error texts.

    Raises ConfigError, and nothing else, whatever `content` holds.
    """
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{name}: larger than {MAX_BYTES:,} bytes; split it up")
    text = _decode(content, name) if isinstance(content, bytes) else content
    odd = _FORBIDDEN_CHARACTER.search(text)
    if odd:
        before = text[: odd.start()]
        line, column = before.count("\n") + 1, odd.start() - before.rfind("\n")
        raise ConfigError(f"{name}:{line}:{column}: character U+{ord(odd[0]):04X} is not allowed; remove it")
    builder = _Builder(name)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_syntax_problem(error, text, name)) from None
    except yaml.YAMLError:
        raise ConfigError(f"{name}: not readable as YAML; save it as UTF-8 text") from None
    return builder.document(ends_with_newline=text.endswith("\n"))


def scalar_value(text: str) -> str | int | float | bool | None:
    """Return what `text` means in YAML where it stands without quotes."""
    if _NULL.fullmatch(text):
        return None
    truth = _BOOL.fullmatch(text)
    if truth:
        return truth[1] is not None
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _item(container: object, part: str | int) -> object:
    if isinstance(container, dict):
        return container[part]
    return container[part] if isinstance(container, list) and isinstance(part, int) else None


def _decode(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: byte {content[error.start]:#04x} is not UTF-8; save it as UTF-8") from None


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, name: str) -> str:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f"{name}: {error.problem}; check the syntax"
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    context = f"{error.context}: " if error.context else ""
    return f"{name}:{mark.line + 1}:{mark.column + 1}: {context}{error.problem}; {_syntax_remedy(line)}"


def _syntax_remedy(line: str) -> str:
    if re.search(r"[:\-]\s+[*@]", line):
        return "quote a value that starts with * or @, as in cron: '*/5 * * * *'"
    if "\t" in line:
        return "indent with spaces, not with tabs"
    return "check quotes, brackets and indentation; is the file complete?"


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    value: dict[str, object] | list[object]
    place: Place
    anchor: str | None
    #: nodes counted before this one opened
    nodes_before: int
    #: of a mapping: the key that waits for its value
    key: tuple[str, Place] | None = None
    #: levels from here down to the deepest item so far
    height: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Anchored:
    """What an anchor names, and what an alias of it costs."""

    value: object
    nodes: int
    height: int


class _Builder:
    """Builds a document from parse events without recursion, within the limits above."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stack: list[_Open] = []
        self._entries: dict[tuple[int, str | int], Entry] = {}
        self._anchors: dict[str, _Anchored] = {}
        self._nodes = 0
        self._aliases = 0
        self._documents = 0
        self._top: tuple[object, Place] = (None, Place(line=1, column=1))

    def feed(self, event: yaml.Event) -> None:
        """Take the next event. Raises ConfigError for what the module's docstring refuses."""
        mark = event.start_mark
        place = Place(line=mark.line + 1, column=mark.column + 1) if mark else self._top[1]
        match event:
            case events.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise self._error(place, "a second document starts here; use one file for each")
            case events.ScalarEvent():
                self._scalar(event, place)
            case events.SequenceStartEvent():
                self._open([], event, place)
            case events.MappingStartEvent():
                self._open({}, event, place)
            case events.SequenceEndEvent() | events.MappingEndEvent():
                self._close()
            case events.AliasEvent():
                self._alias(event, place)
            case _:
                pass

    def document(self, *, ends_with_newline: bool) -> Document:
        """Return what has been built from all events of the file."""
        value, place = self._top
        top = Entry(key=place, value=place)
        return Document(
            name=self._name, value=value, top=top, ends_with_newline=ends_with_newline, entries=self._entries
        )

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> None:
        self._refuse_tag(event, place)
        if self._takes_key():
            self._key(event, place)
            return
        self._count(1, place)
        value = scalar_value(event.value) if event.implicit[0] else event.value
        self._add(value, place, height=0)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value=value, nodes=1, height=0)

    def _open(self, value: dict[str, object] | list[object], event: yaml.CollectionStartEvent, place: Place) -> None:
        self._refuse_tag(event, place)
        if self._takes_key():
            raise self._error(place, "a key must be text; quote it")
        self._check_depth(1, place)
        nodes_before = self._nodes
        self._count(1, place)
        self._stack.append(_Open(value=value, place=place, anchor=event.anchor, nodes_before=nodes_before))

    def _close(self) -> None:
        closed = self._stack.pop()
        self._add(closed.value, closed.place, height=closed.height)
        if closed.anchor is not None:
            nodes = self._nodes - closed.nodes_before
            self._anchors[closed.anchor] = _Anchored(value=closed.value, nodes=nodes, height=closed.height)

    def _alias(self, event: yaml.AliasEvent, place: Place) -> None:
        if self._takes_key():
            raise self._error(place, "a key must be text; quote it")
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise self._error(place, f"more than {MAX_ALIASES:,} aliases; write the values out")
        anchored = self._anchors.get(event.anchor or "")
        if anchored is None:
            raise self._error(place, f"alias *{event.anchor} has no anchor before it; quote it if it is text")
        self._count(anchored.nodes, place)
        self._check_depth(anchored.height, place)
        self._add(anchored.value, place, height=anchored.height)

    def _key(self, event: yaml.ScalarEvent, place: Place) -> None:
        mapping = self._stack[-1]
        if event.value == "<<":
            raise self._error(place, "merge keys are not supported; write the keys out")
        if event.value in mapping.value:
            line = self._entries[id(mapping.value), event.value].key.line
            raise self._error(place, f"key {event.value[:40]!r} stands already in line {line}; remove one of them")
        mapping.key = (event.value, place)

    def _add(self, value: object, place: Place, *, height: int) -> None:
        if not self._stack:
            self._top = (value, place)
            return
        parent = self._stack[-1]
        parent.height = max(parent.height, height + 1)
        if isinstance(parent.value, list):
            self._entries[id(parent.value), len(parent.value)] = Entry(key=place, value=place)
            parent.value.append(value)
        elif parent.key is not None:
            key, key_place = parent.key
            self._entries[id(parent.value), key] = Entry(key=key_place, value=place)
            parent.value[key] = value
            parent.key = None

    def _takes_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _count(self, nodes: int, place: Place) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise self._error(place, f"more than {MAX_NODES:,} values, counting each alias in full; split the file")

    def _check_depth(self, levels: int, place: Place) -> None:
        # Counted through aliases too: a chain of them would nest what it names as deep as it is long.
        if len(self._stack) + levels > MAX_DEPTH:
            raise self._error(place, f"nested deeper than {MAX_DEPTH}; check the brackets")

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, place: Place) -> None:
        if event.tag is not None:
            raise self._error(place, "tags (!) are not supported; quote the value if it is text")

    def _error(self, place: Place, problem: str) -> ConfigError:
        return ConfigError(f"{self._name}:{place.line}:{place.column}: {problem}")
