"""Sphinx: builds the pages of this folder and the API reference. `tox -e docs` runs it."""

from __future__ import annotations

from typing import Any

from adk_extra_sessions import __version__

project = "adk-extra-sessions"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_show_copyright = False
html_title = f"{project} {version}"

# `name` in a docstring is code.
default_role = "code"

# Links to headings, as on GitHub.
myst_heading_anchors = 4

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autoclass_content = "class"

copybutton_exclude = ".linenos, .gp, .go"

# `tox -e links` needs a network.
linkcheck_ignore = [r"https?://(localhost|127\.0\.0\.1|example\.com)"]
linkcheck_timeout = 15
linkcheck_retries = 2


def mark_code_blocks(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Has reStructuredText take indented lines after a colon for code, as readers of a docstring do."""
    for number, line in enumerate(lines[:-2]):
        if line.endswith(":") and not line.endswith("::") and not lines[number + 1] and lines[number + 2][:4].isspace():
            lines[number] += ":"


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", mark_code_blocks)
