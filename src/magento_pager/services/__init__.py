"""Lists of other SOAP services, as sources for the same walk."""
