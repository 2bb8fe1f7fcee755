"""Hostile text on the pages behind unsubscribe links, in a real browser: none of it runs, or loads."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from urllib.parse import quote

import httpx
import pytest
from playwright.async_api import expect

from receiver.mail.unsubscribe import LONGEST_NAME, PREFIX, Subscription, Tokens
from tests import xss
from tests.sandbox.test_page import ARGS, CHROMIUM
from tests.support import Served, make_settings

VECTORS = xss.vectors()
NAMES = [one for one in VECTORS if len(one) <= LONGEST_NAME and one.isprintable()]
EACH = 40
"""Every so many names a page is opened, and its buttons are pressed, which takes its time."""
STYLE = f"<style>{files('receiver.mail').joinpath('templates/page.css').read_text('utf-8')}</style>"

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")


@pytest.fixture
async def watch():
    async with xss.watched(CHROMIUM, args=ARGS) as watch:
        yield watch


@pytest.fixture
def served(redis_url):
    with Served(make_settings(redis_url)) as server:
        yield server


def tokens_of(redis_url):
    """Return a token for each name, of a person who is called so, and one for each person of any name."""
    tokens = Tokens(make_settings(redis_url).api_keys)
    named = [tokens.sign(Subscription(one, one)) for one in NAMES]
    return named, [tokens.sign(Subscription("digest", one)) for one in VECTORS[::EACH]]


async def sources(served, named, others):
    """Return the different pages that answer the tokens, and vectors in their place, without what is ours."""
    found = set()

    def add(answer, token="-"):
        assert answer.text.count(STYLE) == 1
        found.add(answer.text.replace(STYLE, "").replace(token, "TOKEN"))

    async with httpx.AsyncClient(base_url=served.url, timeout=30, trust_env=False) as client:
        for token in named:
            add(await client.get(f"/unsubscribe/{token}"), token)
            add(await client.post(f"/unsubscribe/{token}", content=b"<script>__xss(0)</script>"), token)
        add(await client.post(f"/resubscribe/{named[0]}"), named[0])
        assert len(found) == 2 * len(NAMES) + 1
        for token in others:
            add(await client.get(f"/unsubscribe/{token}"), token)
        assert len(found) == 2 * len(NAMES) + 2  # nothing of the person's id is on it
        for one in VECTORS[::4]:
            answer = await client.get(f"/unsubscribe/{quote(one, safe='')}")
            assert answer.status_code == 404
            if answer.headers["content-type"].startswith("text/html"):
                add(answer)
        assert len(found) == 2 * len(NAMES) + 3
    return found


async def test_pages(watch, served, redis_url, blocking):
    """Vectors in a list's name, a person's id, a form and a link stay text, before and after each button."""
    named, others = tokens_of(redis_url)
    assert len(NAMES) > 100
    await watch.read(await sources(served, named, others))
    page = await watch.context.new_page()
    for name, token in list(zip(NAMES, named, strict=True))[::EACH]:
        await page.goto(f"{served.url}/unsubscribe/{token}")
        for button, title in (
            ("Unsubscribe", "You're unsubscribed"),
            ("Undo", "You're subscribed again"),
            ("Unsubscribe", "You're unsubscribed"),
        ):
            await look(watch, page)
            assert (await page.locator(".list b").text_content()) == name
            await page.get_by_role("button", name=button).click()
            await expect(page.locator("h1")).to_have_text(title)
        await look(watch, page)
        assert await asyncio.to_thread(blocking.smembers, PREFIX + name) == {name.encode()}
    assert watch.nothing(), (watch.heard, watch.complaints[:10])


async def look(watch, page):
    """Look for what could run in a page, but for its own style, which the policy names by its digest."""
    styles = page.locator("style")
    assert await styles.count() == 1
    assert (await styles.evaluate("(node) => node.outerHTML")) == STYLE
    await styles.evaluate("(node) => node.remove()")
    await watch.look(page)
