"""The chat page in a real browser."""

from __future__ import annotations

import re
import shutil
import struct
import zlib

import pytest
from playwright.async_api import async_playwright, expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")


@pytest.fixture
async def look(run):
    """Open the page as a user, in a browser of its own; complaints on the console fail the test."""
    complaints, tolerated = [], []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)

        async def start(box, user_id, channel_url="sandbox_team", **options):
            context = await browser.new_context(**options)
            page = await context.new_page()
            page.on("console", lambda said: complaints.append(said.text) if said.type != "log" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
            await page.goto(f"{box.url}/#user={user_id}&channel={channel_url}")
            await expect(page.locator("#link-text")).to_have_text("Live")
            await expect(page.locator("#channel-name")).not_to_have_text("Pick a channel")
            return page

        start.tolerated = tolerated
        yield start
        await browser.close()
    assert [said for said in complaints if said not in tolerated] == []


def messages(page):
    return page.get_by_test_id("message")


async def test_two_people_talk(box, look):
    """What one user types appears at once for another, with name and time, and the other way round."""
    ada, grace = await look(box, "ada"), await look(box, "grace")
    await ada.fill("#message-input", "hello Grace")
    await ada.press("#message-input", "Enter")
    await expect(messages(grace)).to_contain_text(["hello Grace"])
    await expect(messages(grace).locator(".author")).to_have_text("Ada Lovelace")
    await expect(messages(grace).locator("time")).to_have_text(re.compile(r"\d+:\d\d"))
    await grace.fill("#message-input", "hello Ada")
    await grace.click("#send")
    await expect(messages(ada)).to_contain_text(["hello Grace", "hello Ada"])
    await expect(ada.locator("#message-input")).to_have_value("")


async def test_lines(box, look):
    """Shift+Enter makes a new line; Enter sends; nothing but space is not sent."""
    ada = await look(box, "ada")
    await ada.press("#message-input", "Enter")
    await ada.fill("#message-input", "   ")
    await ada.press("#message-input", "Enter")
    await ada.fill("#message-input", "one")
    await ada.press("#message-input", "Shift+Enter")
    await ada.locator("#message-input").press_sequentially("two")
    await ada.press("#message-input", "Enter")
    await expect(messages(ada)).to_have_count(1)
    sent = await box.call("GET", "/group_channels/sandbox_team/messages", params={"message_ts": 0})
    assert sent["messages"][0]["message"] == "one\ntwo"


async def test_markup_stays_text(box, look):
    """Markup in messages, names, channels and files is shown as text and never run."""
    bad = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'&amp;"
    await box.call("PUT", "/users/grace", {"nickname": bad[:60]})
    await box.call("PUT", "/group_channels/sandbox_team", {"name": bad})
    await box.say("grace", bad)
    body = {"message_type": "FILE", "user_id": "grace", "url": "javascript:alert(3)", "file_name": bad}
    await box.call("POST", "/group_channels/sandbox_team/messages", body)
    ada = await look(box, "ada")
    await expect(ada.locator("#channel-name")).to_have_text(bad)
    await expect(messages(ada).first.locator(".bubble")).to_have_text(bad)
    await expect(messages(ada).last.locator(".file-name")).to_have_text(bad)
    await expect(messages(ada).locator("img, script")).to_have_count(0)
    assert await ada.locator('a[href^="javascript"]').count() == 0


async def test_a_bot_answers(run, receiver, look):
    """A bot's answer appears live, with its badge, and the deliveries show the road."""
    async with run(webhook_url=f"{receiver.url}/hook") as box:
        await box.add_bot(f"{receiver.url}/bot", is_privacy_mode=True)
        ada = await look(box, "ada")
        await ada.fill("#message-input", "/hello there")
        await ada.press("#message-input", "Enter")
        callback = (await receiver.get("bot_message_notification")).json
        assert callback["message"]["text"] == "/hello there"
        answer = {"message": "General answer", "channel_url": callback["channel"]["channel_url"]}
        await box.call("POST", "/bots/helper/send", answer)
        await expect(messages(ada).last).to_contain_text("General answer")
        await expect(messages(ada).last.locator(".bot-badge")).to_have_text("Bot")
        delivery = ada.locator('[data-category="bot_message_notification"]')
        await expect(delivery).to_have_attribute("data-outcome", "delivered")
        await expect(delivery).to_contain_text("1 try")
        await delivery.locator("summary").click()
        await expect(delivery.locator("pre")).to_contain_text('"bot_token": "…"')


async def test_failures_show(run, receiver, look):
    """A delivery that failed for good is shown with its tries and its last status."""
    receiver.statuses = [500, 500, 503]
    async with run(webhook_url=receiver.url) as box:
        ada = await look(box, "ada")
        await box.say("ada", "hi")
        delivery = ada.get_by_test_id("delivery")
        await expect(delivery).to_have_attribute("data-outcome", "failed")
        await expect(delivery.locator(".pill")).to_have_text("503")
        await expect(delivery).to_contain_text("3 tries")


async def test_file(box, look):
    """A chosen file is sent, shown with name and size, and can be fetched from its link."""
    ada, grace = await look(box, "ada"), await look(box, "grace")
    file = {"name": "plan ü.txt", "mimeType": "text/plain", "buffer": b"x" * 2048}
    await ada.set_input_files("#file-input", files=[file])
    card = messages(grace).get_by_test_id("file")
    await expect(card).to_contain_text("plan ü.txt")
    await expect(card).to_contain_text("2.0 kB")
    fetched = await box.client.get(await card.get_attribute("href"))
    assert fetched.content == b"x" * 2048
    sent = await box.call("GET", "/group_channels/sandbox_team/messages", params={"message_ts": 0})
    assert (sent["messages"][0]["type"], sent["messages"][0]["user"]["user_id"]) == ("FILE", "ada")


async def test_admin_message(box, look):
    """An admin message is sent from nobody, and looks different."""
    ada, grace = await look(box, "ada"), await look(box, "grace")
    await ada.click("#admin-toggle")
    await expect(ada.locator("#admin-toggle")).to_have_attribute("aria-pressed", "true")
    await ada.fill("#message-input", "Restart at noon")
    await ada.press("#message-input", "Enter")
    await expect(messages(grace)).to_have_attribute("data-type", "ADMM")
    await expect(messages(grace).locator(".notice")).to_contain_text("Restart at noon")
    await expect(messages(grace).locator(".author")).to_have_count(0)
    await expect(ada.locator("#admin-toggle")).to_have_attribute("aria-pressed", "false")


async def test_offline_switch(box, look):
    """A user switched offline is offline for all, is told so, and reads nothing until online again."""
    ada, grace = await look(box, "ada"), await look(box, "grace")
    await ada.get_by_test_id("online-grace").click()
    await expect(grace.locator("#offline-banner")).to_be_visible()
    await expect(grace.get_by_test_id("online-grace")).to_have_attribute("aria-checked", "false")
    assert (await box.call("GET", "/users/grace"))["is_online"] is False
    await ada.fill("#message-input", "are you there?")
    await ada.press("#message-input", "Enter")
    await expect(grace.get_by_test_id("unread-sandbox_team")).to_have_text("1")
    assert (await box.call("GET", "/users/grace/unread_count"))["unread_count"] == 1
    await grace.click("#go-online")
    await expect(grace.locator("#offline-banner")).to_be_hidden()
    await expect(grace.get_by_test_id("unread-sandbox_team")).to_be_hidden()
    assert (await box.call("GET", "/users/grace/unread_count"))["unread_count"] == 0


async def test_unread_badge_and_reading(box, look):
    """Another channel's messages show as unread, and opening it marks them as read."""
    await box.call(
        "POST", "/group_channels", {"channel_url": "pair", "name": "Pair", "user_ids": ["ada", "grace"]}
    )
    ada = await look(box, "ada")
    await box.say("grace", "one", "pair")
    await box.say("grace", "two", "pair")
    await expect(ada.get_by_test_id("unread-pair")).to_have_text("2")
    await expect(ada).to_have_title(re.compile(r"^\(2\) "))
    await ada.get_by_test_id("channel-pair").click()
    await expect(messages(ada)).to_contain_text(["one", "two"])
    await expect(ada.get_by_test_id("unread-pair")).to_be_hidden()
    assert (await box.call("GET", "/users/ada/unread_count"))["unread_count"] == 0


async def test_choosing_who_i_am(box, look):
    """Another user can be chosen, whose channels and side of the talk are shown then."""
    await box.say("ada", "mine")
    page = await look(box, "ada")
    await expect(messages(page)).to_have_class(re.compile("mine"))
    await page.get_by_test_id("user-mary").click()
    await expect(messages(page)).not_to_have_class(re.compile("mine"))
    await expect(page.get_by_test_id("user-mary")).to_have_attribute("aria-pressed", "true")
    await expect(page.locator("#message-input")).to_have_attribute("placeholder", re.compile("Mary"))


async def test_new_channel_with_a_bot(box, look):
    """A channel can be made on the page, and people and bots added to it."""
    await box.add_bot()
    ada = await look(box, "ada")
    await ada.click("#new-channel")
    await ada.get_by_label("Name", exact=True).fill("Party")
    await ada.get_by_test_id("pick-grace").click()
    await ada.click("#channel-form button[type=submit]")
    await expect(ada.locator("#channel-name")).to_have_text("Party")
    await expect(ada.locator("#channel-about")).to_contain_text("2 members")
    await ada.click("#add-people")
    await ada.locator("#people").get_by_test_id("pick-helper").click()
    await ada.click("#people-form button[type=submit]")
    await expect(ada.locator("#channel-about")).to_contain_text("3 members · 1 bot")


async def test_joining(box, look):
    """Who is not in a channel can't write there before joining."""
    await box.call("POST", "/group_channels", {"channel_url": "pair", "name": "Pair", "user_ids": ["grace"]})
    ada = await look(box, "ada", "pair")
    await expect(ada.locator("#composer")).to_be_hidden()
    await ada.click("#join-button")
    await ada.fill("#message-input", "here I am")
    await ada.press("#message-input", "Enter")
    await expect(messages(ada)).to_contain_text(["here I am"])


async def test_open_channel(box, look):
    """In an open channel anyone can write."""
    mary, ada = await look(box, "mary", "sandbox_lobby"), await look(box, "ada", "sandbox_lobby")
    await mary.fill("#message-input", "anyone here?")
    await mary.press("#message-input", "Enter")
    await expect(messages(ada)).to_contain_text(["anyone here?"])


async def test_new_user(box, look):
    """A user can be made on the page, and is chosen then."""
    page = await look(box, "ada")
    await page.click("#new-user")
    await page.get_by_label("User id").fill("margaret")
    await page.get_by_label("Nickname").fill("Margaret Hamilton")
    await page.click("#user-form button[type=submit]")
    await expect(page.get_by_test_id("user-margaret")).to_have_attribute("aria-pressed", "true")
    assert (await box.call("GET", "/users/margaret"))["nickname"] == "Margaret Hamilton"


async def test_changes_show(box, look):
    """Changed and deleted messages change on open pages."""
    sent = await box.say("grace", "helo")
    doomed = await box.say("grace", "oops")
    ada = await look(box, "ada")
    await expect(messages(ada)).to_have_count(2)
    path = "/group_channels/sandbox_team/messages"
    await box.call("PUT", f"{path}/{sent['message_id']}", {"message": "hello"})
    await box.call("DELETE", f"{path}/{doomed['message_id']}")
    await expect(messages(ada)).to_have_count(1)
    await expect(messages(ada)).to_contain_text("hello (edited)")


async def test_keyboard(box, look):
    """The page can be used by keyboard: switch user, open a channel, write."""
    page = await look(box, "ada")
    await page.get_by_test_id("user-grace").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("user-grace")).to_have_attribute("aria-pressed", "true")
    await expect(page.get_by_test_id("user-grace")).to_be_focused()
    await page.get_by_test_id("channel-sandbox_lobby").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#channel-name")).to_have_text("Lobby")
    await page.get_by_test_id("online-grace").focus()
    await page.keyboard.press("Space")
    await expect(page.locator("#offline-banner")).to_be_visible()


def picture(width, height):
    """A PNG file of that size."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\x80" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


async def test_the_end_stays_in_view(box, look):
    """The newest message is in view, also below pictures, unless the reader has scrolled up."""
    path, fields = "/group_channels/sandbox_team/messages", {"message_type": "FILE", "user_id": "grace"}
    for number in range(12):
        await box.say("grace", f"line {number}")
    for _ in range(3):
        files = {"file": ("tall.png", picture(300, 250), "image/png")}
        await box.call("POST", path, data=fields, files=files)
    page = await look(box, "ada")
    await expect(messages(page)).to_have_count(15)
    await expect(page.locator("img")).to_have_count(3)
    await expect(messages(page).last).to_be_in_viewport(ratio=0.9)
    await box.say("grace", "the newest")
    await expect(messages(page).last).to_contain_text("the newest")
    await expect(messages(page).last).to_be_in_viewport()
    await page.locator("#messages").hover()
    await page.mouse.wheel(0, -5000)
    await expect(messages(page).first).to_be_in_viewport()
    await box.say("grace", "one more")
    await expect(messages(page).last).to_contain_text("one more")
    await expect(messages(page).first).to_be_in_viewport()


@pytest.mark.parametrize("width", [360, 900, 1440])
async def test_no_width_overflows(box, look, width):
    """Narrow or wide, nothing sticks out sideways, and the message field is there."""
    await box.say("grace", "word" * 200)
    page = await look(box, "ada", viewport={"width": width, "height": 700})
    await expect(messages(page)).to_have_count(1)
    await expect(page.locator("#message-input")).to_be_in_viewport()
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    sticking_out = "[...document.querySelectorAll('.messages, .message, .bubble')]"
    sticking_out += f".filter((node) => node.getBoundingClientRect().right > {width} + 1).length"
    assert await page.evaluate(sticking_out) == 0
    if width < 760:
        await page.click("#open-side")
        await page.get_by_test_id("channel-sandbox_lobby").click()
        await expect(page.locator("#channel-name")).to_have_text("Lobby")
        await expect(page.get_by_test_id("channel-sandbox_lobby")).not_to_be_in_viewport()


async def test_coming_back(run, look, tmp_path, free_port):
    """A page whose sandbox went away says so, finds it again, and shows what happened meanwhile."""
    look.tolerated += [
        "Failed to load resource: net::ERR_CONNECTION_REFUSED",
        "Failed to load resource: net::ERR_INCOMPLETE_CHUNKED_ENCODING",
    ]
    async with run(data_dir=tmp_path, port=free_port) as box:
        page = await look(box, "ada")
        await box.say("grace", "before")
        await expect(messages(page)).to_have_count(1)
    await expect(page.locator("#link-text")).to_contain_text("away")
    async with run(data_dir=tmp_path, port=free_port) as box:
        await box.say("grace", "meanwhile")
        await expect(page.locator("#link-text")).to_have_text("Live", timeout=20_000)
        await expect(messages(page)).to_contain_text(["before", "meanwhile"])


async def test_a_group_with_a_bot_opens_first(box, look):
    """Without a wish, a group channel with a bot in it opens, so that what is said is answered."""
    await box.call("POST", "/group_channels", {"channel_url": "pair", "user_ids": ["ada", "grace"]})
    await box.add_bot(channel_url="pair")
    page = await look(box, "", "")
    await expect(page.locator("#channel-about")).to_contain_text("3 members · 1 bot · pair")


async def test_a_group_opens_before_an_open_channel(run, look):
    """Without a bot anywhere, a group channel opens first, even if it came last."""
    async with run(empty=True) as box:
        await box.call("POST", "/users", {"user_id": "ada", "nickname": "Ada", "profile_url": ""})
        await box.call("POST", "/open_channels", {"channel_url": "lobby", "name": "Lobby"})
        page = await look(box, "", "")
        await expect(page.locator("#channel-name")).to_have_text("Lobby")
        body = {"channel_url": "group", "name": "Group", "user_ids": ["ada"]}
        await box.call("POST", "/group_channels", body)
        page = await look(box, "", "")
        await expect(page.locator("#channel-name")).to_have_text("Group")


async def test_the_hint_knows_about_bots(box, look):
    """In a group channel the hint says how to talk to a bot; in an open one that there are none."""
    page = await look(box, "ada")
    await expect(page.locator("#bots-hear")).to_be_visible()
    await expect(page.locator("#bots-absent")).to_be_hidden()
    await page.get_by_test_id("channel-sandbox_lobby").click()
    await expect(page.locator("#bots-hear")).to_be_hidden()
    await expect(page.locator("#keys")).to_contain_text("there are no bots in open channels")
    await expect(page.locator("#bots-absent")).to_be_visible()


STICKING_OUT = """() => {
  const out = [];
  for (const column of document.querySelectorAll(".side, .chat, .road")) {
    if (getComputedStyle(column).visibility === "hidden") continue;
    const { left, right } = column.getBoundingClientRect();
    const right_end = Math.min(right, innerWidth);
    for (const node of column.querySelectorAll("*")) {
      const box = node.getBoundingClientRect();
      const seen = box.width > 0 && getComputedStyle(node).visibility !== "hidden";
      const inside = node.closest("pre, svg"); // a payload may be scrolled sideways
      const fits = box.left >= left - 1 && box.right <= right_end + 1;
      if (seen && !inside && !fits) out.push(node.outerHTML.slice(0, 90));
    }
  }
  return out;
}"""


@pytest.mark.parametrize(("width", "height"), [(1360, 820), (900, 700), (390, 800)])
async def test_long_names_fit(box, look, width, height):
    """However long names and URLs are, nothing leaves its column, and what one presses is in view."""
    url, name = "sandbox_group_channel_" + "0123456789abcdef" * 8, "A very long name " * 4 + "x" * 60
    await box.call("PUT", "/users/grace", {"nickname": name[:80], "is_online": False})
    people = ["ada", "grace", "mary"]
    await box.call("POST", "/group_channels", {"channel_url": url, "name": name, "user_ids": people})
    await box.call("POST", "/group_channels", {"channel_url": "foreign", "name": name, "user_ids": ["mary"]})
    await box.say("grace", "hello", url)
    await box.say("grace", "@" + "x" * 300, url)
    for user_id, channel_url in (("ada", url), ("grace", url), ("grace", "foreign")):
        page = await look(box, user_id, channel_url, viewport={"width": width, "height": height})
        await expect(page.locator("#channel-name")).to_have_text(name)
        await expect(messages(page)).to_have_count(2 if channel_url == url else 0)
        assert await page.evaluate(STICKING_OUT) == []
        await expect(page.locator("#add-people")).to_be_in_viewport(ratio=1)
        pressed = page.locator("#send" if channel_url == url else "#join-button")
        await expect(pressed).to_be_in_viewport(ratio=1)


async def test_reads_are_folded_away(run, receiver, look):
    """Deliveries that only say that someone has read are hidden until asked for, unless they failed."""
    async with run(webhook_url=receiver.url) as box:
        page = await look(box, "ada")
        await box.say("grace", "hello")
        await expect(page.locator("#reads")).to_have_text("Show 1 read")
        await expect(page.get_by_test_id("delivery")).to_have_count(1)
        await page.click("#reads")
        await expect(page.locator("#reads")).to_have_attribute("aria-pressed", "true")
        await expect(page.locator('[data-category="group_channel:message_read"]')).to_be_visible()
        await page.click("#reads")
        await expect(page.get_by_test_id("delivery")).to_have_count(1)
        receiver.statuses = [200, 500, 500, 500]
        await box.say("grace", "again")
        failed = page.locator('[data-category="group_channel:message_read"][data-outcome="failed"]')
        await expect(failed).to_be_visible()


async def test_the_event_of_a_delivery(run, receiver, look):
    """An opened delivery names the receiver's event, to copy and to look up; its time is never cut off."""
    receiver.answer = b'{"accepted": true, "id": "01K5-e7", "stored": "inbox"}'
    async with run(webhook_url=receiver.url) as box:
        await box.add_bot(f"{receiver.url}/bot", bot_userid="bot_" + "x" * 60)
        page = await look(box, "ada", permissions=["clipboard-read", "clipboard-write"])
        await box.say("ada", "hello")
        delivery = page.locator('[data-category="bot_message_notification"]')
        await expect(delivery).to_have_attribute("data-outcome", "delivered")
        cut = "node => node.scrollWidth > node.clientWidth + 1"
        right = "getBoundingClientRect().right"
        inside = f"node => node.{right} < node.closest('.what').{right} + 1"
        assert not await delivery.locator("time").evaluate(cut)
        assert await delivery.locator("time").evaluate(inside)
        await delivery.locator("summary").click()
        event = delivery.get_by_test_id("event")
        await expect(event.locator(".id")).to_have_text("01K5-e7")
        await expect(event.locator(".shell")).to_have_text("receiver events show 01K5-e7")
        await event.get_by_role("button", name="Copy the event id").click()
        await expect(page.locator(".toast")).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == "01K5-e7"


@pytest.mark.parametrize(("width", "height"), [(800, 400), (1600, 300), (600, 800)])
@pytest.mark.parametrize("screen", [1360, 390])
async def test_a_picture_fills_its_bubble(box, look, screen, width, height):
    """A bubble is as wide as the picture in it, whatever the file's size and name."""
    name = "a rather long name for a picture of " + "x" * 80 + ".png"
    files = {"file": (name, picture(width, height), "image/png")}
    fields = {"message_type": "FILE", "user_id": "grace"}
    await box.call("POST", "/group_channels/sandbox_team/messages", data=fields, files=files)
    page = await look(box, "ada", viewport={"width": screen, "height": 800})
    await page.locator(".picture").evaluate("node => node.decode()")
    sizes = (
        "['.bubble', '.picture'].map((name) => document.querySelector(name).getBoundingClientRect().width)"
    )
    bubble, shown = await page.evaluate(sizes)
    assert shown > 100
    assert bubble - shown <= 16  # its padding and border
