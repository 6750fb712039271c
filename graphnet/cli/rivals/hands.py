"""This end: a rival's process, started with its threads held to a number, told what to do, and ended."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any

from graphnet import config
from graphnet.cli.rivals import Rival
from graphnet.cli.rivals.messages import receive, send
from graphnet.cli.rivals.work import Work
from graphnet.errors import GraphnetError

_LAST_WORDS = 400


class RivalError(GraphnetError, RuntimeError):
    """A rival that cannot do the work, or that failed at it."""


class Hands:
    """A process that does the work of one rival. Raises `RivalError` where it cannot.

    Ended by `close`, or on leaving a `with`.
    """

    def __init__(self, rival: Rival, work: Work) -> None:
        self.rival = rival
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        command = [sys.executable, "-m", "graphnet.cli.rivals.process"]
        environment = config.environment_of(work.threads, [entry for entry in sys.path if entry] or ["."])
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, env=environment
        )
        try:
            self.ask(rival.engine, work)
        except BaseException:
            self.close()
            raise

    def ask(self, *message: Any) -> Any:
        """What it answers, waited for."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            send(self._process.stdin, message)
            answer = receive(self._process.stdout)
        except BrokenPipeError:
            answer = None
        if answer is None:
            code = self._process.wait()
            raise RivalError(f"its process ended with code {code}{self._last_words()}")
        how, content = answer
        if how != "done":
            raise RivalError(content)
        return content

    def _last_words(self) -> str:
        self._said.seek(0)
        text = " ".join(self._said.read().decode(errors="replace").split())
        return f": {text[-_LAST_WORDS:]}" if text else ""

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Hands:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
