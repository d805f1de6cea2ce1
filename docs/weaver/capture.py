"""capture OUTPUT PROGRAM [ARGUMENT...]: what a chapter's program prints, kept for the book.

A program that fails, or prints nothing, fails the book. The file is written in one step, and only if it changed.
"""
import subprocess
import sys

from .report import write_if_changed


def main(arguments):
    if len(arguments) < 2:
        sys.exit(__doc__)
    output, program = arguments[:2]
    done = subprocess.run(arguments[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stdout.decode("utf-8", "replace")[-2000:] + done.stderr.decode("utf-8", "replace")[-2000:])
        sys.stderr.write(f"{program}: error: ended with status {done.returncode}\n")
        return 1
    if not done.stdout.strip():
        sys.stderr.write(f"{program}: error: printed nothing\n")
        return 1
    write_if_changed(output, done.stdout)
    return 0
