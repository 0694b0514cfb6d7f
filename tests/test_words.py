"""The words that the project does not use, and what it says instead: in docs, help, messages, comments and names."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]

PHRASES = {
    r"soundings?": "sample",
    r"emptiness": "gap",
    r"crossing": "skipping gaps",
    r"acquaintances?|sightings?": "known row, found rows",
    r"(taken )?at (its|their) word": "is honoured by the server",
    r"turnstiles?": "limiter",
    r"(leave|leaves|leaving|left) out": "skip, skipped, without",
    r"(?<!just\x20a\x20)(?<!one\x20)moments?": "timestamp, time",
    r"is no share": "is not a fraction",
    r"(go|goes|going|gone) on with": "resume, continue with",
    r"whoever": "the noun",
    r"without a word": "silently",
    r"mend(s|ed|ing)?": "fix",
    r"spelt": "spelled",
    r"settle[sd]?": "mark as finished, delete the checkpoint",
    r"packed": "gzipped, compressed",
    r"strays?": "unexpected",
    r"misfits?": "invalid value",
    r"slivers?|glances?|crowd(s|ed)?|bearable": "a plain noun for what it is",
    r"the house": "the architecture",
    r"(come|comes|came) of (it|that|them|this)": "the result",
    r"(which|who) else": "otherwise",
    r"in words": "as text",
    r"(say|says|said|tell|tells|told) of (it|them)sel(f|ves)": "report",
    r"throw (it )?away": "discard, replace",
    r"(went|goes) away": "closed, ended",
    r"keep trying so long": "keep trying for this long",
    r"numbers and moments": "numbers and times",
    r"of late|lately": "recently",
    r"but for": "except",
    r"amid": "during",
}
"""What a native reader stumbles over, as regular expressions over whole words, each with what to say instead."""

NAMES = {
    "acquaintance": "known_row",
    "bearable": "what the server can handle",
    "believe": "confirm",
    "crossing": "gap",
    "crowd": "rows_expected",
    "crowded": "dense",
    "emptiness": "gap",
    "ground": "known_rows",
    "moment": "timestamp",
    "packed": "gzipped",
    "said": "message",
    "sighting": "found_rows",
    "sightings": "found_rows",
    "sounding": "sample",
    "spelt": "spelled",
    "thoughts": "retries",
    "told": "sent",
    "turnstile": "limiter",
}
"""Parts of names, between underscores, each with what to call it instead."""

PATTERN = re.compile(rf"(?<![\w-])({'|'.join(PHRASES)})(?![\w-])".replace(" ", r"\s+"), re.IGNORECASE)
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"``?[^`]+``?|\{[^{}\n]*\}|^ *>>> .*$|^ *\(?[\w.\[\]]+(?=:| \||\()", re.MULTILINE)


def blanked(match: re.Match[str]) -> str:
    """Return blanks in place of a match, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", match.group())


def files(*patterns: str) -> list[Path]:
    """Return the files of the checkout that match any of these patterns, but this one."""
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern) if path != Path(__file__).resolve())


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each text of a file for people, with the number of its first line; code within it is blank."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield 1, CODE.sub(blanked, FENCED.sub(blanked, content))
        return
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        kind = tokenize.tok_name[token.type]
        # A text of one word is a key or a value, and those of reports and options stay as they are.
        if kind == "COMMENT" or (kind in ("STRING", "FSTRING_MIDDLE") and " " in token.string.strip()):
            yield token.start[0], CODE.sub(blanked, token.string.replace(r"\n", "  "))


def names(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each name in a Python file, with the number of its line."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def replaced(path: Path) -> Iterator[str]:
    """Yield where a file has a phrase that the project replaced, and what to say instead."""
    for start, text in texts(path):
        for match in PATTERN.finditer(text):
            line = start + text[: match.start()].count("\n")
            yield f"{path.relative_to(ROOT)}:{line}: {match.group()!r}; say: {replacement(match.group())}"


def replacement(phrase: str) -> str:
    """Return what to say instead of a phrase."""
    one_line = re.sub(r"\s+", " ", phrase)
    return next(instead for pattern, instead in PHRASES.items() if re.fullmatch(pattern, one_line, re.IGNORECASE))


PYTHON = ("src/**/*.py", "tests/**/*.py", "docs/*.py", "examples/*.py", "benchmarks/*.py")


@pytest.mark.parametrize("patterns", [("*.md", "docs/**/*.md"), PYTHON], ids=["docs", "code"])
def test_no_text_uses_a_replaced_phrase(patterns: tuple[str, ...]) -> None:
    """Docs, help texts, messages, docstrings and comments use none of the phrases that the project replaced."""
    found = [place for path in files(*patterns) for place in replaced(path)]
    assert not found, "\n".join(found)


def test_no_name_uses_a_replaced_word() -> None:
    """No name in the code is made of a word that the project replaced."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}; say: {NAMES[part]}"
        for path in files(*PYTHON)
        for line, name in names(path)
        for part in re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
        if part in NAMES
    ]
    assert not found, "\n".join(found)


def test_replaced_phrases_are_found(tmp_path: Path) -> None:
    """The search finds phrases in prose, comments, docstrings and messages, and leaves code and keys alone."""
    page = tmp_path / "page.md"
    page.write_text("Take a sounding.\n```\nsounding\n```\nThe key `moment`.\nIt went\naway.\n", encoding="utf-8")
    code = tmp_path / "code.py"
    code.write_text('# Mend it.\nkey = "moment"\nraise ValueError(f"{key} is\\nspelt wrong")\n', encoding="utf-8")
    lines = [[(line, m.group()) for line, text in texts(path) for m in PATTERN.finditer(text)] for path in (page, code)]
    assert [[phrase for _, phrase in found] for found in lines] == [["sounding", "went\naway"], ["Mend", "spelt"]]
