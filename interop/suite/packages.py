"""Installs what the drivers need, each set of pinned packages into a directory of its own."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
INSTALL_SECONDS_MAX = 600


class Packages:
    """The cache of installed package sets, named as the directories in `packages/`."""

    def __init__(self, cache):
        self._cache = Path(cache).resolve()

    def python(self, name):
        """The interpreter that sees the pinned Python packages of a set."""
        target = self._installed(name, "requirements.txt", self._install_python)
        return str(target / "venv" / "bin" / "python")

    def node(self, name):
        """The directory in which `require` finds the pinned npm packages of a set."""
        return str(self._installed(name, "package-lock.json", self._install_node) / "node_modules")

    def _installed(self, name, pins, install):
        source = HERE / "packages" / name
        target = self._cache / name
        stamp = target / "installed"
        # The interpreter's version is part of the stamp: a venv does not outlive its Python.
        wanted = hashlib.sha256((source / pins).read_bytes() + sys.version.encode()).hexdigest()
        if not (stamp.exists() and stamp.read_text() == wanted):
            print(f"      installing {name}", flush=True)
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            install(source, target)
            stamp.write_text(wanted)
        return target

    def _install_python(self, source, target):
        venv = target / "venv"
        _run([sys.executable, "-m", "venv", str(venv)], target)
        _run([
            str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps",
            "--disable-pip-version-check", "-r", str(source / "requirements.txt"),
        ], target)

    def _install_node(self, source, target):
        for file in ("package.json", "package-lock.json"):
            shutil.copy(source / file, target)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], target)


def _run(command, directory):
    done = subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=INSTALL_SECONDS_MAX, env=dict(os.environ, PYTHONWARNINGS="ignore"),
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
