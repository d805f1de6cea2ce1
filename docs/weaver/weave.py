"""weave --root ROOT --outputs DIR --figures DIR [--data DIR] --out DIR [--draft]

Reads the chapters and docs/*.md, writes one Markdown page for Doxygen and one file of tokens for each of them
(PAGE.md, PAGE.json), book.json (the pages in their order), and pages.txt and tokens.txt, which change when any
of the pages or of the other files do. Files that would not change are left alone.
"""
import argparse
import hashlib
import json
import os

from .pages import Book
from .report import Report, write_if_changed


def outline(book):
    """The book as the binder needs it: its pages in order, and who cites what."""
    pages = []
    for page in book.pages:
        part = book.part_of(page) if page.number else None
        pages.append({
            "id": page.id, "name": page.stem, "title": page.title, "number": page.number, "summary": page.summary, "folder": page.folder,
            "part": part["name"] if part else "", "part_title": part["title"] if part else "",
            "files": [path for path, _ in page.files],
            "sections": [[level, title, name] for level, title, name, _, _ in page.sections],
            "exercises": [list(e) for e in page.exercises],
        })
    return {"title": book.settings["title"], "subtitle": book.settings["subtitle"], "pages": pages,
            "parts": book.parts(), "planned": book.planned(),
            "cited": {key: list(entry.cited) for key, entry in book.references.items()}}


def main(given):
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--root", required=True)
    arguments.add_argument("--outputs", required=True)
    arguments.add_argument("--data", default="")
    arguments.add_argument("--figures", required=True)
    arguments.add_argument("--out", required=True)
    arguments.add_argument("--draft", action="store_true", help="errors are reported, and the pages written all the same")
    options = arguments.parse_args(given)

    report = Report(options.root)
    book = Book(options.root, report, options.outputs, options.figures, options.data)
    book.load()
    woven = book.weave_all()
    if report.finish() and not options.draft:
        return 1
    pages = {f"{page.id}.md": markdown for page, markdown, _ in woven}
    tokens = {f"{page.id}.json": json.dumps(found, ensure_ascii=False, indent=0) for page, _, found in woven}
    tokens["book.json"] = json.dumps(outline(book), ensure_ascii=False, indent=1)
    for name, text in {**pages, **tokens}.items():
        write_if_changed(os.path.join(options.out, name), text)
    for old in os.listdir(options.out):
        if old.endswith((".md", ".json")) and old not in pages and old not in tokens:
            os.remove(os.path.join(options.out, old))
    write_if_changed(os.path.join(options.out, "pages.txt"), digest(pages))
    write_if_changed(os.path.join(options.out, "tokens.txt"), digest(tokens))
    return 0


def digest(texts):
    return "".join(f"{hashlib.sha256(text.encode()).hexdigest()} {name}\n" for name, text in sorted(texts.items()))

