"""The servers under measurement; each module runs in a process of its own."""
