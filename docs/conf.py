"""How the pages are built from the Markdown beside this file and the docstrings, without a network."""

from importlib.metadata import version as version_of
from types import GenericAlias

project = "crossres-ml"
author = "The crossres-ml developers"
version = release = version_of(project)

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
templates_path = ["_templates"]
exclude_patterns = ["_templates"]

# Headings get the anchors that they have where the pages are read as plain Markdown.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# `name` in a docstring is an object where there is one of this name, else code.
default_role = "py:obj"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
python_maximum_signature_line_length = 88
add_module_names = False

html_theme = "furo"
html_title = "crossres-ml"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False


def _skip(app, what, name, obj, skip, options):
    """Leave out names of types, which autodoc cannot sign, and what scikit-learn and pydantic add."""
    foreign = name.endswith("_request") or name == "model_config"
    return True if foreign or isinstance(obj, GenericAlias) else None


def setup(app):
    """Change what autodoc lists."""
    app.connect("autodoc-skip-member", _skip)
