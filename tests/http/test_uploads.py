"""Uploads: real files through Django's handlers, and forms that lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.test import override_settings

import http_schema
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from http_client import ask, exchange, multipart, post

STORE = "mutation ($file: Upload!, $more: [Upload]) { store(file: $file, more: $more) { stored } }"


def consumer(**options):
    return GraphqlHttpConsumer.as_asgi(
        schema=http_schema.schema, **{"multipart_uploads_enabled": True, **options}
    )


def form(operations, mapping, files):
    return multipart(
        [
            ("operations", None, json.dumps(operations).encode()),
            ("map", None, json.dumps(mapping).encode()),
            *files,
        ]
    )


def store(content=b"content", name="a.txt"):
    operations = {"query": STORE, "variables": {"file": None}}
    return form(operations, {"0": ["variables.file"]}, [("0", name, content)])


async def upload(parts, headers=None, **options):
    body, form_headers = parts
    return await ask(consumer(**options), headers={**form_headers, **(headers or {})}, body=body)


def exists(file):
    return Path(file.temporary_file_path()).exists()


async def test_a_file_arrives():
    answer = await upload(store("grüße".encode()))
    assert answer.status == 200
    assert answer.json == {"data": {"store": {"stored": ["a.txt: grüße"]}}}
    assert http_schema.Store.kept[0].closed


async def test_many_files_arrive():
    operations = {"query": STORE, "variables": {"file": None, "more": [None, None]}}
    mapping = {"x": ["variables.file", "variables.more.1"], "y": ["variables.more.0"]}
    answer = await upload(form(operations, mapping, [("x", "x", b"X"), ("y", "y", b"Y")]))
    assert answer.json["data"]["store"]["stored"] == ["x: X", "y: Y", "x: "]


async def test_a_large_file_goes_to_the_disk_and_is_deleted_afterwards():
    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=10):
        answer = await upload(store(b"x" * 5_000))
    assert answer.json == {"data": {"store": {"stored": [f"a.txt: {'x' * 5_000}"]}}}
    (file,) = http_schema.Store.kept
    assert isinstance(file, TemporaryUploadedFile)
    assert not exists(file)


async def test_a_form_may_come_in_pieces():
    body, headers = store(b"x" * 100_000)
    async with exchange(consumer(), headers=headers) as one:
        for start in range(0, len(body), 1_000):
            await one.send(body[start : start + 1_000], more=True)
        await one.send()
        assert (await one.answer()).status == 200


async def test_files_come_with_a_batch():
    operations = [{"query": "{ hello }"}, {"query": STORE, "variables": {"file": None}}]
    parts = form(operations, {"0": ["1.variables.file"]}, [("0", "a", b"A")])
    answer = await upload(parts, max_batch_size=2)
    assert answer.json[1] == {"data": {"store": {"stored": ["a: A"]}}}


async def test_a_resolver_finds_the_form():
    parts = form({"query": "{ asked }"}, {}, [("more", None, b"1")])
    answer = await upload(parts, {"X-Own": ""})
    assert json.loads(answer.json["data"]["asked"])["form"]["more"] == "1"


async def test_uploads_are_switched_off_at_first():
    answer = await upload(store(), multipart_uploads_enabled=False)
    assert (answer.status, answer.message) == (
        415,
        "Uploads are switched off, see `multipart_uploads_enabled`",
    )


async def test_a_form_that_any_page_may_have_sent_is_refused():
    http_schema.Store.kept.clear()
    body, headers = store()
    del headers["X-CSRFToken"]
    answer = await ask(consumer(), headers=headers, body=body)
    assert answer.status == 403
    assert "protect against forged requests" in answer.message
    assert http_schema.Store.kept == []


@pytest.mark.parametrize("name", ["x-csrftoken", "X-Requested-With", "Apollo-Require-Preflight"])
async def test_a_header_that_no_form_can_send_shows_that_it_is_none(name):
    body, headers = store()
    del headers["X-CSRFToken"]
    answer = await ask(consumer(), headers={**headers, name: "1"}, body=body)
    assert answer.status == 200


@pytest.mark.parametrize("announced", [True, False])
async def test_files_that_are_too_large_are_refused(announced):
    body, headers = store(b"x" * 2_000)
    if not announced:
        del headers["Content-Length"]
    answer = await ask(consumer(max_upload_size=1_000), headers=headers, body=body)
    assert (answer.status, answer.message) == (413, "The body is longer than 1000 bytes")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([("map", None, b"{}")], 'The form has no field "operations"'),
        ([("operations", None, b"{}")], 'The form has no field "map"'),
        ([("operations", "file", b"{}"), ("map", None, b"{}")], "The form has no field"),
        ([("operations", None, b"{"), ("map", None, b"{}")], '"operations" is not JSON: '),
        ([("operations", None, b"{}"), ("map", None, b"")], '"map" is empty'),
        ([("operations", None, b"{}"), ("map", None, b"\xff")], '"map" is not JSON: '),
        ([("operations", None, b"1"), ("map", None, b"{}")], '"operations": an object or'),
        (
            [("operations", None, b"{}"), ("map", None, b'{"0": ["variables.x"]}')],
            "The map names a file '0' that was not uploaded",
        ),
        (
            [("operations", None, b"{}"), ("map", None, b"{}"), ("0", "a", b"A")],
            "The file '0' is not in the map",
        ),
    ],
)
async def test_a_form_that_makes_no_sense_is_refused(parts, message):
    answer = await upload(multipart(parts))
    assert answer.status == 400
    assert answer.message.startswith(message)


async def test_a_form_without_a_boundary_is_refused():
    answer = await upload(store(), {"Content-Type": "multipart/form-data"})
    assert answer.status == 400
    assert answer.message.startswith("The form is malformed: ")


@pytest.mark.parametrize("charset", ["nonsense", "x" * 900, "a\\b"])
async def test_a_boundary_in_an_encoding_that_does_not_exist_is_refused(charset, caplog):
    body, headers = store()
    kind, boundary = headers["Content-Type"].split("boundary=")
    # Without an escape Django's older releases need no encoding, and accept the form.
    escaped = "".join(f"%{ord(letter):02X}" for letter in boundary)
    headers["Content-Type"] = f"{kind}boundary*={charset}''{escaped}"
    answer = await ask(consumer(), headers=headers, body=body)
    assert answer.status == 400
    assert answer.message.startswith("The form is malformed: ")
    assert not caplog.records


async def test_a_form_that_is_cut_off_is_refused():
    body, headers = store(b"x" * 1_000)
    answer = await ask(consumer(), headers=headers, body=body[:-500])
    assert (answer.status, answer.message) == (
        400,
        "The body was cut off, it is shorter than it should be",
    )


async def test_a_client_that_goes_in_the_middle_of_an_upload_is_forgotten():
    body, headers = store(b"x" * 1_000)
    async with exchange(consumer(), headers=headers) as one:
        await one.send(body[:500], more=True)
        await one.leave()


async def test_an_empty_form_is_refused():
    body, headers = multipart([])
    answer = await ask(consumer(), headers={**headers, "Content-Length": "0"}, body=b"")
    assert (answer.status, answer.message) == (400, 'The form has no field "operations"')
    assert body


async def test_djangos_limits_hold():
    many = [(f"f{number}", None, b"x") for number in range(10)]
    with override_settings(DATA_UPLOAD_MAX_NUMBER_FIELDS=5):
        answer = await upload(multipart(many))
    assert (answer.status, answer.message[:22]) == (400, "The form is malformed:")
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=100):
        answer = await upload(form({"query": "{ hello }" + " " * 200}, {}, []))
    assert answer.status == 413


@pytest.mark.parametrize(
    ("query", "variables", "message"),
    [
        (STORE, {"file": "a.txt"}, "An upload must be a file of a multipart request"),
        (STORE, {"file": {}}, "An upload must be a file of a multipart request"),
        ('mutation { store(file: "a") { stored } }', {}, "An upload must be given by a variable"),
    ],
)
async def test_an_upload_has_to_be_uploaded(query, variables, message):
    answer = await post(consumer(), {"query": query, "variables": variables})
    assert message in answer.message


def test_an_upload_is_no_part_of_a_result():
    with pytest.raises(Exception, match="cannot be part of a result"):
        http_schema.Upload.serialize("x")
