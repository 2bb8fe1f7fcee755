"""Addresses in a database. Imported only when the settings ask for it: SQLAlchemy is an extra."""

from __future__ import annotations

import asyncio

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from handlers.offline_email.readers import Metadata, Reader
from receiver import Permanent, SettingsError

CONNECTIONS = 4
"""Of one process."""
FRESH_FOR = 1800
"""Seconds after which a connection is made anew: many servers and proxies end old ones."""


class FromSql:
    """Addresses from a query, run in a thread, on connections that are kept. Nothing is ever committed."""

    def __init__(self, url: str, query: str) -> None:
        self._query = text(query)
        try:
            # hide_parameters: users' ids stay out of error messages.
            self._engine: Engine = create_engine(
                url, hide_parameters=True, pool_pre_ping=True, pool_recycle=FRESH_FOR
            )
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            # Their texts may hold the URL, and so the password; a missing driver's is its name.
            driver = f" ({error})" if isinstance(error, ModuleNotFoundError) else ""
            raise SettingsError(
                f"OFFLINE_EMAIL_SQL_URL can't be used{driver}: expected a URL such as "
                "postgresql+psycopg://user:password@host/database, and its driver installed"
            ) from None
        self._free = asyncio.Semaphore(CONNECTIONS)

    async def open(self) -> None:
        """Connect once, so that a wrong URL shows at the start."""
        await asyncio.to_thread(self._connect)

    async def find(self, user_id: str, metadata: Metadata) -> Reader | None:
        """Return the reader, or None where the query gives no row or an empty address.

        Raises:
            Permanent: the query gives more than one row, or no column that is an address.
        """
        async with self._free:
            return await asyncio.to_thread(self._ask, user_id)

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._engine.dispose)

    def _connect(self) -> None:
        with self._engine.connect():
            pass

    def _ask(self, user_id: str) -> Reader | None:
        with self._engine.connect() as connection:  # which ends its transaction without a commit
            result = connection.execute(self._query, {"user_id": user_id})
            columns = {column.lower() for column in result.keys()}  # noqa: SIM118 - a result is rows
            if not columns & {"email", "address"}:
                raise Permanent("OFFLINE_EMAIL_SQL_QUERY has to give a column called email")
            rows = result.mappings().fetchmany(2)
        if len(rows) > 1:
            raise Permanent(
                f"OFFLINE_EMAIL_SQL_QUERY gives several rows for the user {user_id}: expected one"
            )
        return Reader.read({column.lower(): value for column, value in rows[0].items()}) if rows else None
