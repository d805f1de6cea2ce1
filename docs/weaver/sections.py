"""What programs print, in sections: each begins with a line `[tag]`. In records, which are kept of long runs, a head comes first."""
import re

HEADER = re.compile(r"^\[([\w.-]+)\]$")
HEAD = re.compile(r"^(\w+):\s+(\S.*?)\s*$")
KEYS = ("command", "seeds", "commit", "machine", "threads", "date", "duration")
FIRST_STEPS = "first_steps"  # what a test repeats of a record


def sections(text):
    """tag -> its lines, in their order; under None what stands before the first."""
    found, current = {None: []}, None
    for line in text.rstrip("\n").split("\n"):
        header = HEADER.match(line)
        if header:
            current = header.group(1)
            found[current] = []
        else:
            found[current].append(line)
    return found


def read_record(text):
    """(head, tag -> lines, what is wrong with it or None) of a record."""
    parts = sections(text)
    head = {match.group(1): match.group(2) for match in map(HEAD.match, parts.pop(None)) if match}
    missing = [key for key in KEYS if key not in head]
    if missing:
        return head, parts, f"its head does not say: {', '.join(missing)}"
    if not re.fullmatch(r"[0-9a-f]{7,40}", head["commit"]):
        return head, parts, f"it was not made by a commit, but by '{head['commit']}'"
    if FIRST_STEPS not in parts:
        return head, parts, f"it has no section [{FIRST_STEPS}], which a test repeats"
    return head, parts, None
