"""Dimensions: integers, and exact arithmetic on named sizes that are bound at the first call.

A `Dim` is a polynomial with integer coefficients over *atoms*; an atom is a name (`"N"`) or a floor quotient that
does not simplify (`(H + 1) // 2`). Equal dimensions have equal terms, so `==` decides and a `Dim` can be a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from graphnet.errors import DimError

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z")


@dataclass(frozen=True, slots=True)
class Quotient:
    """The atom `numerator // denominator`, kept because it does not simplify."""

    numerator: Dim
    denominator: Size

    def __str__(self) -> str:
        denominator = f"({self.denominator})" if isinstance(self.denominator, Dim) else str(self.denominator)
        return f"(({self.numerator}) // {denominator})"


Atom: TypeAlias = "str | Quotient"
Monomial: TypeAlias = "tuple[tuple[Atom, int], ...]"  # ((atom, power), ...) sorted by text
Size: TypeAlias = "int | Dim"
Shape: TypeAlias = "tuple[Size, ...]"


class Dim:
    """A size that is not known yet: a name, or an expression of names. Every name stands for an integer >= 0.

    `Dim("N") * 49 // 49 == Dim("N")`; arithmetic that comes out constant gives a plain `int`.
    """

    __slots__ = ("_hash", "terms")

    terms: tuple[tuple[Monomial, int], ...]

    def __init__(self, name: str) -> None:
        if not _IDENTIFIER.match(name):
            raise DimError(f"a dimension's name must be an identifier such as 'N', not {name!r}")
        self._set((((((name, 1),)), 1),))

    def _set(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self._hash = hash(terms)

    def __reduce__(self) -> tuple[object, ...]:
        return _polynomial_dim, (dict(self.terms),)  # without the hash, which differs between processes

    # -- arithmetic ---------------------------------------------------------------------------------------------

    def __add__(self, other: Size) -> Size:
        if not _is_size(other):
            return NotImplemented  # so that a node beside it may know what to do, and a fraction is an error
        total = dict(self.terms)
        for monomial, coefficient in _terms(other):
            total[monomial] = total.get(monomial, 0) + coefficient
        return _polynomial(total)

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: Size) -> Size:
        return self + other * -1

    def __rsub__(self, other: int) -> Size:
        return -self + other

    def __mul__(self, other: Size) -> Size:
        if not _is_size(other):
            return NotImplemented
        total: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in _terms(other):
                monomial = _multiply_monomials(left, right)
                total[monomial] = total.get(monomial, 0) + a * b
        return _polynomial(total)

    def __floordiv__(self, other: Size) -> Size:
        if not _is_size(other):
            return NotImplemented
        if other == 0:
            raise DimError(f"dimension {self} divided by zero")
        if isinstance(other, Dim):
            exact = _divide_exactly(self, other)
            return _atom(Quotient(self, other)) if exact is None else exact
        return _divide_by_int(self, other)

    def __rfloordiv__(self, other: int) -> Size:
        if not _is_size(other):
            return NotImplemented
        if other == 0:
            return 0
        return _atom(Quotient(_polynomial_dim({(): other}), self))

    def __mod__(self, other: Size) -> Size:
        return self - (self // other) * other

    def __rmod__(self, other: int) -> Size:
        return other - (other // self) * self

    __radd__ = __add__
    __rmul__ = __mul__

    # -- comparison ---------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __le__(self, other: Size) -> bool:
        if not _is_size(other):
            return NotImplemented
        return _sign_decides(other - self, f"{self} <= {other}", f"{self} > {other}", strict=False)

    def __lt__(self, other: Size) -> bool:
        if not _is_size(other):
            return NotImplemented
        return _sign_decides(other - self, f"{self} < {other}", f"{self} >= {other}", strict=True)

    def __ge__(self, other: Size) -> bool:
        if not _is_size(other):
            return NotImplemented
        return _sign_decides(self - other, f"{self} >= {other}", f"{self} < {other}", strict=False)

    def __gt__(self, other: Size) -> bool:
        if not _is_size(other):
            return NotImplemented
        return _sign_decides(self - other, f"{self} > {other}", f"{self} <= {other}", strict=True)

    # -- binding and printing -------------------------------------------------------------------------------------

    def names(self) -> frozenset[str]:
        """The names this dimension depends on."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom, _power in monomial:
                if isinstance(atom, str):
                    found.add(atom)
                else:
                    found |= dim_names((atom.numerator, atom.denominator))
        return frozenset(found)

    def bind(self, sizes: Mapping[str, int]) -> int:
        """The integer this dimension is when each name has the size given. Raises `DimError` for a missing name."""
        total = 0
        for monomial, coefficient in self.terms:
            product = coefficient
            for atom, power in monomial:
                product *= _bind_atom(atom, sizes) ** power
            total += product
        return total

    def __str__(self) -> str:
        text = ""
        for monomial, coefficient in self.terms:
            factors = "*".join(f"{atom}" if power == 1 else f"{atom}**{power}" for atom, power in monomial)
            magnitude = abs(coefficient)
            body = factors if magnitude == 1 and factors else f"{factors}*{magnitude}" if factors else str(magnitude)
            sign = "-" if coefficient < 0 else "+"
            text = f"{text} {sign} {body}" if text else body if coefficient > 0 else f"-{body}"
        return text

    def __repr__(self) -> str:
        return f"Dim({self})"


def as_size(value: object) -> Size:
    """An int or `Dim` from what a user writes in a shape: an integer, a `Dim`, or a name."""
    if isinstance(value, Dim):
        return value
    if isinstance(value, str):
        return Dim(value)
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise DimError(f"a dimension must be an integer, a name or a Dim, not {value!r}")
    size = int(value.__index__())
    if size < 0:
        raise DimError(f"a dimension must not be negative, got {size}")
    return size


def bind_size(size: Size, sizes: Mapping[str, int]) -> int:
    """`size` as a number, each name replaced by its number."""
    return size.bind(sizes) if isinstance(size, Dim) else size


def dim_names(shape: Iterable[Size]) -> frozenset[str]:
    """Every name that a shape depends on."""
    return frozenset().union(*(size.names() for size in shape if isinstance(size, Dim)))


def product(sizes: Iterable[Size]) -> Size:
    """The exact product of sizes; 1 for none."""
    result: Size = 1
    for size in sizes:
        result = result * size
    return result


# -- the polynomial's own arithmetic -----------------------------------------------------------------------------


def _is_size(value: object) -> bool:
    return isinstance(value, (int, Dim)) or hasattr(value, "__index__")


def _terms(value: Size) -> tuple[tuple[Monomial, int], ...]:
    return value.terms if isinstance(value, Dim) else (((), int(value)),)


def _order(term: tuple[Monomial, int]) -> tuple[int, str]:
    monomial, _ = term
    return (-sum(power for _, power in monomial), str([(str(atom), power) for atom, power in monomial]))


def _polynomial_dim(total: Mapping[Monomial, int]) -> Dim:
    result = Dim.__new__(Dim)
    result._set(tuple(sorted(((m, c) for m, c in total.items() if c), key=_order)))
    return result


def _polynomial(total: Mapping[Monomial, int]) -> Size:
    if all(c == 0 for m, c in total.items() if m):
        return total.get((), 0)
    return _polynomial_dim(total)


def _atom(atom: Atom) -> Size:
    return _polynomial({((atom, 1),): 1})


def _multiply_monomials(left: Monomial, right: Monomial) -> Monomial:
    powers: dict[Atom, int] = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted(powers.items(), key=lambda item: str(item[0])))


def _divide_exactly(numerator: Dim, denominator: Dim) -> Size | None:
    """numerator / denominator where the denominator is one monomial that divides every term, or equals it."""
    if numerator == denominator:
        return 1
    if len(denominator.terms) != 1:
        return None
    ((divisor, divisor_coefficient),) = denominator.terms
    total: dict[Monomial, int] = {}
    for monomial, coefficient in numerator.terms:
        powers = dict(monomial)
        for atom, power in divisor:
            powers[atom] = powers.get(atom, 0) - power
        if coefficient % divisor_coefficient or any(power < 0 for power in powers.values()):
            return None
        quotient = tuple((atom, power) for atom, power in powers.items() if power)
        total[quotient] = coefficient // divisor_coefficient
    return _polynomial(total)


def _divide_by_int(numerator: Dim, denominator: int) -> Size:
    """(d*q + r) // d == q + r // d, term by term; only the remainder's terms stay under the quotient."""
    if denominator < 0:
        numerator_negated = -numerator
        return numerator_negated // -denominator
    whole: dict[Monomial, int] = {}
    rest: dict[Monomial, int] = {}
    for monomial, coefficient in numerator.terms:
        whole[monomial], rest[monomial] = divmod(coefficient, denominator)
    remainder = _polynomial(rest)
    if isinstance(remainder, int):
        return _polynomial(whole) + remainder // denominator
    if len(remainder.terms) == 1 and remainder.terms[0][1] == 1 and len(remainder.terms[0][0]) == 1:
        ((atom, power),) = remainder.terms[0][0]
        if isinstance(atom, Quotient) and power == 1 and isinstance(atom.denominator, int):
            return _polynomial(whole) + atom.numerator // (atom.denominator * denominator)
    return _polynomial(whole) + _atom(Quotient(remainder, denominator))


def _bind_atom(atom: Atom, sizes: Mapping[str, int]) -> int:
    if isinstance(atom, str):
        if atom not in sizes:
            raise DimError(f"dimension {atom!r} has no value; known are {sorted(sizes)}")
        return sizes[atom]
    denominator = bind_size(atom.denominator, sizes)
    if denominator == 0:
        raise DimError(f"{atom} divides by zero with {dict(sizes)}")
    return bind_size(atom.numerator, sizes) // denominator


def _sign_decides(difference: Size, question: str, opposite: str, *, strict: bool) -> bool:
    """Whether difference > 0 (strict) or >= 0, for all names >= 0. Raises where it depends on the names."""
    if isinstance(difference, int):
        return difference > 0 if strict else difference >= 0
    constant = dict(difference.terms).get((), 0)
    signs = {c > 0 for m, c in difference.terms if m}
    grows, shrinks = signs == {True}, signs == {False}
    if grows and (constant > 0 if strict else constant >= 0):
        return True
    if shrinks and (constant <= 0 if strict else constant < 0):
        return False
    raise DimError(f"whether {question} or {opposite} depends on what the names stand for")
