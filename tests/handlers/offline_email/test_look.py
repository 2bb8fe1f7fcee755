"""The HTML in a real browser."""

from __future__ import annotations

import shutil

import pytest
from playwright.async_api import async_playwright

from handlers.offline_email.digests import SAMPLE, Conversation, Digest, Line
from handlers.offline_email.mail import Writer
from handlers.offline_email.readers import Reader
from handlers.offline_email.settings import Settings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FIRST = SAMPLE.conversations[0].lines[0]
LONG = "https://example.com/" + "x" * 300


@pytest.fixture
async def page():
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield await browser.new_page()
        await browser.close()


async def test_widths_and_schemes(page):
    """Nothing is cut off at any width, 600 pixels are the most, and it is dark where that is wanted."""
    lines = (*SAMPLE.conversations[0].lines, Line(FIRST.at, LONG, FIRST.sender))
    digest = Digest((Conversation("c", "A name " * 8, "https://a.example/", lines, 3),), 2, 8)
    letter = Writer(Settings.load()).write(digest, Reader("a@example.com", "Ada", "de"), None, FIRST.at)
    grounds = {}
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        for width in (320, 390, 600, 1000):
            await page.set_viewport_size({"width": width, "height": 800})
            await page.set_content(letter.html)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            card = await page.locator(".card").bounding_box()
            assert card["width"] == pytest.approx(min(600, width if width <= 620 else width - 24), abs=26)
            assert card["width"] <= 600
        script = "getComputedStyle(document.querySelector('.card')).backgroundColor"
        grounds[scheme] = await page.evaluate(script)
    assert grounds == {"light": "rgb(255, 255, 255)", "dark": "rgb(30, 33, 40)"}
