"""The generator refuses what a CRD cannot say or would not bound, and says what it can."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import ConfigDict, Field

from havip.api.schema import ListType, Model, Rule, Rules, exactly_one, immutable
from havip.api.structural import NotStructural, structural
from havip.api.v1alpha1.text import Int32, Time


class Colour(StrEnum):
    RED = "Red"
    GREEN = "Green"


class Part(Model):
    """A part."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one("left", "right"),)

    left: Annotated[str, Field(max_length=9)] | None = None
    """The left one."""
    right: Annotated[int, Field(ge=1, le=5), Int32] | None = None
    """The right one."""


class Inner(Model):
    """What an object inside says."""

    deep_count: Annotated[int, Field(ge=1, le=5), Int32] = 3
    """How many."""
    deep_list: Annotated[tuple[Time, ...], Field(max_length=2)] = ()
    """When."""


class Whole(Model):
    """Every shape there is,
    over two lines."""

    name: Annotated[str, Field(max_length=63), Rules((immutable("name"),))]
    """Its name."""
    colour: Colour = Colour.RED
    """Its colour."""
    inner: Inner = Inner()
    """Said here, not in the class."""
    parts: Annotated[tuple[Part, ...], Field(max_length=4)] = ()
    """Its parts."""
    labels: Annotated[dict[str, Annotated[str, Field(max_length=5)]], Field(max_length=3)] | None = None
    """Its labels."""
    flag: bool = False
    """Whether."""
    maybe: Inner | None = None
    """Perhaps one more."""


SCHEMA = structural(Whole)
FIELDS = SCHEMA["properties"]


def everywhere(node: Any) -> list[dict[str, Any]]:
    """A schema and all schemas inside it."""
    found = [node]
    for inner in (*node.get("properties", {}).values(), node.get("items"), node.get("additionalProperties")):
        if isinstance(inner, dict):
            found += everywhere(inner)
    return found


def test_nothing_is_left_that_a_crd_cannot_say() -> None:
    for node in everywhere(SCHEMA):
        assert node.keys().isdisjoint({"$ref", "$defs", "title", "anyOf", "oneOf", "const", "nullable"})
        assert "type" in node


def test_a_field_that_may_be_absent_is_not_required_and_never_null() -> None:
    assert SCHEMA["required"] == ["name"]
    assert FIELDS["maybe"]["type"] == "object"
    assert "default" not in FIELDS["maybe"]


def test_names_are_camel_case_on_the_wire() -> None:
    assert set(FIELDS["inner"]["properties"]) == {"deepCount", "deepList"}


def test_an_objects_default_is_spelled_out_without_what_says_nothing() -> None:
    assert FIELDS["inner"]["default"] == {"deepCount": 3}
    assert "default" not in FIELDS["parts"]
    assert FIELDS["flag"]["default"] is False


def test_the_fields_own_words_win_over_the_class_and_carry_range_and_default() -> None:
    assert FIELDS["inner"]["description"] == "Said here, not in the class."
    assert FIELDS["inner"]["properties"]["deepCount"]["description"] == "How many. (1 to 5; default 3)"
    assert FIELDS["colour"]["description"] == "Its colour. (default Red)"
    assert FIELDS["flag"]["description"] == "Whether. (default false)"
    assert FIELDS["parts"]["description"] == "Its parts. (at most 4 items)"
    assert SCHEMA["description"] == "Every shape there is, over two lines."


def test_rules_stand_where_the_model_has_them() -> None:
    rule = {"rule": "self == oldSelf", "reason": "FieldValueForbidden"}
    assert FIELDS["name"]["x-kubernetes-validations"] == [
        {**rule, "message": "name is immutable; create a new object instead"}
    ]
    [one] = FIELDS["parts"]["items"]["x-kubernetes-validations"]
    assert one["rule"] == "[has(self.left), has(self.right)].filter(is, is).size() == 1"
    assert one["message"] == "must have exactly one of left or right"


def test_a_list_is_replaced_as_a_whole_unless_it_says_otherwise() -> None:
    assert FIELDS["parts"]["x-kubernetes-list-type"] == "atomic"


def test_enums_and_formats_stay() -> None:
    assert FIELDS["colour"]["enum"] == ["Red", "Green"]
    assert FIELDS["inner"]["properties"]["deepList"]["items"]["format"] == "date-time"


class UnboundedText(Model):
    text: str
    """Text."""


class UnboundedTextInside(Model):
    items: Annotated[tuple[UnboundedText, ...], Field(max_length=2)]
    """Items."""


class UnboundedList(Model):
    items: tuple[Annotated[int, Int32], ...]
    """Items."""


class UnboundedMap(Model):
    labels: dict[str, Annotated[str, Field(max_length=5)]]
    """Labels."""


class AnyMap(Model):
    anything: dict[str, Any]
    """Anything."""


class OpenObject(Model):
    model_config = ConfigDict(extra="allow")
    name: bool
    """A name."""


class Union(Model):
    either: Annotated[int, Int32] | bool
    """One or the other."""


class Undescribed(Model):
    flag: bool


class PlainInteger(Model):
    number: int
    """A number of any size."""


class Floating(Model):
    number: Annotated[float, Field(gt=0)]
    """A number with an exclusive bound."""


class OptionalKey(Model):
    parts: Annotated[tuple[Part, ...], Field(max_length=4), ListType("map", ("left",))]
    """Parts whose key may be absent."""


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (UnboundedText, "UnboundedText.text: a string without a greatest length"),
        (UnboundedTextInside, "UnboundedTextInside.items[].text: a string without a greatest length"),
        (UnboundedList, "UnboundedList.items: a list without a greatest number of items"),
        (UnboundedMap, "UnboundedMap.labels: a map without a greatest number of entries"),
        (AnyMap, "AnyMap.anything: takes any field"),
        (OpenObject, "OpenObject: takes any field"),
        (Union, "Union.either: a union; make it one object of which exactly one field is set"),
        (Undescribed, "Undescribed.flag: has no description; kubectl explain would not teach it"),
        (PlainInteger, "PlainInteger.number: a whole number without a format"),
        (Floating, "Floating.number: the keyword exclusiveMinimum is not structural"),
        (OptionalKey, "OptionalKey.parts: the list's key left must be required"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_place(model: type[Model], says: str) -> None:
    with pytest.raises(NotStructural) as refused:
        structural(model)
    assert str(refused.value) == says
