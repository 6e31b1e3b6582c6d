"""Fields of the agents' pages: values in rows, lists in lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

from django import forms
from django.core.exceptions import ValidationError

from agents.forms import ListField
from agents.validation import validate_files, validate_variables
from lap.core.secrets import MASK, SecretMap, Undecryptable


class Row(NamedTuple):
    """A row of two inputs, as a form shows it; ``problem`` is what is wrong with it."""

    key: str
    value: str
    problem: str = ""

    @classmethod
    def of(cls, key: str, value: str) -> Row:
        """With all line ends as LF: browsers send every one of them as CRLF."""
        return cls(key.strip(), value.replace("\r\n", "\n").replace("\r", "\n"))

    @property
    def is_filled(self) -> bool:
        """A row without a key is taken away, unless a value was typed into it."""
        return bool(self.key) or self.value not in ("", MASK)


class Rows(forms.Widget):
    """Inputs in rows, ``<field>.key`` beside ``<field>.value``, which the template draws.

    A hidden input with the field's own name tells that rows were sent, however few.
    """

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[Row]:
        keys, values = data.getlist(f"{name}.key"), data.getlist(f"{name}.value")
        rows = (Row.of(*pair) for pair in zip_longest(keys, values, fillvalue=""))
        return [row for row in rows if row.is_filled]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return name not in data


class RowsField(forms.Field):
    """A column that is edited in rows. What is wrong with one row is an error that knows which."""

    widget = Rows

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, "initial": (), **options})

    def prepare_value(self, value: Any) -> list[Row]:
        """The rows of what is stored; those that were sent are rows already."""
        is_sent = isinstance(value, list) and all(isinstance(item, Row) for item in value)
        return value if is_sent else [Row.of(*pair) for pair in self.pairs(value)]

    def to_python(self, value: Any) -> Any:
        if problems := list(self._problems(value)):
            raise ValidationError(problems)
        return self.value_of(value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.prepare_value(initial) != data)

    def pairs(self, value: Any) -> Iterator[tuple[str, str]]:
        """Key and value of each row that shows a stored value."""
        raise NotImplementedError

    def value_of(self, rows: list[Row]) -> Any:
        """What rows without a problem stand for."""
        raise NotImplementedError

    def problem(self, row: Row, others: list[Row]) -> str:
        """What is wrong with a row that comes after others; nothing is an empty text."""
        raise NotImplementedError

    def _problems(self, rows: list[Row]) -> Iterator[ValidationError]:
        for number, row in enumerate(rows):
            if problem := self.problem(row, rows[:number]):
                yield ValidationError("%(problem)s", "row", {"problem": problem, "row": number})


class VariablesField(RowsField):
    """Environment variables; the mask as a value keeps the stored one."""

    def pairs(self, value: Any) -> Iterator[tuple[str, str]]:
        stored = value if isinstance(value, Undecryptable) else SecretMap(value)
        yield from stored.masked().items()

    def value_of(self, rows: list[Row]) -> SecretMap:
        return SecretMap({row.key: row.value for row in rows})

    def problem(self, row: Row, others: list[Row]) -> str:
        if not row.key:
            return "Give this value a name, or empty it."
        if row.key in [other.key for other in others]:
            return f"{row.key} is given twice."
        if MASK in row.value and row.value != MASK:
            return f"Replace the mask {MASK} as a whole, or leave it to keep the stored value."
        return _refusal(validate_variables, {row.key: row.value})


class FilesField(RowsField):
    """Files of the sandbox: a path and the content."""

    def pairs(self, value: Any) -> Iterator[tuple[str, str]]:
        yield from ((file["path"], file["content"]) for file in value)

    def value_of(self, rows: list[Row]) -> list[dict[str, str]]:
        return [{"path": row.key, "content": row.value} for row in rows]

    def with_stored(self, files: list[dict[str, str]], stored: Any) -> list[dict[str, str]]:
        """The same files, those that nobody edited with the line ends that are stored."""
        unedited = {
            Row.of(*pair): {"path": pair[0], "content": pair[1]} for pair in self.pairs(stored)
        }
        return [unedited.get(Row.of(file["path"], file["content"]), file) for file in files]

    def problem(self, row: Row, others: list[Row]) -> str:
        if not row.key:
            return "Give this file a path, or empty it."
        return _refusal(validate_files, self.value_of([row]))


class JsonListField(ListField):
    """A list as JSON; nothing is shown of an empty one."""

    widget = forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "" if value == [] else super().prepare_value(value)


class LinesField(JsonListField):
    """A list of texts, one a line. Lists of anything else are shown, and may be typed, as JSON."""

    def to_python(self, value: Any) -> Any:
        text = value or ""
        return super().to_python(text) if _is_json_list(text) else _lines(text)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            text = "\n".join(value)
            if not _is_json_list(text) and _lines(text) == value:
                return text
        return super().prepare_value(value)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _is_json_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return False


def _refusal(validate: Callable[[Any], None], value: Any) -> str:
    try:
        validate(value)
    except ValidationError as error:
        return error.messages[0]
    return ""
