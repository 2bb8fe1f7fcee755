"""The names of what the receiver keeps in Redis. (RQ's own keys begin with `rq:`.)

| key                              | type   | holds                                                          |
|----------------------------------|--------|----------------------------------------------------------------|
| receiver:inbox                   | stream | every event that is kept: `FIELDS` of the envelope             |
| receiver:cursor                  | string | the last inbox entry that was dispatched                       |
| receiver:dispatcher              | string | the leader's fencing token; expires with its lease             |
| receiver:seen:<identity>         | string | the inbox entry that has this identity; expires                |
| receiver:event:<entry>           | hash   | the event's deliveries and their attempts (`deliveries.py`)    |
| receiver:lanes                   | hash   | lanes that hold events: lane → active or resting               |
| receiver:lane:<lane>:queue       | list   | inbox entries that wait, in order                              |
| receiver:lane:<lane>:taken       | set    | inbox entries that the running drain has                       |
| receiver:lane:<lane>:suspects    | set    | entries that a dead drain had: they are run one at a time      |
| receiver:lane:<lane>:held        | zset   | conversations that wait apart: → when they may go on (ms)      |
| receiver:lane:<lane>:parked:<c>  | list   | the entries of the held conversation c, in order               |
| receiver:lane:<lane>:owner       | string | the running drain's fencing token; expires with its lease      |
| receiver:routes                  | hash   | handler → its route, as JSON (`routes.py`)                     |
| receiver:bots                    | set    | user ids that are known to be bots                             |
| receiver:dead                    | zset   | dead letters: `<entry> <handler>` → when (ms)                  |
| receiver:letter:<entry>          | hash   | a dead letter's own copy of the event: `FIELDS`                |
| receiver:state:<handler>:<c>     | string | what a handler remembers of conversation c, as JSON; expires   |
| receiver:stats                   | hash   | counters                                                       |
"""

from __future__ import annotations

PREFIX = "receiver:"
INBOX = PREFIX + "inbox"
CURSOR = PREFIX + "cursor"
LEASE = PREFIX + "dispatcher"
LANES = PREFIX + "lanes"
ROUTES = PREFIX + "routes"
BOTS = PREFIX + "bots"
DEAD = PREFIX + "dead"
STATS = PREFIX + "stats"

FIELDS = ("id", "source", "category", "conversation", "identity", "received", "body")


def event(entry: str) -> str:
    """The hash of the deliveries of the event at `entry`."""
    return f"{PREFIX}event:{entry}"


def lane(name: str, part: str) -> str:
    """One of the keys of the lane `name`: queue, taken, suspects, held or owner."""
    return f"{PREFIX}lane:{name}:{part}"


def letter(entry: str) -> str:
    """The copy of the event at `entry` that its dead letters keep."""
    return f"{PREFIX}letter:{entry}"


def state(handler: str, conversation: str) -> str:
    """What `handler` remembers of `conversation`."""
    return f"{PREFIX}state:{handler}:{conversation}"
