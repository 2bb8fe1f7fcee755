"""The pages with a token: who gets in, by what, and how often one may try."""

from __future__ import annotations

import json
import re
from ipaddress import ip_network

import httpx
import pytest
from playwright.async_api import async_playwright, expect
from pydantic import SecretStr

from receiver.errors import SettingsError
from receiver.networks import Networks
from receiver.sandbox import Sandbox, SandboxServer
from tests.sandbox.test_page import ARGS, CHROMIUM

TOKEN = "the-token-of-the-pages"
ACTS = {"x-receiver-page": "1"}
BEARER = {"authorization": f"Bearer {TOKEN}"}
SAY = {"user_id": "ada", "message": "hi"}
PATH = "/page/channels/sandbox_team/messages"


@pytest.fixture
async def box(run):
    async with run(page_token=SecretStr(TOKEN)) as running:
        yield running


@pytest.fixture
async def http(box):
    """A client without any token or cookie, and from elsewhere by its Host header."""
    async with httpx.AsyncClient(
        base_url=box.url, trust_env=False, headers={"host": "chat.example"}
    ) as client:
        yield client


async def log_in(http, token=TOKEN, **headers):
    return await http.post("/login", json={"token": token}, headers=ACTS | headers)


@pytest.mark.parametrize(
    "path", ["/", "/mail", "/page/state", "/page/events", "/static/chat.js", "/x", "/docs"]
)
@pytest.mark.parametrize("accept", ["text/html", "*/*"])
async def test_strangers_see_nothing(http, path, accept):
    """Without a proof there is no page, no file, no stream and no list of paths: a login, or 401."""
    answer = await http.get(path, headers={"accept": accept})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert ("<h1>Log in</h1>" in answer.text) == (accept == "text/html")
    for word in ("Sandbox", "Lovelace", "SANDBOX-TEST"):
        assert word not in answer.text
    assert "set-cookie" not in answer.headers


async def test_log_in_and_out(http):
    """The token opens a session, by a cookie that then opens everything, until it is ended."""
    answer = await log_in(http)
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    for word in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"):
        assert word in cookie
    assert (await http.get("/page/state")).status_code == 200
    assert (await http.post(PATH, json=SAY, headers=ACTS)).status_code == 200
    assert 'id="log-out"' in (await http.get("/")).text
    kept = cookie.partition(";")[0]
    answer = await http.post("/logout", headers=ACTS)
    assert "Max-Age=0" in answer.headers["set-cookie"]
    http.cookies.clear()
    assert (await http.get("/page/state", headers={"cookie": kept})).status_code == 401


async def test_bearer(http):
    """A script sends the token with each request, and needs nothing else."""
    assert (await http.get("/page/state", headers=BEARER)).status_code == 200
    assert (await http.post(PATH, json=SAY, headers=BEARER)).status_code == 200
    assert "log-out" not in (await http.get("/", headers=BEARER)).text


async def test_secure(http):
    """By HTTPS, which a proxy in front speaks, the cookie is for HTTPS only."""
    cookie = (await log_in(http, **{"x-forwarded-proto": "https"})).headers["set-cookie"]
    assert cookie.startswith("__Host-receiver-session=")
    assert "; Secure" in cookie


@pytest.mark.parametrize(
    "headers",
    [
        {},  # a form of any site
        {"origin": "http://evil.test"} | ACTS,
        {"origin": "null"} | ACTS,
        {"sec-fetch-site": "cross-site"} | ACTS,
        {"sec-fetch-site": "same-site"} | ACTS,
    ],
)
async def test_other_sites(box, http, headers):
    """With a session in the browser, another site can neither act nor log in nor log out."""
    assert (await http.post("/login", json={"token": TOKEN}, headers=headers)).status_code == 403
    await log_in(http)
    before = (await http.get("/page/state")).json()
    for method, path in (
        ("POST", PATH),
        ("DELETE", "/mail"),
        ("PUT", "/page/users/ada"),
        ("POST", "/logout"),
    ):
        answer = await http.request(method, path, content=json.dumps(SAY), headers=headers)
        assert answer.status_code == 403, path
    assert (await http.get("/page/state")).json() == before


async def test_other_sites_see_nothing(http):
    """Nor can another site look, or listen to the live stream, with the session's cookie."""
    await log_in(http)
    for path in ("/", "/page/events", "/mail.json"):
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "http://evil.test"}):
            assert (await http.get(path, headers=headers)).status_code == 403


@pytest.mark.parametrize("by", ["login", "bearer"])
async def test_tries(http, by):
    """After five wrong tokens not even the right one is looked at; sessions there are go on."""
    await log_in(http)
    session = {"cookie": "; ".join(f"{name}={value}" for name, value in http.cookies.items())}
    http.cookies.clear()

    async def attempt(token):
        if by == "login":
            return await log_in(http, token)
        return await http.get("/page/state", headers={"authorization": f"Bearer {token}"})

    for _ in range(5):
        assert (await attempt("wrong")).status_code == 401
    answer = await attempt(TOKEN)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 12
    assert (await log_in(http)).status_code == 429
    assert (await http.get("/page/state", headers=session)).status_code == 200


async def test_a_proxy_s_clients_are_told_apart(run):
    """Behind a trusted proxy, whoever tries wrong tokens locks out nobody else."""
    networks = Networks((), (ip_network("127.0.0.0/8"),))
    async with (
        run(page_token=SecretStr(TOKEN), networks=networks) as box,
        httpx.AsyncClient(base_url=box.url, trust_env=False) as http,
    ):
        statuses = [
            (await log_in(http, "wrong", **{"x-forwarded-for": "192.0.2.1"})).status_code for _ in range(6)
        ]
        assert statuses == [401] * 5 + [429]
        assert (await log_in(http, **{"x-forwarded-for": "192.0.2.2"})).status_code == 204


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"token": 5}', 400),
        (b'{"token": ["x"]}', 400),
        (b'{"token": "\xff"}', 400),
        (b'{"token": ""}', 401),
        (b'{"token": "' + b"x" * 5000 + b'"}', 413),
    ],
)
async def test_nonsense(http, content, status, capfd):
    """What is no token is refused quietly, and not read on and on."""
    answer = await http.post("/login", content=content, headers=ACTS)
    assert answer.status_code == status
    assert "Traceback" not in capfd.readouterr().err


async def test_not_in_a_url(http):
    """The token in an address opens nothing."""
    for query in ({"token": TOKEN}, {"access_token": TOKEN}):
        assert (await http.get("/page/state", params=query)).status_code == 401
        assert (await http.post("/login", params=query, json={}, headers=ACTS)).status_code == 400


async def test_what_stays_open(box, http):
    """The API has a token of its own, and files an address that can't be guessed."""
    assert (await box.call("GET", "/users"))["users"]
    assert (await http.get("/v3/users", headers=BEARER)).json()["code"] == 400401
    files = {"file": ("a.txt", b"content", "text/plain")}
    fields = {"message_type": "FILE", "user_id": "ada"}
    sent = await box.client.post("/v3/group_channels/sandbox_team/messages", data=fields, files=files)
    answer = await http.get(httpx.URL(sent.json()["file"]["url"]).path)
    assert answer.content == b"content"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


def test_bind():
    """A sandbox without a token can't be served to other machines, whoever asks for it."""
    one = Sandbox(app_id="A", api_token="t")
    with pytest.raises(SettingsError, match="RECEIVER_INSPECTOR_TOKEN"):
        SandboxServer(one, host="0.0.0.0")
    SandboxServer(Sandbox(app_id="A", api_token="t", page_token=SecretStr(TOKEN)), host="0.0.0.0")


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
async def test_in_a_browser(box):
    """The page asks for the token where it was wanted, says what is wrong, then shows it; and logs out."""
    complaints = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        page = await browser.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{box.url}/#user=grace&channel=sandbox_team")
        await page.get_by_label("Token").fill("not-the-token")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        await page.get_by_label("Token").fill(TOKEN)
        await page.keyboard.press("Enter")
        await expect(page.locator("#link-text")).to_have_text("Live")
        await expect(page.get_by_test_id("user-grace")).to_have_attribute("aria-pressed", "true")
        await page.fill("#message-input", "hello")
        await page.press("#message-input", "Enter")
        await expect(page.get_by_test_id("message")).to_contain_text(["hello"])
        assert "receiver-session" not in await page.evaluate("document.cookie")
        await page.goto(f"{box.url}/mail")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_label("Token")).to_be_visible()
        assert await page.context.cookies() == []
        await browser.close()
    # The browser tells of each 401, which those three were: the first page, a wrong token, and logged out.
    assert [said for said in complaints if not re.search("status of 401", said)] == []
