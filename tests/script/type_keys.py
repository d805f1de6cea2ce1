"""type_keys.py "COMMAND" WAIT KEYS WAIT KEYS ...: runs a command on a terminal; waits for each text, then types what follows it.

Prints all that came, and exits as the command does, or with 2 if a text did not come within a minute or the command did not end.
"""
import os
import pty
import select
import sys
import time


def read(terminal, seconds):
    """What comes within a time, or None when the command has ended."""
    if not select.select([terminal], [], [], seconds)[0]:
        return ""
    try:
        return os.read(terminal, 65536).decode("utf-8", "replace") or None
    except OSError:  # how Linux says that the other side is closed
        return None


def main(command, *steps):
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm"
        os.execvp("bash", ["bash", "-c", command])
    seen, answered = "", 0
    for wanted, keys in zip(steps[::2], steps[1::2]):
        end = time.time() + 60
        while wanted not in seen[answered:]:
            new = read(terminal, 0.2)
            if new is None or time.time() > end:
                print(seen)
                print(f"type_keys: '{wanted}' did not come")
                return 2
            seen += new
        answered = len(seen)
        os.write(terminal, keys.encode())
    while (new := read(terminal, 60)):
        seen += new
    print(seen)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if new is None else 2


sys.exit(main(*sys.argv[1:]))
