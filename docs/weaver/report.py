"""Errors that name the reader's own line, and files that are written only when they change."""
import os
import sys


class Report:
    """Collects `file:line: error: what`, printed at the end, in the order of the files."""

    def __init__(self, root="."):
        self.root = root
        self.errors = []
        self.warnings = []

    def _place(self, path, line):
        path = os.path.relpath(path, self.root) if os.path.isabs(str(path)) else str(path)
        return f"{path}:{line}"

    def error(self, path, line, message):
        entry = f"{self._place(path, line)}: error: {message}"
        if entry not in self.errors:
            self.errors.append(entry)

    def warn(self, path, line, message):
        entry = f"{self._place(path, line)}: warning: {message}"
        if entry not in self.warnings:
            self.warnings.append(entry)

    def finish(self):
        """Print what was found; the program's exit status."""
        for entry in self.warnings + self.errors:
            print(entry, file=sys.stderr)
        return 1 if self.errors else 0


def write_if_changed(path, text):
    """Write `text` to `path` in one step, unless that is what stands there. True if it was written."""
    data = text if isinstance(text, bytes) else text.encode("utf-8")
    try:
        with open(path, "rb") as old:
            if old.read() == data:
                return False
    except FileNotFoundError:
        pass
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "wb") as new:
        new.write(data)
    os.replace(temporary, path)
    return True
