#!/usr/bin/env python3
"""The text that the book's own model learns: corpus.py OUT

Writes OUT/learnt.txt and OUT/held_out.txt: the pages of the book as plain text, a paragraph to a line, their code as it is; the headers of
the library, hints and solutions. Pages that are held out are never learnt; the model is judged by them.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "docs"))
sys.dont_write_bytecode = True
from weaver import literate  # noqa: E402
from weaver.chapters import chapters  # noqa: E402

HELD_OUT = ("one_token_at_a_time", "questions")
DIRECTIVE = re.compile(r"(:::|@|\||#|\$\$|```|[-*] |\d+\. |\[\^|$)")


def paragraphs(lines):
    """Lines of prose with each paragraph in one, as a reader would type it."""
    out, open_, verbatim = [], False, False
    for line in lines:
        fence = line.lstrip().startswith(("```", "$$"))
        if verbatim or fence or DIRECTIVE.match(line.strip()):
            out.append(line)
            open_ = bool(re.match(r"([-*] |\d+\. |\[\^)", line.strip())) and not verbatim
            if fence and line.count("$$") != 2 and not (line.lstrip().startswith("$$") and line.rstrip().endswith("}") and line.count("$$") == 2):
                verbatim = not verbatim
        elif open_:
            out[-1] += " " + line.strip()
        else:
            out.append(line)
            open_ = True
    return "\n".join(out)


def page(text):
    """A literate file: its prose, and its code between fences."""
    pieces = []
    for block in literate.split(text):
        pieces.append(paragraphs(block.lines) if block.prose else "```cpp\n" + "\n".join(literate.without_markers(block.lines)) + "\n```")
    return "\n".join(pieces) + "\n"


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as source:
        return source.read()


def texts():
    """(name, the file's name in the corpus, its text), in the order of the book."""
    for name in ("README", "CONTRIBUTING", "chapters/README"):
        yield name, f"{name.replace('/', '_')}.md", paragraphs(read(f"{name}.md").split("\n"))
    for file in sorted(os.listdir(os.path.join(ROOT, "docs"))):
        if file.endswith(".md"):
            yield file[:-3], f"docs_{file}", paragraphs(read(f"docs/{file}").split("\n"))
    for chapter in chapters(ROOT):
        files = [chapter.page, *chapter.parts, f"{chapter.folder}/demo.cpp"]
        yield chapter.name, f"{chapter.label}_{chapter.name}.md", "".join(page(read(file)) for file in files)
        for file in ("hints.md", "solutions.cpp", "exercises_test.cpp", "figures.cpp"):
            if chapter.exists(file):
                yield chapter.name, f"{chapter.label}_{chapter.name}_{file}", chapter.read(file)
    for folder in ("src/mamba2", "src/demo", "src/app"):
        for file in sorted(os.listdir(os.path.join(ROOT, folder))):
            yield file, f"{folder.replace('/', '_')}_{file}", read(f"{folder}/{file}")


def main(out):
    parts = {"learnt": [], "held_out": []}
    for name, file, text in texts():
        if name not in HELD_OUT:
            parts["learnt"].append(text)
        elif file.endswith(".md") and "hints" not in file:  # the exercises of a page that is held out are left out altogether
            parts["held_out"].append(text)
    for part, pages in parts.items():
        with open(os.path.join(out, f"{part}.txt"), "w", encoding="utf-8") as target:
            target.write("<|endoftext|>".join(pages))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
