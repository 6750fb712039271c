"""Winograd's minimal filtering: convolutions of 3x3 kernels tile by tile, with fewer multiplications.

An m x m tile of a result is A^T [(G g G^T) * (B^T d B)] A, where d is the (m + 2) x (m + 2) tile of the image under it,
g the kernel, and * is elementwise: (m + 2)^2 multiplications instead of 9 m^2. Summed over channels before the last
transform, each of the (m + 2)^2 positions is a matrix product. See Lavin and Gray, "Fast algorithms for convolutional
neural networks", 2015, and Winograd, "Arithmetic complexity of computations", 1980.

The matrices follow from the points at which polynomials are multiplied (Toom and Cook). For m = 4 these are 0, +-5/8,
+-3/2 and infinity: all entries of A and B are exact in binary, and rounding errors are a third of those with the usual
+-1 and +-2. (On points: Barabasz, Anderson, Soodhalter and Gregg, "Error analysis and improving the accuracy of
Winograd convolution for deep neural networks", 2020.)

Error of one result, with u the unit roundoff and C channels, to first order:

    |computed - exact|  <=  (C + 4 m + 10) u  |A^T| [sum over channels of (|G| |g| |G^T|) * (|B^T| |d| |B|)] |A|

which for kernels and images of even size is 64 (m = 2) or 565 (m = 4) times C u |g| |d| at the worst, where direct sums
have 81. Found are, for random numbers, 0.6 (m = 2) and 1.6 (m = 4) times the error of direct sums.

The bound is of the whole tile: the rounding errors of an element that is far larger than its neighbours, and NaN where
it is not finite, reach more results than read it. An element on the first or last row of a tile counts in one row of
results there, as only one row of B and one of A meet it, any other in all m; so it is felt by as many as 3 x 3 results
with m = 2, as by direct sums, and by 5 x 5 with m = 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np

from graphnet.backend.native.ops import Native, unpaneled
from graphnet.graph.types import TensorType
from graphnet.ops.windows import Pair

KERNEL = 3
_POINTS = {2: ("0", "1", "-1"), 4: ("0", "5/8", "-5/8", "3/2", "-3/2")}  # and infinity
TILES = tuple(_POINTS)
Matrix = tuple[tuple[Fraction, ...], ...]


@dataclass(frozen=True)
class Transforms:
    """A^T (m, m + 2), B^T (m + 2, m + 2) and G (m + 2, 3)."""

    back: Matrix
    image: Matrix
    kernel: Matrix


@cache
def transforms(tile: int) -> Transforms:
    """The matrices of tiles of this size."""
    points = [Fraction(point) for point in _POINTS[tile]]
    others = [[q for q in points if q != p] for p in points]
    zero, one = Fraction(0), Fraction(1)
    back = [(*(p**i for p in points), one if i == tile - 1 else zero) for i in range(tile)]
    image = [(*_with_roots(roots), zero) for roots in others]
    kernel = []
    for p, roots in zip(points, others, strict=True):
        scale = one
        for q in roots:
            scale *= p - q
        kernel.append(tuple(p**j / scale for j in range(KERNEL)))
    last = (zero,) * (KERNEL - 1) + (one,)
    return Transforms(tuple(back), (*image, _with_roots(points)), (*kernel, last))


def _with_roots(roots: list[Fraction]) -> tuple[Fraction, ...]:
    """The coefficients, lowest first, of the polynomial with leading coefficient 1 that has these roots."""
    found = [Fraction(1)]
    for root in roots:
        found = [a - root * b for a, b in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return tuple(found)


def array(matrix: Matrix) -> np.ndarray:
    """As float64."""
    return np.array([[float(entry) for entry in row] for row in matrix])


class Winograd(Native):
    """Part of a convolution in tiles of `tile` x `tile` results."""

    tile: int

    @property
    def side(self) -> int:
        """Of a tile of the image."""
        return self.tile + KERNEL - 1


class WinogradWeights(Winograd):
    """u[position, panel, c, o] = G g G^T for each kernel g = weight[:, :, c, o], worked out in float64.

    Input: the weight (3, 3, C, filters) as `Panels`; for a gradient each kernel is turned by 180 degrees first.
    """

    turned: bool

    def infer(self, w: TensorType) -> TensorType:
        panels, _, _, channels, width = w.static_shape
        return w.with_shape((self.side**2, panels, channels, width))

    def compute(self, out: np.ndarray, w: np.ndarray) -> None:
        """For checking: in memory of its own."""
        kernel = array(transforms(self.tile).kernel)
        weight = w[:, ::-1, ::-1] if self.turned else w
        out[...] = np.einsum("ai,pijco,bj->abpco", kernel, weight, kernel).reshape(out.shape)


class WinogradConvolution(Winograd):
    """y[n, h, w, o] = sum over i, j < 3 and c of x[n, h + i, w + j, c] * weight[i, j, c, o].

    Inputs: x, with two rows and columns more than whole tiles need, and the weight as `WinogradWeights`.
    """

    size: Pair
    filters: int

    def infer(self, x: TensorType, u: TensorType) -> TensorType:
        return x.with_shape((x.shape[0], *self.size, self.filters))

    @property
    def counts(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.size[0] // self.tile), -(-self.size[1] // self.tile)

    def compute(self, out: np.ndarray, x: np.ndarray, u: np.ndarray) -> None:
        """For checking: in memory of its own."""
        found = transforms(self.tile)
        image, back = array(found.image).astype(x.dtype), array(found.back).astype(x.dtype)
        windows = np.lib.stride_tricks.sliding_window_view(x, (self.side, self.side), axis=(1, 2))
        tiles = windows[:, :: self.tile, :: self.tile][:, : self.counts[0], : self.counts[1]]
        v = np.einsum("ai,nrqcij,bj->abnrqc", image, tiles, image)
        weight = unpaneled(u.transpose(1, 0, 2, 3), self.filters).reshape(self.side, self.side, -1, self.filters)
        products = np.einsum("abnrqc,abco->nrqoab", v, weight, optimize=True)
        results = np.einsum("ka,nrqoab,lb->nrkqlo", back, products, back, optimize=True)
        batch, rows, _, columns, *_ = results.shape
        whole = results.reshape(batch, rows * self.tile, columns * self.tile, self.filters)
        out[...] = whole[:, : self.size[0], : self.size[1]]


class WinogradFilterGradient(Winograd):
    """dweight[o, c, i, j] = sum over n, h, w of dy[n, h, w, o] * x[n, h + i, w + j, c]: the convolution's transpose,

    G^T [sum over tiles of (B^T d B) * (A e A^T)] G, where e is a tile of dy and d that of x under it. Of T tiles and u
    the unit roundoff, to first order:

        |computed - exact|  <=  (T + 40) u  |G^T| [sum over tiles of (|B^T| |d| |B|) * (|A| |e| |A^T|)] |G|

    Inputs: x, with two rows and columns more than whole tiles need, and dy.
    """

    def infer(self, x: TensorType, dy: TensorType) -> TensorType:
        return x.with_shape((dy.shape[3], x.shape[3], KERNEL, KERNEL))

    def compute(self, out: np.ndarray, x: np.ndarray, dy: np.ndarray) -> None:
        """For checking: in memory of its own."""
        found = transforms(self.tile)
        image, back, kernel = (array(m).astype(x.dtype) for m in (found.image, found.back, found.kernel))
        rows, columns = (-(-size // self.tile) for size in dy.shape[1:3])
        windows = np.lib.stride_tricks.sliding_window_view(x, (self.side, self.side), axis=(1, 2))
        tiles = windows[:, :: self.tile, :: self.tile][:, :rows, :columns]
        whole = np.zeros((len(dy), rows * self.tile, columns * self.tile, dy.shape[3]), dy.dtype)
        whole[:, : dy.shape[1], : dy.shape[2]] = dy
        errors = whole.reshape(len(dy), rows, self.tile, columns, self.tile, -1)
        v = np.einsum("ai,nrqcij,bj->abnrqc", image, tiles, image, optimize=True)
        e = np.einsum("ka,nrkqlo,lb->abnrqo", back, errors, back, optimize=True)
        out[...] = np.einsum("ai,abnrqc,abnrqo,bj->ocij", kernel, v, e, kernel, optimize=True)
