"""`manage.py runserver`: Daphne's, which says where the chat is as soon as it is there."""

from typing import Any

from daphne.management.commands import runserver
from daphne.server import Server

ALL_INTERFACES = {"0.0.0.0", "::", "0"}  # noqa: S104 (they are recognized, not bound to)


class Command(runserver.Command):
    """Serve the chat for development."""

    def server_cls(self, **options: Any) -> Server:
        """Return the server of Daphne's command, which tells when it listens."""
        return Server(ready_callable=self._announce, **options)

    def _announce(self) -> None:
        host = "127.0.0.1" if self.addr in ALL_INTERFACES else self.addr
        host = f"[{host}]" if ":" in host else host
        self.stdout.write(f"\nThe chat is at http://{host}:{self.port}/\n")
        # Under tox this is a pipe, which would keep the line to itself.
        self.stdout.flush()
