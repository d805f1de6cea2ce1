"""tangle ORIGINAL TANGLED: the code of a literate C++ file, for the compiler.

The prose is left out, and `#line` sends the compiler's messages to the original. The tangled file is rewritten
only if its code changed: editing prose compiles nothing and runs nothing again.
"""
import os
import sys

from . import literate
from .report import write_if_changed


def main(arguments):
    if len(arguments) != 2:
        sys.exit(__doc__)
    original, tangled = arguments
    with open(original, encoding="utf-8") as source:
        fresh = literate.tangle(source.read(), os.path.abspath(original))
    try:
        with open(tangled, encoding="utf-8") as old:
            if literate.without_line_directives(old.read()) == literate.without_line_directives(fresh):
                return 0
    except FileNotFoundError:
        pass
    write_if_changed(tangled, fresh)
    return 0
