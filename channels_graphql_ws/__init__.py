"""Live GraphQL data for Django: subscriptions over WebSocket on Channels."""
