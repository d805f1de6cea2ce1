"""The pages as a browser shows them: for the book in other forms, which need its formulas rendered."""
import contextlib
import html
import os
import re
import shutil
import subprocess
import tempfile

LEFT_OUT = ("library",)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser():
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if not found:
        raise SystemExit("error: no Chromium (Debian: chromium)")
    return found


def article(folder, name):
    with open(os.path.join(folder, f"{name}.html"), encoding="utf-8") as source:
        text = source.read()
    kind = re.search(r'<body class="([^"]*)"', text).group(1)
    body = re.search(r"<article>(.*)</article>", text, re.S).group(1)
    footer = re.search(r'<footer class="page-footer">(.*?)</footer>', text, re.S).group(1)
    macros = re.search(r'data-macros="([^"]*)"', text).group(1)
    return kind, body, footer, macros


def document(title, head, macros, articles):
    """A page of articles whose formulas the book's script renders."""
    return (f'<!DOCTYPE html>\n<html lang="en" class="light-mode"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
            '<link rel="stylesheet" href="katex/katex.min.css"><link rel="stylesheet" href="book.css">'
            f'<script defer src="katex/katex.min.js"></script><script defer src="book.js" data-macros="{macros}"></script>{head}'
            f'</head><body><main>{articles}</main></body></html>\n')


@contextlib.contextmanager
def beside_the_pages(folder, text):
    """A page of this text, in a copy of the folder of the pages, so that fonts, scripts and styles are found; gone afterwards."""
    scratch = tempfile.mkdtemp()
    try:
        shutil.copytree(folder, os.path.join(scratch, "html"), ignore=shutil.ignore_patterns("*.html", "search.js"))
        page = os.path.join(scratch, "html", "book.html")
        with open(page, "w", encoding="utf-8") as out:
            out.write(text)
        yield page
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def browse(page, *options):
    """Opens a page of beside_the_pages() in the browser, without a window, until its formulas are rendered."""
    profile = os.path.join(os.path.dirname(page), "profile")
    return subprocess.run([browser(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                           "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}", "--virtual-time-budget=60000",
                           *options, "file://" + page], capture_output=True, text=True, check=True, timeout=600)


def write_aside(path, data):
    with open(path + ".tmp", "wb") as out:
        out.write(data)
    os.replace(path + ".tmp", path)
