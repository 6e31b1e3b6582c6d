"""Serializers in the OpenAPI schema: what their types cannot say, said in a table beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction
from rest_framework.serializers import BaseSerializer

from lap.core.api.schema_components import JsonSchema


def describe(
    serializer: type[BaseSerializer[Any]],
    name: str,
    properties: Mapping[str, JsonSchema],
    *,
    optional: Collection[str] = (),
    **keywords: Any,
) -> None:
    """Name a serializer's component and complete what is derived from its fields.

    ``properties`` holds for every field at least a ``description``. Its entries win over derived
    ones; one with a ``type`` says everything. An answer has every field but the ``optional``
    ones. ``keywords`` go to the object. Raises KeyError, when the schema is made, for a field
    without an entry.
    """

    class Description(OpenApiSerializerExtension):
        target_class = serializer

        def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str:
            return name

        def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> JsonSchema:
            schema: JsonSchema = auto_schema._map_serializer(
                self.target, direction, bypass_extensions=True
            )
            schema["properties"] = {
                field: _completed(derived, properties[field], is_partial=self.target.partial)
                for field, derived in schema["properties"].items()
            }
            if direction == "response":
                schema["required"] = [f for f in schema["properties"] if f not in optional]
            return schema | keywords


def _completed(derived: JsonSchema, declared: JsonSchema, *, is_partial: bool) -> JsonSchema:
    """One property. In a partial update what is not sent stays: there are no defaults."""
    left_out = {"readOnly", "x-spec-enum-id", *(["default"] if is_partial else [])}
    both = declared if "type" in declared else derived | declared
    return {keyword: value for keyword, value in both.items() if keyword not in left_out}


class AnyValue(OpenApiSerializerFieldExtension):
    """The table says what the value is."""

    target_class = "lap.core.api.fields.Raw"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> JsonSchema:
        return {}


class Nullable(OpenApiSerializerFieldExtension):
    """A string, or null for "not set"."""

    target_class = "lap.core.api.fields.TextOrNull"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> JsonSchema:
        return {"type": ["string", "null"]}


class Time(OpenApiSerializerFieldExtension):
    """An instant."""

    target_class = "lap.core.api.fields.Instant"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> JsonSchema:
        return {"type": "string", "format": "date-time"}
