"""Who may use the chat page's endpoints, and how the live stream behaves."""

from __future__ import annotations

import asyncio
import json
import re
import time

import httpx
import pytest
from starlette.routing import Mount, Route

ACTS = {"x-receiver-page": "1"}
SAY = {"user_id": "ada", "message": "hi"}
PATH = "/page/channels/sandbox_team/messages"


async def total(box):
    return (await box.call("GET", "/group_channels/sandbox_team/messages/total_count"))["total"]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.test"},
        {"host": "evil.test:8001"},
        {"host": "127.0.0.1.evil.test"},
        {"host": "localhost.evil.test"},
        {"host": ""},
        {"host": "[::1"},
        {"origin": "http://evil.test"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"host": "192.168.1.2:8001"},
        {"x-forwarded-for": "192.0.2.1"},
        {"via": "1.1 proxy"},
    ],
)
async def test_strangers(box, headers):
    """Foreign hosts, foreign sites and what comes by a proxy are refused; nothing happens."""
    sent = {"content-type": "application/json"} | ACTS | headers
    answer = await box.client.post(PATH, content=json.dumps(SAY), headers=sent)
    assert answer.status_code == 403
    assert await total(box) == 0


SIMPLE = [
    {"content-type": "text/plain"},
    {"content-type": "application/x-www-form-urlencoded"},
    {"content-type": "multipart/form-data; boundary=x"},
    {},
]
"""What a form, or a script without leave, can send to any site."""


def every_action(sandbox):
    """Return every route that takes more than a GET: methods and a path."""
    found, left = [], [("", route) for route in sandbox.routes]
    while left:
        above, route = left.pop()
        if isinstance(route, Route):
            path = above + re.sub("{[^}]*}", "sandbox_team", route.path)
            found += [(method, path) for method in route.methods - {"GET", "HEAD"}]
        elif isinstance(route, Mount):
            left += [(above + route.path, below) for below in route.routes]
    return sorted(found)


async def test_no_action_by_a_simple_request(box):
    """Of all routes that change something, none does what another site's form can ask for."""
    before = (await box.client.get("/page/state")).json()
    actions = every_action(box.sandbox)
    assert {("POST", PATH), ("DELETE", "/mail"), ("POST", "/v3/users")} <= set(actions)
    assert len(actions) > 40
    async with httpx.AsyncClient(base_url=box.url, trust_env=False) as client:
        for method, path in actions:
            for headers in SIMPLE:
                answer = await client.request(method, path, content=json.dumps(SAY), headers=headers)
                refused = 400 if path.startswith("/v3/") else 403
                assert (answer.status_code, method, path) == (refused, method, path)
                assert answer.json()["code"] in ("not_our_page", 400401)
    assert (await box.client.get("/page/state")).json() == before


async def test_nothing_changes_by_reading(box):
    """No route that changes something takes a GET: a link does nothing."""
    before = (await box.client.get("/page/state")).json()
    for _, path in every_action(box.sandbox):
        if path.startswith("/page"):
            await box.client.get(path)
    assert (await box.client.get("/page/state")).json() == before


@pytest.mark.parametrize("path", ["/", "/page/state", "/page/events", "/static/chat.js"])
async def test_strangers_read_nothing(box, path):
    """A foreign host name or site can't even read."""
    for headers in ({"host": "evil.test"}, {"sec-fetch-site": "cross-site"}, {"origin": "http://evil.test"}):
        assert (await box.client.get(path, headers=headers)).status_code == 403


@pytest.mark.parametrize("name", ["localhost", "sandbox.localhost", "[::1]", "127.0.0.2"])
async def test_own_names(box, name):
    """Loopback names and addresses are welcome, with the page's own origin."""
    host = f"{name}:8001"
    headers = ACTS | {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    answer = await box.client.post(PATH, json=SAY, headers=headers)
    assert answer.status_code == 200
    assert await total(box) == 1


async def test_public_name(run):
    """The name in the public URL is welcome, too."""
    async with run(public_url="http://sandbox.example:8001") as box:
        answer = await box.client.get("/page/state", headers={"host": "sandbox.example:8001"})
        assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/", "/page/state", "/static/chat.js", "/static/frame.css"])
async def test_headers(box, path):
    """Whatever the page consists of carries a strict policy."""
    headers = (await box.client.get(path)).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


async def test_page_has_no_inline_code(box):
    """The page has no inline script or style, which its policy would refuse."""
    page = (await box.client.get("/")).text
    assert page.count("<script") == 1
    assert '<script type="module" src="/static/chat.js"></script>' in page
    for word in ("<style", " style=", " onclick=", "javascript:"):
        assert word not in page


async def test_app_id_is_escaped(run):
    """What the page is made of is escaped."""
    async with run(app_id="<script>alert(1)</script>") as box:
        assert "&lt;script&gt;alert(1)" in (await box.client.get("/")).text


async def test_strange_kind_of_channel(box):
    """The page's endpoints check their input as the API does."""
    answer = await box.client.post("/page/channels", json={"name": "X", "kind": "secret"}, headers=ACTS)
    assert (answer.status_code, answer.json()["code"]) == (400, 400111)
    answer = await box.client.post(
        "/page/channels/sandbox_lobby/members", json={"user_ids": ["ada"]}, headers=ACTS
    )
    assert (answer.status_code, answer.json()["code"]) == (400, 400108)


async def test_live_stream(box):
    """The live stream tells of a message at once, without tokens."""
    async with asyncio.timeout(10), box.client.stream("GET", "/page/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        async for line in lines:
            if line == "event: hello":
                break
        await box.say("ada", "hello")
        async for line in lines:
            if line.startswith("data: ") and '"message"' in line:
                told = json.loads(line.removeprefix("data: "))
                break
    assert (told["category"], told["message"]["message"]) == ("group_channel:message_send", "hello")


async def test_ending_streams(box):
    """The live streams can be ended, for a server of one's own that is about to stop."""
    async with asyncio.timeout(5), box.client.stream("GET", "/page/events") as stream:
        async for line in stream.aiter_lines():
            if line == "event: hello":
                box.sandbox.end_streams()


async def test_open_pages_do_not_hold_the_server(run):
    """A server that is told to stop ends the live streams of open pages, and does not wait for them."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        async with run() as box:
            request = browser.build_request("GET", f"{box.url}/page/events")
            stream = await browser.send(request, stream=True)
            begun = time.perf_counter()
        assert time.perf_counter() - begun < 2
        assert b"event: hello" in await stream.aread()
