"""A parser for the part of MySQL's expression syntax that a WHERE clause of the shop can contain.

Older versions insert field names into the SQL as they are, so a clause can be more than columns and values. Whatever
MySQL would refuse is a `ParseError` with the place where it stopped. Nothing here knows tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Name:
    """A column, after the alias of its table if one was written."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A literal in quotes."""

    value: str


@dataclass(frozen=True, slots=True)
class Number:
    """A literal number, as written."""

    value: str


@dataclass(frozen=True, slots=True)
class Null:
    """The word NULL."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator or a function and its operands.

    Operators are `AND`, `OR`, `XOR`, `NOT`, `=`, `!=`, `<=>`, `<`, `<=`, `>`, `>=`, `LIKE`, `REGEXP`, `IN`, `BETWEEN`,
    `IS NULL`, `IS TRUE`, `IS FALSE`, `+`, `-`, `*`, `/`, `%`, `NEG`, `ROW`; a function is its name and `()`. `OR` may
    have more than two operands.
    """

    word: str
    operands: tuple[Expression, ...]


Expression: TypeAlias = "Name | Text | Number | Null | Operation"


class ParseError(ValueError):
    """MySQL cannot parse the statement; the text is the rest from the place where it stopped, as MySQL shows it."""


class ArgumentCountError(ValueError):
    """A function has too many or too few arguments, which MySQL reports while it parses; the text is its name."""


_ARGUMENTS = {"FIND_IN_SET": 2}
"""The functions that the shop uses, and the number of their arguments."""

_TOKEN = re.compile(
    r"""
      (?P<blank>\s+|/\*.*?\*/|\#[^\n]*|--(?=\s|$)[^\n]*)
    | (?P<texts>\('[^'\\]*'(?:,[ ]?'[^'\\]*')+\))
    | (?P<text>'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*")
    | (?P<quoted>`(?:[^`]|``)*`)
    | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_$\x80-\U0010ffff]))
    | (?P<word>[A-Za-z0-9_$\x80-\U0010ffff]+)
    | (?P<sign><=>|<=|>=|<>|!=|&&|\|\||[-+*/%=<>(),.!])
    """,
    re.VERBOSE | re.DOTALL,
)

_LIST_ITEM = re.compile(r"'([^']*)'")

_WORDS = """
add all alter analyze and as asc before between both by case change check collate column condition constraint continue
convert create cross database default delete desc describe distinct div drop each else exists explain false fetch for
force foreign from fulltext grant group having if ignore in index inner insert interval into is join key keys kill
leading left like limit lines load lock match mod natural not null on optimize option or order outer primary procedure
purge range read references regexp release rename repeat replace require restrict return revoke right rlike schema
select set show spatial sql starting straight_join table terminated then to trailing trigger true undo union unique
unlock unsigned update usage use using values varying when where while with write xor
"""
_RESERVED = frozenset(_WORDS.split())
"""Words that are not a column unless in backticks."""

_UNESCAPED = {"0": "\0", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "Z": "\x1a"}
_ESCAPE = re.compile(r"\\(.)|''|\"\"", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    value: str
    at: int


def _tokens(sql: str) -> Iterator[_Token]:
    """Yield the tokens of a statement, then one of kind `end`."""
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is None:
            raise ParseError(sql[at:])
        kind = match.lastgroup or ""
        if kind != "blank":
            yield _Token(kind, match[0], at)
        at = match.end()
    yield _Token("end", "", at)


def _unquoted(literal: str) -> str:
    r"""Return the value of a literal in quotes.

    >>> _unquoted(r"'it\'s so'")
    "it's so"
    """
    quote = literal[0]

    def unescaped(match: re.Match[str]) -> str:
        if match[1] is None:
            return quote if match[0][0] == quote else match[0]
        # LIKE needs the backslash before its wildcards, so MySQL keeps it there.
        return "\\" + match[1] if match[1] in "%_" else _UNESCAPED.get(match[1], match[1])

    return _ESCAPE.sub(unescaped, literal[1:-1])


def parse(sql: str) -> Expression:
    """Return the tree of an expression.

    Raises:
        ParseError: it is invalid.
        ArgumentCountError: it calls a function with a wrong number of arguments.

    >>> parse("(`main_table`.`entity_id` >= '5')")
    Operation(word='>=', operands=(Name(parts=('main_table', 'entity_id')), Text(value='5')))
    >>> parse("(entity_id IS 'NULL')")
    Traceback (most recent call last):
    ...
    magento_pager.fake.database.syntax.ParseError: 'NULL')
    """
    reader = _Reader(sql)
    tree = reader.expression()
    reader.demand("end")
    return tree


class _Reader:
    """A recursive descent parser, from the lowest precedence to the highest, with one token of look-ahead."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._tokens = list(_tokens(sql))
        self._at = 0

    # The tokens

    def _peek(self, *values: str) -> bool:
        """Return whether the next token is one of these words or signs."""
        token = self._tokens[self._at]
        return token.kind in {"word", "sign"} and token.value.upper() in values

    def _take(self, *values: str) -> str:
        """Consume the next token if it is one of these, and return it; otherwise return an empty text."""
        if not self._peek(*values):
            return ""
        self._at += 1
        return self._tokens[self._at - 1].value.upper()

    def _kind(self, *kinds: str) -> _Token | None:
        """Consume the next token if it has one of these kinds, and return it."""
        token = self._tokens[self._at]
        if token.kind not in kinds:
            return None
        self._at += 1
        return token

    def _fail(self) -> ParseError:
        return ParseError(self._sql[self._tokens[self._at].at :])

    def demand(self, sign: str) -> None:
        """Consume that sign, or the end."""
        if not (self._kind("end") if sign == "end" else self._take(sign)):
            raise self._fail()

    # The grammar

    def expression(self) -> Expression:
        sides = [self._exclusive()]
        while self._take("OR", "||"):
            sides.append(self._exclusive())
        return sides[0] if len(sides) == 1 else Operation("OR", tuple(sides))

    def _exclusive(self) -> Expression:
        tree = self._conjunction()
        while self._take("XOR"):
            tree = Operation("XOR", (tree, self._conjunction()))
        return tree

    def _conjunction(self) -> Expression:
        tree = self._negation()
        while self._take("AND", "&&"):
            tree = Operation("AND", (tree, self._negation()))
        return tree

    def _negation(self) -> Expression:
        if self._take("NOT"):
            return Operation("NOT", (self._negation(),))
        return self._comparison()

    def _comparison(self) -> Expression:
        tree = self._predicate()
        while True:
            if self._take("IS"):
                tree = self._is(tree)
            elif sign := self._take("<=>", "<=", ">=", "<>", "!=", "=", "<", ">"):
                tree = Operation("!=" if sign == "<>" else sign, (tree, self._predicate()))
            else:
                return tree

    def _is(self, tree: Expression) -> Expression:
        negated = self._take("NOT")
        word = self._take("NULL", "TRUE", "FALSE", "UNKNOWN")
        if not word:
            raise self._fail()
        test = Operation("IS NULL" if word == "UNKNOWN" else f"IS {word}", (tree,))
        return Operation("NOT", (test,)) if negated else test

    def _predicate(self) -> Expression:
        tree = self._sum()
        negated = self._take("NOT")
        if self._take("IN"):
            tree = Operation("IN", (tree, *self._members()))
        elif self._take("BETWEEN"):
            first = self._sum()
            self.demand("AND")
            tree = Operation("BETWEEN", (tree, first, self._sum()))
        elif self._take("LIKE"):
            tree = Operation("LIKE", (tree, self._sum()))
        elif self._take("REGEXP", "RLIKE"):
            tree = Operation("REGEXP", (tree, self._sum()))
        elif negated:
            raise self._fail()
        return Operation("NOT", (tree,)) if negated else tree

    def _list(self) -> tuple[Expression, ...]:
        """Read expressions separated by commas, up to the closing bracket."""
        members = [self.expression()]
        while self._take(","):
            members.append(self.expression())
        self.demand(")")
        return tuple(members)

    def _members(self) -> tuple[Expression, ...]:
        """Read the list of IN. A list of plain texts, of which there may be a hundred thousand, is a single token."""
        if token := self._kind("texts"):
            return tuple(map(Text, _LIST_ITEM.findall(token.value)))
        self.demand("(")
        return self._list()

    def _sum(self) -> Expression:
        tree = self._product()
        while sign := self._take("+", "-"):
            tree = Operation(sign, (tree, self._product()))
        return tree

    def _product(self) -> Expression:
        tree = self._simple()
        while sign := self._take("*", "/", "%"):
            tree = Operation(sign, (tree, self._simple()))
        return tree

    def _simple(self) -> Expression:
        if self._take("-"):
            return Operation("NEG", (self._simple(),))
        if self._take("+"):
            return self._simple()
        if self._take("!"):
            return Operation("NOT", (self._simple(),))
        if self._take("("):
            members = self._list()
            return members[0] if len(members) == 1 else Operation("ROW", members)
        if token := self._kind("text"):
            parts = [_unquoted(token.value)]
            while token := self._kind("text"):
                parts.append(_unquoted(token.value))
            return Text("".join(parts))
        if token := self._kind("number"):
            return Number(token.value)
        return self._word()

    def _word(self) -> Expression:
        """Read NULL, a truth value, a function or a column."""
        if self._take("NULL"):
            return Null()
        if truth := self._take("TRUE", "FALSE"):
            return Number("1" if truth == "TRUE" else "0")
        name = self._part()
        if self._take("("):
            operands = () if self._take(")") else self._list()
            if _ARGUMENTS.get(name.upper(), len(operands)) != len(operands):
                raise ArgumentCountError(name)
            return Operation(f"{name.upper()}()", operands)
        parts = [name]
        while self._take("."):
            parts.append(self._part(qualified=True))
        return Name(tuple(parts))

    def _part(self, *, qualified: bool = False) -> str:
        """Read one part of a name; after a dot it may be any word."""
        token = self._tokens[self._at]
        if token.kind == "quoted":
            self._at += 1
            return token.value[1:-1].replace("``", "`")
        if token.kind == "word" and (qualified or token.value.lower() not in _RESERVED):
            self._at += 1
            return token.value
        raise self._fail()
