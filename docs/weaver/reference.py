"""The library's reference: a page for each header, and the list of all headers."""
import html
import re

from .code import highlight
from .doxygen import Writer, definition, place
from .names import DOXYGEN_CHAPTERS, write_chapters


class Reference:
    """Writes what Doxygen read in the headers. `chapters`: name -> (number, link); `defined`: where chapters define names."""

    def __init__(self, library, chapters):
        self.library = library
        self.chapters = chapters
        self.defined = {}  # qualified name -> [(page, section title, section id)]
        self.writer = Writer(token=None, link=self.link, name=library.find, code=self.code)

    def link(self, refid):
        return self.library.by_id.get(refid) or place(refid)

    def code(self, text):
        return f'<div class="code plain"><pre tabindex="0"><code>{highlight(text.strip(), self.library)}</code></pre></div>'

    # ---- what is said of a thing ----------------------------------------------------------------------------------------

    def brief(self, node):
        return self.describe(node.find("briefdescription"))

    def detail(self, node):
        return self.describe(node.find("detaileddescription"))

    def describe(self, node):
        """A description; Doxygen gives @chapter{duality} on as ⟦chapter duality⟧ (an alias of the Doxyfile)."""
        text = self.writer.blocks(node).strip() if node is not None else ""
        return write_chapters(DOXYGEN_CHAPTERS.sub(r"@\1{\2}", text), lambda name: self.chapters[name][1] if name in self.chapters else name)

    def declaration(self, item):
        """The lines that declare an item; comments among them may speak of chapters."""
        return write_chapters(self.library.declaration(item), lambda name: str(self.chapters[name][0]) if name in self.chapters else name, space=" ")

    # ---- where a chapter defines it -------------------------------------------------------------------------------------

    def find_definitions(self, page, code, section):
        """Notes what a piece of a chapter's code defines of what the headers declare."""
        for name in defined_names(code):
            item = self.library.find_item(name)
            if item:
                places = self.defined.setdefault(item.qualified, [])
                if (page["id"], *section) not in [(p["id"], *s) for p, s in places]:
                    places.append((page, section))

    def defined_in(self, item):
        places = self.defined.get(item.qualified)
        if not places:
            return ""
        links = [f'<a href="{page["id"]}.html#{anchor}">Chapter {page["number"]}, {html.escape(title)}</a>'
                 for page, (title, anchor) in places[:3]]
        return definition("Defined in", f'<p>{"; ".join(links)}</p>')

    # ---- pages ------------------------------------------------------------------------------------------------------------

    def item(self, item, level=2):
        mark = f'<a class="permalink" href="#{item.anchor}" aria-label="Link to this">#</a>'
        out = [f'<section class="item" id="{item.anchor}"><h{level}><code>{html.escape(call(item))}</code>{mark}</h{level}>']
        if item.kind != "concept":
            out.append(self.code(self.declaration(item)))
        out.append(self.brief(item.node) + self.detail(item.node) + self.defined_in(item))
        values = item.node.findall("enumvalue")
        if values:
            out.append(definition("Values", '<dl class="names">' + "".join(
                f"<div><dt><code>{v.findtext('name')}</code></dt><dd>{self.brief(v)}</dd></div>" for v in values) + "</dl>"))
        fields = [m for m in item.members if m.kind == "variable"]
        if fields:
            out.append('<div class="table" tabindex="0"><table class="markdownTable fields"><tr><th>Field</th><th>Type</th><th></th></tr>' + "".join(
                f'<tr id="{m.anchor}"><td><code>{m.name}</code></td><td class="type">{self.field_type(m)}</td>'
                f"<td>{self.brief(m.node)}{self.detail(m.node)}</td></tr>" for m in fields) + "</table></div>")
        out += [self.item(m, level + 1) for m in item.members if m.kind != "variable"]
        return "".join(out) + "</section>"

    def field_type(self, member):
        kind = re.sub(r"\s*([<>(),&*])\s*", r"\1", "".join(member.node.find("type").itertext())).replace(",", ", ")
        start = " ".join((member.node.findtext("initializer") or "").split())
        start = f' <span class="start">{html.escape(start, quote=False)}</span>' if start else ""
        return f'<code class="code">{highlight(kind, self.library)}{start}</code>'

    def sections(self, header):
        return [(2, call(item), item.anchor) for item in unique(header.items)]

    def body(self, header):
        return self.detail(header.node) + "".join(self.item(item) for item in header.items)

    def headers(self):
        """The list of all headers, each with its one sentence and its names."""
        out = ['<dl class="headers">']
        for path, header in sorted(self.library.headers.items()):
            names = [item for item in header.items if item.kind != "variable"]
            shown = ", ".join(f'<a href="{item.href}">{html.escape(item.name)}</a>' for item in unique(names))
            out.append(f'<dt><a href="{header.page}"><code>{path}</code></a></dt><dd>{self.brief(header.node)}'
                       f'<p class="names">{shown}</p></dd>')
        return "".join(out) + "</dl>"

    def cards(self):
        """What a link to a name shows before it is followed: the declaration of a function or a type's head, and its one sentence."""
        cards = {}
        for item in self.library.items.values():
            lines = self.declaration(item).strip().split("\n") if item.kind == "function" else [f"{item.kind} {item.name}"]
            code = html.escape("\n".join(lines[:8] + (["..."] if len(lines) > 8 else [])), quote=False)
            cards.setdefault(item.href, f"<pre>{code}</pre>{self.brief(item.node)}")
        return cards

    def search_entries(self):
        kinds = {"typedef": "type", "struct": "type", "class": "type", "variable": "field"}
        return ([[item.href, -1, name.removeprefix("mamba2::"), "", kinds.get(item.kind, item.kind)] for name, item in sorted(self.library.items.items())]
                + [[header.page, -1, path, "", "header"] for path, header in sorted(self.library.headers.items())])


def call(item):
    return item.name + ("()" if item.kind == "function" else "")


def unique(items):
    """Items of which overloads stand only once."""
    return list({item.qualified: item for item in reversed(items)}.values())[::-1]


def defined_names(code):
    """Names of the functions that a piece of code defines (declarations and instantiations apart)."""
    for found in re.finditer(r"^(?!template |#|using |namespace |static |return |//)[A-Za-z_][^;{}()=]*?([A-Za-z_]\w*(?:<[\w, ]*>)?(?:::~?\w+)*)\(", code, re.M):
        rest, depth = code[found.end() - 1:], 0
        for position, c in enumerate(rest):
            depth += (c == "(") - (c == ")")
            if depth == 0 and c in ";{":
                if c == "{":
                    yield re.sub(r"<[^>]*>", "", found.group(1))
                break
