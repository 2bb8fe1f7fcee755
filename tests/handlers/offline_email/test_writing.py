"""How a digest is written: HTML and text, in the reader's language and time zone, whatever people wrote."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.offline_email.colors import contrast, on, readable
from handlers.offline_email.digests import PALETTE, SAMPLE, Attachment, Conversation, Digest, Line, Sender
from handlers.offline_email.mail import DARK_GROUND, LIGHT_GROUND, OURS, Writer
from handlers.offline_email.plain import WIDTH, columns, wrap
from handlers.offline_email.readers import Reader
from handlers.offline_email.recipient import mail_to
from handlers.offline_email.settings import Settings
from receiver import Permanent, SettingsError

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
ADA = Reader("ada@example.com", "Ada", "en", "Europe/Berlin")
LINK = "https://chat.example.com/unsubscribe/abc"
VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """A page that was parsed: its tags, its links, its text; wrong nesting is an error."""

    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.open = []
        self.links = []
        self.images = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, tuple(sorted(name for name, _ in attributes))))
        if tag not in VOID:
            self.open.append(tag)
        found = dict(attributes)
        self.links += [found["href"]] if "href" in found else []
        self.images += [found["src"]] if "src" in found else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


def write(digest=SAMPLE, reader=ADA, *, unsubscribe=LINK, now=NOON, **settings):
    return Writer(Settings.load(**settings)).write(digest, reader, unsubscribe, now)


def digest_of(*lines, name="Bakery", earlier=0, more=0, link=""):
    conversation = Conversation("c1", name, link, lines, earlier)
    return Digest((conversation,), more, conversation.count)


def line(text="Hello", sender="Bo", *, at=NOON, file=None):
    return Line(at, text, Sender("bo", sender) if sender is not None else None, file)


def test_all_is_there():
    """Both forms hold sender, time, text, conversation, file, announcement, links, reason and footer."""
    letter = write(
        digest_of(
            line("First\nsecond"),
            line("", file=Attachment("plan.pdf", "https://files.example.com/p?a=1&b=2", 1_432_000)),
            line("Closed today", None),
            earlier=3,
            more=2,
            link="https://app.example.com/c1",
        ),
        brand="Lakeside",
        footer="1 Mill Lane",
        logo="https://example.com/logo.png",
    )
    page = Page(letter.html)
    for text in (page.text, letter.text):
        for part in ("Hello Ada,", "Bakery", "Bo", "1:00\u202fPM", "First", "second", "plan.pdf", "1.4 MB"):
            assert part in text
        for part in ("Announcement", "Closed today", "6 new", "3 earlier messages", "2 more conversations"):
            assert part in text
        assert "1 Mill Lane" in text
        flat = " ".join(text.split())
        assert "from Lakeside because you were offline when these messages came" in flat
        assert "Times are those of Europe/Berlin." in flat
    links = ["https://files.example.com/p?a=1&b=2", "https://app.example.com/c1", LINK]
    assert page.links == links
    assert [one for one in letter.text.split() if one.startswith("https:")] == links
    assert page.images == ["https://example.com/logo.png"]


def test_preview():
    """What a mailbox shows beside the subject is who wrote last, and what."""
    html = write(digest_of(line("First"), line("Second\nthing", "Cy"))).html
    assert re.search(r"<div style=\"display:none[^>]*>Cy: Second thing&#847;", html)


def test_without_what_may_be_missing():
    """Nothing is said of what isn't there: a name, a link, a footer, a size, earlier messages."""
    letter = write(
        digest_of(line("", file=Attachment("", "", None))), Reader("ada@example.com"), unsubscribe=None
    )
    page = Page(letter.html)
    for text in (page.text, letter.text):
        assert "This is what you missed while you were away." in text
        assert "File" in text
        for part in ("Hello", "No more mails", "earlier", "None", "more conversation"):
            assert part not in text
    assert page.links == []
    assert "\n\n\n" not in letter.text


@pytest.mark.parametrize(
    ("senders", "count", "subject"),
    [
        (["Bo"], 1, "1 unread message from Bo"),
        (["Bo", "Bo"], 2, "2 unread messages from Bo"),
        (["Bo", "Cy"], 2, "2 unread messages from Bo and Cy"),
        (["Bo", "Cy", "Di"], 3, "3 unread messages from Bo, Cy, and Di"),
        (["Bo", "Cy", "Di", "Ed"], 4, "4 unread messages from Bo, Cy and 2 others"),
        ([""], 1, "1 unread message from Somebody"),
        ([None], 1, "1 unread message in Bakery"),
    ],
)
def test_subject(senders, count, subject):
    """The subject says how many messages there are, and from whom."""
    lines = [Line(NOON, "x", Sender(f"u{name}", name) if name is not None else None) for name in senders]
    assert write(digest_of(*lines)).subject == subject
    assert len(lines) == count


def test_subject_without_anything():
    """An announcement in a channel without a name is counted, and that is all."""
    assert write(digest_of(line("x", None), name="")).subject == "1 unread message"


@pytest.mark.parametrize(
    ("language", "tag", "subject", "time", "size"),
    [
        ("en", "en", "2 unread messages from Bo", "1:00\u202fPM", "1.4 MB"),
        ("en-GB", "en-GB", "2 unread messages from Bo", "13:00", "1.4 MB"),
        ("de", "de", "2 ungelesene Nachrichten von Bo", "13:00", "1,4 MB"),
        ("de_AT", "de-AT", "2 ungelesene Nachrichten von Bo", "13:00", "1,4 MB"),
        ("ko", "ko", "Bo님이 보낸 읽지 않은 메시지 2개", "오후 1:00", "1.4 MB"),
        ("ko-KR", "ko-KR", "Bo님이 보낸 읽지 않은 메시지 2개", "오후 1:00", "1.4 MB"),
        ("xx", "en", "2 unread messages from Bo", "1:00\u202fPM", "1.4 MB"),
        ("fi", "en", "2 unread messages from Bo", "1:00\u202fPM", "1.4 MB"),
        ("", "en", "2 unread messages from Bo", "1:00\u202fPM", "1.4 MB"),
        ("../../etc/passwd", "en", "2 unread messages from Bo", "1:00\u202fPM", "1.4 MB"),
        ("de_DE@currency=EUR", "de-DE", "2 ungelesene Nachrichten von Bo", "13:00", "1,4 MB"),
    ],
)
def test_language(language, tag, subject, time, size):
    """Words, numbers and times are the reader's; of a language without words, the default's."""
    reader = Reader("ada@example.com", "Ada", language, "Europe/Berlin")
    file = Attachment("plan.pdf", "", 1_432_000)
    letter = write(digest_of(line(), line("", file=file)), reader)
    assert (letter.language, letter.subject) == (tag, subject)
    assert time in letter.text
    assert size in letter.text
    assert f'<html lang="{tag}" dir="ltr"' in letter.html


@pytest.mark.parametrize("language", ["de", "ko"])
def test_default_language(language):
    """OFFLINE_EMAIL_LANGUAGE is for readers of whom no language is known."""
    assert write(reader=Reader("ada@example.com"), language=language).language == language


@pytest.mark.parametrize("language", ["en", "de", "ko"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_plurals(language, count):
    """In each language every count is said, and nothing is left in braces."""
    reader = Reader("ada@example.com", "Ada", language)
    letter = write(digest_of(*[line()] * count, earlier=count, more=count, link="https://a.example/"), reader)
    assert str(count * 2) in letter.subject
    assert "{" not in letter.text
    if language != "ko" and count == 1:
        assert not re.search(r"\b1 (unread messages|earlier messages|frühere Nachrichten)", letter.text)


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Europe/Berlin", "13:00"),
        ("Asia/Seoul", "21:00"),
        ("America/New_York", "08:00"),
        ("", "12:00"),
        ("Nowhere/AtAll", "12:00"),
        ("America", "12:00"),
        ("../../../etc/passwd", "12:00"),
        ("x" * 5000, "12:00"),
        ("\x00", "12:00"),
    ],
)
def test_timezone(zone, shown):
    """Times are those of the reader's zone; of one that isn't known, the default's."""
    letter = write(digest_of(line()), Reader("ada@example.com", "Ada", "de", zone))
    assert f"Bo · {shown}" in letter.text


def test_date():
    """A time has a date only where it isn't today's, by the reader's calendar."""
    reader = Reader("ada@example.com", "Ada", "de", "Asia/Seoul")
    late = NOON + timedelta(hours=6)
    text = write(digest_of(line("a", at=NOON), line("b", at=late)), reader, now=late).text
    assert "Bo · Do., 12. März, 21:00" in text
    assert "Bo · 03:00" in text


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1432, "1.4 kB"),
        (14_320, "14 kB"),
        (999_600, "1 MB"),
        (5 * 10**15, "5,000 TB"),
    ],
)
def test_size(size, shown):
    """Sizes are said as people read them."""
    assert f"({shown})" in write(digest_of(line("", file=Attachment("f", "", size)))).text


def test_hidden_text():
    """Without texts it is said that somebody wrote."""
    letter = write(digest_of(line("")))
    assert "wrote to you" in letter.text
    assert "wrote to you" in Page(letter.html).text


def test_title():
    """A conversation without a name is called after whom it is with."""
    assert "Conversation with Bo · 1 new" in write(digest_of(line(), name="")).text
    assert "Conversation · 1 new" in write(digest_of(line("x", None), name="")).text


def test_right_to_left(tmp_path):
    """A language that is written from right to left is."""
    (tmp_path / "languages").mkdir()
    (tmp_path / "languages/ar.toml").write_text('headline = "{count}"')
    html = write(reader=Reader("ada@example.com", "Ada", "ar"), templates=tmp_path).html
    assert '<html lang="ar" dir="rtl"' in html
    assert 'align="left"' in html


class TestOverridden:
    """OFFLINE_EMAIL_TEMPLATES: a folder whose files go before ours."""

    def test_language(self, tmp_path):
        """A catalogue of theirs is a language more; what it lacks is said in English; its plurals count."""
        (tmp_path / "languages").mkdir()
        words = 'subject = {one = "{count} viesti: {names}", other = "{count} viestiä: {names}"}'
        (tmp_path / "languages/fi.toml").write_text(words, "utf-8")
        reader = Reader("ada@example.com", "Ada", "fi-FI", "Europe/Berlin")
        letter = write(digest_of(line(), line()), reader, templates=tmp_path)
        assert (letter.subject, letter.language) == ("2 viestiä: Bo", "fi-FI")
        assert "Hello Ada," in letter.text
        assert "Bo · 13.00" in letter.text
        assert write(digest_of(line()), reader, templates=tmp_path).subject == "1 viesti: Bo"

    def test_words(self, tmp_path):
        """A catalogue for a language of ours changes the texts that it has."""
        (tmp_path / "languages").mkdir()
        (tmp_path / "languages/en.toml").write_text('open = "Reply"')
        letter = write(digest_of(line(), link="https://a.example/"), templates=tmp_path)
        assert "Reply:" in letter.text
        assert letter.subject == "1 unread message from Bo"

    def test_template(self, tmp_path):
        """A template of theirs goes before ours, and may change a block of ours only."""
        (tmp_path / "digest.txt").write_text("{{ digest.count }} for {{ reader.name }}")
        extended = (
            '{% extends "ours/digest.html" %}{% block footer %}<tr><td>{{ brand }}!</td></tr>{% endblock %}'
        )
        (tmp_path / "digest.html").write_text(extended)
        letter = write(templates=tmp_path, brand="<b>")
        assert letter.text == "8 for Ada\n"
        assert "<td>&lt;b&gt;!</td>" in letter.html
        assert "Times are" not in letter.html
        assert "unread messages" in letter.html

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("digest.html", "<p>\n{% if %}", r"digest\.html, line 2: Expected an expression"),
            ("digest.txt", "{{ nothing }}", r"digest\.txt, line 1\): 'nothing' is undefined"),
            ("digest.txt", "a\n{{ t('nothing') }}", r"digest\.txt, line 2\): 'nothing'"),
            ("digest.txt", "{{ ''.__class__.__mro__ }}", "unsafe"),
            ("digest.txt", "{% include 'nothing' %}", "nothing"),
            ("languages/fi.toml", "open = ", r"fi\.toml: this is not TOML"),
            ("languages/fi.toml", "open = 3", r"fi\.toml: open is neither a text nor a table"),
            ("languages/fi.toml", 'open = {one = "x"}', r"fi\.toml: open is neither"),
            ("languages/fi.toml", 'open = {single = "x", other = "y"}', r"fi\.toml: open is neither"),
            ("languages/klingon.toml", "", r"klingon\.toml: expected the name of a language"),
        ],
    )
    def test_broken(self, tmp_path, name, content, said):
        """A broken file stops the start, and says which one, where, and why."""
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
        with pytest.raises(SettingsError, match=said):
            write(templates=tmp_path)


def test_language_without_words():
    """A default language that there are no words for stops the start."""
    with pytest.raises(
        SettingsError, match=r"OFFLINE_EMAIL_LANGUAGE=fi: there are words for de, en, ko only\."
    ):
        write(language="fi")


@pytest.mark.parametrize("language", ["de", "ko"])
def test_every_language_has_every_text(language):
    """Our languages say all that English says, with the same values, in all of their plurals."""
    from handlers.offline_email.words import Languages

    languages = Languages([OURS], "en")
    english, other = languages.words("en"), languages._texts[language]
    assert other.keys() == english.texts.keys()
    for name, forms in other.items():
        places = set(re.findall(r"\{(\w+)\}", english.texts[name]["other"]))
        for form in forms.values():
            assert set(re.findall(r"\{(\w+)\}", form)) <= places
        assert len(forms) in (1, len(languages.words(language).locale.plural_form.tags) + 1)


anything = st.text(st.characters(codec=None), max_size=200) | st.sampled_from(
    [
        '"><script>alert(1)</script>',
        "{{ 7*7 }}{% raw %}",
        "{count}{names.__class__}",
        "a\r\nBcc: x@example.com\r\n\r\nbody",
        "\ud83e",
        "\u202egnp.exe",
        "'; style=",
        "</style></title>-->",
        "%s%n",
        "한" * 90,
    ]
)


@given(said=st.tuples(*[anything] * 4), reader=st.tuples(anything, anything))
def test_nothing_breaks_out(said, reader):
    """Whatever people write and are called: no tag and no header more, no error; a mail is made."""
    from handlers.offline_email.digests import paragraphs, shown

    def digest(text, name, channel, file):
        lines = (
            line(paragraphs(text) or "x", shown(name) or "x"),
            line(paragraphs(text) or "x", None),
            line("", shown(name) or "x", file=Attachment(shown(file) or "x", "https://a.example/", 1)),
        )
        return digest_of(*lines, name=shown(channel) or "x")

    there = Reader("ada@example.com", *reader)
    letter = WRITER.write(digest(*said), there, LINK, NOON)
    plain = WRITER.write(digest("x", "x", "x", "x"), there, LINK, NOON)
    tags = [tag for tag in Page(letter.html).tags if tag[0] != "br"]
    assert tags == Page(plain.html).tags
    mail = mail_to(there, "ada", letter, LINK)
    assert mail.recipient.address == "ada@example.com"
    assert len(letter.subject.splitlines()) <= 1
    assert "\ud83e" not in letter.html
    letter.html.encode()


WRITER = Writer(Settings.load())


@given(st.text(), st.sampled_from(["", "  "]))
def test_width(text, indent):
    """Lines are at most 72 columns wide, unless a word is wider and can't be cut; no word is lost."""
    wrapped = wrap(text, indent)
    for row in wrapped.split("\n"):
        assert columns(row) <= WIDTH or not row.strip().count(" ")
    assert "".join(wrapped.split()) == "".join(text.split())


def test_width_of_wide_letters():
    """Korean and Chinese letters are two columns wide, and a long run of them is cut."""
    rows = wrap("한" * 100).split("\n")
    assert [len(row) for row in rows] == [36, 36, 28]


def test_the_text_is_narrow():
    """In every language the text is at most 72 columns wide, links aside."""
    for language in ("en", "de", "ko"):
        long = digest_of(line("word " * 60, "An unusually long name " * 2), link="https://a.example/", more=3)
        text = write(long, Reader("ada@example.com", "Ada", language, "Europe/Berlin")).text
        assert max(columns(row) for row in text.split("\n")) <= WIDTH


def test_size_of_a_large_mail():
    """The largest mail by default is below 102 KB, from which on Gmail cuts mails off."""
    lines = tuple(line("word " * 80) for _ in range(5))
    conversations = tuple(Conversation(f"c{n}", "Bakery", "https://a.example/", lines, 9) for n in range(8))
    html = write(Digest(conversations, 9, 112)).html
    assert len(html.encode()) < 102_000


@pytest.mark.parametrize("color", ["#000000", "#ffffff", "#3355dd", "#ffcc00", "#ff0000", "#777777"])
def test_colors(color):
    """Whatever the brand's colour, what stands on it can be read, and so can links in it on both grounds."""
    assert contrast(on(color), color) >= 4.4
    for ground in (LIGHT_GROUND, DARK_GROUND):
        assert contrast(readable(color, ground), ground) >= 4.5


def test_a_readable_color_stays():
    """A colour that can be read already is used as it is."""
    assert readable("#3355dd", LIGHT_GROUND) == "#3355dd"


def test_colors_of_senders():
    """White can be read on each sender's colour."""
    assert min(contrast("#ffffff", color) for color in PALETTE) >= 4.5


@pytest.mark.parametrize(
    ("reader", "to"),
    [
        (Reader("ada@example.com", "Ada"), "Ada <ada@example.com>"),
        (Reader("ada@example.com"), "ada@example.com"),
        (Reader("A. L. <ada@example.com>", "Ada"), "A. L. <ada@example.com>"),
        (Reader("ada@example.com", 'A"d<a>\\\r\nBcc: x'), "A d a Bcc: x <ada@example.com>"),
    ],
)
def test_recipient(reader, to):
    """A mail goes to the address, under the reader's name."""
    assert mail_to(reader, "ada", write(), None).to == to


@pytest.mark.parametrize(
    "address", ["nobody", "a@b@c", "ada@example.com\r\nBcc: x@example.com", "a b@example.com"]
)
def test_wrong_address(address):
    """What is no address is Permanent: it says whose it is, and repeats neither it nor the mail."""
    letter = write(digest_of(line("secret words")))
    with pytest.raises(
        Permanent, match="user ada: the mail's to can't be sent: expected an address"
    ) as raised:
        mail_to(Reader(address), "ada", letter, None)
    assert "secret" not in str(raised.value)
    assert address not in str(raised.value)
