"""Dump the articles of a SOAP service that can search them only by the beginning of their number.

    python examples/warehouse_articles.py https://floor.example/articles?wsdl articles.parquet

To resume a dump that was stopped, run the same command again.
"""

from __future__ import annotations

import string
import sys

import zeep

from magento_pager import Condition, Paginator, SoapSource, Texts, dump

ALPHABET = string.digits + string.ascii_uppercase + "-"
"""Every character that a number may contain. Numbers with other characters are not found."""


def arguments(conditions: tuple[Condition, ...]) -> dict[str, str]:
    """Translate the conditions of a query to the arguments of the operation: the beginning of a number, or a number."""
    names = {"starts with": "Begins", "eq": "ArticleNo"}
    return {names[condition.operator]: condition.value for condition in conditions}


def articles(wsdl: str) -> Paginator:
    """Return all articles."""
    client = zeep.Client(wsdl, transport=zeep.Transport(operation_timeout=60))
    key = Texts("ArticleNo", ALPHABET)
    source = SoapSource(client.service.FindArticles, arguments, key, remedies={"too many": "split"}, url=wsdl)
    return source.paginator("articles")


if __name__ == "__main__":
    report = dump(articles(sys.argv[1]), sys.argv[2], resume=True)
    print(f"{report.rows} articles in {report.calls} calls")
