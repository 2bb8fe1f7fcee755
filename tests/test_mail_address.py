"""What is taken for an e-mail address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.mail_address import MailAddress, is_one_line


@pytest.mark.parametrize(
    ("text", "address", "name"),
    [
        ("ada@example.com", "ada@example.com", ""),
        (" ada@example.com ", "ada@example.com", ""),
        ("Ada Lovelace <ada@example.com>", "ada@example.com", "Ada Lovelace"),
        ('"Lovelace, Ada" <ada@example.com>', "ada@example.com", "Lovelace, Ada"),
        (r'"a \"b\" \\ c" <ada@example.com>', "ada@example.com", 'a "b" \\ c'),
        ("x <evil@example.com>, y <ada@example.com>", "ada@example.com", "x <evil@example.com>, y"),
        ("<ada@example.com>", "ada@example.com", ""),
        ("chat@sandbox.localhost", "chat@sandbox.localhost", ""),
        ("o'neill+tag=1@mail.example.co.uk", "o'neill+tag=1@mail.example.co.uk", ""),
        ("jörg@example.com", "jörg@example.com", ""),
        ("jorg@müller.example", "jorg@xn--mller-kva.example", ""),
        ("jorg@straße.example", "jorg@straße.example", ""),
    ],
)
def test_taken(text, address, name):
    """An address is taken with and without a name, whatever the name is made of."""
    assert MailAddress.parse(text) == MailAddress(address, name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@example..com",
        "ada@-example.com",
        "a..b@example.com",
        ".a@example.com",
        "a b@example.com",
        "a,b@example.com",
        "ada@example.com, grace@example.com",
        "ada@example.com,grace@example.com",
        "ada@example.com>",
        "Ada <ada@example.com",
        "Ada <ada@example.com> x",
        "Ada\r\nBcc: x <ada@example.com>",
        "Ada\u2028x <ada@example.com>",
        "ada\n@example.com",
        "ada@example.com\r\nRCPT TO:<x@example.com>",
        "Ada <ada@example.com\r\n>",
        '"a b"@example.com',
        "ada@example.com SIZE=1",
        "ada@[127.0.0.1]",
        "a" * 65 + "@example.com",
        "a@" + "b." * 130 + "com",
        "a@" + "\u00fc" * 64 + ".com",
    ],
)
def test_refused(text):
    """What is no address, or more than one, is refused, without repeating it."""
    with pytest.raises(ValueError, match=r"^expected ") as caught:
        MailAddress.parse(text)
    assert "ada" not in str(caught.value)


@given(st.text())
def test_never_two_words(text):
    """Whatever is taken for an address has no space, no control character and no bracket in it."""
    for given_text in (text, f"{text}@example.com", f"Ada <{text}@example.com>", f"{text} <a@b.c>"):
        try:
            found = MailAddress.parse(given_text)
        except ValueError:
            continue
        assert found.address.count("@") == 1
        assert not any(one.isspace() or one in '<>",;:' for one in found.address)
        assert is_one_line(found.address + found.name)
