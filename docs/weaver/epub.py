"""epub --html DIR --book FILE --out FILE: the book as an EPUB, for readers with electronic paper.

A page of the book is a document of the EPUB, as a browser has it once the formulas are rendered: they are MathML there,
and figures SVG. The library's reference is left out; links to it become plain text.
"""
import argparse
import html
import io
import json
import os
import re
import sys
import time
import uuid
import xml.dom.minidom
import zipfile

from .browser import LEFT_OUT, article, beside_the_pages, browse, document, write_aside

# Runs in the browser when the formulas are rendered: each article as XML, without what is only good on a screen.
COLLECT = """<script>
// A space between symbols is a text of its own in MathML.
function spaceInMath(row) {
  for (const child of [...row.childNodes]) {
    if (child.nodeType !== Node.TEXT_NODE) continue;
    const text = document.createElementNS(row.namespaceURI, "mtext");
    text.textContent = child.data;
    child.replaceWith(text);
  }
}
addEventListener("load", () => {
  const pages = {};
  for (const article of document.querySelectorAll("article")) {
    for (const math of article.querySelectorAll(".katex")) math.replaceWith(math.querySelector("math"));
    for (const around of article.querySelectorAll(".katex-display")) around.replaceWith(...around.childNodes);
    for (const meaning of article.querySelectorAll("semantics")) meaning.replaceWith(meaning.firstElementChild);
    for (const apply of article.querySelectorAll(":is(msub, msup, msubsup) > mo")) if (apply.textContent === "\u2061") apply.remove();
    for (const row of article.querySelectorAll("math :not(mi, mn, mo, mtext, ms)")) spaceInMath(row);
    for (const drawing of article.querySelectorAll("svg[role=group]")) drawing.removeAttribute("role");
    for (const gone of article.querySelectorAll(".copy, .permalink, .toc, .prevnext, .minutes, .go, .tick, script, button")) gone.remove();
    for (const place of article.querySelectorAll("[tabindex]")) place.removeAttribute("tabindex");
    pages[article.id] = new XMLSerializer().serializeToString(article);
  }
  const all = document.createElement("pre");
  all.textContent = JSON.stringify(pages);
  document.body.replaceChildren(all);
});</script>"""

STYLE = """
html { font-size: 100%; background: none; } body { background: none; font-size: 1em; line-height: 1.5; }
article { max-width: none; margin: 0; } h1 { font-size: 2em; } h2 { font-size: 1.5em; margin-top: 2em; } p { text-wrap: wrap; }
.code, .output { font-size: .75em; border-radius: 0; } .code pre, .output pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.equation { display: block; text-align: center; } .equation .eqno { display: block; text-align: right; margin-top: -1.5em; }
.sidenote { display: block; font-size: .85em; } figure, .equation { break-inside: avoid; } .drawing, article > .table { background: none; }
"""

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="book/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>
"""


def without_blocks(css, start):
    """A style sheet without the blocks that begin with `start`."""
    while (at := css.find(start)) >= 0:
        end, depth = css.index("{", at) + 1, 1
        while depth:
            depth += {"{": 1, "}": -1}.get(css[end], 0)
            end += 1
        css = css[:at] + css[end:]
    return css


def style_sheet(css):
    """The book's style without its frame and its widths, and its colours by name: not every reader knows variables."""
    css = re.sub(r"(?<=\d)rem\b", "em", css).replace("650", "600")  # what the validator of EPUBs knows
    colours = dict(re.findall(r"--([\w-]+):\s*([^;]+);", without_blocks(css, "html.dark-mode")))
    del colours["hue"]  # each kind of box has its own
    css = without_blocks(without_blocks(css, "html.dark-mode"), "@media")
    css = re.sub(r"/\* ---- frame.*?(?=/\* ---- text)", "", css, flags=re.S)
    return css + STYLE, colours


def plain_colours(text, colours):
    return re.sub(r"var\(--([\w-]+)(?:,[^()]*)?\)", lambda m: colours[m.group(1)] if m.group(1) in colours else m.group(0), text)


def relink(text, names):
    """Links to other pages lead to their documents; those to what is not in the book become plain text."""
    def link(match):
        target, anchor = match.group(2), match.group(3) or ""
        return f'{match.group(1)}href="{target}.xhtml{anchor}"' if target in names else match.group(1).rstrip()
    return re.sub(r'(<a\b[^>]*?)href="(\w+)\.html(#[^"]*)?"', link, text)


def xhtml(title, kind, body):
    body = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f]", "\N{REPLACEMENT CHARACTER}", body)  # a program may print them, XML has none of them
    return ('<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n'
            '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="en" xml:lang="en">'
            f'<head><meta charset="utf-8"/><title>{html.escape(title)}</title>'
            f'<link rel="stylesheet" href="book.css"/></head><body class="{kind}">{body}</body></html>\n')


def contents(book, pages):
    """The table of contents that readers show beside the text."""
    entries, part = [], None
    for page in pages:
        if page["number"] and page["part"] != part:
            part = page["part"]
            entries.append([f'<a href="{page["id"]}.xhtml">{part}: {html.escape(page["part_title"])}</a>', []])
        number = f'{page["number"]} ' if page["number"] else ""
        entry = f'<li><a href="{page["id"]}.xhtml">{number}{html.escape(page["title"])}</a></li>'
        if page["number"]:
            entries[-1][1].append(entry)
        else:
            entries.append([entry[4:-5], []])
    items = "".join(f'<li>{text}{"<ol>" + "".join(inside) + "</ol>" if inside else ""}</li>' for text, inside in entries)
    return xhtml(book["title"], "contents", f'<nav epub:type="toc"><h1>Contents</h1><ol>{items}</ol></nav>')


def package(book, pages, files):
    """What is in the EPUB, and in what order it is read."""
    identifier = uuid.uuid5(uuid.NAMESPACE_URL, "".join(files[name] for name in sorted(files) if isinstance(files[name], str)))
    manifest = ['<item id="contents" href="contents.xhtml" media-type="application/xhtml+xml" properties="nav"/>',
                '<item id="style" href="book.css" media-type="text/css"/>']
    manifest += [f'<item id="font_{k}" href="{name}" media-type="font/woff2"/>'
                 for k, name in enumerate(sorted(n for n in files if n.endswith(".woff2")))]
    for page in pages:
        text = files[f'{page["id"]}.xhtml']
        kinds = " ".join(kind for kind, mark in (("mathml", "<math"), ("svg", "<svg")) if mark in text)
        manifest.append(f'<item id="{page["id"]}" href="{page["id"]}.xhtml" media-type="application/xhtml+xml"'
                        f'{f" properties={chr(34)}{kinds}{chr(34)}" if kinds else ""}/>')
    spine = "".join(f'<itemref idref="{page["id"]}"/>' for page in pages)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return ('<?xml version="1.0" encoding="utf-8"?>\n<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
            f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">urn:uuid:{identifier}</dc:identifier>'
            f'<dc:title>{html.escape(book["title"])}: {html.escape(book["subtitle"])}</dc:title><dc:language>en</dc:language>'
            f'<dc:creator>The authors of {html.escape(book["title"])}</dc:creator><dc:rights>MIT License</dc:rights>'
            f'<meta property="dcterms:modified">{now}</meta></metadata>'
            f'<manifest>{"".join(manifest)}</manifest><spine>{spine}</spine></package>\n')


def collect(options, pages):
    """The articles of all pages, as the browser has them: a name for each and its XML."""
    articles, macros = [], ""
    for page in pages:
        _, body, _, macros = article(options.html, page["id"])
        articles.append(f'<article id="{page["id"]}">{body}</article>')
    with beside_the_pages(options.html, document("", COLLECT, macros, "".join(articles))) as page:
        dumped = browse(page, "--dump-dom").stdout
    found = re.search(r"<body>\s*<pre>(.*)</pre>", dumped, re.S)
    if not found or "katex-error" in dumped:
        raise SystemExit("epub: error: the browser has not rendered the pages")
    return json.loads(html.unescape(found.group(1)))


def pack(files):
    """The files in one archive: what kind it is comes first, and is not compressed."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        out.writestr("META-INF/container.xml", CONTAINER)
        for name, data in files.items():
            out.writestr(f"book/{name}", data)
    return archive.getvalue()


def main(given):
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("html", "book", "out"):
        arguments.add_argument(f"--{name}", required=True)
    options = arguments.parse_args(given)
    with open(options.book, encoding="utf-8") as source:
        book = json.load(source)
    pages = [page for page in book["pages"] if page["id"] not in LEFT_OUT]
    with open(os.path.join(options.html, "book.css"), encoding="utf-8") as source:
        css, colours = style_sheet(source.read())
    files = {"book.css": plain_colours(css, colours), "contents.xhtml": contents(book, pages)}
    articles = collect(options, pages)
    for page in pages:
        body = plain_colours(relink(articles[page["id"]], {p["id"] for p in pages}), colours)
        files[f'{page["id"]}.xhtml'] = text = xhtml(page["title"], "chapter" if page["number"] else "front", body)
        try:
            xml.dom.minidom.parseString(text.encode())
        except Exception as problem:
            sys.exit(f'epub: error: page {page["id"]}: {problem}')
    for name in re.findall(r'url\("(fonts/[^"]+)"\)', css):
        with open(os.path.join(options.html, name), "rb") as data:
            files[name] = data.read()
    files["book.opf"] = package(book, pages, files)
    write_aside(options.out, pack(files))
    return 0
