"""Asks the registry that pip is set up with whether a locked version has a known hole, or was withdrawn.

It reads PyPI's JSON API, which some mirrors don't have, or have without holes. Therefore it asks for a
version with a well-known hole first: a registry that doesn't know that one can't tell about others, which
is said, and fails only with --strict.

Exit code 0: nothing was found, or it can't be told; 1: something was found; 2: wrong usage.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import re
import ssl
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import httpx
from pip._internal.models.index import PyPI  # the only place where its address stands
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("*.lock", "benchmarks/*.lock", "scripts/*.lock")
KNOWN_HOLE = ("jinja2", "2.10")
"""A version whose hole every registry that knows of holes has known since 2019."""

AT_ONCE = 8
EACH = 10.0
ALTOGETHER = 25.0
"""Seconds."""
LARGEST = 8 * 1024 * 1024
LONGEST_IGNORED = timedelta(days=184)

Locked = tuple[str, str]
"""A name and a version."""
Id = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\z")]
"""Nothing longer or stranger that a registry sends gets into a log."""


class Usage(Exception):
    """Something that this project has wrong: a lock, the list of what is ignored, an argument."""


class Silent(Exception):
    """The registry doesn't tell."""


class Gone(Exception):
    """The registry doesn't have that version."""


class Ignored(BaseModel):
    """One entry of audit.toml."""

    model_config = ConfigDict(extra="forbid", strict=True)
    package: Annotated[str, StringConstraints(min_length=1)]
    id: Id
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=10)]
    until: date


class Hole(BaseModel):
    """A vulnerability, as PyPI tells it."""

    id: Id
    aliases: list[Id] = []
    fixed_in: list[Id] = []
    withdrawn: str | None = None


class Info(BaseModel):
    """Of a release's description: is it that version, and did its author withdraw it?"""

    version: str
    yanked: bool = False


class Release(BaseModel):
    """The JSON API's answer about one version. Without `vulnerabilities` the registry knows of none."""

    info: Info
    vulnerabilities: list[Hole] = Field(default_factory=list)


@dataclass
class Findings:
    """What was found, as lines for people, but for what is ignored."""

    ignored: list[Ignored]
    today: date
    wrong: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    """Which of the ignored were met."""

    def add(self, name: str, where: str, ids: set[str], words: str) -> None:
        """Add what is wrong with a version, unless it is ignored by one of its ids."""
        met = [number for number, e in enumerate(self.ignored) if e.package == name and e.id in ids]
        self.used.update(met)
        lasting = [self.ignored[number] for number in met if self.ignored[number].until > self.today]
        if lasting:
            sys.stdout.write(f"{where}: {words}. Ignored until {lasting[0].until}: {lasting[0].reason}\n")
        else:
            self.wrong.append(f"{where}: {words}{' (was ignored until today or earlier)' if met else ''}")


def locked(paths: Iterable[Path]) -> dict[Locked, list[str]]:
    """Read lock files: name and version → the files in which it stands."""
    found: dict[Locked, list[str]] = defaultdict(list)
    for path in paths:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if not line.strip() or line.startswith((" ", "#")):
                continue
            match = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)(?= |$)", line)
            if not match:
                raise Usage(f"{path.name}, line {number}, isn't NAME==VERSION")
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            found[name, match[2]].append(
                path.name if path.parent == ROOT else f"{path.parent.name}/{path.name}"
            )
    if not found:
        raise Usage("nothing is locked")
    return found


def ignored(path: Path, today: date) -> list[Ignored]:
    """Read the list of what is left alone."""
    try:
        content = tomllib.loads(path.read_text())
        entries = [Ignored.model_validate(entry) for entry in content.pop("ignore", [])]
    except (OSError, ValueError) as error:  # a ValidationError, or no TOML
        raise Usage(f"{path.name}: {error}") from error
    if content:
        raise Usage(f"{path.name}: only [[ignore]] is known, not {', '.join(sorted(content))}")
    for entry in entries:
        if entry.until > today + LONGEST_IGNORED:
            raise Usage(f"{path.name}: {entry.package} {entry.id}: until {entry.until} is too far away")
    return entries


def configured() -> tuple[str, ssl.SSLContext | bool]:
    """Return the index's address and the certificates to believe, as pip has them."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    lines = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)

    def option(name: str) -> str | None:
        for place in (":env:", "install", "global"):  # pip's own order
            if value := lines.get(f"{place}.{name}"):
                return str(ast.literal_eval(value))
        return None

    certificates = option("cert")
    index = option("index-url") or PyPI.simple_url
    return index, ssl.create_default_context(cafile=certificates) if certificates else True


async def ask(client: httpx.AsyncClient, name: str, version: str) -> Release:
    """Ask about one version. Raise `Silent` or `Gone`."""
    content = b""
    try:
        async with client.stream("GET", f"pypi/{name}/{version}/json") as answer:
            if answer.status_code == 404:
                raise Gone
            if answer.status_code != 200:
                raise Silent(f"it answers {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                content += chunk
                if len(content) > LARGEST:
                    raise Silent("its answer has no end")
    except httpx.HTTPError as error:
        raise Silent(f"it can't be reached ({type(error).__name__})") from error
    try:
        release = Release.model_validate_json(content)
    except ValidationError as error:
        raise Silent("its answer is not what PyPI's would be") from error
    if release.info.version != version:
        raise Silent("its answer is about another version")
    return release


def told(release: Release) -> Iterator[tuple[set[str], str]]:
    """Give what is wrong with a version: the ids by which it can be ignored, and the words for it."""
    if release.info.yanked:
        yield {"yanked"}, "its author withdrew it (yanked)"
    for hole in release.vulnerabilities:
        if not hole.withdrawn:
            cure = f"fixed in {', '.join(hole.fixed_in)}" if hole.fixed_in else "not fixed in any version"
            yield {hole.id, *hole.aliases}, f"{', '.join([hole.id, *hole.aliases])}: {cure}"


def connect() -> httpx.AsyncClient:
    """Return a client of the registry. Raise `Silent` if there is none that could be asked."""
    try:
        index, verify = configured()
        base, simple, _ = index.partition("/simple")
        if not simple:
            raise Silent("pip's index isn't one whose other addresses are known (.../simple)")
        return httpx.AsyncClient(
            base_url=base,
            verify=verify,
            limits=httpx.Limits(max_connections=AT_ONCE),
            timeout=httpx.Timeout(EACH, pool=None),
            follow_redirects=True,
        )
    except (OSError, ValueError, httpx.InvalidURL, subprocess.SubprocessError) as error:
        raise Silent(f"pip's settings can't be used ({type(error).__name__})") from error


async def knows_holes(client: httpx.AsyncClient) -> bool:
    """Tell whether the registry knows of holes. Raise `Silent` if it knows nothing at all."""
    try:
        async with asyncio.timeout(EACH):
            return bool((await ask(client, *KNOWN_HOLE)).vulnerabilities)
    except TimeoutError as error:
        raise Silent("it has not answered in time") from error
    except Gone as error:
        raise Silent("it tells nothing about single versions") from error


async def audit(versions: dict[Locked, list[str]], found: Findings) -> None:
    """Ask about every version."""
    try:
        client = connect()
        async with client:
            if not await knows_holes(client):
                found.untold.append("the registry doesn't know of holes, only of what was withdrawn")
            await audit_each(client, versions, found)
    except Silent as error:
        found.untold.append(f"the registry can't tell: {error}")


async def audit_each(client: httpx.AsyncClient, versions: dict[Locked, list[str]], found: Findings) -> None:
    """Ask about every version, a few at a time."""
    tasks = {asyncio.create_task(ask(client, *version)): version for version in versions}
    done, late = await asyncio.wait(tasks, timeout=ALTOGETHER)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task, (name, version) in tasks.items():
        where = f"{name} {version} ({', '.join(versions[name, version])})"
        try:
            release = task.result() if task in done else None
        except Gone:
            found.add(name, where, {"gone"}, "the registry no longer has it")
        except Silent as error:
            found.untold.append(f"{where}: {error}")
        else:
            if release is None:
                found.untold.append(f"{where}: it has not answered in time")
                continue
            for ids, words in told(release):
                found.add(name, where, ids, words)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="scripts/audit", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("locks", nargs="*", type=Path, help="lock files (default: all of the project's)")
    parser.add_argument("--ignore", type=Path, default=ROOT / "scripts/audit.toml", help="what is left alone")
    parser.add_argument("--strict", action="store_true", help="fail also where the registry can't tell")
    options = parser.parse_args()
    today = datetime.now(UTC).date()
    try:
        versions = locked(options.locks or sorted(path for lock in LOCKS for path in ROOT.glob(lock)))
        found = Findings(ignored(options.ignore, today), today)
    except (Usage, OSError) as error:
        sys.stderr.write(f"scripts/audit: {error}\n")
        return 2
    asyncio.run(audit(versions, found))
    for line in found.wrong:
        sys.stderr.write(f"WRONG: {line}\n")
    for line in found.untold:
        sys.stderr.write(f"NOT AUDITED: {line}\n")
    if not found.untold:
        for number in sorted(set(range(len(found.ignored))) - found.used):
            entry = found.ignored[number]
            sys.stdout.write(f"{entry.package} {entry.id} need not be ignored any more.\n")
    rest = ", and not all could be audited" if found.untold else ""
    sys.stdout.write(f"Audit of {len(versions)} locked versions: {len(found.wrong)} wrong{rest}.\n")
    return 1 if found.wrong or (options.strict and found.untold) else 0


if __name__ == "__main__":
    sys.exit(main())
