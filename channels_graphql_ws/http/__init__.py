"""GraphQL over HTTP: what consumer and view share, from the request to the answer."""
