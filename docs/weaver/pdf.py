"""pdf --html DIR --book FILE --out FILE: the whole book as one PDF.

All pages become one document: the title page, the front matter, the chapters in their order, the hints and solutions
of all exercises, the back matter. Links between pages become links within it; the library's reference is left out.
"""
import argparse
import html
import json
import os
import re
import sys

from .browser import LEFT_OUT, article, beside_the_pages, browse, document, write_aside

HEAD = 'font: 8.5pt "Book Sans", sans-serif; color: #666;'
STYLE = """
@page { size: A4; margin: 20mm 21mm 21mm; @bottom-center { content: counter(page); font: 9pt "Book Sans", sans-serif; color: #666; } }
@page :first { @bottom-center { content: ""; } }
article { break-before: page; } article:first-of-type { break-before: auto; }
.go, .toc, .page-footer { display: none; }
.title-page { margin: 34mm 0 12mm; } .title-page h1 { font-size: 44pt; } .index figure { margin-top: 14mm; }
.colophon { margin-top: 12mm; font: 9pt/1.5 "Book Sans", sans-serif; color: #555; }
.answers { break-before: auto; }
"""


def running_head(name, words):
    """The rule that prints words at the head of the pages of an article."""
    words = words.replace("\\", "\\\\").replace('"', '\\"')
    return (f'article#page_{name} {{ page: {name}; }}\n@page {name} {{ @top-center {{ content: "{words}"; {HEAD} }} }}\n')


def answers(body, page):
    """The page without its folded hints and solutions, and these as the exercise's answers."""
    found = []

    def exercise(match):
        text, folded = match.group(0), []
        text = re.sub(r'<details class="(?:hint|solution)">.*?</details>', lambda m: folded.append(m.group(0)) or "", text, flags=re.S)
        anchor, number, title = re.search(r'id="(exercise_[\d_]+)".*?Exercise ([\d.]+)</a> <span class="exercise-title">(.*?)</span>', text, re.S).groups()
        unfolded = re.sub(r"<(/?)details[^>]*>", r"<\1div>", "".join(folded))
        unfolded = re.sub(r"<summary>(.*?)</summary>", r'<p class="boxhead">\1</p>', unfolded)
        found.append(f'<section id="answer_{anchor}"><h3><a href="#{anchor}">{number} {title}</a></h3>{unfolded}</section>')
        return text + f'<p class="todo"><a href="#answer_{anchor}">Hints and a solution are at the end of the book.</a></p>'

    # An exercise's box ends with the last of its folded parts.
    body = re.sub(r'<div class="box exercise".*?<details class="solution">.*?</details>', exercise, body, flags=re.S)
    return body, found


def relink(body, page, names):
    """Links to other pages become links within the document; those to what is not in it, plain text."""
    body = re.sub(r'(id|href)="(#?)(note(?:ref)?_\d+)"', rf'\1="\2{page}_\3"', body)

    def link(match):
        target, anchor = match.group(2), match.group(3)
        if target in names:
            return f'{match.group(1)}href="#{anchor or "page_" + target}"'
        return match.group(1).rstrip() + " "
    return re.sub(r'(<a\b[^>]*?)href="(\w+)\.html(?:#([^"]*))?"', link, body)


def assemble(options):
    with open(options.book, encoding="utf-8") as source:
        book = json.load(source)
    pages = [p for p in book["pages"] if p["id"] not in LEFT_OUT]
    names = {p["id"] for p in pages}
    out, end, footer, macros, heads = [], [], "", "", ""
    chapters_done = False
    for page in pages:
        kind, body, footer, macros = article(options.html, page["id"])
        body = re.sub(r'<nav class="prevnext".*?</nav>', "", body, flags=re.S)
        body, found = answers(body, page)
        if found:
            end.append(f'<h2>Chapter {page["number"]}: {html.escape(page["title"])}</h2>{"".join(found)}')
        if chapters_done and not page["number"] and end:
            out.append(f'<article class="chapter"><header class="page-header"><h1>Hints and solutions</h1></header>{"".join(end)}</article>')
            end = []
        chapters_done = chapters_done or bool(page["number"])
        if page["id"] == "index":
            body += f'<p class="colophon">{footer}</p>'
        if page["id"] != "index":
            heads += running_head(page["id"], f'{page["number"]}  {page["title"]}' if page["number"] else page["title"])
        out.append(f'<article class="{kind}" id="page_{page["id"]}">{relink(body, page["id"], names)}</article>')
    return document(book["title"], f"<style>{STYLE}{heads}</style>", macros, "".join(out))


def main(given):
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("html", "book", "out"):
        arguments.add_argument(f"--{name}", required=True)
    options = arguments.parse_args(given)
    with beside_the_pages(options.html, assemble(options)) as page:
        printed = os.path.join(os.path.dirname(page), "book.pdf")
        said = browse(page, "--no-pdf-header-footer", "--generate-pdf-document-outline", f"--print-to-pdf={printed}")
        if not os.path.exists(printed):
            sys.stderr.write(said.stderr[-3000:] + "\npdf: error: the browser printed nothing\n")
            return 1
        with open(printed, "rb") as data:
            write_aside(options.out, data.read())
    return 0

