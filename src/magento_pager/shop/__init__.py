"""The connection to a Magento over the network. It does not know which strategy sends a query."""
