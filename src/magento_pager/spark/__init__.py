"""Many shops on Apache Spark: a data source named `magento`. Needs the extra `spark`, and Java.

    spark.dataSource.register(MagentoDataSource)
    spark.read.format("magento").option("entity", "orders").option("shops", "shops.json").load()

What lives here: lists and shops as Spark needs them. Shops are read by the pager, as everywhere.
"""

from __future__ import annotations

try:
    from magento_pager.spark.source import MagentoDataSource
except ModuleNotFoundError as error:
    if error.name in {"pyspark", "pyarrow"}:
        raise ModuleNotFoundError(
            f"magento_pager.spark needs {error.name}. Install it with: pip install 'magento-pager[spark]'",
            name=error.name,
        ) from None
    raise

__all__ = ["MagentoDataSource"]
