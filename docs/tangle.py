#!/usr/bin/env python3
"""tangle.py ORIGINAL TANGLED: the code of a literate C++ file, for the compiler.

The prose is left out, and `#line` sends the compiler's messages to the original. The tangled file is rewritten
only if its code changed: editing prose compiles nothing and runs nothing again.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from weaver import literate  # noqa: E402
from weaver.report import write_if_changed  # noqa: E402


def main(original, tangled):
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


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
