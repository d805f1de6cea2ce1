"""The pages of the book: chapters and front matter, what they define and what they may refer to."""
import json
import os
import re
from dataclasses import dataclass, field

from . import literate
from .chapters import Chapter, chapters
from .exercises import Exercise, Exercises
from .markup import Markup
from .names import BY_NUMBER, write_chapters
from .sections import read_record, sections
from .typography import typographic

SUMMARY = re.compile(r"^@summary\s+(\S.*?)\s*$")
REFERENCE = re.compile(r"^\[@([\w-]+)\]:\s*(.*?)\s*\|\s*(.*)$")
FIGURE_SOURCES = ("gp", "dot", "svg")


@dataclass
class Reference:
    key: str
    label: str
    text: str
    path: str
    line: int
    cited: dict = field(default_factory=dict)


@dataclass
class Page:
    """One page: a chapter (name.cpp, then demo.cpp) or a piece of front matter (docs/name.md)."""
    id: str
    stem: str                 # prefix of the ids of its sections
    title: str
    files: list               # [(path, [Block])], the title line taken out
    chapter: Chapter = None   # None for front matter
    summary: str = ""
    sections: list = field(default_factory=list)
    exercises: list = field(default_factory=list)

    @property
    def number(self):
        return self.chapter.number if self.chapter else 0

    @property
    def folder(self):
        return self.chapter.folder if self.chapter else ""

    @property
    def label(self):
        return str(self.number) if self.number else ""

    @property
    def program(self):
        return f"chapter_{self.chapter.label}" if self.chapter else ""


class Book:
    """All pages, their numbers, and everything that can be referred to across them."""

    def __init__(self, root, report, outputs, figures, data=""):
        self.root = root
        self.report = report
        self.outputs_folder = outputs    # NN.txt: what chapter NN printed
        self.figures_folder = figures    # NN/NAME.svg
        self.data_folder = data          # NN/measured.txt: what the program behind chapter NN's figures measured
        self.settings = json.loads(self.read("docs/book.json"))
        self.pages = []
        self.references = {}
        self.equations = {}
        self.figures = {}
        self.ids = {}
        self.exercises = {}              # id of a page -> the exercises of its chapter
        self._outputs = {}

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as source:
            return source.read()

    def exists(self, path):
        return os.path.exists(os.path.join(self.root, path))

    # ---- reading --------------------------------------------------------------------------------------------------

    def load(self):
        self.load_references()
        front = [self.load_front(name) for name in self.settings["front"] if self.exists(f"docs/{name}.md")]
        back = [self.load_front(name) for name in self.settings["back"] if self.exists(f"docs/{name}.md")]
        self.pages = [p for p in front + [self.load_chapter(chapter) for chapter in chapters(self.root)] + back if p]

    def load_references(self):
        if not self.exists("docs/references.md"):
            return
        path = "docs/references.md"
        current = None
        for number, line in enumerate(self.read(path).split("\n"), 1):
            found = REFERENCE.match(line)
            if found:
                key, label, text = found.groups()
                if key in self.references:
                    self.report.error(path, number, f"reference '{key}' stands here twice")
                current = self.references[key] = Reference(key, label, text, path, number)
            elif current and line.startswith("  "):
                current.text += "\n" + line.strip()
            else:
                current = None

    def load_front(self, name):
        path = f"docs/{name}.md"
        lines = self.read(path).rstrip("\n").split("\n")
        found = re.match(r"# (.*?)\s*\{#([\w-]+)\}\s*$", lines[0])
        if not found:
            self.report.error(path, 1, "the first line must be '# Title {#id}'")
            return None
        kept, inside = [], False
        for line in lines:  # the entries of the bibliography come back in with @references
            inside = bool(REFERENCE.match(line)) or (inside and line.startswith("  "))
            kept.append("" if inside else line)
        block = literate.Block(True, 1, [""] + kept[1:])
        page = Page(found.group(2), name, typographic(found.group(1)), [(path, [block])])
        self.take_summary(page)
        return page

    def load_chapter(self, chapter):
        path = chapter.page
        blocks = literate.split(self.read(path))
        title = re.match(r"# (.*?)\s*\{#([\w-]+)\}\s*$", blocks[0].lines[0]) if blocks and blocks[0].prose else None
        if not title or blocks[0].first != 1:
            self.report.error(path, 1, "the first line must be '// # Title {#ch_name}'")
            return None
        blocks[0].lines[0] = ""
        if title.group(2) != f"ch_{chapter.name}":
            self.report.error(path, 1, f"the chapter's id must be 'ch_{chapter.name}'")
        page = Page(title.group(2), chapter.name, typographic(title.group(1)), [(path, blocks)], chapter)
        parts = chapter.parts
        for path in [*parts, f"{chapter.folder}/demo.cpp"]:
            if self.exists(path):
                page.files.append((path, literate.split(self.read(path))))
            elif path in parts:
                self.report.error(f"{chapter.folder}/parts.txt", parts.index(path) + 1, f"no file '{path}'")
        self.take_summary(page)
        self.load_exercises(page)
        return page

    def take_summary(self, page):
        path, blocks = page.files[0]
        for index, line in enumerate(blocks[0].lines):
            found = SUMMARY.match(line)
            if found:
                page.summary = typographic(found.group(1))
                blocks[0].lines[index] = ""
                return

    def load_exercises(self, page):
        exercises = Exercises(page.chapter)
        for file, line, message in exercises.errors:
            self.report.error(file, line, message)
        self.exercises[page.id] = exercises

    def exercise(self, page, number):
        return self.exercises[page.id].of(number) if page.chapter else Exercise(number, str(number))

    # ---- what pages define and refer to -----------------------------------------------------------------------------

    def define_id(self, markup, path, line, name):
        if not markup.numbering:
            return
        if name in self.ids:
            other_path, other_line = self.ids[name][1:]
            self.report.error(path, line, f"the id '{name}' is used before, in {other_path}:{other_line}")
        self.ids[name] = (markup.page.id, path, line)

    def define_equation(self, markup, path, line, label, number, anchor):
        if not markup.numbering:
            return
        if label in self.equations:
            self.report.error(path, line, f"the equation label '{label}' is used before")
        self.equations[label] = (markup.page.id, number, anchor)
        self.define_id(markup, path, line, anchor)

    def define_figure(self, markup, path, line, name, label, anchor):
        if not markup.numbering:
            return
        if (markup.page.id, name) in self.figures:
            self.report.error(path, line, f"the figure '{name}' stands on this page twice")
        self.figures[markup.page.id, name] = (markup.page.id, label, anchor)

    def find_figure(self, page, name):
        if (page.id, name) in self.figures:
            return self.figures[page.id, name]
        return next((target for (_, other), target in self.figures.items() if other == name), None)

    def refer(self, markup, path, line, name):
        known = name in self.ids or any(page.id == name for page in self.pages)
        if not known and not re.search(r"::|\.hpp$|^mamba2$|\(", name):
            markup.error(path, line, f"\\ref to '{name}', which no page has")

    def find_chapter(self, name):
        """The chapter of that name, and what is wrong if there is none."""
        page = next((p for p in self.pages if p.number and p.stem == name), None)
        if page:
            return page, None
        if any(folder[3:] == name for folder in self.settings.get("planned", {})):
            return None, f"the chapter '{name}' is planned and not there yet: only the contents may speak of it"
        return None, f"no chapter '{name}'"

    def check_headers(self):
        """The chapters that the library's headers refer to."""
        folder = os.path.join(self.root, "src", "mamba2")
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            path = f"src/mamba2/{name}"
            for number, line in enumerate(self.read(path).split("\n"), 1):
                if BY_NUMBER.search(line):
                    self.report.error(path, number, "a chapter by its number: write its name, as in @chapter{chunked_scan}")
                write_chapters(line, lambda name: self.check_chapter(path, number, name))

    def check_chapter(self, path, line, name):
        _, problem = self.find_chapter(name)
        if problem:
            self.report.error(path, line, problem)
        return ""

    def figure_file(self, page, name):
        folder = page.chapter.label if page.chapter else "front"
        path = os.path.join(self.figures_folder, folder, f"{name}.svg")
        return path if os.path.exists(path) else None

    def output(self, page, tag):
        """What the chapter's program printed under [tag], and what is wrong if there is none."""
        if not page.number:
            return "", "only chapters have a program, and so an output"
        return self.section(os.path.join(self.outputs_folder, f"{page.chapter.label}.txt"), tag, page.program, "demo.cpp")

    def measured(self, page, tag):
        """The same of what figures.cpp wrote to measured.txt."""
        path = os.path.join(self.data_folder, page.chapter.label if page.chapter else "front", "measured.txt")
        return self.section(path, tag, "figures.cpp", "measured.txt from figures.cpp")

    def section(self, path, tag, program, source):
        if path not in self._outputs:
            try:
                with open(path, encoding="utf-8") as file:
                    self._outputs[path] = file.read()
            except FileNotFoundError:
                self._outputs[path] = None
        text = self._outputs[path]
        if text is None:
            return "", f"nothing captured from {program} (no {source}, or it has not run)"
        if tag == "*":
            return text.rstrip("\n"), None
        return self.pick(sections(text), tag, program, "prints")

    def recorded(self, page, name, tag):
        """What the chapter's record `name` holds under [tag], its head, and what is wrong."""
        path = f"{page.folder}/recorded/{name}.txt"
        if not page.number or not self.exists(path):
            return "", {}, f"no record '{path}'" if page.number else "only chapters have records"
        head, parts, problem = read_record(self.read(path))
        if problem:
            return "", head, f"{path}: {problem}"
        text, problem = self.pick(parts, tag, path, "holds")
        return text, head, problem

    @staticmethod
    def pick(parts, tag, source, has):
        """The lines of a section, and what is wrong if there are none."""
        if tag not in parts:
            return "", f"{source} {has} no section [{tag}] (it {has}: {', '.join(s for s in parts if s)})"
        shown = "\n".join(parts[tag]).strip("\n")
        return shown, None if shown else f"the section [{tag}] that {source} {has} is empty"

    def quote(self, source, tag):
        if not self.exists(source):
            return None, f"no file '{source}' to quote"
        if tag is None:
            return (1, self.read(source).rstrip("\n").split("\n")), None
        piece = literate.tagged(self.read(source), tag)
        if piece is None or not any(line.strip() for line in piece[1]):
            return None, f"no '//: {tag}' … '//: end' in {source}"
        return piece, None

    # ---- weaving --------------------------------------------------------------------------------------------------

    def weave(self, page, numbering=False):
        """(Markdown for Doxygen, tokens) of a page."""
        page.sections, page.exercises = [], []
        markup = Markup(self, page, self.report, numbering)
        main = page.id == "index"
        out = [f"# {page.title}\n\n" if main else f"# {page.title} {{#{page.id}}}\n\n"]
        for path, blocks in page.files:
            for block in blocks:
                if block.prose:
                    out.append(markup.prose(path, block.lines, block.first))
                else:
                    out += [f"\n\n{token}\n\n" for token in self.code_tokens(markup, path, block)]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(out)) + "\n", markup.tokens

    @staticmethod
    def code_tokens(markup, path, block):
        """A block of code, a token for each of its pieces: what a page folds away has a token of its own."""
        for first, end, fold in literate.folds(block.lines):
            piece = [(number, line) for number, line in enumerate(block.lines[first:end], block.first + first)
                     if not literate.MARKER.match(line)]
            while piece and not piece[0][1].strip():
                piece.pop(0)
            while piece and not piece[-1][1].strip():
                piece.pop()
            if piece:
                yield markup.token("code", lines=[line for _, line in piece], lang="cpp", caption=path, first=piece[0][0],
                                   numbers=[number for number, _ in piece], fold=fold)

    def weave_all(self):
        """First pass: numbers and labels. Second pass: the pages."""
        self.check_headers()
        for page in self.pages:
            self.weave(page, numbering=True)
        for page in self.pages:
            known = {name for name, _, _ in page.exercises}
            for exercise in self.exercises[page.id].all.values() if page.chapter else ():
                if exercise.name not in known:
                    where = f"{page.folder}/{'hints.md' if exercise.hints else 'exercises_test.cpp'}"
                    self.report.error(where, 1, f"exercise {exercise.name}, which the chapter's page does not have")
        woven = []
        for page in self.pages:
            markdown, tokens = self.weave(page)
            woven.append((page, markdown, tokens))
        return woven

    # ---- the contents -----------------------------------------------------------------------------------------------

    def parts(self):
        """The parts of the book, each with the numbers of its first and last chapter. A part begins at a chapter, one that is
        there or one that is planned, and ends where the next begins."""
        numbers = {folder[3:]: int(folder[:2]) for folder in self.settings.get("planned", {})}
        numbers.update({p.stem: p.number for p in self.pages if p.number})
        parts = [{**part, "first": numbers[part["begins"]]} for part in self.settings["parts"] if part["begins"] in numbers]
        for part, after in zip(parts, parts[1:] + [{"first": 100}]):
            part["last"] = after["first"] - 1
        return parts

    def planned(self):
        """The chapters that are planned and not there yet."""
        names = {p.stem for p in self.pages if p.number}
        return [{"number": int(folder[:2]), "title": typographic(title)}
                for folder, title in sorted(self.settings.get("planned", {}).items()) if folder[3:] not in names]

    def part_of(self, page):
        return next((p for p in self.parts() if p["first"] <= page.number <= p["last"]), None)
