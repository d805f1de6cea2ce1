"""builds_on --root ROOT --objects FILE --out DIR: which chapters a chapter builds on, read off its code, and a map of it.

FILE names the object files, a line for each chapter, NN|of the library|...||of its program|... A chapter builds on another if
its part of the library, or a header that it explains, includes one of the other's headers or calls what the other defines. Its program
may use more: it compares with older forms. The section *What it builds on* has to name the former, and may name the latter; chapters
that it needs only in thought stand there in a paragraph that begins so. Whatever it says otherwise is an error.

Writes DIR/builds_on.json (name of a chapter -> what its code uses, what only its program uses) and DIR/builds_on.svg.
"""
import argparse
import html
import json
import os
import re
import subprocess

from . import literate
from .chapters import chapters
from .draw import run_dot, themed
from .names import named_chapters
from .report import Report, write_if_changed

INCLUDE = re.compile(r"^\s*#\s*include\s*<(mamba2/\w+\.hpp)>", re.M)
EXPLAINED = re.compile(r"Explained in (@chapters?\{[^}]*\})")
ONLY_IN_THOUGHT = "In thought"


class Headers:
    """The library's headers: the chapters that explain each, and what it includes."""

    def __init__(self, root, order):
        folder = os.path.join(root, "src", "mamba2")
        self.chapters, self.includes = {}, {}
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            with open(os.path.join(folder, name), encoding="utf-8") as source:
                text = source.read()
            found = EXPLAINED.search(text)
            self.chapters[f"mamba2/{name}"] = named_chapters(found.group(1), order) if found else []
            self.includes[f"mamba2/{name}"] = [(text.count("\n", 0, m.start(1)) + 1, m.group(1)) for m in INCLUDE.finditer(text)]

    def home(self, header):
        """The chapter that a header belongs to: the first that explains it. None for what every chapter may use."""
        return next(iter(self.chapters.get(header, [])), None)

    def of(self, name):
        return [header for header in self.chapters if self.home(header) == name]


def check_headers(headers, order, report):
    """No header of an earlier chapter includes one of a later."""
    for header, included in headers.includes.items():
        home = headers.home(header)
        for line, other in included:
            later = headers.home(other)
            if later in order and header != "mamba2/mamba2.hpp" and (home is None or (home in order and order.index(later) > order.index(home))):
                owner = f"the chapter '{home}'" if home else "every chapter (it says nowhere in which it is explained)"
                report.error(f"src/{header}", line, f"a header of {owner} includes one of the later chapter '{later}', {other}")


def symbols(files):
    """(defined, wanted, wanted weakly) by object files."""
    defined, wanted, weak = set(), set(), set()
    if files:
        done = subprocess.run(["nm", "-P", *files], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit("error: nm could not read the object files of the chapters")
        for line in done.stdout.split("\n"):
            fields = line.split()
            if len(fields) > 1 and len(fields[1]) == 1:
                (weak if fields[1] == "w" else wanted if fields[1] == "U" else defined).add(fields[0])
    return defined, (wanted | weak) - defined, {name for name in weak if "mamba2" in name}


def used_chapters(root, listed, headers, objects, report):
    """Name of a chapter -> (what its library and headers use, what its program uses)."""
    home = {}
    known = {c.name: [symbols(files) for files in objects.get(c.label, ((), ()))] for c in listed}
    for chapter in listed:
        for symbol in known[chapter.name][0][0]:
            home.setdefault(symbol, chapter.name)
        for symbol in sorted(known[chapter.name][0][2] | known[chapter.name][1][2]):
            report.error(chapter.page, 1, f"a weak reference, {symbol}: what a chapter uses has to be there")

    def used(chapter, texts, wanted):
        found = {headers.home(header) for text in texts for header in INCLUDE.findall(text)}
        found |= {home[symbol] for symbol in wanted if symbol in home}
        return found - {None, chapter.name}

    result = {}
    for chapter in listed:
        own = [read(root, path) for path in (chapter.page, *chapter.parts)] + [read(root, f"src/{header}") for header in headers.of(chapter.name)]
        library = used(chapter, own, known[chapter.name][0][1])
        result[chapter.name] = (library, used(chapter, [chapter.read("demo.cpp")], known[chapter.name][1][1]) - library)
    return result


def read(root, path):
    path = os.path.join(root, path)
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as source:
        return source.read()


# ---- what the text says --------------------------------------------------------------------------------------------------


def said(chapter, order):
    """(line of the section, chapters whose code is used, chapters needed in thought), from *What it builds on*."""
    inside, line, paragraphs = False, 1, [[]]
    for block in literate.split(chapter.read(f"{chapter.name}.cpp")):
        for number, text in enumerate(block.lines if block.prose else [], block.first):
            if text.startswith("## "):
                inside = f"{{#{chapter.name}_builds_on}}" in text
                line = number if inside else line
            elif inside and text.strip():
                paragraphs[-1].append(text)
            else:
                paragraphs.append([])
    code, thought = set(), set()
    for paragraph in paragraphs:
        text = "\n".join(paragraph)
        (thought if text.startswith(ONLY_IN_THOUGHT) else code).update(named_chapters(text, order))
    return line, code - {chapter.name}, thought - {chapter.name}


def compare(listed, used, report):
    """Whether each chapter says what its code does."""
    order = [c.name for c in listed]
    for chapter in listed:
        line, code, thought = said(chapter, order)
        library, program = used[chapter.name]
        for name in order:
            later = order.index(name) >= order.index(chapter.name)
            if name in code | thought | library | program and later:
                message = f"a chapter builds on earlier ones only, and '{name}' comes later"
            elif name in library - code:
                message = f"the code uses '{name}', and this section does not say so: name @chapter{{{name}}}"
            elif name in code - library - program:
                message = f"the code does not use '{name}': name it in a paragraph that begins '{ONLY_IN_THOUGHT}', or not at all"
            elif name in thought & (library | program):
                message = f"the code does use '{name}', not only in thought"
            else:
                continue
            report.error(chapter.page, line, message)


# ---- the map -----------------------------------------------------------------------------------------------------------------


def reduced(edges):
    """Without the arrows that others imply: who builds on 3, which builds on 2, builds on 2."""
    def reaches(start, goal, without):
        seen, todo = set(), [start]
        while todo:
            for a, b in edges:
                if a == todo[0] and (a, b) != without and b not in seen:
                    seen.add(b)
                    todo.append(b)
            todo.pop(0)
        return goal in seen
    return {edge for edge in edges if not reaches(edge[0], edge[1], edge)}


def graph(listed, used):
    """The map for Graphviz: an arrow from each chapter to those that build on it, dashed if only their programs use it."""
    library = {(c.name, other) for c in listed for other in used[c.name][0]}
    programs = {(c.name, other) for c in listed for other in used[c.name][1]}
    edges = reduced(library) | (reduced(library | programs) & programs)
    lines = ["digraph builds_on {", "  rankdir=TB; nodesep=0.25; ranksep=0.3;"]
    for chapter in listed:
        lines.append(f'  {chapter.name} [label="{chapter.number}  {quoted(chapter.title)}" URL="ch_{chapter.name}.html" tooltip="{quoted(tooltip(chapter, listed, used))}"];')
    for name, other in sorted(edges, key=lambda edge: (edge[1], edge[0])):
        lines.append(f"  {other} -> {name}{'' if other in used[name][0] else ' [style=dashed]'};")
    return "\n".join([*lines, "}"]) + "\n"


def tooltip(chapter, listed, used):
    numbers = {c.name: c.number for c in listed}
    library, program = (", ".join(map(str, sorted(numbers[name] for name in part))) for part in used[chapter.name])
    return (f"uses the code of {library}" if library else "uses no code of other chapters") + (f"; its program compares with {program}" if program else "")


def quoted(text):
    return html.unescape(text).replace("\\", "\\\\").replace('"', '\\"')


def main(given):
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--root", required=True)
    arguments.add_argument("--objects", required=True)
    arguments.add_argument("--out", required=True)
    arguments.add_argument("--draft", action="store_true", help="errors are only reported")
    options = arguments.parse_args(given)
    listed = chapters(options.root)
    order = [c.name for c in listed]
    headers = Headers(options.root, order)
    report = Report(options.root)
    check_headers(headers, order, report)
    def compiled(files):  # headers that are compiled ahead stand among them
        return [f for f in files.split("|") if f.endswith(".o")]

    objects = {}
    for line in read("", options.objects).split():
        library, program = line.split("||")
        objects[library[:2]] = (compiled(library[3:]), compiled(program))
    used = used_chapters(options.root, listed, headers, objects, report)
    compare(listed, used, report)
    if report.finish() and not options.draft:
        return 1
    write_if_changed(os.path.join(options.out, "builds_on.json"), json.dumps(
        {name: [sorted(part, key=order.index) for part in parts] for name, parts in used.items()}, indent=1) + "\n")
    source = os.path.join(options.out, "builds_on.dot")
    write_if_changed(source, graph(listed, used))
    write_if_changed(os.path.join(options.out, "builds_on.svg"), themed(run_dot(source), "map-", source, links=True))
    return 0
