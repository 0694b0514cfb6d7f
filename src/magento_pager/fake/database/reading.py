"""MySQL's reading of a WHERE clause, translated to SQLite.

SQLite compares by the type of each value, MySQL by the types of both sides: a number and a text are compared as
numbers, a date and a text as dates, two texts by the collation. So each comparison is written here for the kinds of its
operands; what SQLite lacks is a function registered by `register`.

A number is compared with the key column as a plain number, so that SQLite uses the key where MySQL does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from magento_pager.fake.database import values
from magento_pager.fake.database.syntax import (
    ArgumentCountError,
    Name,
    Null,
    Number,
    Operation,
    ParseError,
    Text,
    parse,
)
from magento_pager.fake.tables import Kind

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from magento_pager.fake.database.syntax import Expression
    from magento_pager.fake.tables import Table

_LONGEST_LIKE = 10_000
"""SQLite refuses a longer pattern for its own LIKE."""
_SHOWN = 80
"""Characters of a statement that a syntax error quotes."""


class SqlError(Exception):
    """The database refuses the statement.

    Args:
        state: the SQLSTATE.
        message: the number and the text of the error, as PDO shows them.

    >>> str(unknown_column("nope"))
    "SQLSTATE[42S22]: Column not found: 1054 Unknown column 'nope' in 'WHERE'"
    """

    def __init__(self, state: str, message: str) -> None:
        super().__init__(f"SQLSTATE[{state}]: {message}")


def unknown_column(name: str) -> SqlError:
    """Return the error for a column that no table of the query has."""
    return SqlError("42S22", f"Column not found: 1054 Unknown column '{name}' in 'WHERE'")


def _ambiguous(name: str) -> SqlError:
    return SqlError("23000", f"Integrity constraint violation: 1052 Column '{name}' in WHERE is ambiguous")


def _syntax(rest: str, line: int) -> SqlError:
    return SqlError(
        "42000",
        "Syntax error or access violation: 1064 You have an error in your SQL syntax; check the manual that "
        f"corresponds to your MariaDB server version for the right syntax to use near '{rest[:_SHOWN]}' at line {line}",
    )


@dataclass(frozen=True, slots=True)
class Scope:
    """The tables that a WHERE clause can name.

    Attributes:
        tables: by alias, which is case-sensitive, as on a server on Linux.
        renamed: by (alias, column), the column that stores it: attributes of EAV lists, all in one table here.
        first_line: the line of the statement on which the clause begins, for syntax errors.
    """

    tables: Mapping[str, Table]
    renamed: Mapping[tuple[str, str], tuple[str, str]]
    first_line: int = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """A WHERE clause for SQLite.

    Attributes:
        sql: the clause.
        bounded: columns, with their alias, that are compared with a constant so that an index could be used, in the
            order of the clause.
    """

    sql: str
    bounded: tuple[str, ...]


def read(where: str, scope: Scope) -> Reading:
    """Translate a clause to SQLite.

    Raises:
        SqlError: MySQL would refuse it.
    """
    try:
        tree = parse(where)
    except ParseError as fault:
        raise _syntax(str(fault), scope.first_line) from None
    except ArgumentCountError as fault:
        count = f"1582 Incorrect parameter count in the call to native function '{fault}'"
        raise SqlError("42000", f"Syntax error or access violation: {count}") from None
    writer = _Writer(scope)
    sql = writer.write(tree).truth()
    return Reading(sql, tuple(writer.bounded))


@dataclass(frozen=True, slots=True)
class _Operand:
    """SQL for SQLite, and the type as which MySQL would compare it; `literal` is a constant text, `number` a number."""

    sql: str
    kind: Kind | None
    literal: str | None = None
    column: str | None = None
    number: str | None = None

    def truth(self) -> str:
        """Return the operand as a condition."""
        return self.as_number() if self.kind is not Kind.INT else self.sql

    def as_number(self) -> str:
        if self.literal is not None:
            return _number(values.number(self.literal))
        if self.kind is Kind.DECIMAL:
            return f"CAST({self.sql} AS REAL)"
        if self.kind is Kind.TEXT:
            return f"mysql_number({self.sql})"
        if self.kind is Kind.TIME:
            return f"CAST(strftime('%Y%m%d%H%M%S', {self.sql}) AS INTEGER)"
        return self.sql

    def as_text(self) -> str:
        return f"CAST({self.sql} AS TEXT)" if self.kind is Kind.INT else self.sql

    def as_time(self) -> str:
        if self.number is not None:
            return literal(values.time_of_number(float(self.number)))
        return self.sql if self.literal is None else literal(values.time_of(self.literal))


_NULL = _Operand("NULL", None)


def literal(text: str) -> str:
    """Return a text as a literal of SQLite, which has no escapes.

    >>> literal("it's"), literal(chr(0))
    ("'it''s'", "CAST(x'00' AS TEXT)")
    """
    if "\0" in text:
        return f"CAST(x'{text.encode(errors='surrogateescape').hex()}' AS TEXT)"
    return "'" + text.replace("'", "''") + "'"


def _number(value: float) -> str:
    """Return a number as SQLite writes it: integers without a fraction, so that the key is compared with integers.

    >>> _number(5.0), _number(5.5), _number(1e300)
    ('5', '5.5', '1e+300')
    """
    return str(int(value)) if value.is_integer() and abs(value) < 1 << 53 else repr(value)


def _condition(sql: str) -> _Operand:
    return _Operand(f"({sql})", Kind.INT)


class _Writer:
    """Writes the SQL of a tree, bottom up."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.bounded: dict[str, None] = {}

    def write(self, tree: Expression) -> _Operand:
        match tree:
            case Name(parts):
                return self._column(parts)
            case Text(value):
                return _Operand(literal(value), Kind.TEXT, value)
            case Number(value):
                return _Operand(_number(float(value)), Kind.INT, number=value)
            case Null():
                return _NULL
            case Operation("IN", (left, *members)) if all(isinstance(member, Text | Number) for member in members):
                texts = [member.value for member in members if isinstance(member, Text)]
                numbers = [member.value for member in members if isinstance(member, Number)]
                return self._in_constants(self.write(left), texts, numbers)
            case Operation("OR", operands):
                return _condition(_any_of([self.write(operand).truth() for operand in operands]))
            case Operation(word, operands):
                return self._operation(word, operands)

    def _column(self, parts: tuple[str, ...]) -> _Operand:
        """Return the column with this name."""
        *qualifiers, name = parts
        if len(qualifiers) > 1:
            raise unknown_column(".".join(parts))
        aliases = qualifiers or list(self._scope.tables)
        matches = [
            alias
            for alias in aliases
            if alias in self._scope.tables
            and (name.lower() in self._scope.tables[alias].columns or (alias, name.lower()) in self._scope.renamed)
        ]
        if not matches:
            raise unknown_column(".".join(parts))
        if len(matches) > 1:
            raise _ambiguous(name)
        alias, stored = self._scope.renamed.get((matches[0], name.lower()), (matches[0], name))
        column = self._scope.tables[alias].columns[stored.lower()]
        return _Operand(f"{alias}.{column.name}", column.kind, column=f"{alias}.{column.name}")

    def _operation(self, word: str, operands: tuple[Expression, ...]) -> _Operand:
        sides = [self.write(operand) for operand in operands]
        if word in _SIMPLE:
            return _condition(_SIMPLE[word](*(side.truth() for side in sides)))
        if word in _ARITHMETIC:
            return _condition(_ARITHMETIC[word](*(side.as_number() for side in sides)))
        match word:
            case "IS NULL":
                return _condition(f"{sides[0].sql} IS NULL")
            case "LIKE":
                return _like(*sides)
            case "REGEXP":
                return _regexp(*sides)
            case "IN":
                return _condition(_any_of([self._compare("=", sides[0], side).sql for side in sides[1:]]))
            case "ROW":
                raise SqlError("21000", "Cardinality violation: 1241 Operand should contain 1 column(s)")
            case "BETWEEN":
                low = self._compare(">=", sides[0], sides[1]).sql
                return _condition(f"{low} AND {self._compare('<=', sides[0], sides[2]).sql}")
            case _ if word.endswith("()"):
                return _function(word.removesuffix("()"), sides)
            case _:
                return self._compare(word, *sides)

    def _compare(self, word: str, left: _Operand, right: _Operand) -> _Operand:
        """Return `left word right`, by the kinds of both."""
        if word != "!=" and left.column and right.column is None:
            self.bounded[left.column] = None
        sign = {"<=>": "IS", "!=": "<>"}.get(word, word)
        kinds = {left.kind, right.kind}
        if None in kinds:
            return _condition(f"{left.sql} {sign} {right.sql}")
        if kinds == {Kind.TEXT}:
            return _condition(f"{left.sql} {sign} {right.sql} COLLATE mysql_ci")
        constant = left.number or right.number
        if Kind.TIME in kinds and (constant or not kinds & {Kind.INT, Kind.DECIMAL}):
            return _condition(f"{left.as_time()} {sign} {right.as_time()}")
        return _condition(f"{left.as_number()} {sign} {right.as_number()}")

    def _in_constants(self, left: _Operand, texts: list[str], numbers: list[str]) -> _Operand:
        """Return `IN (…)` with constants: a comparison for each, by its kind, but as lists, which SQLite looks up."""
        if left.column:
            self.bounded[left.column] = None
        if left.kind is Kind.TIME:
            times = [*map(values.time_of, texts), *(values.time_of_number(float(number)) for number in numbers)]
            return _condition(f"{left.sql} IN ({', '.join(map(literal, times))})")
        lists = []
        if left.kind is Kind.TEXT and texts:
            lists.append(f"{left.sql} COLLATE mysql_ci IN ({', '.join(map(literal, texts))})")
            texts = []
        if texts or numbers:
            items = ", ".join(_number(values.number(constant)) for constant in texts + numbers)
            lists.append(f"{left.as_number()} IN ({items})")
        return _condition(_any_of(lists))


def _any_of(conditions: Sequence[str]) -> str:
    """Join conditions by OR, in nested halves, because SQLite does not allow a tree of a thousand levels.

    >>> _any_of(["a", "b", "c"])
    '(a) OR ((b) OR (c))'
    """
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    return f"({_any_of(conditions[:middle])}) OR ({_any_of(conditions[middle:])})"


def _function(name: str, sides: list[_Operand]) -> _Operand:
    if name != "FIND_IN_SET":
        raise SqlError("42000", f"Syntax error or access violation: 1305 FUNCTION magento.{name} does not exist")
    return _condition(f"mysql_find_in_set({sides[0].as_text()}, {sides[1].as_text()})")


def _like(left: _Operand, right: _Operand) -> _Operand:
    if left.kind is Kind.INT and right.literal is not None and len(right.literal) <= _LONGEST_LIKE:
        # Digits only: SQLite's own LIKE has the same result, and makes queries for decimal blocks quick.
        return _condition(f"{left.as_text()} LIKE {right.sql} ESCAPE '\\'")
    return _condition(f"mysql_like({left.as_text()}, {right.as_text()})")


def _regexp(left: _Operand, right: _Operand) -> _Operand:
    if right.literal is not None:
        try:
            values.regexp(right.literal)
        except values.RegexError as error:
            raise SqlError(
                "42000",
                f"Syntax error or access violation: 1139 Regex error '{error}'",
            ) from None
    return _condition(f"mysql_regexp({right.as_text()}, {left.as_text()})")


_SIMPLE: Mapping[str, Callable[..., str]] = {
    "AND": "{} AND {}".format,
    "XOR": "(({}) <> 0) <> (({}) <> 0)".format,
    "NOT": "NOT {}".format,
    "IS TRUE": "{} IS TRUE".format,
    "IS FALSE": "{} IS FALSE".format,
}
"""Operators on conditions."""

_ARITHMETIC: Mapping[str, Callable[..., str]] = {
    "+": "{} + {}".format,
    "-": "{} - {}".format,
    "*": "{} * {}".format,
    "/": "CAST({} AS REAL) / {}".format,
    "%": "{} % {}".format,
    "NEG": "-{}".format,
}
"""Operators on numbers."""


def register(connection: sqlite3.Connection) -> None:
    """Register the functions and the collation that translated clauses use."""
    connection.create_collation("mysql_ci", values.collate)
    for name, count, function in (
        ("mysql_number", 1, values.number),
        ("mysql_like", 2, values.like),
        ("mysql_find_in_set", 2, values.find_in_set),
        ("mysql_regexp", 2, _matches),
    ):
        connection.create_function(name, count, _strict(function), deterministic=True)


def _matches(pattern: str, text: str) -> bool:
    return values.regexp(pattern).search(text) is not None


def _strict(function: Callable[..., float | bool]) -> Callable[..., float | bool | None]:
    """Return a function that is NULL if any operand is NULL."""

    def called(*operands: str | None) -> float | bool | None:
        return None if None in operands else function(*operands)

    return called
