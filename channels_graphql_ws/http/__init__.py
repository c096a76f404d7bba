"""GraphQL over HTTP and server-sent events: the consumer and the view."""
