"""Configuration of the release notes: https://docs.openstack.org/reno/latest/user/sphinxext.html."""

project = "dbkit release notes"
copyright = "the dbkit developers"

extensions = [
    "openstackdocstheme",
    "reno.sphinxext",
]

html_theme = "openstackdocs"
openstackdocs_auto_name = False
openstackdocs_auto_version = False
openstackdocs_repo_name = "dbkit"
pygments_style = "native"
