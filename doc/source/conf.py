"""Configuration of the documentation: https://www.sphinx-doc.org/en/master/usage/configuration.html."""

project = "dbkit"
copyright = "the dbkit developers"

extensions = [
    "openstackdocstheme",
    "oslo_config.sphinxext",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
]

html_theme = "openstackdocs"
html_static_path: list[str] = []
openstackdocs_auto_name = False
openstackdocs_auto_version = False
openstackdocs_repo_name = "dbkit"
openstackdocs_pdf_link = False
openstackdocs_bug_project = ""
pygments_style = "native"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
python_use_unqualified_type_names = True
