"""What a model says beyond pydantic: CEL rules and list types, carried into the CRD by `havip.api.structural`.

Nothing here may know a kind: the models under `v1alpha1` do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

EXTENSION = "x-kubernetes-"


class Refusal(StrEnum):
    """The `reason` a rule's refusal carries, as the API server knows them."""

    INVALID = "FieldValueInvalid"
    FORBIDDEN = "FieldValueForbidden"


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule. `message` names the field and what would be accepted; `field` moves the blame inside `self`."""

    expression: str
    message: str
    field: str = ""
    reason: Refusal = Refusal.INVALID

    def to_json(self) -> dict[str, object]:
        body: dict[str, object] = {"rule": self.expression, "message": self.message, "reason": self.reason.value}
        if self.field:
            body["fieldPath"] = f".{self.field}"
        return body


def exactly_one(*names: str) -> Rule:
    """A union as CRDs can say it: one object with optional fields of which one is set."""
    listed = f"{', '.join(names[:-1])} or {names[-1]}"
    present = ", ".join(f"has(self.{name})" for name in names)
    return Rule(f"[{present}].filter(is, is).size() == 1", f"must have exactly one of {listed}")


def immutable(what: str) -> Rule:
    """For a required field: whatever it was created with stays."""
    return Rule("self == oldSelf", f"{what} is immutable; create a new object instead", reason=Refusal.FORBIDDEN)


@dataclass(frozen=True, slots=True)
class Rules:
    """Puts CEL rules on the annotated value."""

    rules: tuple[Rule, ...]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return _validated(handler(schema), self.rules)


@dataclass(frozen=True, slots=True)
class ListType:
    """How server-side apply merges the annotated list. `keys` are attribute names on the wire, for "map" only."""

    type: Literal["set", "map"]
    keys: tuple[str, ...] = ()

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        out = dict(handler(schema))
        out[f"{EXTENSION}list-type"] = self.type
        if self.keys:
            out[f"{EXTENSION}list-map-keys"] = list(self.keys)
        return out


@dataclass(frozen=True, slots=True)
class Extra:
    """Plain OpenAPI keywords that pydantic has no word for, such as `format`."""

    keywords: tuple[tuple[str, object], ...]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), **dict(self.keywords)}


def _validated(schema: JsonSchemaValue, rules: Iterable[Rule]) -> JsonSchemaValue:
    before = schema.get(f"{EXTENSION}validations", [])
    return {**schema, f"{EXTENSION}validations": [*before, *(rule.to_json() for rule in rules)]}


class Model(BaseModel):
    """Frozen; snake_case here, camelCase on the wire; attribute docstrings are the fields' descriptions.

    Unknown fields are ignored: the CRDs are upgraded before the operator is, so it may meet a field it does not
    know yet. (Users are told about typing errors by the API server, which knows the schema.)
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    """CEL rules of the object; `self` is the object."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        out = handler.resolve_ref_schema(handler(schema))
        if cls.rules:
            out[f"{EXTENSION}validations"] = [rule.to_json() for rule in cls.rules]
        return out

    def to_json(self) -> dict[str, Any]:
        """The object as the API server takes it; what is not set is absent, never null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
