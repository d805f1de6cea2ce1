"""How words and formulas look: quotation marks, emphasis, the name of the language, TeX."""
import html
import re

CPP = '<span class="cpp">C++</span>'  # the font of the text sets the two signs far apart; the theme moves them together
MACROS = {r"\R": r"\mathbb{R}", r"\softplus": r"\operatorname{softplus}", r"\silu": r"\operatorname{SiLU}",
          r"\segsum": r"\operatorname{segsum}", r"\diag": r"\operatorname{diag}"}


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
