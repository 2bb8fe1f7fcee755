"""Is somebody there to run the handlers?"""

from __future__ import annotations

from collections import Counter

import redis
from rq.scheduler import RQScheduler

from receiver.cli.checks.finding import Finding, fail, ok, warn
from receiver.pipeline import routes, workers
from receiver.pipeline.routes import queue_of


def check(blocking: redis.Redis) -> list[Finding]:
    """Look at RQ's workers and their scheduler, and for handlers that nobody runs."""
    crew = workers.running(blocking)
    published = [route.handler for route in routes.published(blocking)]
    absent = workers.without_worker(blocking, published)
    findings = []
    if crew:
        hosts = Counter(one.host for one in crew)
        said = ", ".join(f"{number} at {host or 'an unknown host'}" for host, number in sorted(hosts.items()))
        findings.append(ok("Workers", said))
    else:
        findings.append(fail("Workers", "none", "Start `receiver work`."))
    if not published:
        findings.append(warn("Handlers", "none was ever loaded", "Name their modules in RECEIVER_HANDLERS."))
    elif absent:
        do = (
            "Start `receiver work` with RECEIVER_HANDLERS as elsewhere; one that is gone for good: "
            "receiver handlers forget NAME."
        )
        findings.append(warn("Handlers", f"run by no worker: {', '.join(absent)}", do))
    else:
        findings.append(ok("Handlers", f"{len(published)}, each with a worker"))
    if crew:
        findings.append(_scheduler(blocking, [name for name in published if name not in absent]))
    return findings


def _scheduler(blocking: redis.Redis, handlers: list[str]) -> Finding:
    unlocked = [name for name in handlers if not blocking.exists(RQScheduler.get_locking_key(queue_of(name)))]
    if unlocked:
        do = "`receiver work` brings one; rq worker needs --with-scheduler. Until then the reaper does it."
        return warn("Scheduler", f"nobody wakes retries of {', '.join(unlocked)}", do)
    return ok("Scheduler", "wakes retries")
