"""MySQL's reading of values: numbers, times, collation, LIKE, REGEXP, FIND_IN_SET.

Pure functions from a text to the value that is compared; no SQL and no database. Each rule was checked against MariaDB
10.11 with an empty `sql_mode`, which the shop sets on each connection.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
_LARGEST = 1.7976931348623157e308

ZERO_TIME = "0000-00-00 00:00:00"
"""The value of a text that is not a date: before every date, equal to none."""


def number(text: str) -> float:
    """Return the number at the beginning of a text, as MySQL reads it to compare it with a number; 0 if there is none.

    >>> [number(text) for text in ("5", " 5 ", "5.0", "5abc", "1,2,3", "1e3", "-5", "0x10", "abc", "")]
    [5.0, 5.0, 5.0, 5.0, 1.0, 1000.0, -5.0, 0.0, 0.0, 0.0]
    """
    match = _NUMBER.match(text)
    if match is None:
        return 0.0
    return max(-_LARGEST, min(_LARGEST, float(match[1])))


_PUNCTUATION = r"[!-/:-@\[-`{-~]"
_DELIMITED = re.compile(
    rf"([0-9]+){_PUNCTUATION}([0-9]+){_PUNCTUATION}([0-9]+)"
    rf"(?:(?:T|{_PUNCTUATION}|[ \t\n\v\f\r]+)([0-9]+)"
    rf"(?:{_PUNCTUATION}([0-9]+)(?:{_PUNCTUATION}([0-9]+)(?:\.([0-9]+))?)?)?)?",
)
_DIGITS = re.compile(r"[0-9]+(?:T[0-9]*)?(?:(?<=[0-9]{12})\.[0-9]*)?$|[0-9]+(?:T[0-9]*)?$")
_CENTURY = 70
_LONG_DATE = 8
_FIRST_DAY = 100
"""The greatest number that is before 1 January 2000, written as 101."""
_LONG_TIME = 14
_LAST_TIME = (9999, 12, 31, 23, 59, 59)


def time_of(text: str) -> str:
    """Return a text as a time, in the form `YYYY-MM-DD HH:MM:SS`, with a fraction only if it has one.

    MySQL accepts any punctuation between the parts, no punctuation at all, years of two digits, and a missing time of
    day. It ignores any further text; anything else that is not a date is `ZERO_TIME`.

    >>> time_of("2024-03-05"), time_of("2024-3-5 2:07"), time_of("20240305020000"), time_of("24/03/05T02.00.30.5")
    ('2024-03-05 00:00:00', '2024-03-05 02:07:00', '2024-03-05 02:00:00', '2024-03-05 02:00:30.500000')
    >>> time_of("2024-03"), time_of("2024-02-32"), time_of("yesterday"), time_of("2024-02-30")
    ('0000-00-00 00:00:00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '2024-02-30 00:00:00')
    """
    stripped = text.lstrip(" \t\n\v\f\r")
    if _DIGITS.match(stripped):
        parts, short_year = _split_digits(stripped)
    else:
        match = _DELIMITED.match(stripped)
        if match is None:
            return ZERO_TIME
        parts = [int(part or 0) for part in match.groups()[:6]]
        parts.append(_microseconds(match[7] or ""))
        short_year = len(match[1]) == 2  # noqa: PLR2004 -- two digits
    if len(parts) < 3:  # noqa: PLR2004 -- year, month, day
        return ZERO_TIME
    year, month, day, hour, minute, second, micro = (*parts, *[0] * (7 - len(parts)))
    if short_year and any(parts):
        year += 2000 if year < _CENTURY else 1900
    # Zero is allowed as a part, and so is a day that its month does not have.
    if any(part > last for part, last in zip((year, month, day, hour, minute, second), _LAST_TIME, strict=True)):
        return ZERO_TIME
    written = f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
    return f"{written}.{micro:06}" if micro else written


def time_of_number(number: float) -> str:
    """Return a number as a time: its digits, with zeros before them, are read as a text without punctuation.

    >>> time_of_number(20240305), time_of_number(206), time_of_number(7.5)
    ('2024-03-05 00:00:00', '2000-02-06 00:00:00', '0000-00-00 00:00:00')
    """
    digits = f"{number:.0f}" if number > _FIRST_DAY else ""
    width = next((width for width in (6, 12) if len(digits) < width and len(digits) not in {7, 8}), len(digits))
    return time_of(digits.zfill(width)) if len(digits) not in {7, 13} else ZERO_TIME


def _microseconds(fraction: str) -> int:
    """Return the digits after the seconds as microseconds; digits after the sixth are ignored."""
    return int(fraction[:6].ljust(6, "0")) if fraction else 0


def _split_digits(text: str) -> tuple[list[int], bool]:
    """Return the parts of a date without punctuation, `[YY]YYMMDD[T][hhmmss[.ffffff]]`, and if its year is short."""
    whole, _, fraction = text.partition(".")
    digits = whole.replace("T", "")
    long_year = len(digits) in {4, _LONG_DATE} or len(digits) >= _LONG_TIME
    widths = [4 if long_year else 2, 2, 2, 2, 2, 2]
    parts: list[int] = []
    at = 0
    for width in widths:
        piece = digits[at : at + width]
        if not piece:
            break
        parts.append(int(piece))
        at += width
    if len(parts) == len(widths):
        parts.append(_microseconds(fraction))
    return parts, not long_year


@lru_cache(maxsize=4096)
def _weight(character: str) -> str:
    """Return the character that represents all characters that are equal to this one in `utf8_general_ci`."""
    if character == "ß":
        return "S"
    upper = character.upper()
    if len(upper) != 1:
        upper = character
    decomposed = unicodedata.normalize("NFD", upper)
    if len(decomposed) > 1 and unicodedata.combining(decomposed[1]):
        return decomposed[0]
    return upper


def folded(text: str) -> str:
    """Return a text with each character replaced by the one that represents its equals: no case, no accents.

    The length stays the same, so a `_` of LIKE still matches one character.

    >>> folded("Größe Kraków")
    'GROSE KRAKOW'
    """
    if text.isascii():
        return text.upper()
    return "".join(map(_weight, text))


def collate(left: str, right: str) -> int:
    """Compare as `utf8_general_ci` does: no case, no accents, the shorter text padded with blanks.

    >>> collate("abc", "ABC  "), collate("a", "b"), collate("b", "a")
    (0, -1, 1)
    """
    first, second = folded(left), folded(right)
    width = max(len(first), len(second))
    first, second = first.ljust(width), second.ljust(width)
    return (first > second) - (first < second)


@lru_cache(maxsize=256)
def _like(pattern: str) -> re.Pattern[str]:
    """Return the pattern of LIKE as a regular expression over folded text."""
    out: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            out.append(".*")
        elif character == "_":
            out.append(".")
        elif character == "\\":
            out.append(re.escape(folded(next(characters, "\\"))))
        else:
            out.append(re.escape(folded(character)))
    return re.compile("".join(out), re.DOTALL)


def like(text: str, pattern: str) -> bool:
    """Return whether LIKE matches: `%` any text, `_` one character, a backslash makes the next one ordinary.

    >>> like("12345", "12%"), like("12345", "12___"), like("12345", "12__"), like("Größe", "gro_e")
    (True, True, False, True)
    """
    return _like(pattern).fullmatch(folded(text)) is not None


def find_in_set(needle: str, texts: str) -> int:
    """Return the position of a text in a list joined by commas, from 1; 0 if it is not in the list.

    >>> find_in_set("b", "a,b,c"), find_in_set("", ""), find_in_set("a,b", "a,b")
    (2, 0, 0)
    """
    if not texts or "," in needle:
        return 0
    target = folded(needle)
    return next((position for position, text in enumerate(texts.split(","), 1) if folded(text) == target), 0)


class RegexError(ValueError):
    """The database cannot read a regular expression; the text is its reason."""


_LETTERS = "a-zA-Z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02c1\u0370-\u1fff\u2c00-\ud7ff"
_POSIX_CLASSES = {
    "alpha": _LETTERS,
    "digit": r"\d",
    "alnum": _LETTERS + r"\d",
    "upper": _LETTERS,
    "lower": _LETTERS,
    "space": r"\s",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
    "xdigit": "0-9A-Fa-f",
    "word": r"\w",
    "cntrl": r"\x00-\x1f\x7f",
    "print": r"\x20-\x7e\xa0-\uffff",
    "graph": r"\x21-\x7e\xa1-\uffff",
}
_PIECE = re.compile(
    r"\\Q(?P<quoted>.*?)(?:\\E|$)"
    r"|\\(?P<escaped>.)"
    r"|\[\[:(?P<edge>[<>]):\]\]"
    r"|(?P<set>\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\])"
    r"|\{(?P<bounds>[0-9]*,?[0-9]*)\}"
    r"|\((?P<named>\?<(?=[A-Za-z_]))"
    r"|(?P<flags>\(\?i?\))"
    r"|(?P<other>.)",
    re.DOTALL,
)
_SET_PIECE = re.compile(r"\[:(?P<not>\^?)(?P<name>[a-z]+):\]|\\(?P<class>[dDwWsSh])|(?P<one>\\.|.)", re.DOTALL)
_IN_SET = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "b": "\b", "e": "\x1b", "a": "\a"}
_MAXIMUM = 65536
"""The largest compiled expression in MariaDB's library, in bytes."""


def _translated(pattern: str) -> tuple[str, int]:
    """Return a PCRE pattern in the syntax of Python's `re`, and the approximate size of its compiled form, in bytes."""
    out: list[str] = []
    size = 0
    for piece in _PIECE.finditer(pattern):
        kind = piece.lastgroup or ""
        size += {"set": 33, "bounds": 4, "flags": 0}.get(kind, 2)
        if kind == "quoted":
            out.append(re.escape(piece["quoted"]))
            size += 2 * len(piece["quoted"])
        elif kind == "set":
            out.append(_translated_set(piece["set"]))
        elif kind == "bounds":
            # For PCRE {,5} and {} are ordinary characters, for Python {,5} is a repetition.
            is_repetition = piece["bounds"][:1].isdigit()
            out.append(piece[0] if is_repetition else re.escape(piece[0]))
        elif kind == "other":
            if piece[0] == "[":
                raise RegexError(f"missing terminating ] for character class at offset {len(pattern)}")
            out.append(piece[0])
            size += {"|": 1, "(": 6, ".": -1, "^": -1, "$": -1, ")": -2}.get(piece[0], 0)
        else:
            out.append(_translated_other(kind, piece))
    return "".join(out), size


def _translated_other(kind: str, piece: re.Match[str]) -> str:
    """Return a piece that is written differently in Python."""
    if kind == "escaped":
        return {"z": r"\Z", "Z": r"(?=\n?\Z)", "h": r"[ \t]"}.get(piece["escaped"], piece[0])
    if kind == "edge":
        return r"\b(?=\w)" if piece["edge"] == "<" else r"\b(?<=\w)"
    return "(?P<" if kind == "named" else ""  # the flag (?i) is on anyway


def _translated_set(text: str) -> str:
    """Return a class in brackets, with POSIX names spelled out, and everything else escaped for Python."""
    opening = "[^" if text.startswith("[^") else "["
    out = [opening]
    start = ""  # a character that may begin a range
    has_dash = False  # a dash follows it
    for piece in _SET_PIECE.finditer(text[len(opening) : -1]):
        single = piece["one"]
        if single is None:
            out.append((r"\-" if has_dash else "") + _named_members(piece, text))
            start, has_dash = "", False
        elif single == "-" and start and not has_dash:
            has_dash = True
        else:
            character = _IN_SET.get(single[1], single[1]) if len(single) > 1 else single
            if has_dash and character < start:
                raise RegexError(f"range out of order in character class {text}")
            out.append(("-" if has_dash else "") + re.escape(character))
            start, has_dash = "" if has_dash else character, False
    return "".join(out) + (r"\-]" if has_dash else "]")


def _named_members(piece: re.Match[str], text: str) -> str:
    """Return the members of a class that has a name, inside brackets."""
    if piece["class"]:
        return r" \t" if piece["class"] == "h" else piece[0]
    members = _POSIX_CLASSES.get(piece["name"])
    negated = {"digit": r"\D", "space": r"\S", "word": r"\W"}.get(piece["name"])
    name_members = negated if piece["not"] else members
    if name_members is None:
        raise RegexError(f"unknown POSIX class name in {text}")
    return name_members


@lru_cache(maxsize=256)
def regexp(pattern: str) -> re.Pattern[str]:
    """Return a compiled REGEXP of MariaDB (PCRE), case-insensitive like the collation of the columns.

    Raises:
        RegexError: it is invalid or too large (about 30,000 bytes of alternatives of five digits).

    >>> bool(regexp("^12[0-9]{3}$").search("12345")), bool(regexp("^(1|2)$").search("3"))
    (True, False)
    """
    if not pattern:
        return re.compile("")
    text, size = _translated(pattern)
    if size > _MAXIMUM:
        raise RegexError("regular expression is too large")
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise RegexError(f"{error.msg} at offset {error.pos or 0}") from None
