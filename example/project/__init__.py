"""The Django project around the chat: settings, addresses, the ASGI application."""
