"""Brings every stored secret under the first encryption key, while everybody goes on working."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from django.apps import apps
from django.db import OperationalError
from django.db.models import Func, IntegerField, Model, QuerySet, TextField, Value
from django.db.models.functions import Cast
from psycopg.errors import DeadlockDetected

from lap.core.secrets import EncryptedField, Undecryptable, reencrypt
from lap.core.transactions import claim_transaction

BATCH_BYTES = 16 * 1024 * 1024
"""Attachments are large: a batch ends with the value that reaches this much."""


class OctetLength(Func):
    """Bytes of a text, which PostgreSQL knows without reading it."""

    function = "octet_length"
    output_field = IntegerField()


@dataclass(slots=True)
class Column:
    """One encrypted column, and what became of its values. ``undecryptable`` holds row ids."""

    model: type[Model]
    name: str
    reencrypted: int = 0
    current: int = 0
    undecryptable: list[Any] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.model._meta.label}.{self.name}"


def encrypted_columns() -> list[Column]:
    """Every encrypted column of every model."""
    return [
        Column(model, found.name)
        for model in apps.get_models()
        for found in model._meta.local_concrete_fields
        if isinstance(found, EncryptedField)
    ]


def rotate(column: Column, batch: int) -> None:
    """Re-encrypt a column's values that are not under the first key, ``batch`` rows at a time.

    Nothing else of a row is written. May be stopped and begun anew at any time.
    """
    for ids in _batches(column, batch):
        while ids:
            ids = _rotate_rows(column, ids)


def _rotate_rows(column: Column, ids: list[Any]) -> list[Any]:
    """Those whose value changed between reading and writing, to be looked at again."""
    fresh: dict[Any, tuple[str, str]] = {}
    rows = _stored(column).filter(pk__in=ids).order_by("pk")
    for id_, stored in rows.values_list("pk", "stored"):
        new = reencrypt(stored)
        if isinstance(new, Undecryptable):
            column.undecryptable.append(id_)
        elif new == stored:
            column.current += 1
        else:
            fresh[id_] = stored, new
    written = _write(column, fresh)
    column.reencrypted += len(written)
    return [id_ for id_ in fresh if id_ not in written]


def _write(column: Column, fresh: dict[Any, tuple[str, str]]) -> set[Any]:
    """Write what is still as it was read; the ids of it.

    Values are computed before, so that rows are locked for as long as their updates take. Whoever
    locks several rows in another order may meet us in a deadlock: then nothing was written.
    """
    try:
        with claim_transaction():
            return {id_ for id_ in fresh if _replace(column, id_, *fresh[id_])}
    except OperationalError as error:
        if isinstance(error.__cause__, DeadlockDetected):
            return set()
        raise


def _replace(column: Column, id_: Any, stored: str, new: str) -> bool:
    unchanged = _stored(column).filter(pk=id_, stored=stored)
    return bool(unchanged.update(**{column.name: Value(new, output_field=TextField())}))


def _batches(column: Column, limit: int) -> Iterator[list[Any]]:
    """Ids of at most ``limit`` rows and, but for a single one, BATCH_BYTES, in order of id."""
    rows = _stored(column).order_by("pk").values_list("pk", OctetLength(column.name))
    found = list(rows[:limit])
    while found:
        sums = accumulate((size for _, size in found), initial=0)
        ids = [id_ for (id_, _), before in zip(found, sums, strict=False) if before < BATCH_BYTES]
        yield ids
        found = list(rows.filter(pk__gt=ids[-1])[:limit])


def _stored(column: Column) -> QuerySet[Any]:
    """Rows that have a value, with the ciphertext as it is stored."""
    rows = column.model._base_manager.annotate(stored=Cast(column.name, TextField()))
    return rows.filter(stored__isnull=False)
