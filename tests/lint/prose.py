#!/usr/bin/env python3
"""The chapters' text, and comments everywhere: prose.py (from the root of the project)

Lines of text within 100 columns (tables, formulas on lines of their own, code and single long words apart), and no chapter by its
number: text names it, as in @chapter{chunked_scan}, and code says in words what it means.
"""
import glob
import re
import sys

WIDTH = 100
BY_NUMBER = re.compile(r"\b[Cc]hapters? \d")
SOURCES = ("chapters/*/*.?pp", "chapters/*/choices/*.cpp", "chapters/*/hints.md", "src/**/*.?pp", "tests/**/*.cpp", "bench/*.cpp", "cmake/*.cmake")
OWN = re.compile(r"/exercises\.cpp$")  # the reader's


def long_lines(path, lines):
    """Numbers of the lines of text that are too long."""
    math = fenced = False
    for number, line in enumerate(lines, 1):
        if line != "//" and not line.startswith("// "):
            math = fenced = False
            continue
        text = line[3:]
        if re.match(r"\s*(```|~~~)", text):
            fenced = not fenced
        formula = math or "$$" in text
        math ^= text.count("$$") % 2 == 1
        if len(line) > WIDTH and not formula and not fenced and not re.match(r"\||@summary |\S+$|- \S+$", text):
            yield number, f"{len(line)} columns of text, should be at most {WIDTH}"


def main():
    problems = []
    for pattern in SOURCES:
        for path in sorted(p for p in glob.glob(pattern, recursive=True) if not OWN.search(p)):
            with open(path, encoding="utf-8") as source:
                lines = source.read().split("\n")
            if path.startswith("chapters/") and path.endswith(".cpp"):
                problems += [(path, number, message) for number, message in long_lines(path, lines)]
            problems += [(path, number, "a chapter by its number") for number, line in enumerate(lines, 1) if BY_NUMBER.search(line)]
    for path, number, message in problems:
        print(f"{path}:{number}: {message}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
