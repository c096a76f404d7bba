"""The client in a shell, against servers in memory."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema, introspection_from_schema

from channels_graphql_ws.__main__ import main
from channels_graphql_ws.client import (
    ConnectionRejectedError,
    GraphqlHttpTransport,
    GraphqlSseTransport,
    GraphqlWsTransportAiohttp,
    Retry,
    command_line,
)
from channels_graphql_ws.client.listeners import log
from channels_graphql_ws.exceptions import ConnectionClosedError
from scripted_transport import (
    NEW,
    SAME_ID,
    AwareTransport,
    ScriptedTransport,
    acknowledging,
    result,
)
from support import GUARD

URL = "ws://127.0.0.1:1/graphql/"
ON_A = "subscription { a }"
COMPLETE = {"type": "complete", "id": SAME_ID}

AT_ONCE = Retry(wait=lambda _: 0)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def transport() -> ScriptedTransport:
    return acknowledging(AwareTransport())


@pytest.fixture
def run(
    transport: ScriptedTransport,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command; return its exit code, and what it has printed to both sides."""
    monkeypatch.setattr(command_line, "_transport", lambda _: transport)

    def run(command: str, *arguments: str) -> tuple[int, str, str]:
        try:
            code = main([command, URL, *arguments])
        except SystemExit as exited:
            code = int(exited.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_query_prints_its_result_on_one_line(run, transport):
    transport.answer("subscribe", result(NEW, SAME_ID, data={"a": "ü"}, extensions={"e": 1}))
    variables = '{"n": 1}'
    code, out, err = run("query", "query Q($n: Int) { a }", "--variables", variables)
    assert (code, out, err) == (0, '{"data":{"a":"ü"},"extensions":{"e":1}}\n', "")
    (sent,) = transport.sent_of("subscribe")
    assert sent["payload"]["variables"] == {"n": 1}


def test_errors_of_a_result_are_in_it_and_in_the_exit_code(run, transport):
    errors = [{"message": "no", "path": ["a"], "locations": [{"line": 1, "column": 2}]}]
    transport.answer("subscribe", result(NEW, SAME_ID, data={"a": None}, errors=errors))
    code, out, _ = run("mutate", "mutation { a }")
    assert (code, lines(out)) == (1, [{"data": {"a": None}, "errors": errors}])


def test_a_request_that_is_refused_is_told_in_words(run, transport):
    transport.answer("subscribe", {"type": "error", "id": SAME_ID, "payload": [{"message": "no"}]})
    assert run("query", "{ a }") == (1, "", "graphql-live: The query failed: no\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--timeout", "0"], "argument --timeout: 0 is not above zero"),
        (["--timeout", "nan"], "argument --timeout: nan is not above zero"),
        (["--timeout", "soon"], "argument --timeout: invalid float value: 'soon'"),
        (["--count", "-1"], "argument --count: -1 is not above zero"),
    ],
)
def test_a_number_that_means_nothing_is_refused(run, arguments, told):
    code, out, err = run("subscribe", ON_A, *arguments)
    assert (code, out) == (2, "")
    assert told in err


def test_a_program_that_calls_the_command_keeps_its_log(run, transport, caplog):
    transport.refusals = [ConnectionRejectedError("HTTP 502", status=502)]
    assert run("query", "{ a }")[0] == 3
    assert caplog.text == ""
    log.warning("of the program")
    assert "of the program" in caplog.text


def test_a_document_comes_from_the_standard_input_or_a_file(
    run, transport, monkeypatch, tmp_path: Path
):
    transport.answer("subscribe", result(NEW, SAME_ID, data=1))
    file = tmp_path / "q.graphql"
    file.write_text("{ file }")
    (tmp_path / "v.json").write_text('{"from": "file"}')
    for arguments in ([], ["-"], [f"@{file}", "--variables", f"@{tmp_path / 'v.json'}"]):
        monkeypatch.setattr(sys, "stdin", io.StringIO("{ stdin }"))
        assert run("query", *arguments)[0] == 0
    payloads = [sent["payload"] for sent in transport.sent_of("subscribe")]
    assert [each["query"] for each in payloads] == ["{ stdin }", "{ stdin }", "{ file }"]
    assert payloads[-1]["variables"] == {"from": "file"}


def test_one_of_several_operations_is_named(run, transport):
    transport.answer("subscribe", result(NEW, SAME_ID, data=1))
    assert run("query", "query A { a } mutation B { b }", "--operation", "A")[0] == 0
    assert transport.sent_of("subscribe")[0]["payload"]["operationName"] == "A"


def test_connection_parameters_are_json_or_text(run, transport):
    transport.answer("subscribe", result(NEW, SAME_ID, data=1))
    run("query", "{ a }", "--param", "token=a=b", "--param", "n=1", "--param", 'o={"x": null}')
    assert transport.sent[0]["payload"] == {"token": "a=b", "n": 1, "o": {"x": None}}


@pytest.mark.parametrize(
    ("protocol", "offered"),
    [(None, [NEW, "graphql-ws"]), (NEW, [NEW]), ("graphql-ws", ["graphql-ws"])],
)
def test_the_protocol_is_what_fits_or_what_is_said(run, transport, protocol, offered):
    run("query", "{ a }", "--timeout", "0.01", *(["--protocol", protocol] if protocol else []))
    assert transport.offered[1] == offered


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["query", "mutation { a }"], "The mutation is for the command 'mutate'"),
        (["query", ON_A], "The subscription is for the command 'subscribe'"),
        (["subscribe", "query Q { a }"], "The query Q is for the command 'query'"),
        (["query", "query A { a } query B { b }"], "several operations: give operation_name"),
        (["query", "@/nowhere"], "/nowhere cannot be read"),
        (["query", "{ a }", "--variables", "{"], "--variables is not JSON"),
        (["query", "{ a }", "--variables", "[]"], "--variables must be a JSON object, not '[]'"),
        (["query", "{ a }", "--param", "token"], "--param must be NAME=VALUE, not 'token'"),
        (["subscribe", ON_A, "--count", "x"], "invalid int value: 'x'"),
        (["dance"], "invalid choice: 'dance'"),
    ],
)
def test_a_command_that_makes_no_sense_says_why_and_nothing_is_sent(
    run, transport, arguments, told
):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert transport.sent_of("subscribe") == []


def test_a_server_that_cannot_be_reached_is_told_in_words(run, transport):
    transport.refusals = [ConnectionRejectedError("Could not connect to ws://x: refused")]
    assert run("query", "{ a }") == (3, "", "graphql-live: Could not connect to ws://x: refused\n")
    assert transport.connects == 1


def test_an_answer_that_does_not_come_is_a_timeout(run, transport):
    code, _, err = run("query", "{ a }", "--timeout", "0.01")
    assert code == 4
    assert "graphql-live: Waited 0.01 s for an answer" in err


def test_events_are_printed_as_they_come(run, transport):
    events = [result(NEW, SAME_ID, data={"a": number}) for number in range(3)]
    transport.answer("subscribe", *events, COMPLETE)
    code, out, err = run("subscribe", ON_A)
    assert (code, err) == (0, "")
    assert lines(out) == [{"data": {"a": number}} for number in range(3)]


def test_a_number_of_events_may_be_enough(run, transport):
    transport.answer("subscribe", *(result(NEW, SAME_ID, data=n) for n in range(9)))
    code, out, _ = run("subscribe", ON_A, "--count", "2")
    assert (code, len(lines(out))) == (0, 2)
    assert transport.sent_of("complete")


def test_an_event_with_errors_is_printed_and_shows_in_the_exit_code(run, transport):
    bad = result(NEW, SAME_ID, data=None, errors=[{"message": "no"}])
    transport.answer("subscribe", bad, result(NEW, SAME_ID, data=1), COMPLETE)
    code, out, _ = run("subscribe", ON_A)
    assert (code, lines(out)) == (
        1,
        [{"data": None, "errors": [{"message": "no"}]}, {"data": 1}],
    )


@pytest.mark.parametrize(("missed", "told"), [(3, "3 events"), (None, "Events")])
def test_lost_events_are_told_beside_the_output(run, transport, missed, told):
    extensions = {"gap": {"missed": missed, "reason": "slow"}}
    transport.answer("subscribe", result(NEW, SAME_ID, data=1, extensions=extensions), COMPLETE)
    _, _, err = run("subscribe", ON_A)
    assert err == f"{told} may have been lost before this one: slow\n"


def test_without_follow_a_lost_connection_ends_the_command(run, transport):
    lost = ConnectionClosedError("The server closed the connection with code 1012", 1012)
    transport.answer("subscribe", result(NEW, SAME_ID, data=1))
    transport.send = losing(transport, lost)
    code, out, err = run("subscribe", ON_A)
    assert (code, lines(out)) == (3, [{"data": 1}])
    assert "with code 1012" in err


def losing(transport: ScriptedTransport, error: Exception) -> Any:
    """Return a `send` after which the connection is lost, the first time."""
    send = transport.send

    async def lose(message: dict[str, Any]) -> None:
        await send(message)
        if message["type"] == "subscribe":
            transport.send = send
            transport.say(error)

    return lose


def test_with_follow_it_goes_on_and_says_so(run, transport, monkeypatch):
    monkeypatch.setattr(command_line, "Retry", lambda: AT_ONCE)
    transport.refusals = [ConnectionRejectedError("Could not connect: refused")]
    transport.answer("subscribe", result(NEW, SAME_ID, data=1))
    transport.send = losing(transport, ConnectionClosedError("The server restarts", 1012))
    code, out, err = run("subscribe", ON_A, "--follow", "--count", "2")
    assert (code, lines(out)) == (0, [{"data": 1}, {"data": 1}])
    assert err.splitlines() == [
        "Could not connect: refused. Trying again in 0.0 s",
        "The server restarts. Trying again in 0.0 s",
        "Events may have been lost before this one: reconnected",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_people_see_what_is_waited_for_and_json_that_they_can_read(transport, monkeypatch):
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(command_line, "_transport", lambda _: transport)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    transport.answer("subscribe", result(NEW, SAME_ID, data={"a": 1}), COMPLETE)
    assert main(["subscribe", URL, ON_A]) == 0
    assert out.getvalue() == '{\n  "data": {\n    "a": 1\n  }\n}\n'
    shown = [each for each in err.getvalue().split("\r\x1b[K") if each]
    assert shown == ["Connecting …", "Connected.", "Waiting for events. Ctrl-C ends this."]


SCHEMA = build_schema('"Says hello." type Query { hello(name: String = "you"): String! }')


def test_a_schema_is_printed_in_graphqls_own_language(run, transport):
    introspection = introspection_from_schema(SCHEMA)
    transport.answer("subscribe", result(NEW, SAME_ID, data=introspection))
    code, out, _ = run("schema")
    assert code == 0
    assert 'hello(name: String = "you"): String!' in out


def test_a_schema_may_be_printed_as_json(run, transport):
    introspection = introspection_from_schema(SCHEMA)
    transport.answer("subscribe", result(NEW, SAME_ID, data=introspection))
    assert lines(run("schema", "--json")[1]) == [introspection]


def test_who_reads_the_output_may_have_enough(run, transport, monkeypatch, tmp_path: Path):
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return file.fileno()

    transport.answer("subscribe", result(NEW, SAME_ID, data=1))
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr(sys, "stdout", Broken())
        assert main(["query", URL, "{ a }"]) == 0
        monkeypatch.undo()


def options(url: str, *headers: str, protocol: str | None = None, insecure: bool = False) -> Any:
    return Namespace(url=url, header=list(headers), protocol=protocol, insecure=insecure)


@pytest.mark.parametrize(
    ("url", "protocol", "kind"),
    [
        ("ws://x/", None, GraphqlWsTransportAiohttp),
        ("wss://x/", NEW, GraphqlWsTransportAiohttp),
        ("http://x/", None, GraphqlHttpTransport),
        ("https://x/", "sse", GraphqlHttpTransport),
        ("https://x/", "sse-single", GraphqlSseTransport),
    ],
)
def test_the_url_says_what_is_spoken(url, protocol, kind):
    assert type(command_line._transport(options(url, protocol=protocol))) is kind


def test_headers_and_the_check_of_certificates_go_to_the_transport():
    given = options("wss://x/", "Authorization: Bearer a:b", "X-Empty:", insecure=True)
    transport = command_line._transport(given)
    assert isinstance(transport, GraphqlWsTransportAiohttp)
    headers = asyncio.run(transport._headers.value())
    assert headers == {"Authorization": "Bearer a:b", "X-Empty": ""}
    assert transport._options["ssl"] is False


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (options("ftp://x/"), "must begin with ws://.*not 'ftp://x/'"),
        (options("ws://x/", protocol="sse-single"), "--protocol sse-single is not spoken at ws"),
        (options("http://x/", protocol=NEW), "is not spoken at http://x/"),
        (
            options("ws://x/", "Authorization"),
            "--header must be 'Name: value', not 'Authorization'",
        ),
    ],
)
def test_an_address_or_a_header_that_makes_no_sense_is_an_error(given, told):
    with pytest.raises(command_line.UsageError, match=told):
        command_line._transport(given)


def test_an_interruption_has_an_exit_code_of_its_own(transport, monkeypatch):
    async def interrupted(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "_transport", lambda _: transport)
    given = Namespace(url=URL, protocol=None, param=[], follow=False, prog="graphql-live")
    assert command_line.run(given, interrupted) == 130


INTERRUPTED = """
import asyncio, os, signal, sys
sys.path[:] = {path!r}
signal.signal(signal.SIGINT, signal.default_int_handler)  # It is ignored in the background.
from channels_graphql_ws.__main__ import main
from channels_graphql_ws.client import command_line
from scripted_transport import acknowledging

transport = acknowledging()
send = transport.send

async def interrupt(message):
    await send(message)
    if message["type"] == "subscribe":
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)

transport.send = interrupt
command_line._transport = lambda _: transport
code = main(["subscribe", "ws://x/", "subscription {{ a }}"])
print(code, [message["type"] for message in transport.sent])
"""


def test_ctrl_c_stops_the_subscription_and_is_no_traceback():
    # In a process of its own: who runs the tests may have other plans for the signal.
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(path=sys.path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * GUARD,
    )
    assert done.stdout == "130 ['connection_init', 'subscribe', 'complete']\n"
    assert done.stderr == ""


def test_the_module_runs_as_a_program_without_django():
    code = "import sys, runpy; sys.argv[1:] = ['--help']; sys.path[:] = " + repr(sys.path)
    program = f"""
{code}
try:
    runpy.run_module("channels_graphql_ws", run_name="__main__")
finally:
    print({{"django", "channels", "graphene", "graphql"}} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=GUARD
    )
    assert "usage: graphql-live" in done.stdout
    assert "set()" in done.stdout
