"""Commands, as JSON, that change a running shop."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import magento_pager
from magento_pager.fake import Shop
from magento_pager.fake.control import execute


def test_each_command_changes_the_running_shop() -> None:
    """Version, settings and rows change while a client uses the shop, and the log can be read."""
    with Shop(orders=20) as shop:
        new = execute(shop, '{"insert": ["orders", {"entity_id": 900, "status": "pending"}]}')
        assert new == {"ok": 900}
        assert execute(shop, '{"update": ["orders", 900, {"status": "closed"}]}') == {"ok": True}
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            (row,) = pager.orders(strategy="prefix", first=900, last=900)
            assert row["status"] == "closed"
            assert execute(shop, '{"delete": ["orders", 900]}') == {"ok": True}
            assert list(pager.orders(strategy="prefix", first=900, last=900)) == []
        assert execute(shop, '{"profile": ["1.7.0.2", "wsi"]}') == {"ok": None}
        assert (shop.settings.profile.name, shop.settings.flavour) == ("1.7.0.2", "wsi")
        assert execute(shop, '{"knobs": {"latency": 0.5}}') == {"ok": None}
        assert shop.settings.latency == 0.5
        calls = execute(shop, '{"log": true}')["ok"]
        assert next(call["operation"] for call in calls) == "login"
        assert shop.log == ()


@pytest.mark.parametrize(
    "line",
    ["", "no json", "[]", "{}", '{"fly": 1}', '{"profile": "9.9"}', '{"knobs": {"no": 1}}', '{"delete": 5}'],
)
def test_an_invalid_command_is_answered_with_an_error(line: str) -> None:
    """The shop keeps running."""
    with Shop(orders=1) as shop:
        assert set(execute(shop, line)) == {"error"}
        assert shop.settings.profile.name == "20.0.20"


def test_the_command_line_executes_commands() -> None:
    """`serve --control` answers each line of standard input with a line, and keeps running at the end of the input."""
    command = [sys.executable, "-m", "magento_pager", "serve", "--orders", "5", "--control"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as serving:  # noqa: S603  our own
        assert serving.stdin is not None
        assert serving.stdout is not None
        ready = json.loads(serving.stdout.readline())
        serving.stdin.write('{"profile": "1.8.1.0"}\n')
        serving.stdin.close()
        assert json.loads(serving.stdout.readline()) == {"ok": None}
        with magento_pager.connect(ready["url"], ready["user"], ready["key"]) as pager:
            assert pager.connection.namespace == "urn:Magento"
        serving.terminate()
        assert serving.wait(timeout=30) == 0
