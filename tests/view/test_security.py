"""Who is let in, and what no page of anybody's can make the server do."""

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from snql.db import Database
from snql.errors import InputError
from snql.view.app import application
from snql.view.options import ViewOptions
from snql.view.security import Door
from snql.view.serving import serve
from snql.view.site import Site

from .conftest import ADDRESS, client


@pytest.fixture
def stranger(database: Database) -> TestClient:
    """Somebody without the token."""
    return TestClient(application(Site(database.path), Door(port=8000)), base_url=ADDRESS)


@pytest.mark.parametrize("path", ["/", "/run/1", "/progress", "/assets/style.css", "/?token=guess", "/nowhere"])
def test_nothing_without_the_token(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 403 and "safety" not in answer.text and not answer.cookies


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_see(database: Database) -> None:
    door = Door(port=8000)
    asked = TestClient(application(Site(database.path), door), base_url=ADDRESS, follow_redirects=False)
    answer = asked.get(f"/sets?token={door.token}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sets")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"snql_8000={door.token};") and "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert asked.get("/").status_code == 200
    elsewhere = asked.get(f"{ADDRESS}//elsewhere.example/?token={door.token}")
    assert elsewhere.headers["location"] == "/elsewhere.example/"


def test_another_token_is_another_server(database: Database) -> None:
    asked = client(database.path)
    asked.cookies.clear()
    asked.cookies.set("snql_8000", Door().token)
    assert asked.get("/").status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("localhost:9999", 200),  # forwarded through a tunnel
        ("[::1]:8000", 200),
        ("evil.example:8000", 421),
        ("127.0.0.1.evil.example", 421),
        ("192.168.0.7:8000", 421),
        ("localhost:8000@evil.example", 421),
        ("", 421),
        ("[::1", 421),
    ],
)
def test_names_that_others_gave_to_this_machine_are_not_answered(user: TestClient, host: str, status: int) -> None:
    cookie = f"snql_8000={user.cookies['snql_8000']}"
    assert user.get("/progress", headers={"host": host, "cookie": cookie}).status_code == status


@pytest.mark.parametrize(
    ("host", "status"), [("192.168.0.7:8000", 200), ("box.local:8000", 200), ("evil.example:8000", 421)]
)
def test_a_server_for_others_answers_to_numbers_and_its_own_name(database: Database, host: str, status: int) -> None:
    door = Door("box.local", 8000)
    asked = client(database.path, door)
    headers = {"host": host, "cookie": f"snql_8000={door.token}"}
    assert asked.get("/progress", headers=headers).status_code == status


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:8001", "https://127.0.0.1:8000", "null"])
def test_pages_of_others_are_not_answered(user: TestClient, origin: str) -> None:
    assert user.get("/progress", headers={"origin": origin}).status_code == 403
    assert user.get("/progress", headers={"origin": ADDRESS}).status_code == 200


def test_browsers_are_told_to_keep_everything_else_out(user: TestClient, stranger: TestClient) -> None:
    for answer in (user.get("/"), user.get("/progress"), user.get("/nowhere"), stranger.get("/")):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "frame-ancestors 'none'" in policy and "unsafe-eval" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_pages_are_only_read(user: TestClient, method: str) -> None:
    for path in ("/", "/run/1", "/sets", "/neuron/L1.N1"):
        assert user.request(method, path, headers={"origin": ADDRESS}).status_code == 405


def test_a_socket_is_refused(user: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), user.websocket_connect("ws://127.0.0.1:8000/"):
        pass


def test_options_that_are_not_possible(database: Database) -> None:
    for options, words in (
        (ViewOptions(port=70_000), "`port` 70000 is not possible"),
        (ViewOptions(timeout=60), "`timeout` 60 is out of range"),
        (ViewOptions(host="not a name"), "`host` not a name, `port` 0 cannot be served"),
    ):
        with pytest.raises(InputError, match=words):
            serve(database.path, options)


def test_the_address_is_of_this_machine_and_each_server_has_its_own_key(database: Database) -> None:
    one, other = (serve(database.path) for _ in range(2))
    with one.listening, other.listening:
        assert one.listening.getsockname()[0] == "127.0.0.1"
        assert one.address.startswith(f"http://127.0.0.1:{one.listening.getsockname()[1]}/?token=")
        assert one.address.partition("token=")[2] != other.address.partition("token=")[2]
        assert len(one.address.partition("token=")[2]) >= 32
