"""What stands within a line of the book's prose: code, math, references, side notes, citations, names of the library."""
import html
import re

from .names import BY_NUMBER, CHAPTERS, chapter_link, exercise_anchor, write_chapters
from .typography import CPP, emphasis, math_html, quotation_mark

SHORT = 24  # characters of TeX up to which a formula is never broken over two lines
# @exercise{2}: of this chapter; @exercise{duality.2}: of another.
EXERCISE_LINK = re.compile(r"@([eE]xercise)\{(?:(\w+)\.)?(\d+)\}")
# mamba2::name, mamba2::Type::member(), name(): the words that link to the library's reference.
API_WORD = re.compile(r"(?<![\w:.`/\\])(mamba2(?:::~?\w+)+(?:\(\))?|[A-Za-z_]\w*(?:::\w+)*\(\))")
HTML_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
COMMAND = re.compile(r"(\\ref)\s+(\S+)(\s+\"[^\"]*\")?")
# Where a line of text has something to look at.
SPECIAL = re.compile(rf"[`\\$@<\"']|\[[\^@]|C\+\+|{BY_NUMBER.pattern}|{API_WORD.pattern}")


class Inline:
    """The part of Markup (markup.py) that looks within lines; tokens, errors, the page and the book are Markup's."""

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
