"""Run code at once where nothing waits, in threads where it blocks."""
