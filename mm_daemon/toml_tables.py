"""From a TOML file to typed, checked settings, and back to text.

The main file and the strategies' files go through the same door, so that every mistake in any of them reads alike: one
line with the file, the dotted key, the reason and, for a key nobody knows, the nearest one that exists. Decimals stay
exact: a number with a point in the file becomes a `Decimal` and never a float. Nothing here knows which settings exist.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TypeVar, get_args

import msgspec
import tomli

_Table = TypeVar("_Table", bound=msgspec.Struct)

MAX_FILE_BYTES = 1_000_000
MAX_NUMBER = Decimal(10) ** 15
MAX_DECIMAL_PLACES = 18

_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_OWN_KEY = re.compile(r"^(?P<key>[A-Za-z_]\w*): (?P<reason>.*)$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<key>[^`]*)`")
_NAMES = {
    "`int`": "a whole number",
    "`decimal`": "a number",
    "`float`": "a number",
    "`str`": "text in quotes",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "a table",
    "`null`": "nothing",
    "`date`": "a date",
    "`datetime`": "a date and time",
    "`time`": "a time of day",
}


class ConfigError(Exception):
    """The configuration cannot be used; the person who wrote it has to change it. `str()` is one line.

    Attributes:
        where: the file as it was named on the command line, or what stands in for one ("environment").
        key: the dotted key, empty when the whole file is meant.
        reason: what is wrong with it, and where it helps what would be right.
    """

    def __init__(self, where: Path | str, key: str, reason: str) -> None:
        self.where = one_line(str(where))
        self.key = one_line(key)
        self.reason = one_line(reason)
        super().__init__(": ".join(part for part in (self.where, self.key, self.reason) if part))


def one_line(text: str) -> str:
    """`text` with everything that could break a line or move a cursor written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shown(value: object) -> str:
    """A value from a file as a short quotation for an error message."""
    text = value if isinstance(value, str) else str(value)
    if len(text) > 60:
        text = text[:57] + "..."
    return f'"{text}"' if isinstance(value, str) else text


def read_toml(file: Path) -> dict[str, object]:
    """The tables of a TOML file, numbers with a point as `Decimal`.

    Raises:
        ConfigError: the file is missing, unreadable, larger than a megabyte, not UTF-8 or not TOML (with the line), or
            it holds a number that is not finite or beyond any use (15 digits before the point, 18 after).
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(file, "", "no such file") from None
    except OSError as error:
        raise ConfigError(file, "", f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(file, "", "is not the name of a file") from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(file, "", f"is larger than {MAX_FILE_BYTES} bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(file, "", f"not UTF-8 text (at line {line})") from None
    try:
        tables = tomli.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ConfigError(file, "", f"not TOML: {error or type(error).__name__}") from None
    _refuse_absurd_numbers(tables, file, "")
    return tables


def _refuse_absurd_numbers(value: object, file: Path, key: str) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _refuse_absurd_numbers(inner, file, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_absurd_numbers(inner, file, f"{key}[{index}]")
    elif isinstance(value, Decimal):
        if not value.is_finite():
            raise ConfigError(file, key, f"must be a finite number, not {value}")
        exponent = value.as_tuple().exponent
        if abs(value) > MAX_NUMBER or (isinstance(exponent, int) and exponent < -MAX_DECIMAL_PLACES):
            raise ConfigError(file, key, "has more digits than any setting can use")
    elif isinstance(value, int) and abs(value) > MAX_NUMBER:
        raise ConfigError(file, key, "has more digits than any setting can use")


def convert(table: Mapping[str, object], struct_type: type[_Table], file: Path, prefix: str = "") -> _Table:
    """Check a table against a struct type and return it typed.

    A struct can check ranges in `__post_init__` by raising `ValueError("key: reason")`; the key becomes part of the
    one line. A `Decimal` field takes whole numbers too; an `int` field takes nothing else.

    Args:
        table: what `read_toml` returned, or one table of it.
        struct_type: a msgspec struct; nested structs are nested tables.
        file: for the message.
        prefix: the table's own dotted key, such as "strategy"; empty for the whole file.

    Raises:
        ConfigError: the first thing that is wrong: an unknown key, a missing one, a wrong type, a value out of range.
    """
    _refuse_unknown_keys(table, struct_type, file, prefix, {})
    try:
        return msgspec.convert(table, struct_type)
    except (msgspec.ValidationError, ValueError) as error:
        raise _translated(str(error), table, struct_type, file, prefix) from None


def _refuse_unknown_keys(
    table: Mapping[str, object],
    struct_type: type[msgspec.Struct],
    file: Path,
    prefix: str,
    elsewhere: Mapping[str, str],
) -> None:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(struct_type)}
    elsewhere = elsewhere or _leaves(struct_type, prefix)
    for name, value in table.items():
        key = _dotted(prefix, name)
        if name not in fields:
            raise ConfigError(file, key, _unknown(name, list(fields), elsewhere))
        if _is_text_for_number(value, fields[name]):
            raise ConfigError(file, key, "must be a number, not text in quotes")
        inner = _struct_in(fields[name])
        if inner is not None and isinstance(value, dict):
            _refuse_unknown_keys(value, inner, file, key, elsewhere)


def _unknown(name: str, here: Sequence[str], elsewhere: Mapping[str, str]) -> str:
    for candidates, spelled in ((here, {}), (tuple(elsewhere), elsewhere)):
        near = difflib.get_close_matches(name.lower().replace("-", "_"), candidates, n=1, cutoff=0.6)
        if near:
            return f"unknown key, did you mean {spelled.get(near[0], near[0])}?"
    return f"unknown key; known here: {', '.join(here)}"


def _leaves(struct_type: type[msgspec.Struct], prefix: str) -> dict[str, str]:
    """Every key of the nested tables, by its last part, so that a key in the wrong table is told its place."""
    found: dict[str, str] = {}
    for field in msgspec.structs.fields(struct_type):
        inner = _struct_in(field.type)
        found.setdefault(field.encode_name, _dotted(prefix, field.encode_name))
        if inner is not None:
            for name, key in _leaves(inner, _dotted(prefix, field.encode_name)).items():
                found.setdefault(name, key)
    return found


def _dotted(prefix: str, name: str) -> str:
    quoted = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)
    return f"{prefix}.{quoted}" if prefix else quoted


def _struct_in(annotation: object) -> type[msgspec.Struct] | None:
    """The struct type that an annotation names, also as `Struct | None`."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _is_text_for_number(value: object, annotation: object) -> bool:
    """Whether msgspec would read a text as a `Decimal`, which is right for a wire and wrong for a settings file."""
    if isinstance(value, list):
        return any(_is_text_for_number(item, annotation) for item in value)
    return isinstance(value, str) and (annotation is Decimal or Decimal in get_args(annotation))


def _translated(
    message: str, table: Mapping[str, object], struct_type: type[msgspec.Struct], file: Path, prefix: str
) -> ConfigError:
    """msgspec's sentence, or a struct's own "key: reason", as our one line."""
    match = _WHERE.match(message)
    what, path = (match["what"], match["path"] or "") if match else (message, "")
    key = ".".join(part for part in (prefix, path.lstrip(".")) if part)
    if missing := _MISSING.search(what):
        return ConfigError(file, _dotted(key, missing["key"]), "is missing and has no default")
    if own := _OWN_KEY.match(what):
        return ConfigError(file, _dotted(key, own["key"]), own["reason"])
    if what.startswith("Invalid enum value"):
        return ConfigError(file, key, _bad_choice(path, table, struct_type))
    if what.startswith("Expected "):
        for name, plain in _NAMES.items():
            what = what.replace(name, plain)
        wanted, _, got = what.removeprefix("Expected ").partition(", got ")
        return ConfigError(file, key, f"must be {wanted}, not {got}" if got else f"must be {wanted}")
    return ConfigError(file, key, what)


def _bad_choice(path: str, table: Mapping[str, object], struct_type: type[msgspec.Struct]) -> str:
    """Say which words a key takes, for the value at msgspec's `path` (".log.level")."""
    annotation: object = struct_type
    value: object = table
    for name in path.lstrip(".").split("."):
        inner = _struct_in(annotation)
        if inner is None or not isinstance(value, dict) or name not in value:
            return "is not one of the known words"
        annotation = {field.encode_name: field.type for field in msgspec.structs.fields(inner)}[name]
        value = value[name]
    choices = [f'"{choice}"' for choice in get_args(annotation)]
    near = difflib.get_close_matches(f'"{str(value).lower()}"', choices, n=1, cutoff=0.6)
    hint = f", did you mean {near[0]}?" if near else ""
    return f"must be {' or '.join(choices)}, not {shown(value)}{hint}"


def render(settings: msgspec.Struct, table: str = "") -> str:
    """The settings as TOML text with every key, also those left at their defaults; nested structs become tables.

    Args:
        table: the name of the table that `settings` stands for; empty for a whole file.
    """
    plain: list[str] = [f"[{table}]"] if table else []
    nested: list[str] = []
    for field in msgspec.structs.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, msgspec.Struct):
            nested.append(render(value, _dotted(table, field.encode_name)))
        elif value is not None:
            plain.append(f"{field.encode_name} = {_toml_value(value)}")
    return "\n".join(["\n".join(plain) + "\n"] * bool(plain) + nested)


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(_toml_value(item) for item in value)}]"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    """A TOML string; like JSON's, but with no surrogate pairs for what lies beyond four digits."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in plain) + '"'
