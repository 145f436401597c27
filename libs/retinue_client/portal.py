"""From a program without an event loop into one, and back.

Owns the loop that runs in a thread of its own, and the one mechanism by which a class of coroutines gets a face
without them. It knows nothing of what these classes do.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()
_FACES: dict[type, type[Face]] = {}


class Portal:
    """An event loop in a thread of its own, which begins with the first call and ends with `close` or the program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._behind: _Behind | None = None
        self._end: Callable[[], object] = _nothing

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end and return its result. An interrupt of the caller cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._running().loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, found: AsyncIterator[T]) -> Iterator[T]:
        """Iterate over what an asynchronous iterator yields; it is closed when the iteration is."""
        try:
            while (item := self.run(_next(found))) is not _END:
                yield item
        finally:
            if self._behind is not None:
                self._behind.finish(found)

    def close(self) -> None:
        """End the loop and its thread; what still runs in it is cancelled."""
        with self._lock:
            end, self._end, self._behind = self._end, _nothing, None
        end()

    def _running(self) -> _Behind:
        with self._lock:
            if self._behind is None:
                self._behind = _Behind()
                # Before the program ends the thread still runs; later it stands still, and would be waited for in vain.
                self._end = weakref.finalize(self, self._behind.end)
            return self._behind


class _Behind:
    """What is behind a portal: the loop and its thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="retinue", daemon=True)
        self._thread.start()

    def finish(self, found: AsyncIterator[Any]) -> None:
        """Close an asynchronous iterator."""
        if self.loop.is_closed():
            return
        closing = asyncio.run_coroutine_threadsafe(_close(found), self.loop)
        # An iteration that nobody has closed may be collected in any thread, the loop's own included.
        if threading.current_thread() is not self._thread:
            closing.result()

    def end(self) -> None:
        """Cancel what runs, and end."""
        if threading.current_thread() is self._thread:
            self.loop.stop()
            return
        asyncio.run_coroutine_threadsafe(_cancel_all(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def _nothing() -> None:
    """End nothing: there is no loop."""


class Face:
    """What the faces of all classes have: the object behind them, and the portal they reach it through."""

    __slots__ = ("_inner", "_portal")

    def __init__(self, inner: Any, portal: Portal) -> None:
        self._inner = inner
        self._portal = portal

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _outside(getattr(self._inner, name), self._portal)

    def __repr__(self) -> str:
        return repr(self._inner)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Face) and bool(self._inner == other._inner)

    def __hash__(self) -> int:
        return hash(self._inner)


def face(cls: type) -> Callable[[type[Face]], type[Face]]:
    """Give a class of faces the methods of a class of coroutines, without them.

    Objects of that class which come out of any face come out with this one, and go back in without it.
    """

    def give(made: type[Face]) -> type[Face]:
        for method, function in inspect.getmembers(cls, inspect.isfunction):
            if not method.startswith("_") and method not in vars(made):
                setattr(made, method, _method(function))
        made.__doc__ = made.__doc__ or cls.__doc__
        _FACES[cls] = made
        return made

    return give


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(self: Face, *arguments: Any, **named: Any) -> Any:
        given = [_inside(argument) for argument in arguments]
        found = function(self._inner, *given, **{key: _inside(item) for key, item in named.items()})
        return _outside(found, self._portal)

    return call


def _inside(value: Any) -> Any:
    return value._inner if isinstance(value, Face) else value  # noqa: SLF001 - a face is opened nowhere else


def _outside(value: Any, portal: Portal) -> Any:
    if inspect.iscoroutine(value):
        return _outside(portal.run(value), portal)
    if isinstance(value, AsyncIterator):
        return (_outside(item, portal) for item in portal.iterate(value))
    known = _FACES.get(type(value))
    return value if known is None else known(value, portal)


async def _next(found: AsyncIterator[Any]) -> Any:
    return await anext(found, _END)


async def _close(found: Any) -> None:
    closing: Callable[[], Awaitable[None]] | None = getattr(found, "aclose", None)
    if closing is not None:
        await closing()


async def _cancel_all() -> None:
    loop, current = asyncio.get_running_loop(), asyncio.current_task()
    others = [task for task in asyncio.all_tasks(loop) if task is not current]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await loop.shutdown_asyncgens()
