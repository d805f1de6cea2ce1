"""The book's prose: Markdown with math, side notes, citations, boxes, figures, outputs, quotes and exercises.

Doxygen understands the Markdown (paragraphs, lists, tables, emphasis, links, \\ref). All else is taken out here and
replaced by tokens such as ⟦12⟧, which pass through Doxygen untouched and are filled in when the book is bound (doxygen.py).
"""
import html
import re

from . import literate
from .doxygen import BLOCK_TOKEN, INLINE_TOKEN

# Tokens of these kinds are blocks of their own, the others stand within a line.
BLOCKS = ("block", "code", "output", "measured", "figure", "contents", "headers", "map", "cited")

BOXES = {  # kind: the head that stands when the author gives none
    "keyidea": "Key idea",
    "tryit": "Try it",
    "aside": "",
    "warning": "Careful",
    "paper": "In the paper",
    "shapes": "",
}
MACROS = {r"\R": r"\mathbb{R}", r"\softplus": r"\operatorname{softplus}", r"\silu": r"\operatorname{SiLU}",
          r"\segsum": r"\operatorname{segsum}", r"\diag": r"\operatorname{diag}"}

SHORT = 24  # characters of TeX up to which a formula is never broken over two lines
CPP = '<span class="cpp">C++</span>'  # the font of the text sets the two signs far apart; the theme moves them together

FENCE = re.compile(r"^(\s*)(```+|~~~+)\s*([\w+-]*)\s*$")
BOX = re.compile(r"^:::\s*([\w-]+)\s*(.*?)\s*$")
NOTE_TEXT = re.compile(r"^\[\^([\w-]+)\]:\s+(.*)$")
OUTPUT = re.compile(r"^\s*@(output|measured)\s+(\S+)\s*$")
QUOTE = re.compile(r"^\s*@quote\s+([^\s#]+)(?:#(\S+))?\s*$")
CONTENTS = re.compile(r"^@(contents|headers|map)\s*$")
BIBLIOGRAPHY = re.compile(r"^@references\s*$")
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*$")
HEADING_ID = re.compile(r"^(.*?)\s*\{#([\w-]+)\}$")
EXERCISE = re.compile(r"^(\d+)\s+(\S.*)$")
# @exercise{2}: of this chapter; @exercise{duality.2}: of another.
EXERCISE_LINK = re.compile(r"@([eE]xercise)\{(?:(\w+)\.)?(\d+)\}")
# mamba2::name, mamba2::Type::member(), name(): the words that link to the library's reference.
API_WORD = re.compile(r"(?<![\w:.`/\\])(mamba2(?:::~?\w+)+(?:\(\))?|[A-Za-z_]\w*(?:::\w+)*\(\))")
# @chapter{duality}, @Chapters{duality and selection}: chapters by their names; their numbers come from the folders.
CHAPTERS = re.compile(r"@([Cc]hapters?)\{([^{}]*)\}")
# In the library's headers the commands are aliases of the Doxyfile, which turn them into ⟦chapters duality and selection⟧.
DOXYGEN_CHAPTERS = re.compile("\u27e6([Cc]hapters?) ([^\u27e7]*)\u27e7")
BY_NUMBER = re.compile(r"(?<!\w)[Cc]hapters?\s+\d{1,2}(?![\w.]*\d)")
JOINED = re.compile(r"(\s*,\s+|\s+and\s+|\s+to\s+)")
HTML_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
COMMAND = re.compile(r"(\\ref)\s+(\S+)(\s+\"[^\"]*\")?")
# Where a line of text has something to look at.
SPECIAL = re.compile(rf"[`\\$@<\"']|\[[\^@]|C\+\+|{BY_NUMBER.pattern}|{API_WORD.pattern}")


class Markup:
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
                    and not lines[index].startswith((":::", "@output", "@measured", "#", "```")):
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

    # ---- inline -------------------------------------------------------------------------------------------------

    def inline(self, path, text, first, notes):
        out, i = [], 0

        def where(position):
            return first + text.count("\n", 0, position)

        while found := SPECIAL.search(text, i):
            out.append(text[i:found.start()])
            i = found.start()
            c = text[i]
            if c == "`":
                i = self.code_span(path, text, i, where, out)
            elif c == "\\" and text.startswith("\\$", i):
                out.append("$")
                i += 2
            elif text.startswith("$$", i):
                i = self.display_math(path, text, i, where, out)
            elif c == "$":
                i = self.inline_math(path, text, i, where, out)
            elif text.startswith("@eqref{", i) or text.startswith("@figref{", i):
                i = self.cross_reference(path, text, i, where, out)
            elif text.startswith("[^", i):
                i = self.side_note(path, text, i, where, out, notes)
            elif text.startswith("[@", i):
                i = self.citation(path, text, i, where, out)
            elif c == "\\" and (found := COMMAND.match(text, i)):
                self.book.refer(self, path, where(i), found.group(2))
                shown = self.expand_chapters(path, where(i), found.group(3) or "", linked=False)
                out.append(found.group(1) + " " + found.group(2) + shown)
                i = found.end()
            elif c == "@" and (found := EXERCISE_LINK.match(text, i)):
                out.append(self.exercise_link(path, where(i), *found.groups()))
                i = found.end()
            elif c == "@" and (found := CHAPTERS.match(text, i)):
                out.append(self.expand_chapters(path, where(i), found.group(0)))
                i = found.end()
            elif c == "@" and (found := re.compile(r"@(\w+)").match(text, i)) and not (i and text[i - 1].isalnum()):
                self.error(path, where(i), f"unknown command '{found.group(0)}'")
                i = found.end()
            elif text.startswith("C++", i):
                out.append(self.raw(CPP))
                i += 3
            elif c in "cC" and (found := BY_NUMBER.match(text, i)):
                self.error(path, where(i), f"'{' '.join(found.group(0).split())}': write the chapter's name, as in "
                                           "@chapter{chunked_scan}; numbers come from the folders")
                i = found.end()
            elif (found := API_WORD.match(text, i)) and found.start() == i:
                out.append(self.api_word(path, found.group(1), where(i)))
                i = found.end()
            elif c == "<" and (found := HTML_TAG.match(text, i)):
                out.append(found.group(0))
                i = found.end()
            elif c in "\"'":
                out.append(quotation_mark(c, text[i - 1] if i else " "))
                i += 1
            else:
                out.append(c)
                i += 1
        out.append(text[i:])
        return emphasis("".join(out))

    def exercise_link(self, path, line, word, chapter, count):
        page, problem = self.book.find_chapter(chapter) if chapter else (self.page, None)
        name = f"{page.number}.{count}" if page else ""
        if not problem and not self.numbering and exercise_anchor(name) not in self.book.ids:
            problem = f"no exercise {name}"
        if problem:
            self.error(path, line, problem)
            return ""
        href = ("" if page is self.page else f"{page.id}.html") + "#" + exercise_anchor(name)
        return f"{word}\u00a0" + self.raw(f'<a href="{href}">{name}</a>')

    def expand_chapters(self, path, line, text, linked=True):
        """`text` with the numbers of the chapters that it names; each a link, except to the page itself."""
        def number(name):
            page, problem = self.book.find_chapter(name)
            if problem:
                self.error(path, line, problem)
                return ""
            return self.raw(chapter_link(page.id, page.title, page.number)) if linked and page is not self.page else str(page.number)
        return write_chapters(text, number)

    def api_word(self, path, word, line):
        return self.token("api", text=word, path=str(path), line=line)

    def code_span(self, path, text, i, where, out):
        ticks = re.compile(r"`+").match(text, i).group(0)
        end = text.find(ticks, i + len(ticks))
        if end < 0 or "\n\n" in text[i:end]:
            self.error(path, where(i), f"unclosed {ticks}")
            out.append(html.escape(ticks))
            return i + len(ticks)
        code = text[i + len(ticks):end].replace("\n", " ")
        if len(ticks) > 1:
            code = code.strip()
        out.append(self.token("span", text=code))
        return end + len(ticks)

    def inline_math(self, path, text, i, where, out):
        end = i + 1
        while True:
            end = text.find("$", end)
            if end < 0 or text[end - 1] != "\\":
                break
            end += 1
        tex = text[i + 1:end] if end >= 0 else ""
        if end < 0 or "\n\n" in tex or not tex.strip():
            self.error(path, where(i), "unclosed $ (write \\$ for the sign itself)")
            out.append("$")
            return i + 1
        end += 1
        follow = re.compile(r"[.,;:!?)’”]+|-(?=\w)\w+").match(text, end)  # keep the punctuation on the formula's line
        tail = follow.group(0) if follow else ""
        head = ""
        if out and out[-1].endswith("("):
            head = "("
            out[-1] = out[-1][:-1]
        formula = math_html(tex.replace("\n", " "))
        out.append(self.raw(f'<span class="nb">{head}{formula}{html.escape(tail, quote=False)}</span>' if head or tail or len(tex) <= SHORT
                            else formula))
        return end + len(tail)

    def display_math(self, path, text, i, where, out):
        end = text.find("$$", i + 2)
        if end < 0:
            self.error(path, where(i), "unclosed $$")
            return i + 2
        tex = text[i + 2:end].strip()
        after = re.compile(r"\s*\{#([\w:.-]+)\}").match(text, end + 2)
        stop = after.end() if after else end + 2
        formula = f"\\[{html.escape(tex, quote=False)}\\]"
        if "\n\n" in tex:
            self.error(path, where(i), "a blank line inside $$…$$")
        if after:
            label = after.group(1)
            self.equation_count += 1
            number = f"{self.page.label}.{self.equation_count}" if self.page.label else str(self.equation_count)
            anchor = label.replace(":", "_").replace(".", "_")
            self.book.define_equation(self, path, where(i), label, number, anchor)
            out.append(self.raw(f'<span class="equation" id="{anchor}"><span class="tex">{formula}</span>'
                                f'<a class="eqno" href="#{anchor}">({number})</a></span>'))
        else:
            out.append(self.raw(f'<span class="equation"><span class="tex">{formula}</span></span>'))
        return stop

    def cross_reference(self, path, text, i, where, out):
        found = re.compile(r"@(eq|fig)ref\{([^}\n]*)\}").match(text, i)
        if not found:
            self.error(path, where(i), "unclosed @eqref{")
            return i + 1
        kind, label = found.groups()
        target = self.book.equations.get(label) if kind == "eq" else self.book.find_figure(self.page, label)
        if target is None:
            self.error(path, where(i), f"no {'equation' if kind == 'eq' else 'figure'} '{label}'")
        else:
            page, number, anchor = target
            href = f"#{anchor}" if page == self.page.id else f"{page}.html#{anchor}"
            shown = f"({number})" if kind == "eq" else f"Figure {number}"
            out.append(self.raw(f'<a class="{kind}ref" href="{href}">{shown}</a>'))
        return found.end()

    def side_note(self, path, text, i, where, out, notes):
        found = re.compile(r"\[\^([\w-]+)\]").match(text, i)
        if not found:
            self.error(path, where(i), "unclosed [^")
            out.append("[^".replace("[", "&#91;"))
            return i + 2
        note = notes.get(found.group(1))
        if note is None:
            self.error(path, where(i), f"no side note [^{found.group(1)}] in this prose block")
            return found.end()
        if note["used"]:
            self.error(path, where(i), f"side note [^{found.group(1)}] is referred to twice")
        note["used"] = True
        self.note_count += 1
        number = self.note_count
        body = self.inline(path, note["text"], note["line"], {})
        out.append(self.raw(f'<a class="noteref" href="#note_{number}" id="noteref_{number}" role="doc-noteref">{number}</a>'
                            f'<span class="sidenote" id="note_{number}" role="note"><span class="noteno">{number}</span> ')
                   + body + self.raw("</span>"))
        return found.end()

    def citation(self, path, text, i, where, out):
        found = re.compile(r"\[(@[^\]]*)\]").match(text, i)
        if not found:
            self.error(path, where(i), "unclosed [@")
            out.append("&#91;@".replace("@", "&#64;"))
            return i + 2
        pieces = []
        for piece in found.group(1).split(";"):
            one = re.fullmatch(r"\s*@([\w-]+)\s*(?:,\s*(.*?))?\s*", piece, re.S)
            if not one or one.group(1) not in self.book.references:
                name = one.group(1) if one else piece.strip()
                self.error(path, where(i), f"unknown citation '{name}' (docs/references.md has the list)")
                continue
            key, place = one.groups()
            entry = self.book.references[key]
            entry.cited.setdefault(self.page.id, None)
            href = f"#{key}" if self.page.id == "references" else f"references.html#{key}"
            link = f'<a class="cite" href="{href}">{html.escape(entry.label)}</a>'
            pieces.append(link + (f", {self.plain(' '.join(place.split()), path, where(i))}" if place else ""))
        out.append(self.raw(f'<span class="citation">[{"; ".join(pieces)}]</span>'))
        return found.end()


def exercise_anchor(name):
    return "exercise_" + name.replace(".", "_")


def write_chapters(text, number, space="\u00a0"):
    """`text` with each @chapter{name} as "chapter 4"; number(name) gives the number, or a link around it."""
    def one(found):
        names = [part if JOINED.fullmatch(part) else number(part.strip()) for part in JOINED.split(found.group(2))]
        return found.group(1) + space + re.sub(r"\s+", " ", "".join(names))
    return CHAPTERS.sub(one, text)


def named_chapters(text, order):
    """The chapters that a text names with @chapter{...}; `order` is that of all, which a range such as {a to c} needs."""
    names = []
    for found in CHAPTERS.finditer(text):
        parts = JOINED.split(found.group(2).strip())
        for k in range(0, len(parts), 2):
            first, last = parts[k - 2] if k and parts[k - 1].strip() == "to" else parts[k], parts[k]
            names += order[order.index(first):order.index(last) + 1] if first in order and last in order else [last]
    return list(dict.fromkeys(names))


def chapter_link(page, title, number):
    return f'<a href="{page}.html" title="{html.escape(title)}">{number}</a>'


def quotation_mark(mark, before):
    """The typographic sign for a straight one, from what stands before it."""
    opens = before.isspace() or before in "([{\u2014\u2013/\u201c"
    return ("\u201c" if opens else "\u201d") if mark == '"' else ("\u2018" if opens else "\u2019")


def typographic(text):
    """Typographic quotation marks in a text without code or math of its own."""
    return re.sub(r"[\"']", lambda m: quotation_mark(m.group(0), text[m.start() - 1] if m.start() else " "), text)


def emphasis(text):
    """*so* and **so** as HTML: Doxygen's own reading of them gives up beside quotation marks and formulas."""
    for mark, tag in ((r"\*\*", "strong"), (r"\*", "em")):
        text = re.sub(rf"(?<![\w*\\]){mark}(?=[^\s*])((?:(?!\n\s*\n)[^*])+?)(?<=\S){mark}(?![\w*])", rf"<{tag}>\1</{tag}>", text)
    return text


def math_html(tex):
    return f"\\({html.escape(tex, quote=False)}\\)"
