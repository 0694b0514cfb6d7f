"""A shop at a new address: the refusal names both addresses and the option to continue with."""

from __future__ import annotations

import itertools
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import magento_pager
from magento_pager import CheckpointMismatchError, Pager, Progress, dump
from magento_pager.cli import run
from magento_pager.export.stored import stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from magento_pager.fake import Shop


@pytest.fixture
def old(shop: Shop) -> Iterator[Pager]:
    """Return a pager for the shop at its old address."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        yield pager


@pytest.fixture
def new(shop: Shop) -> Iterator[Pager]:
    """Return a pager for the same shop at its new address, as when `www.` is added or removed."""
    with magento_pager.connect(moved(shop), shop.user, shop.key) as pager:
        yield pager


@pytest.fixture(params=["ndjson", "csv.gz", "db"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the path of the output."""
    return tmp_path / f"orders.{request.param}"


def moved(shop: Shop) -> str:
    """Return the new address."""
    return shop.url.replace("127.0.0.1", "localhost")


def stop(_: Progress) -> None:
    """Stop a dump after its first page."""
    raise RuntimeError


def stopped(pager: Pager, path: Path) -> None:
    """Leave an unfinished dump of orders."""
    with pytest.raises(RuntimeError):
        dump(pager.orders(window=100), path, progress=stop)


@pytest.mark.parametrize("leave", [stopped, lambda pager, path: dump(pager.orders(window=100), path)])
def test_the_refusal_names_both_addresses_and_the_option(
    shop: Shop, old: Pager, new: Pager, path: Path, leave: Callable[[Pager, Path], object]
) -> None:
    """Unfinished and finished dumps are refused; with the old address as `moved_from` they continue."""
    leave(old, path)
    with pytest.raises(CheckpointMismatchError) as caught:
        dump(new.orders(window=100), path, resume=True)
    assert f"shop was {shop.url} and is now {moved(shop)}" in str(caught.value)
    assert "If the shop moved, set moved_from (--moved-from) to its old address. Otherwise, " in str(caught.value)
    with pytest.raises(CheckpointMismatchError):
        dump(new.orders(window=100), path, resume=True, moved_from="https://www.shop.example")
    assert dump(new.orders(window=100), path, resume=True, moved_from=f"{shop.url}?wsdl=1").complete
    assert [str(row["order_id"]) for row in stored(path)] == [row["order_id"] for row in new.orders()]


def test_the_old_address_is_needed_once(shop: Shop, old: Pager, new: Pager, path: Path) -> None:
    """A resumed dump belongs to the new address, and no longer to the old one."""
    stopped(old, path)
    with pytest.raises(RuntimeError):
        dump(new.orders(window=100), path, resume=True, moved_from=shop.base_url, progress=stop)
    with pytest.raises(CheckpointMismatchError):
        dump(old.orders(window=100), path, resume=True)
    assert dump(new.orders(window=100), path, resume=True, moved_from=shop.base_url).complete
    assert dump(new.orders(window=100), path, resume=True).already


def test_another_query_is_refused_despite_moved_from(shop: Shop, old: Pager, new: Pager, tmp_path: Path) -> None:
    """The old address only allows another shop, not another query."""
    stopped(old, tmp_path / "orders.ndjson")
    with pytest.raises(CheckpointMismatchError, match="is of a different dump: last was") as caught:
        dump(new.orders(last=500), tmp_path / "orders.ndjson", resume=True, moved_from=shop.url)
    assert "moved_from" not in str(caught.value)


@pytest.mark.parametrize("name", ["orders-{time}.ndjson", "shop.sqlite"])
def test_a_state_continues_at_the_new_address(
    shop: Shop, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without the option, a warning tells that all rows are dumped; with it, the state has the new address."""
    state = tmp_path / "state.json"
    command = ["dump", "orders", "--user", shop.user, "--key", shop.key, "--state", str(state)]
    command += ["--report", str(tmp_path / "report.json")]
    out = (["--out", str(tmp_path / name.replace("orders", f"orders{number}"))] for number in itertools.count())
    assert run([*command, *next(out), "--url", shop.url]) == 0
    before = state.read_bytes()
    capfd.readouterr()
    new_url = ["--url", moved(shop)]
    if name != "shop.sqlite":  # the checkpoint of a table is refused before
        assert run([*command, *next(out), *new_url]) == 0
        err = capfd.readouterr().err
        assert f"has the state of orders of {shop.url}, but not of {moved(shop)}, so all rows are dumped" in err
        assert "stop this dump and set --moved-from to the old address" in err
        state.write_bytes(before)
    assert run([*command, *next(out), *new_url, "--moved-from", shop.url]) == 0
    assert json.loads((tmp_path / "report.json").read_text())["asked"]["since"]
    assert "--moved-from" not in capfd.readouterr().err
    assert [entry["asked"]["shop"] for entry in json.loads(state.read_bytes())["lists"]] == [moved(shop)]
    assert run([*command, *next(out), *new_url]) == 0
    if name == "shop.sqlite":
        with closing(sqlite3.connect(tmp_path / name)) as database:
            assert database.execute("SELECT count(*) FROM orders").fetchone() == (200,)


def test_moved_from_needs_resume_or_state_and_an_address(shop: Shop, old: Pager, tmp_path: Path) -> None:
    """Anything else is refused before any call to the shop."""
    shop.clear_log()
    with pytest.raises(ValueError, match=r"moved_from \(--moved-from\) needs resume=True \(--resume\) or state"):
        dump(old.orders(), tmp_path / "a.ndjson", moved_from=shop.url)
    with pytest.raises(
        ValueError, match=r"must be a former address of the shop, such as https://.*, not 'www.shop.example'"
    ):
        dump(old.orders(), tmp_path / "a.ndjson", resume=True, moved_from="www.shop.example")
    assert not shop.log
