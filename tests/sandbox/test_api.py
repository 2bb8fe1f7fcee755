"""The gate and the manners of the whole API."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("token", ["", "wrong", "a-test-toke", "é"])
async def test_wrong_token(box, token):
    """A call without the right API token is answered 400401."""
    code = await box.refused("GET", "/users", headers={"api-token": token.encode()})
    assert code == 400401


async def test_missing_token(box):
    """A call without the header is answered 400401."""
    del box.client.headers["api-token"]
    assert await box.refused("GET", "/users") == 400401


async def test_unknown_endpoint(box):
    """An endpoint the sandbox doesn't have is answered 400404, not with HTML."""
    assert await box.refused("GET", "/nothing/here") == 400404
    assert await box.refused("PATCH", "/users") == 400404


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff"])
async def test_bad_body(box, body):
    """A body that is no JSON object is answered 400403."""
    answer = await box.client.post("/v3/users", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 400403)


@pytest.mark.parametrize(("users", "expected"), [(0, 1), (10, 1), (20, 2), (25, 3)])
async def test_pages(run, users, expected):
    """Lists come in pages: each `next` leads on, and the last one is empty."""
    async with run(empty=True) as box:
        for number in range(users):
            await box.call("POST", "/users", {"user_id": f"u{number:02}", "nickname": "U"})
        found, token, pages = [], "", 0
        while pages == 0 or token:
            page = await box.call("GET", "/users", params={"limit": 10, "token": token})
            found += [user["user_id"] for user in page["users"]]
            token, pages = page["next"], pages + 1
        assert found == [f"u{number:02}" for number in range(users)]
        assert pages == expected


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"token": "nonsense"}, {"token": "////"}]
)
async def test_bad_pages(box, query):
    """A limit beyond 1 to 100, or a token that no page gave, is answered 400111."""
    assert await box.refused("GET", "/users", params=query) == 400111


async def test_limit_type(box):
    """A limit that is no number is answered 400101."""
    assert await box.refused("GET", "/users", params={"limit": "ten"}) == 400101


async def test_page_needs_no_token(box):
    """The chat page can be opened without a token, and the API's token is not in it."""
    del box.client.headers["api-token"]
    answer = await box.client.get("/")
    assert answer.status_code == 200
    assert "a-test-token" not in answer.text
    state = await box.client.get("/page/state")
    assert "a-test-token" not in state.text
