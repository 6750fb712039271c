"""How training shows that it moves: a bar on a terminal, a line an epoch elsewhere, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from graphnet.extras import extra


class Progress:
    """Shows epochs on standard error. kind: False nothing, True a bar, None a bar only on a terminal."""

    def __init__(self, kind: bool | None, batches: int | None) -> None:
        self._lines = kind is not False
        use_bar = sys.stderr.isatty() if kind is None else kind
        self._tqdm = extra("tqdm").tqdm if use_bar else None
        self._batches = batches
        self._bar: Any = None
        self._title = ""

    @property
    def has_bar(self) -> bool:
        """Whether `advance` shows anything."""
        return self._tqdm is not None

    def begin(self, epoch: int, last: int) -> None:
        """An epoch starts."""
        self._title = f"epoch {epoch}/{last}"
        if self._tqdm is not None:
            self._bar = self._tqdm(total=self._batches, desc=self._title, unit="batch", leave=False, file=sys.stderr)

    def advance(self, means: Mapping[str, float]) -> None:
        """A batch is done; `means` are the measures so far."""
        if self._bar is not None:
            self._bar.set_postfix_str(_text(means), refresh=False)
            self._bar.update()

    def end(self, row: Mapping[str, float]) -> None:
        """An epoch is done."""
        self._close()
        if self._lines:
            shown = {name: value for name, value in row.items() if name != "epoch"}
            print(f"{self._title}  {_text(shown)}", file=sys.stderr, flush=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()


def _text(means: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {_shown(value)}" for name, value in means.items())


def _shown(value: float) -> str:
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"
