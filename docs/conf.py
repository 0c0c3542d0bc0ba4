"""Sphinx: builds the pages of this folder and the API reference. `tox -e docs` runs it."""

from adk_extra_sessions import __version__

project = "adk-extra-sessions"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {version}"

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
