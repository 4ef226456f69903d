"""Configuration of Sphinx (`make docs`).

The source directory is the root of the repository, so that the pages there and those under docs/ link to each other
with the relative paths that a code host understands, too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

project = "Dragoman"
author = "The Dragoman authors"
html_title = "Dragoman"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md"]
exclude_patterns = ["docs/_build", ".*", "runs", "data", "build", "dist", "tests", "translate", "export", "runtime"]
myst_heading_anchors = 4
html_theme = "furo"
html_show_sourcelink = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
default_role = "code"  # docstrings write `name` for code
nitpicky = True
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
python_use_unqualified_type_names = True
# Types of other packages, for which no inventory is at hand, since the build reads nothing from the network; and
# Dragoman's own types that are no part of the public API.
nitpick_ignore_regex = [
    ("py:.*", r"(np|npt|numpy|onnxruntime|collections|pathlib|typing|abc)\..*"),
    ("py:.*", r"(Path|Sequence|Any|Floats|Ids|Engine|LabelEngine|SeriesEngine|Metadata|TimeAxis|ModelFileError)"),
    ("py:.*", r"dragoman\.runtime\..*"),
]
# These pages list others; the list becomes the table of contents in the sidebar. A directive would show as code on a
# code host.
INDEXES = ("docs/index", "docs/experiments")


def add_table_of_contents(app: Any, page: str, source: list[str]) -> None:  # noqa: ANN401 (CI has no Sphinx to import)
    """Append a hidden toctree for each section of an index page, of the pages that the section's list links to."""
    if page not in INDEXES:
        return
    for section in re.split("^(?=## )", source[0], flags=re.MULTILINE):
        links = re.findall(r"^- \[.*?\]\(([\w./-]+)\.md\)", section, re.MULTILINE)
        if links:
            heading = section.splitlines()[0].removeprefix("## ")
            caption = f":caption: {heading}\n" if page == root_doc else ""
            source[0] += "\n\n```{toctree}\n:hidden:\n" + caption + "\n" + "\n".join(links) + "\n```\n"


def leave_folders(app: Any, document: Any) -> None:  # noqa: ANN401 (CI has no Sphinx to import)
    """Turn links to folders into text: a code host lists the folder, and a site has nothing to show."""
    page = Path(app.srcdir, app.env.docname)
    for link in [*document.findall(lambda node: node.tagname == "pending_xref")]:
        if (link["reftype"], link["refdomain"]) == ("myst", None) and (page.parent / link["reftarget"]).is_dir():
            link.replace_self(link.children)


def setup(app: Any) -> None:  # noqa: ANN401 (CI has no Sphinx to import)
    """Register the functions above."""
    app.connect("source-read", add_table_of_contents)
    app.connect("doctree-read", leave_folders)
