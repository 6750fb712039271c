"""Rivals for tests of `graphnet bench` that do not what they should; processes import them by name."""

from __future__ import annotations

import os

from graphnet.cli.rivals.own import Numpy


class WrongGradient(Numpy):
    """Gives the right losses, and moves one array of weights the wrong way."""

    def state(self):
        found = dict(super().state())
        found["1.weight"] = found["1.weight"] + 1e-3
        return found if self.moved else super().state()

    moved = False

    def step(self, batch):
        self.moved = True
        return super().step(batch)


class WrongOutput(Numpy):
    """Gives outputs that are off by a hundredth."""

    def step(self, batch):
        return [result * 1.01 for result in super().step(batch)]


class Dying(Numpy):
    """Ends its process where it should make a step."""

    def step(self, batch):
        print("out of luck", flush=True)
        os._exit(3)
