"""The build, by pbr: setup.cfg says what is built, git's tags say which version it is."""

import os
import subprocess

import setuptools


def has_history():
    """Return whether this is an sdist, which knows its version, or a clone in which git answers."""
    if os.path.exists("PKG-INFO"):
        return True
    try:
        return subprocess.run(["git", "log", "-1"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


# pbr stops where it finds no history: in an unpacked archive of the repository, or in a clone of another user's that
# git refuses to read. A version that says so serves a stranger better than a traceback does.
if not has_history():
    os.environ.setdefault("PBR_VERSION", "0.0.1.dev0+unknown")

setuptools.setup(setup_requires=["pbr>=6.1.1"], pbr=True)
