"""The reader's files of exercises, the verdicts on them, and how these are reached: shared by reader.py, hints.py and learn.py.

build/state holds what is remembered: stubs/NAME, the digest of the stub that was copied; verdicts/NAME.k; hints/N.k, how many
were shown.
"""
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time

from .chapters import chapters
from .exercises import Exercises

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD, STATE = "build", os.path.join("build", "state")

TERMINAL = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
COLOURS = TERMINAL and not os.environ.get("NO_COLOR")
BOLD, DIM, RED, GREEN, OFF = ("\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[0m") if COLOURS else ("",) * 5


class Stop(Exception):
    """The last words: what is wrong, and lines that say what to do."""


def file_of(chapter, name="exercises.cpp"):
    return f"{chapter.folder}/{name}"


def digest(path):
    with open(path, "rb") as source:
        return hashlib.sha256(source.read()).hexdigest()


def same(one, other):
    return os.path.exists(one) and os.path.exists(other) and digest(one) == digest(other)


def note(*path):
    """What build/state holds under a name, or nothing."""
    try:
        with open(os.path.join(STATE, *path), encoding="utf-8") as source:
            return source.read().strip()
    except FileNotFoundError:
        return ""


def keep(text, *path):
    path = os.path.join(STATE, *path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text + "\n")


def clear():
    """An empty screen, where there is one."""
    if TERMINAL:
        print("\033[2J\033[H", end="", flush=True)


@contextlib.contextmanager
def meanwhile(words):
    """Says what goes on, on a terminal, until it is done."""
    if TERMINAL:
        print(f"{DIM}{words} ...{OFF}", end="", flush=True)
    try:
        yield
    finally:
        if TERMINAL:
            print("\r\033[K", end="", flush=True)


# ---- the reader's files ----------------------------------------------------------------------------------------------------


def copy_stub(chapter):
    shutil.copyfile(file_of(chapter, "exercises_stub.cpp"), file_of(chapter))
    keep(digest(file_of(chapter)), "stubs", chapter.name)


def prepare():
    """A copy of the stubs for the reader where there is none; a fresh one where the stubs have changed and the copy has not."""
    for chapter in chapters(ROOT):
        if not chapter.exists("exercises_stub.cpp"):
            continue
        own = file_of(chapter)
        if not os.path.exists(own) or (digest(own) == note("stubs", chapter.name) and not same(own, file_of(chapter, "exercises_stub.cpp"))):
            copy_stub(chapter)


def untouched(chapter):
    return not chapter.exists("exercises.cpp") or same(file_of(chapter), file_of(chapter, "exercises_stub.cpp"))


def reset(chapter):
    own, stub = file_of(chapter), file_of(chapter, "exercises_stub.cpp")
    if not os.path.exists(own):
        print(f"{own} is there again, as the book gives it.")
    elif same(own, stub):
        print(f"{own} is as the book gives it: nothing to reset.")
        return
    else:
        kept = f"{own}.{time.strftime('%Y-%m-%d_%H%M%S')}"
        shutil.copy2(own, kept)
        print(f"{own} is as the book gives it again.", f"Your own work is kept in {kept}.", sep="\n")
    copy_stub(chapter)


# ---- verdicts: build/state/verdicts/NAME.k holds the verdict and the digest of the file that was graded ---------------------


def remember(chapter, record):
    with contextlib.suppress(FileNotFoundError), open(record, encoding="utf-8") as lines:
        for line in lines:
            name, verdict = line.split()[:2]
            keep(f"{verdict} {digest(file_of(chapter))}", "verdicts", f"{chapter.name}.{name.split('.')[1]}")


def verdict(chapter, exercise):
    """The verdict on an exercise as the file stands now, or nothing."""
    if untouched(chapter):
        return "not_implemented"
    known = note("verdicts", f"{chapter.name}.{exercise.number}").split()
    return known[0] if len(known) == 2 and known[1] == digest(file_of(chapter)) else ""


def pending(chosen):
    """The chapters whose files have changed since they were graded."""
    return [c for c in chapters(ROOT) if chosen in (None, c) and any(not verdict(c, e) for e in Exercises(c))]


# ---- grading ---------------------------------------------------------------------------------------------------------------


def compile_exercises(chapter, shown=True):
    """Builds the reader's file with its grader; shows the first errors or warnings in it. True if it was built."""
    with meanwhile("compiling") if shown else contextlib.nullcontext():
        done = subprocess.run(["cmake", "--build", BUILD, "--target", f"exercises_{chapter.label}"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    log = os.path.join(BUILD, "log", f"exercises_{chapter.label}.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "w", encoding="utf-8") as out:
        out.write(done.stdout)
    if shown:
        explain(chapter, done, log)
    return done.returncode == 0


def explain(chapter, done, log):
    own = file_of(chapter)
    if done.returncode == 0:
        show_diagnostics(own, done.stdout, "warning")
    elif re.search(rf"{re.escape(own)}:\d+:.*error:", done.stdout):
        print(f"{RED}does not compile{OFF}  {own}\n")
        show_diagnostics(own, done.stdout, "error")
        print(f"The whole of it is in {log}.")
    elif "undefined reference" in done.stdout:
        print(f"{RED}does not link{OFF}  {own}\n")
        print("\n".join(sorted(set(re.findall(r"undefined reference to .*", done.stdout)))[:3]))
        print(f"\nA function of {file_of(chapter, 'exercises.hpp')} is missing in {own}, or its arguments have changed.")
    else:
        print("\n".join(done.stdout.split("\n")[-20:]))
        raise Stop("The grader could not be built.", f"The whole of it is in {log}.")


def show_diagnostics(own, text, kind, most=3):
    """The first of the compiler's errors or warnings in the reader's file, each with the lines below it."""
    found, inside = [], False
    for line in text.split("\n"):
        if f"{own}:" in line and f" {kind}: " in line:
            found.append([own + line.split(own, 1)[1]])
            inside = True
        elif not line.startswith(" "):
            inside = False
        elif inside:
            found[-1].append(line)
    for lines in found[:most]:
        print("\n".join(lines))
    if found:
        print()
    if len(found) > most:
        print(f"  ... and {len(found) - most} more\n")


def grade(chapter, exercise=None, shown=True):
    """Compiles and grades an exercise, or all of a chapter. True if they pass."""
    if not compile_exercises(chapter, shown):
        return False
    sys.stdout.flush()
    record = os.path.join(STATE, "record")
    with contextlib.suppress(FileNotFoundError):
        os.remove(record)
    mistakes = os.path.join(STATE, "mistakes")
    keep(Exercises(chapter).known_mistakes().rstrip("\n"), "mistakes")
    program = [os.path.join(BUILD, "bin", f"exercises_{chapter.label}"), *([exercise.name] if exercise else []),
               "--record", record, "--mistakes", mistakes]
    done = subprocess.run(program, stdout=None if shown else subprocess.DEVNULL, check=False)
    remember(chapter, record)
    return done.returncode == 0


def stamp(path):
    try:
        status = os.stat(path)
        return status.st_mtime_ns, status.st_size
    except FileNotFoundError:  # some editors replace it
        return None
