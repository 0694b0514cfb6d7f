"""A Magento over the wire. Does not know which strategy asked."""
