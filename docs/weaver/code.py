"""C++ as HTML: coloured, and with the library's names linked to their reference."""
import html
import re

KEYWORDS = set("""alignas alignof asm auto bool break case catch char char8_t char16_t char32_t class concept const consteval
constexpr constinit const_cast continue co_await co_return co_yield decltype default delete do double dynamic_cast else enum
explicit export extern false float for friend goto if inline int long mutable namespace new noexcept nullptr operator private
protected public register reinterpret_cast requires return short signed sizeof static static_assert static_cast struct switch
template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t while
override final""".split())
PIECE = re.compile(r"""
    (?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<raw>(?:u8|[uUL])?R"(?P<delimiter>[^()\s\\]{0,16})\(.*?(?:\)(?P=delimiter)"|\Z))
  | (?P<string>(?:u8|[uUL])?"(?:\\.|[^"\\\n])*"?|(?<![\w'])(?:u8|[uUL])?'(?:\\.|[^'\\\n])+')
  | (?P<include>^[ \t]*\#[ \t]*include[ \t]*(?P<header><[^>\n]*>|"[^"\n]*"))
  | (?P<directive>^[ \t]*\#(?:[^\n\\]|\\\n|\\.)*?(?=//|/\*|\n|\Z))
  | (?P<number>(?<![\w.])\.?\d(?:[eEpP][+-]|'(?=\w)|[\w.])*)
  | (?P<name>[A-Za-z_]\w*(?:\s*::\s*~?[A-Za-z_]\w*)*)
""", re.X | re.S | re.M)


def highlight(text, library):
    """`text` as HTML, its names linked to the pages of `library` (see api.py)."""
    out, end = [], 0
    for piece in PIECE.finditer(text):
        out.append(html.escape(text[end:piece.start()], quote=False))
        out.append(render(piece, text, library))
        end = piece.end()
    out.append(html.escape(text[end:], quote=False))
    return "".join(out)


def span(kind, text):
    """Coloured text; a colour that runs over several lines is closed and opened again at each."""
    return "\n".join(f'<span class={kind}>{html.escape(line, quote=False)}</span>' if line else ""
                     for line in text.split("\n"))


def render(piece, text, library):
    kind, value = piece.lastgroup, piece.group(0)
    if piece.group("include"):
        header = piece.group("header")
        href = library.header_link(header[1:-1])
        shown = html.escape(header, quote=False)
        shown = f'<a href="{href}">{shown}</a>' if href else shown
        return f'<span class=pp>{html.escape(value[:-len(header)], quote=False)}{shown}</span>'
    if piece.group("comment"):
        return span("c", value)
    if piece.group("raw") or piece.group("string"):
        return span("s", value)
    if piece.group("directive"):
        return span("pp", value)
    if kind == "number":
        return span("n", value)
    return name(piece, text, library)


def name(piece, text, library):
    value = piece.group(0)
    shown = html.escape(value, quote=False)
    if value in KEYWORDS:
        return f'<span class=k>{shown}</span>'
    before, after = text[:piece.start()].rstrip()[-2:], text[piece.end():piece.end() + 1]
    calls = after in ("(", "<")
    if before.endswith(".") or before == "->":
        href = library.find_member(value) if calls else None
    elif "::" in value:
        href = library.find(value)
    else:  # a type wherever it stands, a function where it is called
        item = library.items.get("mamba2::" + value)
        href = item.href if item and (calls or item.kind != "function") else None
    if href:
        return f'<a href="{href}">{shown}</a>'
    if re.match(r"[A-Z]\w*[a-z]", value) and "::" not in value:
        return f'<span class=t>{shown}</span>'
    return shown
