"""How long a connection is waited for: one timer, which is left to run."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class PatientHttp(HttpToolsProtocol):
    """Closes a connection when nothing has come of it for so long. `patience` is in seconds."""

    patience = 10.0
    _due: float | None = None
    _busy = False
    """Whether a request is in flight."""
    _timer_at = 0.0
    _stuck: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> float | None:
        """When it is to be closed if nothing comes; None while a request is in flight."""
        return None if self._busy else self._due

    def give_up(self) -> None:
        """End what has been waited for long enough."""
        raise NotImplementedError

    def evict(self) -> None:
        """Close at once, without a word."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self.timeout_keep_alive_task, self._stuck):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _unset_keepalive_if_required(self) -> None:
        """Leave the timer alone, of which uvicorn makes a new one each time."""

    def _wait(self, seconds: float) -> None:
        """Give up if nothing comes of the connection within so many seconds."""
        now = self.loop.time()
        self._due = now + seconds
        if self.timeout_keep_alive_task is not None:
            if self._timer_at <= self._due:
                return
            self.timeout_keep_alive_task.cancel()
        self._set_timer(seconds, now)

    def _set_timer(self, seconds: float, now: float) -> None:
        self._timer_at = now + seconds
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Give up if it is time; else look again when it may be."""
        self.timeout_keep_alive_task = None
        if self._busy or self._due is None:  # the end of its next answer sets the timer
            return
        now = self.loop.time()
        left = self._due - now
        if left > 0:
            self._set_timer(left, now)
        else:
            self.give_up()

    def pause_writing(self) -> None:
        """Give who doesn't read his answers as long as who doesn't send his requests."""
        super().pause_writing()
        if self._stuck is None:
            self._stuck = self.loop.call_later(self.patience, self.evict)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
