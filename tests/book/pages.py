"""The pages of the book as a test sees them: elements, words, links and identifiers of an HTML file."""
import html.parser
import os
import re

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr", "path", "rect", "circle",
        "line", "use", "polygon", "polyline", "ellipse", "stop", "image"}


class Element:
    def __init__(self, tag, attributes, parent, line):
        self.tag, self.attributes, self.parent, self.line = tag, dict(attributes), parent, line
        self.children = []  # elements and strings

    @property
    def classes(self):
        return (self.attributes.get("class") or "").split()

    def walk(self, skip=()):
        yield self
        for child in self.children:
            if isinstance(child, Element) and not (child.tag in skip or set(child.classes) & set(skip)):
                yield from child.walk(skip)

    def find(self, tag=None, name=None):
        return [e for e in self.walk() if (tag is None or e.tag == tag) and (name is None or name in e.classes)]

    def text(self, skip=()):
        out = []
        for child in self.children:
            if isinstance(child, str):
                out.append(child)
            elif not (child.tag in skip or set(child.classes) & set(skip)):
                out.append(child.text(skip))
        return "".join(out)


class Parser(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = self.at = Element("root", [], None, 0)
        self.problems = []

    def handle_starttag(self, tag, attributes):
        element = Element(tag, attributes, self.at, self.getpos()[0])
        self.at.children.append(element)
        if tag not in VOID:
            self.at = element

    def handle_startendtag(self, tag, attributes):
        self.at.children.append(Element(tag, attributes, self.at, self.getpos()[0]))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if self.at.tag != tag:
            self.problems.append(f"line {self.getpos()[0]}: </{tag}> where <{self.at.tag}> of line {self.at.line} is open")
            up = self.at
            while up.parent and up.tag != tag:
                up = up.parent
            if up.tag != tag:
                return
            self.at = up
        self.at = self.at.parent

    def handle_data(self, data):
        self.at.children.append(data)


class Page:
    def __init__(self, folder, name):
        self.name = name
        with open(os.path.join(folder, name), encoding="utf-8") as source:
            self.source = source.read()
        parser = Parser()
        parser.feed(self.source)
        self.root, self.problems = parser.root, parser.problems
        self.ids = [e.attributes["id"] for e in self.root.walk() if e.attributes.get("id")]
        body = self.root.find("body")
        self.kind = body[0].classes if body else []

    def article(self):
        return self.root.find("article")[0]


def pages(folder):
    return {name: Page(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".html")}


def sections(text):
    """The sections of what a program prints: tag -> text, as `@output tag` shows it."""
    found, current = {"*": text.rstrip("\n")}, None
    for line in text.rstrip("\n").split("\n"):
        header = re.fullmatch(r"\[([\w.-]+)\]", line)
        if header:
            current = header.group(1)
            found[current] = []
        elif current:
            found[current].append(line)
    return {tag: lines if isinstance(lines, str) else "\n".join(lines).strip("\n") for tag, lines in found.items()}
