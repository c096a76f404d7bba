"""The tests of this folder need packages and settings that only their tox environment has."""

import os

collect_ignore_glob: list[str] = []
if os.environ.get("DJANGO_SETTINGS_MODULE") != "third_party_settings":
    collect_ignore_glob.append("test_*.py")
