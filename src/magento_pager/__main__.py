"""`python -m magento_pager`."""

from magento_pager.cli import main

main()
