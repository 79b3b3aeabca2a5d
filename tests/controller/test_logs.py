"""Log lines: one JSON object each, with the object they are about."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from havip.controller import logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger("havip")
    before = (root.handlers[:], root.level, ours.level)
    stream = io.StringIO()
    logs.configure("INFO", stream)
    yield stream
    root.handlers[:], level, own = before
    root.setLevel(level)
    ours.setLevel(own)


def read(lines: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_a_line_is_json_and_names_its_object(lines: io.StringIO) -> None:
    logging.getLogger("havip.controller.x").warning("it\nfailed", extra={"object": "HAVip shop/web"})
    (line,) = read(lines)
    assert line["message"] == "it\nfailed"
    assert line["object"] == "HAVip shop/web"
    assert line["level"] == "WARNING"
    assert line["time"].endswith("Z")


def test_libraries_are_heard_from_warnings_on(lines: io.StringIO) -> None:
    logging.getLogger("kopf.objects").info("handled")
    logging.getLogger("havip.controller").info("leads")
    logging.getLogger("kopf").warning("unresolved")
    assert [line["message"] for line in read(lines)] == ["leads", "unresolved"]


def test_kopfs_objects_are_named_too(lines: io.StringIO) -> None:
    reference = {"kind": "HAVip", "namespace": "shop", "name": "web"}
    logging.getLogger("kopf.objects").error("broke", extra={"k8s_ref": reference})
    assert read(lines)[0]["object"] == "HAVip shop/web"


def test_an_exception_is_one_line(lines: io.StringIO) -> None:
    try:
        int("broken")
    except ValueError:
        logging.getLogger("havip.controller").exception("a pass failed")
    (line,) = read(lines)
    assert "ValueError: invalid literal" in line["error"]
