"""What the check of a project finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that has to be changed, or should be known.

    Attributes:
        where: a file and a line, a module, or what else has it.
        text: what is wrong, and what to do.
        is_note: the project works without a change.
    """

    where: str
    text: str
    is_note: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {'note: ' if self.is_note else ''}{self.text}"
