#!/usr/bin/env python3
"""capture.py OUTPUT PROGRAM [ARGUMENT...]: what a chapter's program prints, kept for the book.

A program that fails, or prints nothing, fails the book. The file is written in one step, and only if it changed.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from weaver.report import write_if_changed  # noqa: E402


def main(output, program, arguments):
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stdout.decode("utf-8", "replace")[-2000:] + done.stderr.decode("utf-8", "replace")[-2000:])
        sys.stderr.write(f"{program}: error: ended with status {done.returncode}\n")
        return 1
    if not done.stdout.strip():
        sys.stderr.write(f"{program}: error: printed nothing\n")
        return 1
    write_if_changed(output, done.stdout)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
