"""The document file: read when it was replaced, and never trusted."""

from __future__ import annotations

import json
import select
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.keeper.made import an_election, an_instance

from havip.keeper.document import LARGEST, DocumentFile, FolderWatch, read


def put(path: Path, body: object) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(body), "utf-8")
    fresh.replace(path)


def test_a_document_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "election.json"
    file = DocumentFile(path)
    assert file.changed() is None
    election = an_election(an_instance())
    put(path, election.to_json())
    found = file.changed()
    assert found is not None
    assert found.election == election
    assert file.changed() is None
    put(path, election.to_json())
    assert file.changed() is not None


def test_an_unknown_version_is_an_error_and_no_election() -> None:
    found = read(json.dumps({**an_election().to_json(), "version": 2}).encode())
    assert found.election is None
    assert "version" in found.error


def test_a_bad_instance_is_left_out_by_name() -> None:
    body = an_election(an_instance(), an_instance(name="shop", virtual_router_id=52, addresses=("10.88.0.201",)))
    raw = body.to_json()
    instances = raw["instances"]
    assert isinstance(instances, list)
    instances[1]["addresses"] = ["0.0.0.0"]
    found = read(json.dumps(raw).encode())
    assert found.election is not None
    assert [str(instance.havip) for instance in found.election.instances] == ["shop/web"]
    assert [(item.havip, item.field) for item in found.left_out] == [("shop/shop", "instances[1].addresses[0]")]


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_no_bytes_raise(data: bytes) -> None:
    found = read(data)
    assert found.election is not None or found.error


def test_a_document_that_nests_without_end_is_an_error() -> None:
    assert read(b"[" * 100_000).error


def test_a_document_that_is_too_large_is_an_error() -> None:
    assert "bytes" in read(b" " * (LARGEST + 1)).error


def test_the_watch_tells_of_a_replaced_file(tmp_path: Path) -> None:
    watch = FolderWatch(tmp_path)
    try:
        assert not select.select([watch], [], [], 0)[0]
        put(tmp_path / "election.json", {})
        assert select.select([watch], [], [], 5)[0]
        watch.drain()
        assert not select.select([watch], [], [], 0)[0]
    finally:
        watch.close()
