"""The library's reference: what Doxygen read in the headers (its XML), as one page for each header."""
import html
import os
import re
import xml.etree.ElementTree as xml
from dataclasses import dataclass, field

from .code import highlight


STANDARD_MEMBERS = set("""at back begin c_str clear count data dimension empty end erase fill find first front get insert is_open length max min
open pop_back push_back read reserve reset reshape resize second shape size str subspan substr swap value what write""".split())


@dataclass
class Item:
    """A documented type, function, alias, enumeration or constant, or a member of a type."""
    kind: str                  # struct, class, function, typedef, enum, variable, concept
    name: str
    qualified: str
    header: str                # mamba2/ssm.hpp
    line: int
    node: xml.Element
    anchor: str = ""
    page: str = ""
    members: list = field(default_factory=list)

    @property
    def href(self):
        return f"{self.page}#{self.anchor}"


@dataclass
class Header:
    path: str
    page: str
    node: xml.Element
    items: list = field(default_factory=list)


def page_name(path):
    return re.sub(r"\.hpp$", "", path).replace("/", "_") + ".html"


class Library:
    """All headers and what they declare. Answers where a name is documented."""

    def __init__(self, folder, source):
        self.source = source   # the folder that holds mamba2/
        self.headers = {}
        self.by_id = {}        # Doxygen's id -> href
        self.items = {}        # qualified name -> Item, the first of its overloads
        self.texts = {}
        compounds = [node for node in (self.compound(folder, name) for name in sorted(os.listdir(folder))) if node is not None]
        for node in compounds:
            if node.get("kind") == "file":
                path = node.find("location").get("file")
                if path.endswith(".hpp"):
                    self.headers[path] = Header(path, page_name(path), node)
                    self.by_id[node.get("id")] = page_name(path)
        for node in compounds:
            if node.get("kind") in ("struct", "class", "concept"):
                self.add_type(node)
            elif node.get("kind") == "namespace":
                for member in node.findall("sectiondef/memberdef"):
                    self.add_member(member, None)
        for header in self.headers.values():
            header.items.sort(key=lambda item: item.line)
        self.give_anchors()

    @staticmethod
    def compound(folder, name):
        if not name.endswith(".xml") or not re.match(r"(struct|class|concept|namespace\w*mamba2|.*_8hpp)", name):
            return None
        return xml.parse(os.path.join(folder, name)).getroot().find("compounddef")

    def add_type(self, node):
        location = node.find("location")
        qualified = re.sub(r"\s*<.*", "", node.findtext("compoundname"))
        if location is None or location.get("file") not in self.headers:
            return
        item = Item(node.get("kind"), qualified.rsplit("::", 1)[-1], qualified, location.get("file"), int(location.get("line")), node)
        self.headers[item.header].items.append(item)
        for member in node.findall("sectiondef/memberdef"):
            self.add_member(member, item)
        item.members.sort(key=lambda m: m.line)

    def add_member(self, node, owner):
        location = node.find("location")
        if location is None or location.get("file") not in self.headers or node.get("prot") == "private":
            return
        line = int(location.get("declline") or location.get("line"))
        item = Item(node.get("kind"), node.findtext("name"), node.findtext("qualifiedname") or node.findtext("name"),
                    location.get("file"), line, node)
        (owner.members if owner else self.headers[item.header].items).append(item)

    def give_anchors(self):
        for header in self.headers.values():
            used = {}
            for item in header.items:
                self.give_anchor(item, item.name, used, header)
                for member in item.members:
                    self.give_anchor(member, f"{item.name}-{member.name}", used, header)
                for value in item.node.findall("enumvalue"):
                    self.by_id[value.get("id")] = item.href
                    name = f"{item.qualified}::{value.findtext('name')}"
                    self.items.setdefault(name, item)

    def give_anchor(self, item, name, used, header):
        name = re.sub(r"[^\w~-]", lambda m: f"_{ord(m.group(0)):x}", name)
        used[name] = used.get(name, 0) + 1
        item.anchor = name if used[name] == 1 else f"{name}-{used[name]}"
        item.page = header.page
        self.by_id[item.node.get("id")] = item.href
        self.items.setdefault(item.qualified, item)

    # ---- names -------------------------------------------------------------------------------------------------------

    def find(self, name):
        """The link of a name as it is written in prose or code, with or without its namespace; None if there is none."""
        item = self.find_item(name)
        return item.href if item else None

    def find_item(self, name):
        name = re.sub(r"\s+|\(\)$", "", name)
        return self.items.get(name) or self.items.get("mamba2::" + name)

    def find_member(self, name):
        """The link of a member function, if only one type has one of that name, and no container of the standard library."""
        if name in STANDARD_MEMBERS:
            return None
        found = {item.href for key, item in self.items.items()
                 if key.endswith("::" + name) and key.count("::") == 2 and item.kind == "function"}
        return found.pop() if len(found) == 1 else None

    def header_link(self, path):
        header = self.headers.get(path)
        return header.page if header else None

    # ---- source ------------------------------------------------------------------------------------------------------

    def declaration(self, item):
        """The lines that declare an item, as they stand in the header, without a body."""
        if item.header not in self.texts:
            with open(os.path.join(self.source, item.header), encoding="utf-8") as source:
                self.texts[item.header] = source.read().split("\n")
        lines = self.texts[item.header]
        first = item.line - 1
        while first > 0 and re.match(r"\s*(template|requires)\b", lines[first - 1]):
            first -= 1
        text = "\n".join(lines[first:first + 14])
        depth, end = 0, len(text)
        for position, c in enumerate(text):
            depth += (c in "([") - (c in ")]")
            before = text[:position].rstrip()
            if depth == 0 and (c == ";" or (c == "{" and (before.endswith((")", "const", "noexcept", "override")) or item.kind in ("struct", "class")))
                               or (c == ":" and before.endswith(")") and text[position + 1] != ":")):
                end = position
                break
        text = text[:end].rstrip()
        indent = len(text) - len(text.lstrip())
        return "\n".join(line[indent:] if not line[:indent].strip() else line for line in text.split("\n")) + ";"


# ---- Doxygen's descriptions as HTML -------------------------------------------------------------------------------------

INLINE = {"bold": "strong", "emphasis": "em", "computeroutput": "code", "subscript": "sub", "superscript": "sup"}
LISTS = {"itemizedlist": "ul", "orderedlist": "ol", "listitem": "li", "blockquote": "blockquote", "table": "table", "row": "tr", "entry": "td"}
SIGNS = {"linebreak": "<br>", "mdash": "—", "ndash": "–", "nonbreakablespace": "\u00a0", "hruler": "<hr>", "sp": " ", "times": "×",
         "le": "≤", "ge": "≥", "minus": "−", "infin": "∞"}
SECTIONS = {"return": "Returns", "note": "Note", "see": "See also", "warning": "Careful", "attention": "Careful", "remark": "Remark",
            "pre": "Before", "post": "After", "since": "Since", "par": ""}


def describe(node, library, skip=()):
    """The inside of a description; `skip` names elements that are shown elsewhere."""
    if node is None:
        return ""
    out = [html.escape(node.text or "", quote=False)]
    for child in node:
        if child.tag not in skip:
            out.append(element(child, library, skip))
        out.append(html.escape(child.tail or "", quote=False))
    return "".join(out)


def element(node, library, skip):
    if node.tag == "parameterlist":
        return parameters(node, library)
    if node.tag in ("programlisting", "verbatim", "preformatted"):
        lines = [text_of(line) for line in node.findall("codeline")] or [node.text or ""]
        return f'<div class="code plain"><pre tabindex="0"><code>{highlight(chr(10).join(lines).strip(), library)}</code></pre></div>'
    inside = describe(node, library, skip)
    if node.tag == "para":
        blocks = node.find("parameterlist") is not None or node.find("simplesect") is not None
        return f"<p>{inside.strip()}</p>" if inside.strip() and not blocks else inside.strip()
    if node.tag == "ref":
        href = library.by_id.get(node.get("refid")) or page_link(node.get("refid"))
        return f'<a href="{href}">{inside}</a>' if href else inside
    if node.tag == "formula":
        tex = (node.text or "").strip()
        display = tex.startswith("\\[")
        tex = tex[2:-2] if display else tex.strip("$")
        tex = html.escape(tex, quote=False)
        return f'<span class="equation"><span class="tex">\\[{tex}\\]</span></span>' if display else f"\\({tex}\\)"
    if node.tag in INLINE:
        return f"<{INLINE[node.tag]}>{inside}</{INLINE[node.tag]}>"
    if node.tag in LISTS:
        return f"<{LISTS[node.tag]}>{inside}</{LISTS[node.tag]}>"
    if node.tag in SIGNS:
        return SIGNS[node.tag]
    if node.tag == "ulink":
        return f'<a href="{html.escape(node.get("url"))}">{inside}</a>'
    if node.tag == "simplesect":
        return definition(SECTIONS.get(node.get("kind"), node.get("kind")), inside)
    if node.tag in ("sect1", "sect2", "heading", "title", "anchor", "variablelist", "highlight", "codeline"):
        return inside
    raise SystemExit(f"error: the reference cannot show Doxygen's <{node.tag}> yet (docs/weaver/api.py)")


def text_of(node):
    """Plain text, with Doxygen's <sp/> as spaces."""
    return (node.text or "") + "".join((" " if child.tag == "sp" else text_of(child)) + (child.tail or "") for child in node)


def page_link(refid):
    """The link to a page of the book or one of its sections: Doxygen joins page and section with _1."""
    found = re.match(r"(\w+?)_1(\w+)$", refid or "")
    return f"{found.group(1)}.html#{found.group(2)}" if found else f"{refid}.html"


def definition(head, body):
    return f'<dl class="about"><dt>{head}</dt><dd>{body}</dd></dl>'


def parameters(node, library):
    heads = {"param": "Parameters", "templateparam": "Template parameters", "exception": "Throws", "retval": "Returns"}
    rows = []
    for entry in node.findall("parameteritem"):
        names = ", ".join("".join(n.itertext()).strip() for n in entry.findall("parameternamelist/parametername"))
        if node.get("kind") == "exception" and library.find(names):
            names_html = f'<a href="{library.find(names)}"><code>{html.escape(names)}</code></a>'
        else:
            names_html = f"<code>{html.escape(names)}</code>"
        rows.append(f"<div><dt>{names_html}</dt><dd>{describe(entry.find('parameterdescription'), library)}</dd></div>")
    return definition(heads[node.get("kind")], f'<dl class="names">{"".join(rows)}</dl>')
