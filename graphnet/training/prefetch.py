"""Batches made ahead on a thread, in the order and with the bits that they would have without."""

from __future__ import annotations

import atexit
import contextvars
import threading
import time
import weakref
from collections import deque
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

from graphnet.errors import GraphnetError

T = TypeVar("T")

_PATIENCE = 0.5  # seconds at exit for threads that are in the midst of a batch


class _Shelf(Generic[T]):
    """What the thread has made and the caller has not taken yet: at most `room` things, or how it ended."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.made: deque[T] = deque()
        self.ended = self.dropped = False
        self.error: BaseException | None = None
        self.changed = threading.Condition()

    def drop(self) -> None:
        """The caller wants no more: the thread ends at the next thing that it makes."""
        with self.changed:
            self.dropped = True
            self.made.clear()
            self.changed.notify_all()

    def put(self, item: T) -> bool:
        """Wait for room, then lay `item` there; False where the caller wants no more."""
        with self.changed:
            while len(self.made) >= self.room and not self.dropped:
                self.changed.wait()
            if not self.dropped:
                self.made.append(item)
                self.changed.notify_all()
            return not self.dropped

    def end(self, error: BaseException | None) -> None:
        """There will be no more."""
        with self.changed:
            self.ended, self.error = True, error
            self.changed.notify_all()


class Prefetched(Iterator[T]):
    """What `source` gives, made on a thread, up to `ahead` before they are asked for.

    An error of `source` is raised where the caller would have met it, with the traceback of where it was made. The
    thread ends with `source`, when this iterator is closed or dropped, and when the process exits; it sees the
    caller's context, such as `np.errstate`.
    """

    def __init__(self, source: Generator[T, None, None], ahead: int) -> None:
        self._shelf: _Shelf[T] = _Shelf(ahead)
        run = contextvars.copy_context().run
        # The thread knows the shelf, not this iterator, which is therefore dropped as soon as the caller lets go of it.
        filling = (_fill, source, self._shelf)
        thread = threading.Thread(target=run, args=filling, name="graphnet prefetch", daemon=True)
        self._finalizer = weakref.finalize(self, self._shelf.drop)
        _running[thread] = self._shelf
        thread.start()

    def __next__(self) -> T:
        shelf = self._shelf
        with shelf.changed:
            while not shelf.made and not shelf.ended and not shelf.dropped:
                shelf.changed.wait()
            if shelf.made:
                item = shelf.made.popleft()
                shelf.changed.notify_all()
                return item
            error, shelf.error = shelf.error, None
        if error is not None:
            if isinstance(error, GraphnetError) and threading.__file__ in str(error):
                GraphnetError.__init__(error, error.problem)  # the user's line is here; the thread's stack has none
            raise error
        raise StopIteration

    def close(self) -> None:
        """Let the thread end; nothing more is given."""
        self._finalizer()


def _fill(source: Generator[T, None, None], shelf: _Shelf[T]) -> None:
    error: BaseException | None = None
    try:
        for item in source:
            if not shelf.put(item):
                break
        source.close()
    except BaseException as caught:  # whatever it is, it is the caller's
        error = caught
    shelf.end(error)


_running: weakref.WeakKeyDictionary[threading.Thread, _Shelf] = weakref.WeakKeyDictionary()


@atexit.register
def _end_all() -> None:
    """Let all threads end before the interpreter does: one that prints then holds what the interpreter needs, and the
    process would abort. One that is in a long wait is left to it."""
    alive = [(thread, shelf) for thread, shelf in list(_running.items()) if thread.is_alive()]
    for _, shelf in alive:
        shelf.drop()
    deadline = time.monotonic() + _PATIENCE
    for thread, _ in alive:
        thread.join(max(0.0, deadline - time.monotonic()))
