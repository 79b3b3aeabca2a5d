"""pydantic models -> structural schemas, as CustomResourceDefinitions must have them.

Pure. It refuses instead of guessing: whatever cannot be said structurally, has no bound or no description does not
become a schema, so that a CRD in `crds/` is one the API server takes and `kubectl explain` teaches.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from havip.api.schema import EXTENSION, Model

Schema = dict[str, Any]

_KEPT = (
    "type",
    "description",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "default",
)
_DROPPED = frozenset({"title", "properties", "items", "additionalProperties"})
_ABSENCE: tuple[object, ...] = (None, [], {}, "")
_FORMATS = frozenset({"int32", "int64", "date-time"})


class NotStructural(Exception):
    """A model that cannot become a CRD schema. Says where and why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")


def structural(model: type[Model]) -> Schema:
    """The OpenAPI v3 schema of `model`: no references, unions, titles or nulls. Raises `NotStructural`."""
    raw = model.model_json_schema(by_alias=True, mode="validation")
    return _node(raw, raw.get("$defs", {}), model.__name__)


def _node(raw: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Schema:
    source = _inlined(raw, definitions, path)
    if "type" not in source:
        raise NotStructural(path, "has no type")
    out: Schema = {key: copy.deepcopy(source[key]) for key in _KEPT if key in source}
    out.update({key: copy.deepcopy(value) for key, value in source.items() if key.startswith(EXTENSION)})
    _refuse_unknown(source, path)
    _descend(source, out, definitions, path)
    _default(out)
    _bounded(out, path)
    if "description" in out:
        out["description"] = _explained(out)
    return out


def _inlined(raw: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Schema:
    """`raw` with its reference and its "or null" resolved; what stands beside them wins."""
    source = {key: value for key, value in raw.items() if key != "$defs"}
    while "$ref" in source or "anyOf" in source:
        if "$ref" in source:
            target = definitions[source.pop("$ref").rsplit("/", 1)[1]]
        else:
            choices = [choice for choice in source.pop("anyOf") if choice != {"type": "null"}]
            if len(choices) != 1:
                raise NotStructural(path, "a union; make it one object of which exactly one field is set")
            target = choices[0]
        source = {**target, **source}
    if "const" in source:
        source["enum"] = [source.pop("const")]
    return source


def _refuse_unknown(source: Schema, path: str) -> None:
    """A keyword that is dropped silently would be a promise not kept."""
    if source.get("additionalProperties") is True:
        raise NotStructural(path, "takes any field")
    known = {*_KEPT, *_DROPPED}
    for key in source:
        if key not in known and not key.startswith(EXTENSION):
            raise NotStructural(path, f"the keyword {key} is not structural")
    if source.get("format", "int32") not in _FORMATS:
        raise NotStructural(path, f"the format {source['format']} is not one the API server checks")


def _descend(source: Schema, out: Schema, definitions: Mapping[str, Any], path: str) -> None:
    if "items" in source:
        out["items"] = _node(source["items"], definitions, f"{path}[]")
        out.setdefault(f"{EXTENSION}list-type", "atomic")
        _keys_required(out, path)
    if "properties" in source:
        out["properties"] = {}
        for name, field in source["properties"].items():
            inner = out["properties"][name] = _node(field, definitions, f"{path}.{name}")
            if not inner.get("description"):
                raise NotStructural(f"{path}.{name}", "has no description; kubectl explain would not teach it")
    elif isinstance(source.get("additionalProperties"), dict):
        out["additionalProperties"] = _node(source["additionalProperties"], definitions, f"{path}{{}}")
        out.setdefault(f"{EXTENSION}map-type", "granular")


def _keys_required(out: Schema, path: str) -> None:
    for key in out.get(f"{EXTENSION}list-map-keys", ()):
        if key not in out["items"].get("required", ()):
            raise NotStructural(path, f"the list's key {key} must be required")


def _default(out: Schema) -> None:
    """What says nothing needs no default. An object's is spelled out: its rules are tried on it as it stands."""
    default = _said(out.pop("default", None))
    if default not in _ABSENCE:
        out["default"] = default


def _said(value: object) -> object:
    if isinstance(value, dict):
        return {key: said for key, item in value.items() if (said := _said(item)) not in _ABSENCE}
    return value


def _bounded(out: Schema, path: str) -> None:
    if out["type"] == "string" and not {"maxLength", "enum"} & out.keys():
        raise NotStructural(path, "a string without a greatest length")
    if out["type"] == "array" and "maxItems" not in out:
        raise NotStructural(path, "a list without a greatest number of items")
    if "additionalProperties" in out and "maxProperties" not in out:
        raise NotStructural(path, "a map without a greatest number of entries")
    if out["type"] == "integer" and "format" not in out:
        raise NotStructural(path, "a whole number without a format")


def _explained(schema: Schema) -> str:
    """The description with what the schema enforces, because `kubectl explain` shows only descriptions."""
    text = " ".join(str(schema["description"]).split())
    facts = [*_range(schema), *_shown_default(schema)]
    return f"{text} ({'; '.join(facts)})" if facts else text


def _range(schema: Schema) -> list[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return [f"{low} to {high}"]
    if schema["type"] == "array":
        least, most = schema.get("minItems", 0), schema["maxItems"]
        return [f"{least} to {most} items" if least else f"at most {most} items"]
    return []


def _shown_default(schema: Schema) -> list[str]:
    default = schema.get("default")
    if default is None or isinstance(default, dict):
        return []
    if isinstance(default, bool):
        return [f"default {str(default).lower()}"]
    if isinstance(default, list):
        return [f"default {', '.join(map(str, default))}"]
    return [f"default {default}"]
