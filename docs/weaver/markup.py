"""The book's prose: Markdown with math, side notes, citations, boxes, figures, outputs, quotes and exercises.

Doxygen understands the Markdown (paragraphs, lists, tables, emphasis, links, \\ref). All else is taken out here and
replaced by tokens such as ⟦12⟧, which pass through Doxygen untouched and are filled in when the book is bound (doxygen.py).
"""
import html
import re

from . import literate
from .doxygen import BLOCK_TOKEN, INLINE_TOKEN
from .inline import Inline
from .names import exercise_anchor
from .typography import math_html, typographic

# Tokens of these kinds are blocks of their own, the others stand within a line.
BLOCKS = ("block", "code", "output", "measured", "recorded", "figure", "contents", "headers", "map", "cited")

BOXES = {  # kind: the head that stands when the author gives none
    "keyidea": "Key idea",
    "tryit": "Try it",
    "aside": "",
    "warning": "Careful",
    "paper": "In the paper",
    "shapes": "",
}

FENCE = re.compile(r"^(\s*)(```+|~~~+)\s*([\w+-]*)\s*$")
BOX = re.compile(r"^:::\s*([\w-]+)\s*(.*?)\s*$")
NOTE_TEXT = re.compile(r"^\[\^([\w-]+)\]:\s+(.*)$")
OUTPUT = re.compile(r"^\s*@(output|measured)\s+(\S+)\s*$")
RECORDED = re.compile(r"^\s*@recorded\s+([\w-]+)\s+(\S+)\s*$")
QUOTE = re.compile(r"^\s*@quote\s+([^\s#]+)(?:#(\S+))?\s*$")
CONTENTS = re.compile(r"^@(contents|headers|map)\s*$")
BIBLIOGRAPHY = re.compile(r"^@references\s*$")
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*$")
HEADING_ID = re.compile(r"^(.*?)\s*\{#([\w-]+)\}$")
EXERCISE = re.compile(r"^(\d+)\s+(\S.*)$")


class Markup(Inline):
    """Turns prose into Markdown and tokens. One for each page; `page` gathers what the rest of the book refers to."""

    def __init__(self, book, page, report, numbering):
        self.book = book            # what other pages define: equations, figures, references, outputs
        self.page = page
        self.report = report
        self.numbering = numbering  # True on the first pass, which only gives numbers to things
        self.tokens = {}
        self.note_count = 0
        self.equation_count = 0
        self.figure_count = 0
        self.exercises = []

    # ---- tokens -------------------------------------------------------------------------------------------------

    def token(self, kind, **values):
        number = len(self.tokens) + 1
        self.tokens[number] = {"kind": kind, **values}
        if kind == "code":
            self.tokens[number]["section"] = self.page.sections[-1][1:3] if self.page.sections else None
        return (BLOCK_TOKEN if kind in BLOCKS else INLINE_TOKEN) % number

    def raw(self, text):
        return self.token("html", html=text)

    def block(self, text):
        return "\n\n" + self.token("block", html=text) + "\n\n"

    def error(self, path, line, message):
        if not self.numbering:
            self.report.error(path, line, message)

    # ---- blocks -------------------------------------------------------------------------------------------------

    def prose(self, path, lines, first):
        """Markdown of a run of prose lines, of which the first has the number `first` in the file."""
        notes, lines = self.take_notes(path, lines, first)
        out, run, run_first = [], [], first
        boxes = []  # (kind, line, closing html)

        def flush(next_line):
            nonlocal run, run_first
            if run:
                out.append(self.inline(path, "\n".join(run), run_first, notes))
            run, run_first = [], next_line

        index = 0
        while index < len(lines):
            line, number = lines[index], first + index
            fence = FENCE.match(line)
            if fence:
                flush(number)
                end = next((k for k in range(index + 1, len(lines)) if lines[k].strip() == fence.group(2)), None)
                if end is None:
                    self.error(path, number, f"unclosed {fence.group(2)}")
                    end = len(lines)
                indent = len(fence.group(1))
                body = [text[indent:] if text[:indent].strip() == "" else text for text in lines[index + 1:end]]
                if not any(text.strip() for text in body):
                    self.error(path, number, "empty code block")
                out.append("\n\n" + fence.group(1) + self.token("code", lines=body, lang=fence.group(3), caption="", first=0)
                           + "\n\n")
                index = end + 1
                run_first = first + index
                continue
            done = self.block_line(path, line, number, boxes, flush, out, notes)
            if not done:
                run.append(line)
            else:
                run_first = number + 1
            index += 1
        flush(first + len(lines))
        for kind, line, closing in boxes:
            self.error(path, line, f"unclosed box '::: {kind}' (it must end, with ':::', before the code goes on)")
        for name, note in notes.items():
            if not note["used"]:
                self.error(path, note["line"], f"side note [^{name}] is never referred to")
        return "\n".join(out)

    def take_notes(self, path, lines, first):
        """The side notes `[^n]: text` of a prose block, with lines that continue them; their lines become blank."""
        notes, kept, index, fenced = {}, list(lines), 0, False
        while index < len(lines):
            if FENCE.match(lines[index]):
                fenced = not fenced
            found = None if fenced else NOTE_TEXT.match(lines[index])
            if not found:
                index += 1
                continue
            text, start = [found.group(2)], index
            kept[index] = ""
            index += 1
            while index < len(lines) and lines[index].strip() and not NOTE_TEXT.match(lines[index]) \
                    and not lines[index].startswith((":::", "@output", "@measured", "@recorded", "#", "```")):
                text.append(lines[index].strip())
                kept[index] = ""
                index += 1
            if found.group(1) in notes:
                self.error(path, first + start, f"side note [^{found.group(1)}] is defined twice in this prose block")
            notes[found.group(1)] = {"text": "\n".join(text), "line": first + start, "used": False}
        return notes, kept

    def block_line(self, path, line, number, boxes, flush, out, notes):
        """Handle a line that stands for a block of its own; False if it is ordinary prose."""
        if line.strip() == ":::":
            flush(number)
            if not boxes:
                self.error(path, number, "':::' closes nothing")
            else:
                kind, _, closing = boxes.pop()
                out.append(closing() if callable(closing) else self.block(closing))
            return True
        box = BOX.match(line)
        if box:
            flush(number)
            self.open_box(path, number, box.group(1), box.group(2), boxes, out)
            return True
        if line.startswith(":::"):
            self.error(path, number, f"not a box: '{line.strip()}'")
            return True
        output = OUTPUT.match(line)
        if output:
            flush(number)
            out.append("\n\n" + self.output(path, number, *output.groups()) + "\n\n")
            return True
        recorded = RECORDED.match(line)
        if recorded:
            flush(number)
            out.append("\n\n" + self.recorded(path, number, *recorded.groups()) + "\n\n")
            return True
        quote = QUOTE.match(line)
        if quote:
            flush(number)
            out.append("\n\n" + self.quote(path, number, quote.group(1), quote.group(2)) + "\n\n")
            return True
        listing = CONTENTS.match(line)
        if listing:
            flush(number)
            out.append("\n\n" + self.token(listing.group(1)) + "\n\n")
            return True
        if BIBLIOGRAPHY.match(line):
            flush(number)
            out.append(self.bibliography())
            return True
        heading = HEADING.match(line)
        if heading:
            flush(number)
            out.append(self.heading(path, number, heading))
            return True
        return False

    def heading(self, path, number, heading):
        found = HEADING_ID.match(heading.group(2))
        if not found and len(heading.group(1)) < 3:
            self.error(path, number, f"the section '{heading.group(2)}' has no id: end the line with {{#{self.page.stem}_something}}")
            return ""
        if found:
            title, name = typographic(found.group(1)), found.group(2)
        else:  # a section within a section may do without
            title = typographic(heading.group(2))
            name = self.page.stem + "_" + re.sub(r"\W+", "_", title.lower()).strip("_")
        if re.search(r"[`$]", title):
            self.error(path, number, "a heading with math or backticks; say it in words")
        if re.match(r"\d", title):
            self.error(path, number, "a heading that starts with a number; Doxygen would take it for a list")
        if self.page.number and not name.startswith(self.page.stem + "_"):
            self.error(path, number, f"the section id '{name}' should start with '{self.page.stem}_'")
        self.book.define_id(self, path, number, name)
        self.page.sections.append((len(heading.group(1)), title, name, path, number))
        return f"\n\n{heading.group(1)} {title} {{#{name}}}\n\n"

    def open_box(self, path, number, kind, rest, boxes, out):
        if kind == "figure":
            self.open_figure(path, number, rest, boxes, out)
        elif kind == "exercise":
            self.open_exercise(path, number, rest, boxes, out)
        elif kind in BOXES:
            head = rest or BOXES[kind]
            title = f'<p class="boxhead">{self.plain(head, path, number)}</p>' if head else ""
            out.append(self.block(f'<div class="box {kind}">{title}'))
            boxes.append((kind, number, "</div>"))
        else:
            known = ", ".join([*BOXES, "figure", "exercise"])
            self.error(path, number, f"unknown box '{kind}' (there are: {known})")
            boxes.append((kind, number, ""))

    def open_figure(self, path, number, name, boxes, out):
        if not re.fullmatch(r"[\w-]+", name or ""):
            self.error(path, number, "a figure needs a name: '::: figure NAME'")
            boxes.append(("figure", number, ""))
            return
        self.figure_count += 1
        label = f"{self.page.label}.{self.figure_count}" if self.page.label else str(self.figure_count)
        anchor = f"fig_{self.page.stem}_{name}"
        self.book.define_figure(self, path, number, name, label, anchor)
        source = self.book.figure_file(self.page, name)
        if source is None:
            self.error(path, number, f"no figure '{name}': no {name}.gp, {name}.dot or {name}.svg in figures/, "
                                     "and the chapter's figures.cpp wrote no such .svg")
        out.append("\n\n" + self.token("figure", name=name, file=source, id=anchor) + "\n\n")
        out.append(self.block(f'<figcaption id="{anchor}_caption"><span class="figno"><a href="#{anchor}">Figure {label}</a></span> '))
        boxes.append(("figure", number, "</figcaption></figure>"))

    def open_exercise(self, path, number, rest, boxes, out):
        found = EXERCISE.match(rest)
        if not found:
            self.error(path, number, "an exercise needs a number and a title: '::: exercise 2 Title'")
            boxes.append(("exercise", number, ""))
            return
        name, title = f"{self.page.number}.{found.group(1)}", found.group(2)
        if name in (known for known, _, _ in self.page.exercises):
            self.error(path, number, f"exercise {name} stands here twice")
        anchor = exercise_anchor(name)
        self.book.define_id(self, path, number, anchor)
        self.page.exercises.append((name, title, anchor))
        out.append(self.block(f'<div class="box exercise" id="{anchor}"><p class="boxhead"><a href="#{anchor}">Exercise '
                              f'{name}</a> <span class="exercise-title">{self.plain(title, path, number)}</span></p>'))
        exercise = self.book.exercise(self.page, int(found.group(1)))
        boxes.append(("exercise", number, lambda: self.close_exercise(path, number, exercise)))

    def close_exercise(self, path, number, exercise):
        name = exercise.name
        out = []
        if exercise.signatures:
            out.append("\n\n" + self.token("code", lines=exercise.signatures, lang="cpp", caption="", first=0) + "\n\n")
        out += [self.block(f'<p class="todo">Edit <code>{self.page.folder}/exercises.cpp</code>, then run '
                          f'<code class="command">./book check {name}</code></p>')]
        if not exercise.hints:
            self.error(path, number, f"no hints for exercise {name} in {self.page.folder}/hints.md")
        for count, (line, lines) in enumerate(exercise.hints, 1):
            out.append(self.block(f'<details class="hint"><summary>Hint {count}</summary>'))
            out.append(self.prose(f"{self.page.folder}/hints.md", lines, line))
            out.append(self.block("</details>"))
        if exercise.solution is None:
            self.error(path, number, f"no solution of exercise {name} in {self.page.folder}/solutions.cpp, between "
                                     f"'//: {exercise.number}' and '//: end'")
        else:
            first, lines = exercise.solution
            out.append(self.block('<details class="solution"><summary>Solution</summary>'))
            out.append("\n\n" + self.token("code", lines=lines, lang="cpp", first=first,
                                           caption=f"{self.page.folder}/solutions.cpp") + "\n\n")
            out.append(self.block("</details>"))
        out.append(self.block("</div>"))
        return "".join(out)

    def output(self, path, number, kind, tag):
        text, problem = getattr(self.book, kind)(self.page, tag)
        if problem:
            self.error(path, number, problem)
        return self.token(kind, text=text, tag=tag, program=self.page.program)

    def recorded(self, path, number, name, tag):
        text, head, problem = self.book.recorded(self.page, name, tag)
        if problem:
            self.error(path, number, problem)
        return self.token("recorded", text=text, head=head)

    def quote(self, path, number, source, tag):
        piece, problem = self.book.quote(source, tag)
        if problem:
            self.error(path, number, problem)
            return ""
        first, lines = piece
        return self.token("code", lines=literate.without_markers(lines), lang="cpp", caption=source, first=first)

    def bibliography(self):
        out = [self.block('<dl class="references">')]
        for key, entry in self.book.references.items():
            if not entry.cited:  # what no page refers to is not shown
                continue
            out.append(self.block(f'<dt id="{key}">{html.escape(entry.label)}</dt><dd>'))
            out.append(self.inline(entry.path, entry.text, entry.line, {}))
            out.append("\n\n" + self.token("cited", key=key) + "\n\n")
            out.append(self.block("</dd>"))
        out.append(self.block("</dl>"))
        return "".join(out)

    def plain(self, text, path, line):
        """A box's head: its math and code as HTML, without Doxygen."""
        text = self.expand_chapters(path, line, text, linked=False)
        parts = re.split(r"(\$[^$]+\$|`[^`]+`)", text)
        return "".join(math_html(p[1:-1]) if p.startswith("$") and len(p) > 2
                       else f"<code>{html.escape(p[1:-1], quote=False)}</code>" if p.startswith("`") and len(p) > 2
                       else html.escape(typographic(p), quote=False) for p in parts)
