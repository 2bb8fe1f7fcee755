"""The pytest plugin. Nothing is imported here that pytest doesn't have anyway, until a fixture is used.

All names begin with `receiver_`, so that they are in nobody's way.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from receiver import testing

_STAGES = pytest.StashKey[list[Any]]()


@pytest.fixture
def receiver_stage(request: pytest.FixtureRequest) -> Callable[..., testing.Stage]:
    """Make stages: `stage = receiver_stage(my_plugin.handlers)`. They are closed when the test ends."""
    _check_runner(request.node)
    stages: list[testing.Stage] = []
    request.node.stash[_STAGES] = stages

    def make(*arguments: Any, **options: Any) -> testing.Stage:
        stages.append(testing.Stage(*arguments, **options))
        return stages[-1]

    return make


@pytest.fixture
def receiver_sandbox() -> Iterator[testing.RunningSandbox]:
    """A local Sendbird on a port of this machine, with three people and a team in it."""
    with testing.RunningSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def receiver_smtp() -> Iterator[testing.RunningSink]:
    """An SMTP server on a port of this machine, which keeps what it gets."""
    with testing.RunningSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def receiver_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis for the whole session. It needs a redis-server, or the extra `embedded`."""
    from receiver.testing.road import claim  # noqa: PLC0415 - not before the fixture is used

    with testing.EmbeddedRedis(tmp_path_factory.mktemp("redis"), fsync="no") as server:
        claim(server.url)
        yield server.url


@pytest.fixture
def receiver_road(receiver_redis: str, tmp_path: Any) -> Iterator[Callable[..., testing.Road]]:
    """Start a whole receiver: `road = receiver_road("my_plugin")`. It ends with the test."""
    stack = contextlib.ExitStack()

    def start(*handlers: Any, **options: Any) -> testing.Road:
        road = testing.Road(handlers, receiver_redis, tmp_path / "road", **options)
        return stack.enter_context(road)

    with stack:
        yield start


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Close a test's stages on the loop on which it ran, whoever runs it: anyio, or pytest-asyncio."""
    stages = item.stash.get(_STAGES, None)
    if stages is not None and isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.obj = _closing(item.obj, stages)
    return (yield)


def _closing(test: Callable[..., Any], stages: list[Any]) -> Callable[..., Any]:
    @functools.wraps(test)
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            return await test(*arguments, **named)
        finally:
            for stage in reversed(stages):
                await stage.aclose()

    return wrapped


def _check_runner(item: Any) -> None:
    """Make sure that someone runs the test, if it is asynchronous: pytest alone doesn't."""
    if not inspect.iscoroutinefunction(getattr(item, "obj", None)):
        return
    is_run = "anyio_backend" in item.fixturenames or item.get_closest_marker("asyncio")
    if not (is_run or type(item).__module__.startswith("pytest_asyncio")):
        pytest.fail(
            f"{item.name} is asynchronous, and nothing runs it. anyio comes with the receiver: mark the test "
            "with @pytest.mark.anyio, or set anyio_mode = auto for pytest. (Or use pytest-asyncio.)",
            pytrace=False,
        )
