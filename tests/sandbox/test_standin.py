"""What every stand-in is built on: HTTP as vendors speak it, and a store that finds and forgets."""

from __future__ import annotations

import http.client
import logging
import socket
from collections.abc import Iterator
from typing import ClassVar

import pytest
from werkzeug.wrappers import Request, Response

from include.sandbox.standin import Fault, Frame, Route, Serving, Store, json_reply


class Echo(Frame):
    """Says what it was sent."""

    name: ClassVar[str] = "echo"
    routes: ClassVar[tuple[Route, ...]] = (
        Route("POST", "/echo", "echo"),
        Route("GET", "/names/<name>", "named"),
        Route("GET", "/mistake", "mistake"),
    )

    def echo(self, request: Request) -> Response:
        return json_reply(200, {"body": request.get_data(as_text=True), "header": request.headers.get("X-Sample")})

    def named(self, request: Request, name: str) -> Response:
        return json_reply(200, {"name": name, "query": request.args.to_dict()})

    def mistake(self, _request: Request) -> Response:
        raise ZeroDivisionError


@pytest.fixture
def serving() -> Iterator[Serving]:
    with Serving(Echo()) as running:
        yield running


@pytest.fixture
def client(serving: Serving) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=5)
    yield connection
    connection.close()


def ask(client: http.client.HTTPConnection, path: str, **headers: str) -> tuple[int, bytes]:
    client.request("GET", path, headers=headers)
    answer = client.getresponse()
    return answer.status, answer.read()


def raw(serving: Serving, data: bytes) -> bytes:
    """Return everything that comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", serving.port), timeout=5) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


# -- serving -------------------------------------------------------------------------------------------------------
def test_a_connection_is_kept_for_the_next_request(client: http.client.HTTPConnection) -> None:
    assert ask(client, "/names/a")[0] == 200
    first = client.sock
    assert ask(client, "/nowhere")[0] == 404
    assert ask(client, "/names/b")[1] == b'{"name": "b", "query": {}}'
    assert client.sock is first is not None


def test_a_client_that_wants_the_connection_closed_gets_that(client: http.client.HTTPConnection) -> None:
    ask(client, "/names/a", Connection="close")
    assert client.sock is None


def test_a_request_of_http_1_0_ends_its_connection(serving: Serving) -> None:
    assert raw(serving, b"GET /names/a HTTP/1.0\r\n\r\n").endswith(b'{"name": "a", "query": {}}')


def test_kept_connections_end_with_the_server() -> None:
    with Serving(Echo()) as serving:
        connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=5)
        assert ask(connection, "/names/a")[0] == 200
    with pytest.raises(OSError, match=r".*"):
        ask(connection, "/names/a")
    connection.close()


def test_names_may_be_written_in_any_script(client: http.client.HTTPConnection) -> None:
    assert ask(client, "/names/%EA%B9%80?q=%ED%91%9C%26")[1].decode("unicode_escape") == (
        '{"name": "김", "query": {"q": "표&"}}'
    )


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_read_however_it_comes(client: http.client.HTTPConnection, chunked: bool) -> None:
    for _ in range(2):
        client.request("POST", "/echo", body=iter([b"one", b"two"]) if chunked else b"onetwo", encode_chunked=chunked,
                       headers={"Transfer-Encoding": "chunked"} if chunked else {})  # fmt: skip
        assert client.getresponse().read() == b'{"body": "onetwo", "header": null}'


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(serving: Serving) -> None:
    head = b"POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    answer = raw(serving, head + b"ab")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'{"body": "ab", "header": null}')


def test_a_header_sent_twice_is_one_and_underscores_pose_as_none(serving: Serving) -> None:
    head = b"POST /echo HTTP/1.1\r\nX-Sample: 1\r\nx-sample: 2\r\nX_Sample: 3\r\nConnection: close\r\n\r\n"
    assert raw(serving, head).endswith(b'"header": "1,2"}')


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"), (b"POST /echo HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", b"414"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(serving: Serving, data: bytes, status: bytes) -> None:
    assert raw(serving, data).startswith(b"HTTP/1.1 " + status)


def test_a_mistake_of_ours_is_a_500_and_the_next_request_is_answered(
    client: http.client.HTTPConnection, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert ask(client, "/mistake")[0] == 500
    assert "ZeroDivisionError" in caplog.text
    assert ask(client, "/names/a")[0] == 200


@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
def test_a_connection_is_cut_on_purpose_without_an_answer(serving: Serving, kind: str) -> None:
    serving.standin.faults.append(Fault(kind))
    assert raw(serving, b"GET /names/a HTTP/1.1\r\n\r\n") == b""


# -- the store -----------------------------------------------------------------------------------------------------
def ids(store: Store, name: str, value: str) -> list[str]:
    return [row["id"] for row in store.where("thing", name, value)]


def filled() -> Store:
    store = Store(None)
    for number in range(6):
        key = f"t{number}"
        store.put("thing", key, {"id": key, "owner": f"o{number % 2}", "about": {"email": f"e{number % 3}"}})
    store.commit()
    return store


def test_objects_are_found_by_a_field_in_the_order_they_came() -> None:
    store = filled()
    assert ids(store, "owner", "o1") == ["t1", "t3", "t5"]
    assert ids(store, "about.email", "e0") == ["t0", "t3"]
    assert ids(store, "owner", "nobody") == ids(store, "nothing", "o1") == []
    assert store.where("unknown", "owner", "o1") == []


def test_what_changed_is_found_where_it_is_now_and_keeps_its_place() -> None:
    store = filled()
    assert ids(store, "owner", "o0") == ["t0", "t2", "t4"]
    store.update("thing", "t1", owner="o0")
    store.update("thing", "t2", owner=None)
    store.delete("thing", "t4")
    store.put("thing", "t6", {"id": "t6", "owner": "o0"})
    assert ids(store, "owner", "o0") == ["t0", "t1", "t6"]
    assert ids(store, "owner", "o1") == ["t3", "t5"]


def test_what_is_undone_is_found_as_before() -> None:
    store = filled()
    before = [ids(store, "owner", owner) for owner in ("o0", "o1")]
    store.update("thing", "t1", owner="o0")
    store.update("thing", "t1", owner="o9")
    store.put("thing", "t6", {"id": "t6", "owner": "o1"})
    store.rollback()
    assert [ids(store, "owner", owner) for owner in ("o0", "o1", "o9")] == [*before, []]


def test_a_field_changed_in_place_of_itself_is_found_once() -> None:
    store = filled()
    assert ids(store, "owner", "o1") == ["t1", "t3", "t5"]
    store.update("thing", "t3", colour="red")
    assert ids(store, "owner", "o1") == ["t1", "t3", "t5"]
