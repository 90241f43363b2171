"""YAML as plain data with line numbers: no duplicate keys, no anchors, no tags, no surprises.

A schedule decides what is destroyed, so it must read the same to a person and to the program: a key that is written
twice, an alias or a custom tag is refused, and every later complaint names the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from include.errors import ScheduleError

Path = tuple[str | int, ...]

MAX_BYTES = 256 << 10
"""Five times the packaged schedule; a file of this size of the smallest lines is read in about two seconds."""
MAX_DEPTH = 20
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SCALARS = {"str", "int", "bool", "null", "float", "timestamp"}


@dataclass(frozen=True, slots=True)
class Document:
    """The plain value of a YAML file and the line of every key in it."""

    file: str
    value: Any = field(repr=False)
    lines: dict[Path, int] = field(repr=False)

    @classmethod
    def parse(cls, body: bytes, *, file: str) -> Document:
        """Read `body`; whatever cannot be read plainly is refused with the line."""
        if len(body) > MAX_BYTES:
            raise ScheduleError(file, "(file)", f"larger than {MAX_BYTES // 1024} KiB; no schedule is")
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            line = body[: error.start].count(10) + 1
            raise ScheduleError(file, f"(line {line})", "is not UTF-8") from None
        try:
            _check_events(text, file)
            node = yaml.compose(text, Loader=_LOADER)
        except yaml.YAMLError as error:
            raise ScheduleError(file, _where(error), _problem(error)) from None
        if node is None:
            raise ScheduleError(file, "(file)", "is empty")
        lines: dict[Path, int] = {}
        return cls(file=file, value=_plain(node, (), lines, file), lines=lines)

    def mapping(self) -> dict[str, Any]:
        """Return the top level, which must be a mapping."""
        if not isinstance(self.value, dict):
            raise ScheduleError(self.file, "(file)", "must be a mapping of keys at its top level")
        return self.value

    def error(self, path: Sequence[str | int], reason: str) -> ScheduleError:
        """Return the refusal of the value at `path`, with its line where one is known."""
        return ScheduleError(self.file, self.key(tuple(path)), reason)

    def known(self, path: Sequence[str | int]) -> Path:
        """Return the part of `path` that exists in the file; a validator's own labels fall away."""
        here, found = self.value, []
        for part in path:
            if not _has(here, part):
                break
            here = here[part]
            found.append(part)
        return tuple(found)

    def key(self, path: Path) -> str:
        """Return `path` for a person: ids instead of positions, and the line."""
        line = next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), None)
        words = self._words(path) or "(file)"
        return words if line is None else f"{words} (line {line})"

    def _words(self, path: Path) -> str:
        words, here = "", self.value
        for part in path:
            inside = here[part] if _has(here, part) else None
            if isinstance(part, int):
                name = inside.get("id") if isinstance(inside, dict) else None
                words += f"[{name if isinstance(name, str) else part}]"
            else:
                words += f".{part}" if words else part
            here = inside
        return words


def _has(value: Any, part: str | int) -> bool:
    if isinstance(part, int):
        return isinstance(value, list) and 0 <= part < len(value)
    return isinstance(value, dict) and part in value


def _check_events(text: str, file: str) -> None:
    """Refuse deep nesting before anything recurses, and every YAML feature that hides what is said."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        at = f"(line {_line(event)})"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ScheduleError(file, at, "anchors and aliases are not allowed; write the value out")
        if getattr(event, "tag", None):
            raise ScheduleError(file, at, "tags are not allowed")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise ScheduleError(file, at, "holds a second document")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ScheduleError(file, at, f"is nested deeper than {MAX_DEPTH} levels")


def _plain(node: yaml.Node, path: Path, lines: dict[Path, int], file: str) -> Any:
    lines.setdefault(path, _line(node))
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*path, n), lines, file) for n, child in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, child in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
                raise ScheduleError(file, f"(line {_line(key_node)})", "a key must be a word, and nothing is merged in")
            key = key_node.value
            at = (*path, key)
            line = _line(key_node)
            if key in result:
                raise ScheduleError(file, f"{key} (line {line})", f"is written twice, first on line {lines[at]}")
            lines[at] = line
            result[key] = _plain(child, at, lines, file)
        return result
    return _scalar(node, file)


def _scalar(node: yaml.Node, file: str) -> Any:
    kind = node.tag.rpartition(":")[2]
    at = f"(line {_line(node)})"
    if kind not in _SCALARS:
        raise ScheduleError(file, at, f"{str(node.value)[:40]!r} is not a plain value")
    try:
        if kind in ("str", "timestamp"):
            return node.value
        return yaml.safe_load(node.value) if kind != "null" else None
    except (yaml.YAMLError, ValueError) as error:
        raise ScheduleError(file, at, f"{str(node.value)[:40]!r} is not a plain value") from error


def _line(thing: yaml.Node | yaml.Event) -> int:
    return thing.start_mark.line + 1 if thing.start_mark is not None else 0


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return f"(line {mark.line + 1})" if mark is not None else "(file)"


def _problem(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None)
    return f"is not YAML: {problem}" if problem else "is not YAML"
