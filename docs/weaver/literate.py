"""Literate C++: in column 0, a line `//` or `// text` is prose; everything else is code."""
import re
from dataclasses import dataclass, field

MARKER = re.compile(r"\s*//: (\S.*?)\s*$")  # `//: tag` and `//: end`, around pieces quoted elsewhere


@dataclass
class Block:
    """A run of prose lines or of code lines, with the number of its first line in the file."""
    prose: bool
    first: int
    lines: list = field(default_factory=list)


def is_prose(line):
    return line == "//" or line.startswith("// ")


def split(text):
    """The blocks of a literate file, in order; blank lines around code are dropped."""
    blocks = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        prose = is_prose(line)
        if not blocks or blocks[-1].prose != prose:
            blocks.append(Block(prose, number))
        blocks[-1].lines.append(line[3:] if prose else line)
    return [block for block in (trimmed(b) for b in blocks) if block.lines]


def trimmed(block):
    if block.prose:
        return block
    lines, first = list(block.lines), block.first
    while lines and not lines[0].strip():
        lines.pop(0)
        first += 1
    while lines and not lines[-1].strip():
        lines.pop()
    return Block(False, first, lines)


def tangle(text, path):
    """The code of a literate file, each block under a `#line` that points into the original."""
    name = str(path).replace("\\", "\\\\").replace('"', '\\"')
    out = []
    for block in split(text):
        if not block.prose:
            out.append(f'#line {block.first} "{name}"')
            out.extend(block.lines)
    return "\n".join(out) + "\n"


def without_line_directives(text):
    return "\n".join(line for line in text.split("\n") if not line.startswith("#line "))


def without_markers(lines):
    return [line for line in lines if not MARKER.match(line)]


PREAMBLE = re.compile(r"#include\b|using [\w:, ]+;|namespace( \w+)? \{|\s*$")
INSTANTIATION = re.compile(r"#define MAMBA2_INSTANTIATE\b|template (?!<)")


FOLD = re.compile(r"\s*//: fold (\S.*?)\s*$")


def folds(lines):
    """The pieces of a code block, (first, end, what it is if a page folds it away): includes in front, at the end what is compiled,
    and all of a block that begins with `//: fold What it is`."""
    whole = FOLD.match(lines[0])
    if whole:
        return [(0, len(lines), whole.group(1))]
    front = next((k for k, line in enumerate(lines) if not PREAMBLE.match(line)), len(lines))
    if not any(line.startswith("#include") for line in lines[:front]):
        front = 0
    back = next((k for k in range(front, len(lines)) if INSTANTIATION.match(lines[k])), len(lines))
    if any(line.rstrip("\\ ").endswith("{") for line in lines[back:]):
        back = len(lines)
    pieces = [(0, front, "What it includes"), (front, back, ""), (back, len(lines), "What is compiled")]
    return [piece for piece in pieces if any(line.strip() for line in lines[piece[0]:piece[1]])]


def tagged(text, tag):
    """The piece between `//: tag` and `//: end`: (number of its first line, lines), or None."""
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        found = MARKER.match(line)
        if not found or found.group(1) != tag:
            continue
        for end in range(number, len(lines)):
            stop = MARKER.match(lines[end])
            if stop:
                return (number + 1, lines[number:end]) if stop.group(1) == "end" else None
    return None
