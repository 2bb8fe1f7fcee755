"""Hostile text in every field, in a real browser: none of it runs, or loads, or needs a policy to stop it."""

from __future__ import annotations

import asyncio
import html
import smtplib
from urllib.parse import quote, urlencode

import httpx
import pytest
from playwright.async_api import expect

from tests import xss
from tests.sandbox.conftest import listen
from tests.sandbox.test_page import ARGS, CHROMIUM, picture

VECTORS = xss.vectors()
PNG = picture(2, 2)
EACH = 8
"""Every so many vectors a page is opened for one alone, which takes its time."""

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")


@pytest.fixture
async def watch():
    async with xss.watched(CHROMIUM, args=ARGS) as watch:
        yield watch


async def test_control(watch):
    """The corpus is alive: where it stands as markup, it runs or loads, and the watch hears it."""
    frames = "".join(f'<iframe srcdoc="{html.escape(one)}"></iframe>' for one in VECTORS)
    await watch.context.route(
        "http://127.0.0.1:1/control", lambda route: route.fulfill(body=frames, content_type="text/html")
    )
    page = await watch.context.new_page()
    await page.goto("http://127.0.0.1:1/control", wait_until="commit")
    lively = set(range(len(xss.RUNS)))
    async with asyncio.timeout(30):
        while not lively <= watch.heard:
            await asyncio.sleep(0.02)
    assert len(VECTORS) > 100


class Filled:
    """A sandbox with a vector in every field that takes it. `taken` counts them by field."""

    def __init__(self, box):
        self.box = box
        self.taken = {}
        self.ids = list(VECTORS)

    async def put(self, field, method, path, body, **more):
        """Call the API; a vector may be refused for its length, or as no URL, and nothing else."""
        answer = await self.box.client.request(method, f"/v3{path}", json=body, **more)
        if answer.status_code != 200:
            assert answer.json()["code"] in (400110, 400111), (field, answer.text)
            return None
        self.taken[field] = self.taken.get(field, 0) + 1
        return answer.json()

    async def people(self):
        for number, one in enumerate(VECTORS):
            body = {"user_id": one, "nickname": one, "profile_url": one}
            more = {"metadata": {one: one}} if len(one.encode()) < 60 else {}
            if await self.put("user", "POST", "/users", body | more) is None:
                self.ids[number] = f"u{number}"
                await self.box.call("POST", "/users", body | {"user_id": f"u{number}", "nickname": "Long"})
            bot = {
                "bot_userid": f"bot {one}",
                "bot_nickname": one,
                "bot_callback_url": f"http://127.0.0.1:9/{quote(one, safe='<>&;{}()=')}",
                "bot_profile_url": one,
                "is_privacy_mode": True,
            }
            await self.put("bot", "POST", "/bots", bot)

    async def channels(self):
        for number, one in enumerate(VECTORS):
            body = {"name": one, "cover_url": one, "custom_type": one, "data": one}
            body |= {"channel_url": f"c{number}", "user_ids": ["ada", self.ids[number]]}
            await self.put("channel", "POST", "/group_channels", body)
            body = {"channel_url": one, "name": f"Channel {number}", "user_ids": ["ada"], "custom_type": "x"}
            await self.put("channel_url", "POST", "/group_channels", body)
            await self.say("gist", f"c{number}", {"message": one, "user_id": self.ids[number]})

    async def messages(self):
        people = ["ada", *self.ids]
        for name in ("texts", "files", "uploads", "admin"):
            body = {"channel_url": name, "name": name, "user_ids": people}
            await self.box.call("POST", "/group_channels", body)
        for number, one in enumerate(VECTORS):
            more = {"user_id": self.ids[number], "data": one, "custom_type": one}
            await self.say("message", "texts", more | {"message": one})
            file = {"url": one, "file_name": one, "file_type": one, "file_size": 5}
            await self.say("file", "files", more | {"message_type": "FILE"} | file)
            await self.say("admin", "admin", {"message_type": "ADMM", "message": one, "data": one})
            form = {"message_type": "FILE", "user_id": self.ids[number]}
            path = "/v3/group_channels/uploads/messages"
            uploaded = {"file": (one, PNG, "image/png")}
            answer = await self.box.client.post(path, data=form, files=uploaded)
            assert answer.status_code == 200, answer.text

    async def say(self, field, channel_url, body):
        body = {"message_type": "MESG", **body}
        await self.put(field, "POST", f"/group_channels/{channel_url}/messages", body)


async def test_chat(run, receiver, watch):
    """Vectors in every field of users, bots, channels, messages, files and deliveries stay text."""
    async with run(app_id=VECTORS[0]) as box:
        filled = Filled(box)
        await filled.people()
        await filled.channels()
        await filled.messages()
        # A channel's URL may hold little, and so few vectors.
        full = {field: count for field, count in filled.taken.items() if field != "channel_url"}
        assert min(full.values()) > 0.9 * len(VECTORS), filled.taken
        page = await watch.context.new_page()
        shown = {"texts": ".bubble", "files": ".file-name", "uploads": ".picture", "admin": ".notice .body"}
        for channel_url, part in shown.items():
            address = urlencode({"user": VECTORS[0], "channel": channel_url})
            await page.goto(f"{box.url}/?{channel_url}#{address}")
            await expect(page.locator(f"[data-testid=message] {part}")).to_have_count(len(VECTORS))
            await watch.look(page)
        await page.evaluate("document.querySelectorAll('.picture').forEach((node) => { node.src += '?'; })")
        # As a hostile user, in a hostile channel.
        for number, one in list(enumerate(VECTORS))[::EACH]:
            address = urlencode({"user": filled.ids[number], "channel": f"c{number}"})
            await page.evaluate("(address) => { location.hash = address; }", address)
            await expect(page.locator("#channel-about")).to_contain_text(f" c{number}")
            assert await page.locator("#channel-name").text_content() == one
            await watch.look(page)
        await page.click("#add-people")
        await watch.look(page)
        await page.keyboard.press("Escape")
        await page.goto(f"{box.url}/?x={quote(VECTORS[0])}#{VECTORS[0]}")
        await expect(page.locator("#link-text")).to_have_text("Live")
        # What is posted is shown with all that is in it, live.
        hook = {"enabled": True, "url": f"{receiver.url}/{quote(VECTORS[0])}", "include_members": False}
        await box.call(
            "PUT", "/applications/settings/webhook", hook | {"enabled_events": ["group_channel:message_send"]}
        )
        for number in range(90):
            await box.say(
                filled.ids[number], VECTORS[number], "texts", data=VECTORS[-number], custom_type="x"
            )
        await expect(page.get_by_test_id("delivery")).to_have_count(90)
        await page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
        await expect(page.locator(".deliveries pre")).to_have_count(90)
        await watch.look(page)
        assert watch.nothing(), (watch.heard, watch.complaints[:10])


def letter(number, one):
    """The bytes of a mail that has a vector in every place."""
    name, bare = xss.encoded_word(one), one.replace("\r", "").replace("\n", "").replace("\0", "")
    return (
        f"From: {name} <a@example.com>\r\nTo: {name} <b@example.com>\r\nSubject: {name}\r\n"
        f"Message-ID: <{bare}>\r\nList-Unsubscribe: <{bare}>\r\nX-Raw: {bare}\r\nX-Encoded: {name}\r\n"
        f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b{number}"\r\n\r\n'
        f"--b{number}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{one}\r\n"
        f"--b{number}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>{one}</p>\r\n"
        f'--b{number}\r\nContent-Type: text/plain; name="{name}"\r\n'
        f'Content-Disposition: attachment; filename="{name}"\r\n\r\nx\r\n--b{number}--\r\n'
    ).encode("utf-8", "replace")


def all_in_one():
    """The bytes of a mail that has every vector in its headers, and in its text."""
    heads = "".join(f"X-{number}: {xss.encoded_word(one)}\r\n" for number, one in enumerate(VECTORS))
    return f"{heads}Subject: all\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n".encode() + "\r\n".join(
        VECTORS
    ).encode("utf-8", "replace")


def deliver(port, letters):
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        for number, content in enumerate(letters):
            sender = '"<img/src=x/onerror=__xss(0)>"@evil.test' if number == 0 else "a@example.com"
            client.sendmail(sender, [sender], content)


async def test_mail(run, watch):
    """Vectors in every header, in text, HTML and attachments stay text, or are taken out of the HTML."""
    smtp, _ = listen()
    letters = [letter(number, one) for number, one in enumerate(VECTORS)]
    async with run(smtp=smtp) as box:
        await asyncio.to_thread(deliver, smtp.getsockname()[1], [*letters, all_in_one()])
        mails = (await box.client.get("/mail.json")).json()["mails"][::-1]
        page = await watch.context.new_page()
        await page.goto(f"{box.url}/mail")
        await expect(page.get_by_test_id("mail")).to_have_count(len(VECTORS) + 1)
        await watch.look(page)
        # Every mail's HTML, in frames as the page has them.
        await page.evaluate(
            """(ids) => Promise.all(ids.map((id) => new Promise((done) => {
                 const frame = document.createElement("iframe");
                 frame.sandbox = "allow-popups allow-popups-to-escape-sandbox";
                 frame.addEventListener("load", done);
                 frame.src = `/mail/${id}/html`;
                 document.body.append(frame);
               })))""",
            [mail["id"] for mail in mails[:-1]],
        )
        for view in ("text", "headers", "source"):
            await page.goto(f"{box.url}/mail/{mails[-1]['id']}?view={view}")
            await expect(page.locator("#link-text")).to_have_text("Live")
            await watch.look(page)
        views = ("html", VECTORS[0])
        pages = [f"/mail/{mail['id']}?{urlencode({'view': view})}" for mail in mails[:-1] for view in views]
        await watch.read([(await box.client.get(one)).text for one in pages])
        for one in pages[:: len(views) * EACH + 1]:
            await page.goto(f"{box.url}{one}")
            await watch.look(page)
        await page.goto(f"{box.url}/mail/{quote(VECTORS[0], safe='')}")
        await watch.look(page)
        unknown = "console: Failed to load resource: the server responded with a status of 400 (Bad Request)"
        watch.complaints = [one for one in watch.complaints if one != unknown]
        assert watch.nothing(), (watch.heard, watch.complaints[:10])


async def test_errors(run):
    """An answer that is no page is none for the browser either, whatever was asked for."""
    async with run() as box, httpx.AsyncClient(base_url=box.url, trust_env=False) as client:
        for one in VECTORS:
            part = quote(one, safe="")
            for path in (
                f"/{part}",
                f"/v3/{part}",
                f"/files/{part}/{part}",
                f"/page/{part}",
                f"/static/{part}",
            ):
                answer = await client.get(path, headers={"accept": "text/html"})
                assert answer.status_code in (400, 404)
                assert answer.headers["content-type"] == "application/json"
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
