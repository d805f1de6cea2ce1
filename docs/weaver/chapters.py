"""The chapters: the folders chapters/NN_name, which give them their numbers and their order."""
import os
import re
from dataclasses import dataclass

FOLDER = re.compile(r"(\d\d)_(\w+)")
TITLE = re.compile(r"^// # (.*?)\s*\{#([\w-]+)\}\s*$")


@dataclass(frozen=True)
class Chapter:
    root: str
    number: int
    name: str

    @property
    def label(self):
        return f"{self.number:02d}"

    @property
    def folder(self):
        return f"chapters/{self.label}_{self.name}"

    @property
    def page(self):
        """The literate file that is the chapter's page, or the first part of it."""
        return f"{self.folder}/{self.name}.cpp"

    @property
    def title(self):
        found = TITLE.match(self.read(f"{self.name}.cpp").split("\n", 1)[0])
        return found.group(1) if found else self.name

    @property
    def parts(self):
        """The literate files that follow the page's, in the order of reading: parts.txt names them."""
        return [f"{self.folder}/{part}" for part in self.read("parts.txt").split()]

    def path(self, file):
        return os.path.join(self.root, self.folder, file)

    def exists(self, file):
        return os.path.exists(self.path(file))

    def read(self, file):
        """The text of one of the chapter's files; nothing if it is not there."""
        if not self.exists(file):
            return ""
        with open(self.path(file), encoding="utf-8") as source:
            return source.read()


def chapters(root):
    """All chapters, in their order: the folders that hold a page."""
    folder = os.path.join(root, "chapters")
    found = [FOLDER.fullmatch(name) for name in sorted(os.listdir(folder))] if os.path.isdir(folder) else []
    every = [Chapter(root, int(match.group(1)), match.group(2)) for match in found if match]
    return [chapter for chapter in every if os.path.exists(os.path.join(root, chapter.page))]
