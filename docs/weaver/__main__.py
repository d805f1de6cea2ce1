"""python3 docs/weaver COMMAND ...: what makes the book, and what ./book and the build ask about chapters and exercises.

Each command is the module of its name in this folder. Compiled modules go where PYTHONPYCACHEPREFIX says, or nowhere:
the sources stay as they are.
"""
import importlib
import os
import sys

COMMANDS = ("tangle", "capture", "draw", "weave", "bind", "pdf", "epub", "picture", "builds_on", "exercises", "reader", "serve", "new")

if not sys.pycache_prefix:
    sys.dont_write_bytecode = True
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"{__doc__.splitlines()[0]}\nThe commands: {', '.join(COMMANDS)}")
    sys.exit(importlib.import_module(f"weaver.{sys.argv[1]}").main(sys.argv[2:]))
