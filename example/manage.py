#!/usr/bin/env python
"""Run a command of the example: `migrate`, `runserver`, `say`."""

import os
import sys
from pathlib import Path

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    # Assigned, not defaulted: the example is its own project even when it is started
    # from a shell or a test run that has the settings of another one in its environment.
    os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
    # Python leaves the folder of the script out when PYTHONSAFEPATH is set.
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    execute_from_command_line(sys.argv)
