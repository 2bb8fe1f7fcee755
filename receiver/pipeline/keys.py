"""The names of what the receiver keeps in Redis. (RQ's own keys begin with `rq:`.)

| key                              | type   | holds                                                          |
|----------------------------------|--------|----------------------------------------------------------------|
| receiver:inbox                   | stream | every event that is kept: `FIELDS` of the envelope, `REPLAY`   |
| receiver:cursor                  | string | the last inbox entry that was dispatched                       |
| receiver:dispatcher              | string | the leader's fencing token; expires with its lease             |
| receiver:seen:<window>:<shard>   | hash   | identity → the inbox entry that has it, of those that arrived  |
|                                  |        | in one dedupe window; expires after the next one               |
| receiver:routings                | stream | under the first inbox entry that was dispatched by them: the   |
|                                  |        | routes, as a JSON array (`histories.py`)                       |
| receiver:event:<entry>           | hash   | deliveries of the event that did not end in their first        |
|                                  |        | attempt, or haven't yet, and their attempts (`deliveries.py`)  |
| receiver:finished                | stream | the others that have ended, many in a record (`finished.py`)   |
| receiver:lanes                   | hash   | lanes with events: lane → active or resting; and lanes whose   |
|                                  |        | drains wait a moment for more: lane → lingering                |
| receiver:lane:<lane>:queue       | list   | inbox entries that wait, in order                              |
| receiver:lane:<lane>:taken       | set    | inbox entries that the running drain has                       |
| receiver:lane:<lane>:suspects    | set    | entries that a dead drain had: they are run one at a time      |
| receiver:lane:<lane>:held        | zset   | conversations that wait apart: → when they may go on (ms)      |
| receiver:lane:<lane>:parked:<c>  | list   | the entries of the held conversation c, in order               |
| receiver:lane:<lane>:owner       | string | the running drain's fencing token, or what it died of          |
|                                  |        | (`obituary.lua`); expires with its lease                       |
| receiver:lane:<lane>:gathering   | zset   | keys with gathered events: → when their batch closes (ms);     |
|                                  |        | `BLOCKED` later while a closed batch of the key is unfinished  |
| receiver:lane:<lane>:gathered:<k>| hash   | the inbox entries gathered under the key k, and `since`: when  |
|                                  |        | the first one was gathered (ms)                                |
| receiver:lane:<lane>:closed      | hash   | keys with a closed batch that is unfinished: → its entry       |
| receiver:lane:<lane>:kept        | zset   | `gathered <k>` and `closed <k>`: → from when on (ms) the inbox |
|                                  |        | is kept for them                                               |
| receiver:routes                  | hash   | handler → its route, as JSON (`routes.py`)                     |
| receiver:bots                    | set    | user ids that are known to be bots                             |
| receiver:dead                    | zset   | dead letters: `<entry> <handler>` → when (ms)                  |
| receiver:revived                 | zset   | dead letters that are tried again: `<entry> <handler>` → when  |
| receiver:letter:<entry>          | hash   | a dead or revived letter's own copy of the event: `FIELDS`     |
| receiver:batch:<id>              | stream | copies of the events of a dead batch, under their own entries; |
|                                  |        | dropped with its letter                                        |
| receiver:state:<handler>:<c>     | string | what a handler remembers of conversation c, as JSON; expires   |
| receiver:mail:turn               | string | when the next mail may leave (us), with RECEIVER_MAIL_RATE     |
| receiver:mail:turn:<message id>  | string | when this mail may leave, if that is not at once; expires      |
| receiver:unsubscribed:<list>     | set    | user ids that want no mails of this list                       |
| receiver:writer:<writer>         | hash   | the last group that it has appended, and whether it is fenced; |
|                                  |        | expires                                                        |
| receiver:dangerous:<handler>     | string | one of its events has killed a worker lately; expires          |
| receiver:stats                   | hash   | counters                                                       |
| receiver:purged                  | zset   | inbox entries of a person whose data was removed → when (ms):  |
|                                  |        | until no lane can name them any more                           |
| receiver:purging                 | string | the token of the `receiver events purge` that runs; expires    |
| receiver:marred                  | string | entries were taken out of the midst of the inbox, so that      |
|                                  |        | Redis still has their bytes (`rewrite.lua`)                    |
| receiver:inbox:copy              | stream | the inbox, while it is rewritten                               |

The channel receiver:bell has the names of lanes that were asleep, or lingering, and got events (`bell.py`).
Nothing is published in the channels receiver:here:<worker>: that somebody listens there tells that the worker
lives (`rollcall.py`).
"""

from __future__ import annotations

PREFIX = "receiver:"
INBOX = PREFIX + "inbox"
CURSOR = PREFIX + "cursor"
LEASE = PREFIX + "dispatcher"
LANES = PREFIX + "lanes"
BELL = PREFIX + "bell"
ROUTES = PREFIX + "routes"
ROUTINGS = PREFIX + "routings"
BOTS = PREFIX + "bots"
DEAD = PREFIX + "dead"
REVIVED = PREFIX + "revived"
FINISHED = PREFIX + "finished"
STATS = PREFIX + "stats"
PURGED = PREFIX + "purged"
PURGING = PREFIX + "purging"
MARRED = PREFIX + "marred"
COPY = INBOX + ":copy"

BLOCKED = 10**15
"""Milliseconds: later than any time, and a sum that a score still holds exactly."""

FIELDS = ("id", "source", "category", "conversation", "identity", "received", "body")
REPLAY = "replay"
"""An eighth field, of a replayed event: `{"of": id, "handlers": [name, ...] or null}`, as JSON."""
LETTER = (*FIELDS, REPLAY)


def event(entry: str) -> str:
    """The hash of the deliveries of the event at `entry`."""
    return f"{PREFIX}event:{entry}"


def lane(name: str, part: str) -> str:
    """One of the keys of the lane `name`: queue, taken, suspects, held, owner and so on."""
    return f"{PREFIX}lane:{name}:{part}"


def letter(entry: str) -> str:
    """The copy of the event at `entry` that its dead letters keep."""
    return f"{PREFIX}letter:{entry}"


def batch(event_id: str) -> str:
    """The copies of the events of the dead batch `event_id`."""
    return f"{PREFIX}batch:{event_id}"


def dangerous(handler: str) -> str:
    """There while `handler` runs away from others, since an event of it has killed a worker."""
    return f"{PREFIX}dangerous:{handler}"


def state(handler: str, conversation: str) -> str:
    """What `handler` remembers of `conversation`."""
    return f"{PREFIX}state:{handler}:{conversation}"


def here(worker: str) -> str:
    """The channel that the worker process `worker` listens to while it lives."""
    return f"{PREFIX}here:{worker}"


def writer(name: str) -> str:
    """What Redis knows of the writer `name`: its last group's number, and whether it is fenced."""
    return f"{PREFIX}writer:{name}"
