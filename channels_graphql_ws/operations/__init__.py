"""One operation, from the request to its results, whichever transport it came by."""
