"""Chapters by their names, @chapter{duality}: numbers come from the folders, and here."""
import html
import re

# @chapter{duality}, @Chapters{duality and selection}: chapters by their names; their numbers come from the folders.
CHAPTERS = re.compile(r"@([Cc]hapters?)\{([^{}]*)\}")
# In the library's headers the commands are aliases of the Doxyfile, which turn them into ⟦chapters duality and selection⟧.
DOXYGEN_CHAPTERS = re.compile("\u27e6([Cc]hapters?) ([^\u27e7]*)\u27e7")
BY_NUMBER = re.compile(r"(?<!\w)[Cc]hapters?\s+\d{1,2}(?![\w.]*\d)")
JOINED = re.compile(r"(\s*,\s+|\s+and\s+|\s+to\s+)")


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
