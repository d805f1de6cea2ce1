"""picture --html DIR --out FILE: the top of the book's first page as an image, for the README."""
import argparse
import os
import shutil
import subprocess
import tempfile

from .browser import browser

SIZE = "1280,860"


def main(given):
    arguments = argparse.ArgumentParser(description=__doc__)
    for name in ("html", "out"):
        arguments.add_argument(f"--{name}", required=True)
    options = arguments.parse_args(given)
    profile = tempfile.mkdtemp()
    try:
        done = subprocess.run([browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}",
                               f"--window-size={SIZE}", "--virtual-time-budget=10000", f"--screenshot={os.path.abspath(options.out)}",
                               "file://" + os.path.abspath(os.path.join(options.html, "index.html"))], capture_output=True, check=False, timeout=120)
    finally:
        shutil.rmtree(profile, ignore_errors=True)
    return done.returncode
