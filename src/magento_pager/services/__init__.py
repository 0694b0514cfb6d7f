"""Lists of SOAP services that are not Magento's, as sources for the same walk."""
