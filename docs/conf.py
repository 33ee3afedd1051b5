"""Sphinx: what the site is made of."""

project = "minivid"
author = "the minivid authors"
copyright = "the minivid authors, MIT licence"

extensions = ["myst_nb"]
exclude_patterns = ["**.ipynb_checkpoints"]
html_theme = "furo"
html_title = "minivid"
html_show_sphinx = False

nb_execution_mode = "off"  # shown as they were committed
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
# Formulas are drawn by a MathJax that is part of the site: it is read without a network, too.
html_static_path = ["_static"]
html_css_files = ["site.css"]
mathjax_path = "mathjax/MathJax.js?config=TeX-AMS-MML_HTMLorMML-full"
mathjax2_config = {
    "messageStyle": "none",
    "HTML-CSS": {"availableFonts": [], "webFont": "STIX-Web", "imageFont": None},
}
myst_update_mathjax = False  # its settings are for another version
