"""Sphinx settings of the documentation: `tox run -e docs` builds it into `build/docs`."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

import django
from django.conf import settings

# The reference is made from docstrings, and importing the package's views needs settings.
settings.configure()
django.setup()

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "channels_graphql_ws"
author = "channels_graphql_ws contributors"
copyright = author
release = installed_version("channels-graphql-ws")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "docstrings", "members", "root_pages"]
exclude_patterns = ["_ext", "_static", "drawings"]

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]

# Anchors of headings as GitHub makes them, so that links work in both places.
myst_heading_anchors = 4

# Nothing is fetched while building, not even lists of what other projects document.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!channels_graphql_ws\b).*"),
    # What a connection gives to its contexts is no part of the interface.
    ("py:class", r"channels_graphql_ws\.execution\.context\.ContextOwner"),
]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
