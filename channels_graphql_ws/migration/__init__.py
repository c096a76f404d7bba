"""What a project that was written for another package has to change: the command `check`."""
