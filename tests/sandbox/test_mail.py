"""The sandbox's mail server, and the page on which its mails are read."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import smtplib
import socket

import pytest
from playwright.async_api import async_playwright, expect

from receiver.sandbox import mailbox as mailboxes
from receiver.sandbox.mail import SmtpSink
from receiver.sandbox.mail_html import tame
from receiver.sandbox.mailbox import Mailbox
from receiver.sandbox.store import Store

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LINK = "https://chat.example.com/unsubscribe/abc?x=1&y=2"
HEAD = (
    "From: Chat <chat@example.com>\r\nTo: Ada Lovelace <ada@example.com>\r\nSubject: {subject}\r\n"
    f"Message-ID: <1@example.com>\r\nList-Unsubscribe: <mailto:u@example.com>, <{LINK}>\r\n"
)
ACTS = {"x-receiver-page": "1"}
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"
HTML = (
    "<html><head><style>p {color: red; background: url(https://evil.test/a.png)}</style>"
    '<script>document.title = "owned"; parent.location = "https://evil.test"</script>'
    '<link rel=stylesheet href="https://evil.test/a.css"><meta http-equiv=refresh content="0;http://evil.test">'
    '</head><body onload="alert(3)"><p onclick="alert(4)" style="background:URL(\'//evil.test/b\')">Hello'
    f'<img src="https://evil.test/x.png" onerror="alert(5)"></p><a id=link href="{LINK}" rel=opener>stop</a>'
    '<a href="javascript:alert(6)">bad</a><iframe src="https://evil.test"></iframe><form action="/mail">'
    '<img alt=dot src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="></body></html>'
)


def mail(subject="Hello", html=None, text=f"See {LINK}.\r\n<b>not bold</b>\r\n"):
    """The bytes of a mail, as a stranger may write them."""
    head = HEAD.format(subject=subject)
    if html is None:
        return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}".encode()
    return (
        f'{head}MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="b"\r\n\r\n'
        f"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
        f"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n--b--\r\n"
    ).encode()


async def deliver(port, content):
    """Send a mail as any program does: with the standard library's client."""

    def send():
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.sendmail("chat@example.com", ["ada@example.com"], content)

    await asyncio.to_thread(send)


class WithMail:
    """A sandbox that takes mails."""

    def __init__(self, box, port):
        self.box = box
        self.port = port
        self.get = box.client.get

    async def deliver(self, **content):
        """Deliver a mail; return what the list says of it."""
        await deliver(self.port, mail(**content))
        return (await self.list())[0]

    async def list(self, query=""):
        return (await self.get(f"/mail.json{query}")).json()["mails"]


@pytest.fixture
def mailing(run):
    @contextlib.asynccontextmanager
    async def start(**options):
        smtp = socket.create_server(("127.0.0.1", 0))
        port = smtp.getsockname()[1]
        async with run(smtp=smtp, **options) as box:
            yield WithMail(box, port)

    return start


@pytest.fixture
async def post(mailing):
    async with mailing() as running:
        yield running


class TestSink:
    async def test_alone(self):
        """The sink works on its own, and tells where it is and what came."""
        async with SmtpSink() as sink:
            await asyncio.gather(deliver(sink.port, mail()), sink.wait_for(1))
            [came] = sink.mails
            assert (came.mail_from, came.rcpt_tos) == ("chat@example.com", ("ada@example.com",))
            assert came.content == mail()
            assert sink.url == f"smtp://127.0.0.1:{sink.port}"
            assert (came.unsubscribe, came.message_id) == (LINK, "<1@example.com>")

    async def test_waiting_in_vain(self):
        """Waiting for mails that don't come ends with what came instead."""
        async with SmtpSink() as sink:
            await deliver(sink.port, mail(subject="only this"))
            with pytest.raises(AssertionError, match=r"there are 1 mails, not 2: \['only this'\]"):
                await sink.wait_for(2, timeout=0.01)

    async def test_faults(self):
        """A fault happens as often as it was ordered, and then no more."""
        async with SmtpSink() as sink:
            sink.refuse("RCPT", 450, "busy", times=2)
            for _ in range(2):
                with pytest.raises(smtplib.SMTPRecipientsRefused):
                    await deliver(sink.port, mail())
            await deliver(sink.port, mail())
            assert len(sink.mails) == 1

    async def test_stops_while_someone_hangs(self):
        """A sink stops, though a client is connected and another one hangs."""
        async with SmtpSink() as sink:
            sink.hang("DOT")
            stuck = asyncio.create_task(deliver(sink.port, mail()))
            await sink.wait_for(1)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            await stuck

    async def test_newest_only(self, monkeypatch):
        """Only the newest mails are kept, by number and by size."""
        monkeypatch.setattr(mailboxes, "MOST", 3)
        monkeypatch.setattr(mailboxes, "MOST_BYTES", 1000)
        box = Mailbox(Store(None))
        for size in (1, 2, 3, 4):
            await box.add("a@b.c", [], b"x" * size)
        assert [len(one.content) for one in box.mails] == [2, 3, 4]
        await box.add("a@b.c", [], b"x" * 996)
        assert [len(one.content) for one in box.mails] == [4, 996]
        await box.add("a@b.c", [], b"x" * 5000)
        assert [len(one.content) for one in box.mails] == [5000]

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff\xfe",
            b"Subject: =?utf-8?q?=ff?=\r\nTo: <<<\r\nFrom: ,;:@\r\nDate: x\r\n\r\n\xff",
            b"Content-Type: text/html; charset=nonsense\r\n\r\n\xff<p>",
            b"Content-Type: multipart/alternative\r\n\r\nno boundary",
            b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
            b"Message-ID: [\r\nTo: \xe4\r\nContent-Type: ;;;\r\n\r\nx",
        ],
    )
    async def test_odd_mails(self, post, content):
        """A mail that is hardly one is taken, listed and shown in every view."""
        await deliver(post.port, content)
        [listed] = await post.list("?whole")
        for view in ("html", "text", "headers", "source"):
            assert (await post.get(f"/mail/{listed['id']}?view={view}")).status_code == 200


class TestPage:
    async def test_list(self, post):
        """The list has every mail, the newest first; with `?whole`, with its texts, for scripts."""
        await post.deliver(subject="one")
        await post.deliver(subject="two", html="<p>hi</p>")
        listed = await post.list()
        assert [one["subject"] for one in listed] == ["two", "one"]
        assert listed[0]["to"] == "Ada Lovelace <ada@example.com>"
        assert (listed[0]["unsubscribe"], listed[0]["message_id"]) == (LINK, "<1@example.com>")
        assert "html" not in listed[0]
        assert (await post.list("?whole"))[0]["html"] == "<p>hi</p>"

    async def test_views(self, post):
        """A mail's views show it escaped, with links that open apart."""
        listed = await post.deliver(subject=EVIL, html=HTML)
        address = LINK.replace("&", "&amp;")
        link = f'<a href="{address}" target="_blank" rel="noopener noreferrer">{address}</a>'
        for view in ("text", "headers", "source", "html", "nonsense"):
            page = (await post.get(f"/mail/{listed['id']}?view={view}")).text
            assert "<script>" not in page
            assert "<img" not in page
            assert ('<iframe id="frame"' in page) == (view in ("html", "nonsense"))
            assert (link in page) == (view in ("text", "headers"))
        assert "&lt;b&gt;not bold" in (await post.get(f"/mail/{listed['id']}?view=text")).text

    async def test_frame(self, post):
        """The HTML is served with a policy that runs and fetches nothing, for our own frame only."""
        listed = await post.deliver(html=HTML)
        answer = await post.get(f"/mail/{listed['id']}/html")
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; ")
        assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
        assert "allow-scripts" not in policy
        assert "allow-same-origin" not in policy
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        for gone in ("script", "alert", "evil.test", "onload", "javascript", 'opener"', "iframe", "<form"):
            assert gone not in answer.text.replace("noopener", "")
        assert "Hello" in answer.text
        assert "data:image/gif" in answer.text

    async def test_download(self, post):
        """A mail can be had as it came."""
        listed = await post.deliver(subject='a/b "c"')
        answer = await post.get(f"/mail/{listed['id']}/message.eml")
        assert answer.content == mail(subject='a/b "c"')
        assert answer.headers["content-type"] == "message/rfc822"
        assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a_b%20_c_.eml"

    async def test_delete(self, post):
        """All mails can be deleted, by our own page or a script, not by another site."""
        listed = await post.deliver()
        refused = await post.box.client.delete("/mail", headers=ACTS | {"origin": "http://evil.test"})
        assert refused.status_code == 403
        assert len(await post.list()) == 1
        assert (await post.box.client.delete("/mail", headers=ACTS)).status_code == 204
        assert await post.list() == []
        for path in ("", "/html", "/message.eml"):
            assert (await post.get(f"/mail/{listed['id']}{path}")).status_code == 404

    @pytest.mark.parametrize(
        "path", ["/mail", "/mail.json", "/mail/x", "/mail/x/html", "/mail/x/message.eml"]
    )
    async def test_strangers(self, box, path):
        """Other sites and host names can't read mails."""
        for headers in ({"host": "evil.test"}, {"sec-fetch-site": "cross-site"}):
            assert (await box.client.get(path, headers=headers)).status_code == 403

    async def test_kept(self, mailing, tmp_path):
        """Mails are there after a restart."""
        async with mailing(data_dir=tmp_path) as post:
            before = await post.deliver(html=HTML)
        async with mailing(data_dir=tmp_path) as post:
            assert await post.list() == [before]
            await post.deliver(subject="newer")
            assert [one["subject"] for one in await post.list()] == ["newer", "Hello"]
            await post.box.client.delete("/mail", headers=ACTS)
        async with mailing(data_dir=tmp_path) as post:
            assert await post.list() == []

    async def test_without_a_server(self, box):
        """A sandbox without a mail server says how to start one."""
        assert "--smtp-port" in (await box.client.get("/mail")).text


class TestTame:
    @pytest.mark.parametrize(
        ("html", "tamed"),
        [
            ("<p>a &lt;b&gt; &amp;amp;</p>", "<p>a &lt;b&gt; &amp;amp;</p>"),
            ("<p title='\"><script>'>x</p>", '<p title="&quot;&gt;&lt;script&gt;">x</p>'),
            ("a<script>b</script>c<SCRIPT src=x></SCRIPT >d", "acd"),
            ("<style>a{b:url( 'http://x' )}</style>", "<style>a{b:none}</style>"),
            ("<style>@import 'http://x'; a>b{}</style>", "<style>none a>b{}</style>"),
            ("<svg onload=x><script>a</script></svg>b", "b"),
            ("<br/><hr>", "<br><hr>"),
            ("<a href='java\nscript:x'>a</a>", '<a target="_blank" rel="noopener noreferrer">a</a>'),
            ("<img src='cid:x'>", "<img>"),
            ("<!-- a --><?php b ?><![CDATA[c]]>", ""),
            ("<p<b>x", "x"),
        ],
    )
    def test_pieces(self, html, tamed):
        """What runs or fetches goes; everything else stays as it was meant."""
        assert tame(html).html == tamed

    def test_count(self):
        """What is missing is counted."""
        assert tame("<img src=http://a><img src=data:image/png;base64,x><img srcset=b>").pictures == 1


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
class TestBrowser:
    @pytest.fixture
    async def open_page(self):
        """Open an address; complaints on the console, dialogs and requests to elsewhere fail the test."""
        complaints = []
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
            )
            context = await browser.new_context()

            def watch(page):
                page.on("console", lambda said: complaints.append(said.text))
                page.on("pageerror", lambda error: complaints.append(str(error)))
                page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))

            context.on("page", watch)

            async def elsewhere(route):
                if "evil.test" in route.request.url:
                    complaints.append(route.request.url)
                await route.fulfill(body="elsewhere", content_type="text/plain")

            await context.route(lambda url: "127.0.0.1" not in url and not url.startswith("data:"), elsewhere)

            async def start(url):
                page = await context.new_page()
                await page.goto(url)
                await expect(page.locator("#link-text")).to_have_text("Live")
                return page

            start.complaints = complaints
            yield start
            await browser.close()
        assert complaints == []

    async def test_live(self, post, open_page):
        """A mail appears on the open page by itself, and the chat page shows that one came."""
        page, chat = await open_page(f"{post.box.url}/mail"), await open_page(f"{post.box.url}/")
        await expect(page.locator("#no-mails")).to_be_visible()
        await post.deliver(subject=EVIL)
        row = page.get_by_test_id("mail")
        await expect(row.locator(".about")).to_have_text(EVIL)
        await expect(row.locator(".to")).to_have_text("To Ada Lovelace")
        await expect(page.locator("#no-mails")).to_be_hidden()
        await expect(chat.locator("#open-mail.news")).to_be_visible()
        await chat.click("#open-mail")
        await expect(chat.get_by_test_id("mail")).to_have_count(1)

    async def test_a_hostile_mail(self, post, open_page):
        """A script in a mail doesn't run, nothing is fetched, and its links open in a tab of their own."""
        await post.deliver(html=HTML)
        page = await open_page(f"{post.box.url}/mail")
        await page.get_by_test_id("mail").locator("a").click()
        await page.wait_for_url(re.compile("/mail/[0-9a-f]+$"))  # loaded, with its frame
        await expect(page.locator("#link-text")).to_have_text("Live")
        assert open_page.complaints == []
        frame = page.frame_locator("#frame")
        await expect(frame.locator("p")).to_have_text("Hello")
        await expect(page.locator("#pictures")).to_contain_text("1 picture from elsewhere is not loaded")
        assert await page.title() == "Hello · Sandbox"
        assert await frame.locator("script, iframe, form").count() == 0
        assert await frame.locator("p").evaluate("node => getComputedStyle(node).color") == "rgb(255, 0, 0)"
        async with page.context.expect_page() as opened:
            await frame.locator("#link").click()
        tab = await opened.value
        await expect(tab.locator("body")).to_have_text("elsewhere")
        assert tab.url == LINK
        assert await tab.evaluate("window.opener") is None
        assert page.url.startswith(post.box.url)
        # Looking into a frame that runs no scripts makes the browser complain of Playwright's own.
        blocked = [said for said in open_page.complaints if said.startswith("Blocked script execution")]
        assert open_page.complaints == blocked
        open_page.complaints.clear()

    async def test_tabs(self, post, open_page):
        """Text, headers and source are a click away, and so is the link to unsubscribe."""
        listed = await post.deliver(html=HTML)
        page = await open_page(f"{post.box.url}/mail/{listed['id']}")
        await page.click("text=Text")
        await expect(page.locator("#text")).to_contain_text("<b>not bold</b>")
        await page.click("text=Headers")
        await expect(page.locator("#headers")).to_contain_text("Message-ID")
        await page.click("text=Source")
        await expect(page.locator("#source")).to_contain_text("Content-Type: multipart/alternative")
        unsubscribe = page.get_by_role("link", name="Unsubscribe", exact=True)
        assert await unsubscribe.get_attribute("href") == LINK
        assert await unsubscribe.get_attribute("rel") == "noopener noreferrer"

    async def test_clearing(self, post, open_page):
        """Deleting all mails is asked back, and empties the page."""
        listed = await post.deliver()
        page = await open_page(f"{post.box.url}/mail/{listed['id']}")
        await page.click("#clear")
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator("dialog")).to_be_hidden()
        assert len(await post.list()) == 1
        await page.click("#clear")
        await page.click("#clear-really")
        await page.wait_for_url(re.compile("/mail$"))
        await expect(page.locator("#no-mails")).to_be_visible()
