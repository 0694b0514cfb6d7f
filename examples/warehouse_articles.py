"""Another SOAP service: a shop floor system finds articles by how their numbers begin, and by nothing else.

python examples/warehouse_articles.py https://floor.example/articles?wsdl articles.parquet
"""

from __future__ import annotations

import string
import sys

import zeep

from magento_pager import Condition, Paginator, SoapSource, Texts, dump

ALPHABET = string.digits + string.ascii_uppercase + "-"


def arguments(conditions: tuple[Condition, ...]) -> dict[str, str]:
    """Return the filters of the operation: the beginning of a number, or all of it."""
    names = {"starts with": "Begins", "eq": "ArticleNo"}
    return {names[one.operator]: one.value for one in conditions}


def articles(wsdl: str) -> Paginator:
    """Return every article."""
    client = zeep.Client(wsdl, transport=zeep.Transport(operation_timeout=60))
    key = Texts("ArticleNo", ALPHABET)
    source = SoapSource(client.service.FindArticles, arguments, key, remedies={"too many": "split"}, url=wsdl)
    return source.paginator("articles")


if __name__ == "__main__":
    report = dump(articles(sys.argv[1]), sys.argv[2], resume=True)
    print(f"{report.rows} articles in {report.calls} calls")
