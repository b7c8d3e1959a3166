"""The package as people install it: a wheel of the checkout, in a folder of packages of its own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build(checkout: Path, folder: Path) -> Path:
    """Return the wheel of the checkout, built into the folder by what the lock pins."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    done = subprocess.run([*command, str(folder)], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def install(wheel: Path, folder: Path) -> Path:
    """Return the folder with the wheel installed into it; the command is in its bin/, the packages for PYTHONPATH."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", str(folder), str(wheel)], check=True)
    return folder
