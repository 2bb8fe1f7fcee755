"""Whose event a body is, whose token proves it, and by which client it is called back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import origins, settings, signature
from receiver.errors import Rejected, SettingsError
from receiver.events.batches import Batch
from receiver.events.catalogue import open_event
from receiver.events.envelope import Envelope
from receiver.intake import Intake
from receiver.origins import Application, Clients, Origins, applications
from receiver.sendbird import wire

REDIS = {"RECEIVER_REDIS_URL": "redis://localhost"}
ONE = {"SENDBIRD_APP_ID": "A", "SENDBIRD_API_TOKEN": "a1, a2"}
SEVERAL = ONE | {"SENDBIRD_APPS": "B:b1, B:b2, C:c1, A:a3"}
NAMELESS = {"SENDBIRD_API_TOKEN": "n1", "SENDBIRD_APPS": "B:b1"}


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    for name in settings.names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def known(**changes):
    return applications(settings.load(**REDIS, **changes))


def told(found: tuple[Application, ...]):
    """Return the ids of applications with their tokens."""
    return {one.id: [token.get_secret_value() for token in one.tokens] for one in found}


class TestApplications:
    def test_together(self):
        """Both settings make the applications; that of SENDBIRD_APP_ID is the first, with all its tokens."""
        found = known(**SEVERAL)
        assert told(found) == {"A": ["a1", "a2", "a3"], "B": ["b1", "b2"], "C": ["c1"]}
        assert (found[0].id, found[0].token, found[0].label) == ("A", "a1", "A")

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, {}),
            ({"SENDBIRD_APP_ID": "A"}, {}),
            ({"SENDBIRD_API_TOKEN": "n1"}, {"": ["n1"]}),
            (NAMELESS, {"": ["n1"], "B": ["b1"]}),
            ({"SENDBIRD_APPS": "B:b1,C:c1"}, {"B": ["b1"], "C": ["c1"]}),
            ({"SENDBIRD_APP_ID": "C", "SENDBIRD_APPS": "B:b1,C:c1"}, {"C": ["c1"], "B": ["b1"]}),
        ],
    )
    def test_in_part(self, changes, expected):
        """What is not set makes no application, and the order is that of the settings."""
        found = told(known(**changes))
        assert list(found.items()) == list(expected.items())

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("", ["https://api-A.sendbird.com/v3", "https://api-B.sendbird.com/v3"]),
            ("http://local/v3", ["http://local/v3", "https://api-B.sendbird.com/v3"]),
            ("http://{app_id}.local/v3", ["http://A.local/v3", "http://B.local/v3"]),
        ],
    )
    def test_urls(self, url, expected):
        """An address without {app_id} is the first application's, and gets no other one's token."""
        found = known(**ONE, SENDBIRD_APPS="B:b1", **({"SENDBIRD_API_URL": url} if url else {}))
        assert [one.url for one in found] == expected

    def test_nameless(self):
        """Where only tokens are known nothing can be called, and the metrics have a word for it."""
        [one] = known(SENDBIRD_API_TOKEN="n1")
        assert (one.url, one.label) == (None, "unnamed")


def judged(found: tuple[Application, ...], token: str, **body):
    """Return whose webhook it is that is signed with `token`, or the code with which it is refused."""
    content = wire.encode({"category": "open_channel:create", **body})
    try:
        return Intake(Origins(found)).signed(signature.sign(token.encode(), content), content)[1].label
    except Rejected as rejected:
        return rejected.code, rejected.origin


class TestWhoseEvent:
    @pytest.mark.parametrize("token", ["a1", "a2", "a3"])
    @pytest.mark.parametrize("body", [{"app_id": "A"}, {}, {"app_id": None}, {"app_id": ""}, {"app_id": 7}])
    def test_first(self, token, body):
        """The first application's tokens prove its events, and those that name none."""
        assert judged(known(**SEVERAL), token, **body) == "A"

    @pytest.mark.parametrize("token", ["b1", "b2"])
    def test_another(self, token):
        """An event of another application is proved by that one's tokens."""
        assert judged(known(**SEVERAL), token, app_id="B") == "B"

    @pytest.mark.parametrize(
        "body", [{"app_id": "A"}, {"app_id": "C"}, {}, {"app_id": None}, {"app_id": ["B"]}, {"app_id": "Z"}]
    )
    def test_forged(self, body):
        """Who has one application's token can't make up another's events; nor those that name none."""
        assert judged(known(**SEVERAL), "b1", **body) == ("bad_signature", "B")

    def test_twice(self):
        """Of an app_id that stands twice the last counts, as for everything after it."""
        content = b'{"category":"user:block","app_id":"B","app_id":"A"}'
        intake = Intake(Origins(known(**SEVERAL)))
        with pytest.raises(Rejected):
            intake.signed(signature.sign(b"b1", content), content)
        assert intake.signed(signature.sign(b"a1", content), content)[1].id == "A"

    def test_unknown(self):
        """An application that nobody knows is refused where there are several, whoever has signed."""
        assert judged(known(**SEVERAL), "a1", app_id="Z") == ("bad_signature", "A")

    @pytest.mark.parametrize("body", [{}, {"app_id": "A"}, {"app_id": "Z"}])
    def test_only_one(self, body):
        """Where there is one application only, its tokens prove everything."""
        assert judged(known(**ONE), "a2", **body) == "A"

    def test_beside_nameless(self):
        """Tokens without an application's id prove whatever isn't another one's."""
        found = known(**NAMELESS)
        assert judged(found, "n1", app_id="Z") == judged(found, "n1") == "unnamed"
        assert judged(found, "n1", app_id="B") == ("bad_signature", "unnamed")
        assert judged(found, "b1", app_id="B") == "B"
        assert judged(found, "b1", app_id="Z") == judged(found, "b1") == ("bad_signature", "B")

    def test_one_token_for_two(self):
        """A token of two applications proves the events of both."""
        found = known(SENDBIRD_APPS="A:same,B:same")
        assert (judged(found, "same", app_id="A"), judged(found, "same", app_id="B")) == ("A", "B")

    def test_malformed(self):
        """What is signed but malformed is counted as its signer's."""
        content = b"nonsense"
        with pytest.raises(Rejected) as caught:
            Intake(Origins(known(**SEVERAL))).signed(signature.sign(b"c1", content), content)
        assert (caught.value.code, caught.value.origin) == ("malformed", "C")

    @given(token=st.sampled_from(["a1", "b2", "c1", "z"]), app_id=st.none() | st.text() | st.integers())
    def test_any(self, token, app_id):
        """Whatever a body says, it is accepted as the signer's own, or refused."""
        found = judged(SEVERAL_KNOWN, token, app_id=app_id)
        assert found in (token[0].upper(), ("bad_signature", token[0].upper()), ("bad_signature", "none"))
        if isinstance(app_id, str) and app_id:
            assert isinstance(found, tuple) or found == app_id


SEVERAL_KNOWN = tuple(
    Application(app_id, tuple(map(settings.SecretStr, tokens)), None)
    for app_id, tokens in {"A": ["a1"], "B": ["b1", "b2"], "C": ["c1"]}.items()
)


def event(app_id, kind=open_event, *more):
    body = wire.encode({"category": "open_channel:create", "app_id": app_id})
    return kind(Envelope("id", "webhook", "open_channel:create", "c", "", 1, body), *more)


class TestClients:
    def base(self, clients, one):
        return clients.of(one)._api._base

    async def test_own(self):
        """A handler calls the application that its event is from; the first one where that isn't known."""
        clients = Clients(settings.load(**REDIS, **SEVERAL))
        assert self.base(clients, event("B")) == "https://api-B.sendbird.com/v3"
        for app_id in ("A", "Z", None, 7):
            assert self.base(clients, event(app_id)) == "https://api-A.sendbird.com/v3"

    async def test_batch(self):
        """A batch is of its first event's application."""
        clients = Clients(settings.load(**REDIS, **SEVERAL))
        batch = event("A", Batch, (event("C"), event("B")))
        assert self.base(clients, batch) == "https://api-C.sendbird.com/v3"

    async def test_one(self):
        """Where there is one application its client is everybody's, and no body is looked into."""
        clients = Clients(settings.load(**REDIS, **ONE))
        one = event("Z")
        assert self.base(clients, one) == "https://api-A.sendbird.com/v3"
        assert "raw" not in vars(one)

    async def test_none(self):
        """Without an application there is a client that nobody lets in, as its calls tell."""
        clients = Clients(settings.load(**REDIS, SENDBIRD_API_URL="http://local/v3"))
        assert self.base(clients, event("A")) == "http://local/v3"


def test_marks():
    """A bot is one in its own application only: another one's user of that name isn't taken for it."""
    marks = [
        origins.mark("", "ada"),
        origins.mark("B", "bo"),
        origins.mark("B", "bob"),
        origins.mark("", "B"),
    ]
    assert origins.marked(marks) == {"": {"ada", "B"}, "B": {"bo", "bob"}}
    clients = Clients(settings.load(**REDIS, **SEVERAL))
    assert [clients.whose(event(app_id)) for app_id in ("A", "B", "Z", None)] == ["", "B", "", ""]
    assert Clients(settings.load(**REDIS, **ONE)).whose(event("B")) == ""


WAYS_IN = (
    {"SENDBIRD_API_TOKEN": "t"},
    {"SENDBIRD_APPS": "A:t"},
    {"SENDBIRD_BOT_TOKENS": "b:t"},
    {"RECEIVER_WEBHOOK_SECRET": "a-secret-of-this-test"},
    {"SENDBIRD_DESK_TOKEN": "t"},
)


def test_nobody_could_get_in():
    """Settings that let nobody in are refused; each way in is enough."""
    for way in WAYS_IN:
        origins.check(settings.load(**REDIS, **way))
    with pytest.raises(SettingsError, match=r"SENDBIRD_API_TOKEN is not set\."):
        origins.check(settings.load(**REDIS, SENDBIRD_APP_ID="A"))


def test_warnings():
    """The weaker ways in are warned of, by the setting's name and without its value."""
    config = settings.load(
        **ONE, RECEIVER_WEBHOOK_SECRET="a-secret-of-this-test", RECEIVER_LEGACY_SIGNATURE="true"
    )
    found = dict(origins.warnings(config))
    assert list(found) == ["RECEIVER_WEBHOOK_SECRET", "RECEIVER_LEGACY_SIGNATURE"]
    assert "a-secret" not in "".join(found.values())
    assert list(origins.warnings(settings.load(**ONE))) == []
