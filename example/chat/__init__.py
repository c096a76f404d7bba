"""A chat: rooms, messages, who is typing. The example of channels_graphql_ws."""
