"""The site: pages written by hand, and references made from the code when it is built (`make docs`)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import reference
from sphinx.application import Sphinx

import gentext

project = "gentext"
author = copyright = "The gentext authors"
release = version = gentext.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = []
html_theme = "furo"
html_title = f"gentext {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = html_copy_source = False
default_role = "code"  # docstrings write code in single backticks
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature would be longer than the text; shapes stand in the source
autodoc_default_options = {"members": True}
napoleon_google_docstring, napoleon_numpy_docstring = True, False


def setup(app: Sphinx) -> None:
    """Write the references before any page is read, and read docstrings as what they are: plain text."""
    reference.write(Path(__file__).parent / "reference")
    app.connect("autodoc-process-docstring", reference.as_markup, priority=100)
