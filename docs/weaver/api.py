"""The library's names: what the headers declare, as Doxygen read it, and where each of them is described."""
import os
import re
import xml.etree.ElementTree as xml
from dataclasses import dataclass, field

from . import doxygen


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


def has_words(node):
    """Whether anything is said of a thing."""
    return any("".join(part.itertext()).strip() for kind in ("briefdescription", "detaileddescription") for part in node.findall(kind))


def is_special(node, owner):
    """Whether a member is one that the language itself knows: copying, moving, an end; or a constructor without arguments."""
    name, types = node.findtext("name"), ["".join(t.itertext()) for t in node.findall("param/type")]
    own = name in (owner, "operator=") and (not types or (len(types) == 1 and re.fullmatch(rf"(const )?{owner}(<.*>)? ?&{{1,2}}", types[0])))
    return node.get("kind") == "function" and (name == f"~{owner}" or bool(own))


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
        self.undocumented = []  # [(header, line, name)]
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
        return doxygen.compound(os.path.join(folder, name))

    def add_type(self, node):
        location = node.find("location")
        qualified = re.sub(r"\s*<.*", "", node.findtext("compoundname"))
        if location is None or location.get("file") not in self.headers or node.get("prot") == "private":
            return
        self.expect_words(node, location, qualified)
        item = Item(node.get("kind"), qualified.rsplit("::", 1)[-1], qualified, location.get("file"), int(location.get("line")), node)
        self.headers[item.header].items.append(item)
        for member in node.findall("sectiondef/memberdef"):
            self.add_member(member, item)
        item.members.sort(key=lambda m: m.line)

    def add_member(self, node, owner):
        location = node.find("location")
        if location is None or location.get("file") not in self.headers or node.get("prot") == "private":
            return
        if owner and is_special(node, owner.name) and not has_words(node):
            return  # copies and moves, and what is done at the end, need no words
        self.expect_words(node, location, node.findtext("qualifiedname") or node.findtext("name"))
        for value in node.findall("enumvalue"):
            self.expect_words(value, location, f"{node.findtext('name')}::{value.findtext('name')}")
        line = int(location.get("declline") or location.get("line"))
        item = Item(node.get("kind"), node.findtext("name"), node.findtext("qualifiedname") or node.findtext("name"),
                    location.get("file"), line, node)
        (owner.members if owner else self.headers[item.header].items).append(item)

    def expect_words(self, node, location, name):
        if not has_words(node):
            self.undocumented.append((location.get("file"), int(location.get("line")), name))

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
