#!/usr/bin/env python3
"""The printed book: test_pdf.py PDF OUTLINE (the weaver's book.json) PAGES

All chapters in their order, formulas rendered, hints and solutions at the end, nothing left over.
"""
import json
import re
import subprocess
import sys


def tool(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main(pdf, outline):
    with open(outline, encoding="utf-8") as source:
        book = json.load(source)
    sheets = tool("pdftotext", "-layout", pdf, "-").split("\f")
    problems = []

    def squeeze(text):
        return re.sub(r"\W+", "", text).lower()

    if squeeze(book["title"]) not in squeeze(sheets[0]):
        problems.append("the first page is not the title page")
    at = 0
    chapters = [page for page in book["pages"] if page["number"]]
    for page in chapters:
        wanted = squeeze(f'{page["number"]} {page["title"]}')  # the running head
        wanted += squeeze(f'chapter {page["number"]} {page["part"]} {page["part_title"]} {page["title"]}')
        found = next((k for k in range(at, len(sheets)) if squeeze(sheets[k]).startswith(wanted)), None)
        if found is None:
            problems.append(f'chapter {page["number"]} does not begin on a page of its own, after the one before it')
        else:
            at = found + 1
    end = "".join(sheets[at:])
    if "Hints and solutions" not in end:
        problems.append("no hints and solutions after the last chapter")
    for page in chapters:
        for number, title, _ in page["exercises"]:
            if squeeze(f"{number} {title}") not in squeeze(end):
                problems.append(f"no hints and solution of exercise {number}")
    text = "\n".join(sheets)
    # Not the marks of the sources, such as ":::": the book's own model has learnt to write them. The pages are tested for them.
    for mark in ("\u27e6", "\u27e7", "\\(", "\\[", "\\frac"):
        if mark in re.sub(r'"[^"\n]*"', "", text):
            problems.append(f"'{mark}' is left over in the text")
    if re.search(r"The figure \S+ is missing\.", text):
        problems.append("a figure is missing")
    if "KaTeX_Math" not in tool("pdffonts", pdf):
        problems.append("no formula was rendered")
    print("\n".join(problems))
    print(f"{len(sheets) - 1} pages, {len(chapters)} chapters, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
