"""GraphQL over WebSocket: the consumer, its connection and both subprotocols."""
