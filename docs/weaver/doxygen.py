"""What Doxygen understood, as HTML: the only place that reads its XML descriptions, of pages and of the library alike.

Doxygen reads Markdown and doc comments and gives paragraphs, lists, tables, emphasis and links. Everything else stands in
them as tokens (see markup.py), which a `Writer` fills in: ⟦12⟧ within a line, ⟪12⟫ as a block of its own.
"""
import html
import os
import re
import xml.etree.ElementTree as xml

INLINE_TOKEN, BLOCK_TOKEN = "\u27e6%d\u27e7", "\u27ea%d\u27eb"
TOKEN = re.compile("[\u27e6\u27ea](\\d+)[\u27e7\u27eb]")
ONLY_BLOCKS = re.compile("\\s*(?:\u27ea\\d+\u27eb\\s*)+")

INLINE = {"bold": "strong", "emphasis": "em", "computeroutput": "code", "subscript": "sub", "superscript": "sup"}
SIGNS = {"linebreak": "<br>", "mdash": "—", "ndash": "–", "nonbreakablespace": "\u00a0", "sp": " ", "times": "×", "le": "≤", "ge": "≥",
         "minus": "−", "infin": "∞"}
LISTS = {"itemizedlist": "ul", "orderedlist": "ol"}
SECTIONS = {"return": "Returns", "note": "Note", "see": "See also", "warning": "Careful", "attention": "Careful", "remark": "Remark",
            "pre": "Before", "post": "After", "since": "Since", "par": ""}
NAMES = {"param": "Parameters", "templateparam": "Template parameters", "exception": "Throws", "retval": "Returns"}


def compound(path):
    """The one thing that an XML file of Doxygen describes: a page, a header, a type, a namespace."""
    return xml.parse(path).getroot().find("compounddef")


def page(folder, name):
    """The description of a woven page; the first page has a name of its own."""
    path = os.path.join(folder, f"{'indexpage' if name == 'index' else name}.xml")
    return compound(path).find("detaileddescription") if os.path.exists(path) else None


def text_of(node):
    """Plain text, with Doxygen's <sp/> as spaces."""
    return (node.text or "") + "".join((" " if child.tag == "sp" else text_of(child)) + (child.tail or "") for child in node)


def place(refid):
    """The link to a page of the book or one of its sections: Doxygen joins page and section with _1."""
    found = re.match(r"(\w+?)_1(\w+)$", refid or "")
    return f"{found.group(1)}.html#{found.group(2)}" if found else f"{refid}.html"


def definition(head, body):
    return f'<dl class="about"><dt>{head}</dt><dd>{body}</dd></dl>'


class Writer:
    """Descriptions as HTML. What is not Doxygen's is asked for: token(number), link(refid), name(text), code(text)."""

    def __init__(self, token, link, name, code):
        self.token, self.link, self.name, self.code = token, link, name, code

    def words(self, text):
        """Text with its tokens filled in."""
        return TOKEN.sub(lambda m: self.token(int(m.group(1))), html.escape(text or "", quote=False))

    def inside(self, node):
        """The inside of an element without paragraphs of its own."""
        return self.words(node.text) + "".join(self.one(child) + self.words(child.tail) for child in node)

    def blocks(self, node):
        """The inside of a description, a section, a list's item: paragraphs and what stands between them."""
        return "".join(self.one(child) for child in node)

    def tight(self, node):
        """The same where a single paragraph needs no <p>."""
        paragraphs = node.findall("para")
        return self.paragraph(paragraphs[0], wrap=False).strip() if len(paragraphs) == len(node) == 1 else self.blocks(node)

    def one(self, node):
        if node.tag in INLINE:
            return f"<{INLINE[node.tag]}>{self.inside(node)}</{INLINE[node.tag]}>"
        if node.tag in SIGNS:
            return SIGNS[node.tag]
        element = getattr(self, "element_" + node.tag, None)
        if element is None:
            raise SystemExit(f"error: the book cannot show Doxygen's <{node.tag}> yet (docs/weaver/doxygen.py)")
        return element(node)

    # ---- paragraphs: the blocks in them come out, since HTML has none within a <p> -----------------------------------

    def element_para(self, node):
        return self.paragraph(node)

    def paragraph(self, node, wrap=True):
        out, run = [], [self.words(node.text)]
        plain = [node.text or ""]

        def flush():
            text = "".join(run)
            if not wrap or ONLY_BLOCKS.fullmatch("".join(plain)):
                out.append(text)
            elif text.strip():
                out.append(f"<p>{text.strip()}</p>")
            run.clear()
            plain.clear()

        for child in node:
            if child.tag in BLOCKS:
                flush()
                out.append(self.one(child))
            else:
                run.append(self.one(child))
                plain.append("" if child.tag == "anchor" else "x")
            run.append(self.words(child.tail))
            plain.append(child.tail or "")
        flush()
        return "".join(out)

    def element_sect1(self, node, level=2):
        name = node.get("id").split("_1", 1)[-1]  # the page, _1, the section, which may hold a _1 of its own
        head = (f'<h{level} id="{name}">{self.inside(node.find("title")).strip()}'
                f'<a class="permalink" href="#{name}" aria-label="Link to this section">#</a></h{level}>')
        return head + "".join(self.one(child) for child in node if child.tag != "title")

    def element_sect2(self, node):
        return self.element_sect1(node, 3)

    def element_sect3(self, node):
        return self.element_sect1(node, 4)

    def element_itemizedlist(self, node):
        items = "".join(f"<li>{self.tight(item)}</li>" for item in node.findall("listitem"))
        return f"<{LISTS[node.tag]}>{items}</{LISTS[node.tag]}>"

    element_orderedlist = element_itemizedlist

    def element_blockquote(self, node):
        return f"<blockquote>{self.blocks(node)}</blockquote>"

    def element_table(self, node):
        rows = "".join("<tr>" + "".join(self.cell(cell) for cell in row.findall("entry")) + "</tr>" for row in node.findall("row"))
        return f'<div class="table" tabindex="0"><table class="markdownTable">{rows}</table></div>'

    def cell(self, node):
        tag = "th" if node.get("thead") == "yes" else "td"
        align = f' class="{node.get("align")}"' if node.get("align") in ("right", "center") else ""
        return f"<{tag}{align}>{self.tight(node)}</{tag}>"

    def element_hruler(self, _):
        return "<hr>"

    def element_verbatim(self, node):
        return self.code("\n".join(text_of(line) for line in node.findall("codeline")) or node.text or "")

    element_programlisting = element_preformatted = element_verbatim

    # ---- within a line -----------------------------------------------------------------------------------------------

    def element_anchor(self, _):
        return ""

    def element_ref(self, node):
        href = self.link(node.get("refid"))
        return f'<a href="{href}">{self.inside(node)}</a>' if href else self.inside(node)

    def element_ulink(self, node):
        return f'<a href="{html.escape(node.get("url"))}">{self.inside(node)}</a>'

    def element_formula(self, node):
        tex = (node.text or "").strip()
        if tex.startswith("\\["):
            return f'<span class="equation"><span class="tex">{html.escape(tex, quote=False)}</span></span>'
        return f"\\({html.escape(tex.strip('$'), quote=False)}\\)"

    # ---- what a comment says of a function ---------------------------------------------------------------------------

    def element_simplesect(self, node):
        return definition(SECTIONS.get(node.get("kind"), node.get("kind")), self.blocks(node))

    def element_parameterlist(self, node):
        rows = []
        for entry in node.findall("parameteritem"):
            names = ", ".join("".join(n.itertext()).strip() for n in entry.findall("parameternamelist/parametername"))
            shown = f"<code>{html.escape(names)}</code>"
            href = self.name(names) if node.get("kind") == "exception" else None
            shown = f'<a href="{href}">{shown}</a>' if href else shown
            rows.append(f"<div><dt>{shown}</dt><dd>{self.blocks(entry.find('parameterdescription'))}</dd></div>")
        return definition(NAMES[node.get("kind")], f'<dl class="names">{"".join(rows)}</dl>')


BLOCKS = {*LISTS, "table", "blockquote", "hruler", "verbatim", "programlisting", "preformatted", "simplesect", "parameterlist"}
