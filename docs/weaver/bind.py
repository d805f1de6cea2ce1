"""bind ...: puts the book together from what Doxygen understood of the woven pages and of the library's headers.

Fills in the tokens (math, code, boxes, figures, outputs), links names to the reference, adds the table of contents,
and writes pages, theme, fonts and search index to the html folder. Only what changed is written.
"""
import argparse
import collections
import html
import json
import os
import re

from . import doxygen
from .api import Library
from .code import highlight
from .names import chapter_link
from .plain import plain_tex
from .reference import Reference
from .report import Report, write_if_changed
from .typography import CPP, MACROS

# The files of KaTeX that are needed: https://katex.org, from the Debian package libjs-katex.
KATEX_FONTS = ("AMS-Regular", "Caligraphic-Regular", "Main-Bold", "Main-BoldItalic", "Main-Italic", "Main-Regular",
               "Math-BoldItalic", "Math-Italic", "SansSerif-Regular", "Script-Regular", "Fraktur-Regular", "Size1-Regular", "Size2-Regular",
               "Size3-Regular", "Size4-Regular", "Typewriter-Regular")


def read(path):
    with open(path, encoding="utf-8") as source:
        return source.read()


def words(text):
    """A line of plain text as HTML."""
    return html.escape(text).replace("C++", CPP)


NARROW = {"numbered": 66, "plain": 70}  # characters of code that fit the width of the text; what is longer gets the margin, too


def wide(text, kind="plain"):
    """The class of a block that is wider than the text."""
    return " wide" if max(map(len, text.split("\n"))) > NARROW[kind] else ""


class Binder:
    def __init__(self, options):
        self.options = options
        self.report = Report(options.root)
        self.outline = json.loads(read(os.path.join(options.woven, "book.json")))
        self.about = json.loads(read(options.about))
        self.library = Library(os.path.join(options.doxygen, "xml"), os.path.join(options.root, "src"))
        self.reference = Reference(self.library, {c["name"]: (c["number"], chapter_link(c["id"], c["title"], c["number"]))
                                                  for c in self.outline["pages"] if c["number"]})
        self.template = read(os.path.join(options.theme, "page.html"))
        self.pages = {page["id"]: page for page in self.outline["pages"]}
        self.tokens = {name: json.loads(read(os.path.join(options.woven, f"{name}.json"))) for name in self.pages}
        self.written = set()
        self.search = []
        self.cards = {}  # what is shown beside a link before it is followed: place -> HTML

    # ---- tokens -----------------------------------------------------------------------------------------------------

    def fill(self, token, page):
        """What a token stands for."""
        kind = token["kind"]
        if kind in ("html", "block"):
            return token["html"]
        if kind == "span":
            return self.code_span(token["text"])
        if kind == "api":
            return self.api_word(token)
        if kind == "code":
            return self.code(token)
        if kind == "output":
            return (f'<div class="output{wide(token["text"])}"><div class="caption"><span>{token["program"]} prints</span></div>'
                    f'<pre tabindex="0" data-tag="{html.escape(token["tag"])}">{html.escape(token["text"], quote=False)}</pre></div>')
        if kind in ("measured", "recorded"):
            said = "measured while this book was made" if kind == "measured" else self.recorded(token["head"])
            return (f'<div class="output {kind}{wide(token["text"])}"><div class="caption"><span>{said}</span></div>'
                    f'<pre tabindex="0">{html.escape(token["text"], quote=False)}</pre></div>')
        if kind == "figure" and not token["file"]:  # only in a draft
            return f'<figure id="{token["id"]}"><p class="missing">The figure {html.escape(token["name"])} is missing.</p>'
        if kind == "figure":
            return f'<figure id="{token["id"]}"><div class="drawing" tabindex="0" role="img" aria-labelledby="{token["id"]}_caption">{read(token["file"])}</div>'
        if kind == "contents":
            return self.contents()
        if kind == "map":
            return (f'<div class="drawing" id="map" tabindex="0" role="img" aria-label="Which chapter builds on which">{read(self.options.map)}</div>') if os.path.exists(self.options.map) else ""
        if kind == "headers":
            return self.reference.headers()
        if kind == "cited":
            return self.cited(token["key"])
        raise SystemExit(f"error: token of unknown kind {kind}")

    @staticmethod
    def recorded(head):
        """What is said of a record: the command that made it, when, where, from what."""
        known = {key: html.escape(value, quote=False) for key, value in head.items()}
        known["commit"] = known.get("commit", "")[:7]
        known["threads"] = known.get("threads", "") + (" thread" if known.get("threads") == "1" else " threads")
        return ("recorded on {date} in {duration} by <code>{command}</code>; commit {commit}, seeds {seeds}, {machine}, "
                "{threads}").format_map(collections.defaultdict(str, known))

    def code_span(self, text):
        shown = f"<code>{html.escape(text, quote=False)}</code>"
        href = None
        if re.fullmatch(r"(mamba2::)?\w+(::\w+)*(\(\))?", text):
            href = self.library.find(text)
        elif re.fullmatch(r"<?mamba2/[\w/]+\.hpp>?", text):
            href = self.library.header_link(text.strip("<>"))
        return f'<a class="api" href="{href}">{shown}</a>' if href else shown

    def api_word(self, token):
        word = token["text"]
        href = self.library.find(word)
        if href is None and word.startswith("mamba2::"):
            self.report.error(token["path"], token["line"], f"the library has no '{word}'")
        code = f"<code>{html.escape(word)}</code>"
        return f'<a class="api" href="{href}">{code}</a>' if href else code

    def code(self, token):
        text = "\n".join(token["lines"])
        body = highlight(text, self.library) if token["lang"] in ("cpp", "c++") else html.escape(text, quote=False)
        numbers = token.get("numbers") or ([token["first"] + k for k in range(len(token["lines"]))] if token["first"] else [])
        lines, first = body.split("\n"), ""
        if numbers:  # the style sheet counts: from the first number on, by more than one where lines are left out
            first = f' style="counter-reset:n {numbers[0] - 1}"'
            steps = [1, *(after - before for before, after in zip(numbers, numbers[1:]))]
            lines = [f"<i></i>{line}" if step == 1 else f'<i style="counter-increment:n {step}"></i>{line}' for step, line in zip(steps, lines)]
        caption = f'<div class="caption"><span>{html.escape(token["caption"])}</span></div>' if token["caption"] else ""
        kind = "numbered" if numbers else "plain"
        block = f'<div class="code {kind}{wide(text, kind)}">{caption}<pre tabindex="0"><code{first}>' + "\n".join(lines) + "</code></pre></div>"
        return f'<details class="fold"><summary>{html.escape(token["fold"])}</summary>{block}</details>' if token.get("fold") else block

    def cited(self, key):
        pages = [self.pages[p] for p in self.outline["cited"].get(key, []) if p in self.pages and p != "references"]
        if not pages:
            return ""
        links = ", ".join(f'<a href="{p["id"]}.html">{p["number"] or html.escape(p["title"])}</a>' for p in pages)
        word = "Chapter" if len(pages) == 1 else "Chapters"
        if not all(p["number"] for p in pages):
            word = "Cited in"
        return f'<p class="cited">{word} {links}</p>'

    # ---- contents ---------------------------------------------------------------------------------------------------

    def chapters(self):
        return [page for page in self.outline["pages"] if page["number"]]

    def contents(self):
        out = ['<div class="contents-list">']
        for part in self.outline["parts"]:
            chapters = [c for c in self.chapters() if part["first"] <= c["number"] <= part["last"]]
            planned = [c for c in self.outline["planned"] if part["first"] <= c["number"] <= part["last"]]
            if not chapters and not planned:
                continue
            out.append(f'<section class="part"><p class="part-name">{part["name"]}</p><p class="part-title">{html.escape(part["title"])}</p><ol>')
            for c in sorted(chapters + planned, key=lambda c: c["number"]):
                if "id" not in c:
                    out.append(f'<li value="{c["number"]}" class="planned"><span class="number">{c["number"]}</span>'
                               f'<span class="title">{html.escape(c["title"])}</span><span class="summary">planned</span></li>')
                    continue
                out.append(f'<li value="{c["number"]}"><a href="{c["id"]}.html"><span class="number">{c["number"]}</span>'
                           f'<span class="title">{html.escape(c["title"])}</span>'
                           f'<span class="summary">{words(c["summary"])}</span></a></li>')
            out.append("</ol></section>")
        out.append("</div>")
        return "".join(out)

    def nav(self, current, sections, parent=""):
        """The tree at the left: front matter, parts and chapters, back matter; the current page opened."""
        def entry(page, number=""):
            here = page["id"] == current
            label = f'<span class="number">{number}</span>' if number else ""
            text = f'<a href="{page["id"]}.html"{" aria-current=page" if here else ""}>{label}<span>{html.escape(page["title"])}</span></a>'
            below = section_list(sections) if here else ""
            if page["id"] == "library" and (here or parent == "library"):
                below += self.header_list(current, sections)
            return f"<li>{text}{below}</li>"

        front = [p for p in self.outline["pages"] if not p["number"]]
        names = [p["id"] for p in self.outline["pages"]]
        first = next((k for k, p in enumerate(self.outline["pages"]) if p["number"]), len(names))
        before = [p for p in front if names.index(p["id"]) < first]
        after = [p for p in front if names.index(p["id"]) > first]
        out = ["<ul>"] + [entry(p) for p in before if p["id"] != "index"] + ["</ul>"]
        for part in self.outline["parts"]:
            chapters = [c for c in self.chapters() if part["first"] <= c["number"] <= part["last"]]
            if chapters:
                out.append(f'<p class="nav-part"><b>{part["name"]}</b> {html.escape(part["title"])}</p><ul>')
                out += [entry(c, c["number"]) for c in chapters]
                out.append("</ul>")
        out.append('<p class="nav-part"><b>Reference</b></p><ul>')
        out += [entry(p) for p in after]
        out.append("</ul>")
        return "".join(out)

    def header_list(self, current, sections):
        items = []
        for path, header in sorted(self.library.headers.items()):
            here = header.page == current + ".html"
            items.append(f'<li><a href="{header.page}"{" aria-current=page" if here else ""}>{path.removeprefix("mamba2/")}</a>'
                         f'{section_list(sections) if here else ""}</li>')
        return f'<ul class="header-list">{"".join(items)}</ul>'

    # ---- pages ------------------------------------------------------------------------------------------------------

    def book_page(self, page):
        tokens = self.tokens[page["id"]]
        description = doxygen.page(os.path.join(self.options.doxygen, "xml"), page["id"])
        if description is None:
            raise SystemExit(f"bind: error: Doxygen made no page for '{page['id']}'")
        body = doxygen.Writer(token=lambda number: self.fill(tokens[str(number)], page), link=self.reference.link,
                              name=self.library.find, code=self.reference.code).blocks(description)
        sections = [(level, t, name) for level, t, name in page["sections"] if level <= 3]
        kicker = f'Chapter {page["number"]} <span>·</span> {page["part"]}: {html.escape(page["part_title"])}' if page["number"] else ""
        minutes = reading_minutes(body) if page["number"] else 0
        header = self.page_header(page, kicker, sections, minutes) if page["id"] != "index" else self.title_page(page)
        self.index_page(page, body)
        self.cards |= equation_cards(page, body) | citation_cards(page, body)
        return self.render(page["id"], page["title"], header + body + self.prev_next(page), sections,
                           "chapter" if page["number"] else f"front {page['id']}", page["summary"])

    def title_page(self, page):
        first = next(({"page": c["id"], "words": f'chapter {c["number"]}'} for c in self.chapters()),
                     {"page": "how_to_read", "words": "how to read it"})
        return (f'<header class="title-page"><h1>{html.escape(page["title"])}</h1><p class="subtitle">{words(page["summary"])}</p>'
                f'<p class="go"><a class="button" href="{first["page"]}.html">Begin with {first["words"]}</a> <a href="#index_contents">Contents</a> '
                f'<a href="how_to_read.html">How to read this book</a></p></header>')

    @staticmethod
    def page_header(page, kicker, sections, minutes):
        toc = section_list(sections)
        return (f'<header class="page-header">{f"<p class=kicker>{kicker}</p>" if kicker else ""}'
                f'<h1>{html.escape(page["title"])}</h1>'
                + (f'<p class="lede">{words(page["summary"])}</p>' if page["summary"] else "")
                + (f'<p class="minutes">About {minutes} minutes, without the exercises</p>' if minutes else "")
                + (f'<details class="toc"><summary>On this page</summary>{toc}</details>' if toc else "") + "</header>")

    def prev_next(self, page):
        pages = self.outline["pages"]
        at = pages.index(page)
        out = ['<nav class="prevnext" aria-label="Previous and next page">']
        if at > 0:
            out.append(link_to(pages[at - 1], "prev", "Previous"))
        if at + 1 < len(pages):
            out.append(link_to(pages[at + 1], "next", "Next"))
        return "".join(out) + "</nav>"

    def api_page(self, header):
        sections = self.reference.sections(header)
        top = (f'<header class="page-header"><p class="kicker"><a href="library.html">The library</a></p><h1><code>{header.path}</code></h1>'
               f'<div class="lede">{self.reference.brief(header.node)}</div>'
               + (f'<details class="toc"><summary>On this page</summary>{section_list(sections)}</details>' if sections else "") + "</header>")
        return self.render(header.page[:-5], header.path, top + self.reference.body(header), sections, "api", "", parent="library")

    def render(self, name, title, body, sections, kind, summary, parent=""):
        book = self.outline["title"]
        machine = self.about
        values = {
            "title": html.escape(title if name == "index" else f"{title} · {book}"), "book": html.escape(book),
            "description": html.escape(summary or self.outline["subtitle"], quote=True), "nav": self.nav(name, sections, parent),
            "body": body, "kind": kind,
            "footer": html.escape(f"Outputs and figures: {machine['compiler']}, {machine['build']}, {machine['machine']}."),
            "macros": html.escape(json.dumps(MACROS), quote=True),
        }
        return re.sub(r"\{\{(\w+)\}\}", lambda m: values[m.group(1)], self.template)

    def index_page(self, page, body):
        """What the search knows of a page: the words of each section."""
        parts = re.split(r'<h[23] id="([^"]+)">(.*?)<a class="permalink".*?</h[23]>', body)
        sections = [("", "", parts[0])] + [(parts[k], parts[k + 1], parts[k + 2]) for k in range(1, len(parts), 3)]
        for anchor, title, text in sections:
            self.search.append([f"{page['id']}.html" + (f"#{anchor}" if anchor else ""), page["number"], page["title"],
                                plain_text(title), plain_text(text)])

    def find_definitions(self):
        """Where the chapters define what the headers declare."""
        for page in self.chapters():
            for token in self.tokens[page["id"]].values():
                if token["kind"] == "code" and token["caption"].startswith(page["folder"]) and not token["caption"].endswith(("demo.cpp", "solutions.cpp")):
                    self.reference.find_definitions(page, "\n".join(token["lines"]), token["section"] or [page["title"], ""])

    def bind(self):
        for header, line, name in self.library.undocumented:
            self.report.error(f"src/{header}", line, f"nothing is said of {name}")
        self.find_definitions()
        for page in self.outline["pages"]:
            self.write(f"{page['id']}.html", self.book_page(page))
        for header in self.library.headers.values():
            self.write(header.page, self.api_page(header))
        self.search += self.reference.search_entries()
        self.cards |= self.reference.cards()
        self.write("cards.js", "window.BOOK_CARDS=" + json.dumps(self.cards, ensure_ascii=False, separators=(",", ":")) + ";\n")
        self.write("search.js", "window.BOOK_SEARCH=" + json.dumps(self.search, ensure_ascii=False, separators=(",", ":")) + ";\n")
        self.assets()
        self.remove_stale()
        return self.report.finish()

    # ---- files ------------------------------------------------------------------------------------------------------

    def write(self, name, content):
        write_if_changed(os.path.join(self.options.out, name), content)
        self.written.add(name)

    def copy(self, source, name):
        with open(source, "rb") as data:
            self.write(name, data.read())

    def assets(self):
        theme, katex = self.options.theme, self.options.katex
        for name in ("book.css", "book.js", "finding.js", "reading.js", "favicon.svg"):
            self.copy(os.path.join(theme, name), name)
        self.copy(os.path.join(katex, "katex.min.js"), "katex/katex.min.js")
        css = read(os.path.join(katex, "katex.min.css"))
        css = re.sub(r',url\([^)]*\.(?:woff|ttf)\) format\("\w+"\)', "", css)  # woff2 is enough
        kept = [f"KaTeX_{font}" for font in KATEX_FONTS]
        css = re.sub(r"@font-face\{[^}]*?url\(fonts/([\w-]+)\.woff2\)[^}]*\}", lambda m: m.group(0) if m.group(1) in kept else "", css)
        self.write("katex/katex.min.css", css.replace("font-display:block", "font-display:swap"))
        for font in kept:
            self.copy(os.path.join(katex, "fonts", f"{font}.woff2"), f"katex/fonts/{font}.woff2")
        if self.options.fonts and os.path.isdir(self.options.fonts):
            for font in sorted(os.listdir(self.options.fonts)):
                if font.endswith(".woff2"):
                    self.copy(os.path.join(self.options.fonts, font), f"fonts/{font}")

    def remove_stale(self):
        for folder, _, files in os.walk(self.options.out):
            for name in files:
                path = os.path.join(folder, name)
                if os.path.relpath(path, self.options.out) not in self.written:
                    os.remove(path)


def section_list(sections):
    if not sections:
        return ""
    top = min(level for level, _, _ in sections)
    items = "".join(f'<li><a href="#{name}">{html.escape(title)}</a></li>' for level, title, name in sections if level == top)
    return f'<ul class="sections">{items}</ul>'


def link_to(page, kind, word):
    number = f'Chapter {page["number"]}: ' if page["number"] else ""
    return (f'<a class="{kind}" rel="{kind}" href="{page["id"]}.html"><span class="way">{word}</span>'
            f'<span class="title">{number}{html.escape(page["title"])}</span></a>')


def equation_cards(page, body):
    """The numbered equations of a page, as they stand there."""
    found = re.findall(r'<span class="equation" id="([^"]+)"><span class="tex">(.*?)</span><a class="eqno"[^>]*>(.*?)</a>', body, re.S)
    return {f"{page['id']}.html#{name}": f"<p>{tex}</p><p class=\"from\">{number} {html.escape(page['title'])}</p>" for name, tex, number in found}


def citation_cards(page, body):
    """The entries of the bibliography."""
    found = re.findall(r'<dt id="([^"]+)">.*?</dt>\s*<dd>(.*?)(?:<p class="cited">|</dd>)', body, re.S) if page["id"] == "references" else []
    return {f"references.html#{key}": text for key, text in found}


def reading_minutes(body):
    """How long a chapter takes: its words at 200 a minute, its lines of code at 20, to the next five minutes."""
    body = re.sub(r'<div class="box exercise".*?</details></div>', " ", body, flags=re.S)
    code = re.findall(r"<pre\b.*?</pre>", body, re.S)
    words_of_text = plain_text(re.sub(r"<pre\b.*?</pre>", " ", body, flags=re.S)).split()
    return 5 * max(1, round((len(words_of_text) / 200 + sum(block.count("\n") + 1 for block in code) / 20) / 5))


def plain_text(body):
    """The words of a piece of a page, as the search knows them: without drawings, code (its names are found in the reference), hints and solutions."""
    body = re.sub(r'<(svg|details)\b.*?</\1>|<div class="code\b.*?</pre></div>|<div class="caption">.*?</div>', " ", body, flags=re.S)
    body = re.sub(r"\\\((.*?)\\\)|\\\[(.*?)\\\]", lambda m: html.escape(plain_tex(html.unescape(m.group(1) or m.group(2)))), body, flags=re.S)
    body = re.sub(r"</(?:p|li|td|th|tr|pre|div|h\d|figcaption|dt|dd)>|<br>|\n", " ", body)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", body)).split())


def main(given):
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("root", "woven", "doxygen", "theme", "katex", "about", "out"):
        arguments.add_argument(f"--{name}", required=True)
    arguments.add_argument("--fonts", default="")
    arguments.add_argument("--map", default="", help="the drawing of what builds on what")
    arguments.add_argument("--draft", action="store_true", help="errors are only reported")
    options = arguments.parse_args(given)
    status = Binder(options).bind()
    return 0 if options.draft else status

