"""reader COMMAND ...: what ./book says and does about chapters and their exercises.

  chapters | choose COMMAND [N|N.k|NAME|NAME.k] | prepare | pending [N] | check N[.k] | watch N[.k] | hint N.k
  solution N.k [--show] | reset N | progress | nearest WORD COMMAND...

choose prints what it found as variables for a shell: number (04), name, exercise (4.2 or nothing).
"""
import contextlib
import difflib
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import time

from .chapters import chapters
from .exercises import Exercises
from .markup import write_chapters
from .plain import plain_math

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD, STATE = "build", os.path.join("build", "state")

COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
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


# ---- choosing --------------------------------------------------------------------------------------------------------------


def list_chapters():
    return ["The chapters are:"] + [f"  {c.number:2}  {c.title}" for c in chapters(ROOT)]


def numbers(exercises):
    return " ".join(exercise.name for exercise in exercises) or "none"


def choose(command, wanted):
    """The chapter that is meant, its exercises, and the one of them that is meant, if one is."""
    alone = command in ("hint", "solution")
    if not wanted:
        raise Stop(f"Which {'exercise' if alone else 'chapter'}?", f"For example:  ./book {command} {'4.2' if alone else '4'}", "", *list_chapters())
    found = re.fullmatch(r"(\w+?)(?:\.(\d+))?", wanted)
    name, number = found.groups() if found else (wanted, None)
    chapter = next((c for c in chapters(ROOT) if name in (c.name, f"{c.label}_{c.name}") or (name.isdigit() and int(name) == c.number)), None)
    if chapter is None:
        raise Stop(f"There is no chapter {int(name)}." if name.isdigit() else f"'{name}' is no chapter.", "", *list_chapters())
    exercises = Exercises(chapter)
    exercise = next((e for e in exercises if number and e.number == int(number)), None)
    if number and exercise is None:
        raise Stop(f"There is no exercise {chapter.number}.{int(number)}.", f"Chapter {chapter.number} has: {numbers(exercises)}")
    if alone and exercise is None:
        first = next((e.name for e in exercises), "4.2")
        raise Stop("Which exercise?", f"For example:  ./book {command} {first}", f"Chapter {chapter.number} has: {numbers(exercises)}")
    if command in ("check", "watch", "reset") and not list(exercises):
        raise Stop(f"Chapter {chapter.number} has no exercises.")
    if command == "reset" and exercise:
        raise Stop("A chapter is reset as a whole.", f"To start chapter {chapter.number} again:  ./book reset {chapter.number}")
    return chapter, exercises, exercise


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
    done = subprocess.run(["cmake", "--build", BUILD, "--target", f"exercises_{chapter.label}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
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
    os.makedirs(STATE, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.remove(record)
    program = [os.path.join(BUILD, "bin", f"exercises_{chapter.label}"), *([exercise.name] if exercise else []), "--record", record]
    done = subprocess.run(program, stdout=None if shown else subprocess.DEVNULL, check=False)
    remember(chapter, record)
    return done.returncode == 0


def check(chapter, exercises, exercise):
    if not grade(chapter, exercise):
        return 1
    if exercise:
        print(f"Compare with ours:  ./book solution {exercise.name}")
        return 0
    print(f"\nAll exercises of chapter {chapter.number} passed. Compare with ours:  ./book solution {next(iter(exercises)).name}")
    for following in [c for c in chapters(ROOT) if c.number > chapter.number][:1]:
        print(f"Next: chapter {following.number}, {following.title}.")
    return 0


def stamp(path):
    try:
        status = os.stat(path)
        return status.st_mtime_ns, status.st_size
    except FileNotFoundError:  # some editors replace it
        return None


def watch(chapter, exercise):
    own = file_of(chapter)
    print(f"Grading {own} at each save. Ctrl-C ends it.", flush=True)
    while True:
        while stamp(own) is None:
            time.sleep(0.05)
        before = stamp(own)
        print(f"\n{DIM}{time.strftime('%H:%M:%S')}{OFF}", flush=True)
        grade(chapter, exercise)
        sys.stdout.flush()
        while stamp(own) == before:
            time.sleep(0.1)


# ---- hints, solutions, progress ------------------------------------------------------------------------------------------------


def hint_text(lines):
    known = {c.name: str(c.number) for c in chapters(ROOT)}
    text = write_chapters("\n".join(lines).strip("\n"), lambda name: known.get(name, name), space=" ")
    return "\n".join(textwrap.fill(line, 100, break_long_words=False, break_on_hyphens=False, subsequent_indent=line[:len(line) - len(line.lstrip())])
                     for line in plain_math(text).split("\n"))


def hint(exercise):
    total = len(exercise.hints)
    if not total:
        raise Stop(f"There are no hints for exercise {exercise.name}.")
    shown = int(note("hints", exercise.name) or 0)
    if shown >= total:
        print(f"That was the last hint for {exercise.name}; here are all of them again.")
        for count, (_, lines) in enumerate(exercise.hints, 1):
            print(f"\n{BOLD}Hint {count} of {total}{OFF}\n{hint_text(lines)}")
        print(f"\nThe solution:  ./book solution {exercise.name} --show")
        return
    keep(str(shown + 1), "hints", exercise.name)
    print(f"{BOLD}Hint {shown + 1} of {total}{OFF} for exercise {exercise.name}, {exercise.title}\n\n{hint_text(exercise.hints[shown][1])}\n")
    left = total - shown - 1
    print(f"{DIM}{left} more:  ./book hint {exercise.name}{OFF}" if left else f"{DIM}That was the last one.{OFF}")


def solution(chapter, exercise, show):
    if not show and not verdict(chapter, exercise):
        grade(chapter, shown=False)
    if not show and verdict(chapter, exercise) != "passed":
        print(f"Your answer to {exercise.name} has not passed yet.",
              f"  ./book check {exercise.name}             to grade it",
              f"  ./book hint {exercise.name}              for the next hint",
              f"  ./book solution {exercise.name} --show   to see the solution all the same", sep="\n")
        return 1
    if exercise.solution is None:
        raise Stop(f"There is no solution of exercise {exercise.name}.")
    print(f"{DIM}{file_of(chapter, 'solutions.cpp')}{OFF}\n")
    print("\n".join(exercise.solution[1]))
    return 0


def progress():
    for chapter in pending(None):
        grade(chapter, shown=False)
    passed = total = 0
    for chapter in chapters(ROOT):
        exercises = list(Exercises(chapter))
        if exercises:
            print(f"{BOLD}Chapter {chapter.number}, {chapter.title}{OFF}")
        for exercise in exercises:
            known = verdict(chapter, exercise)
            words = {"passed": f"{GREEN}passed{OFF}", "not_implemented": f"{DIM}not started{OFF}",
                     "": f"{RED}does not compile{OFF}"}.get(known, f"{RED}not right yet{OFF}")
            print(f"  {exercise.name:<5} {exercise.title:<60} {words}")
            passed, total = passed + (known == "passed"), total + 1
    print(f"\n{passed} of {total} exercises passed.")


def nearest(word, commands):
    """The command that was meant, if one is near enough."""
    found = [c for c in commands if c.startswith(word)] or difflib.get_close_matches(word, commands, 1, 0.6)
    if found:
        print(found[0])


def run(command, given):
    if command == "chapters":
        print("\n".join(list_chapters()))
    elif command == "prepare":
        prepare()
    elif command == "progress":
        progress()
    elif command == "nearest":
        nearest(given[0], given[1:])
    elif command == "choose":
        chapter, _, exercise = choose(given[0], next((g for g in given[1:] if g != "--show"), ""))
        print(f"number={chapter.label} name={shlex.quote(chapter.name)} exercise={exercise.name if exercise else ''}")
    elif command == "pending":
        chosen = choose("run", given[0])[0] if given else None
        print(" ".join(c.label for c in pending(chosen)))
    else:
        chapter, exercises, exercise = choose(command, next((g for g in given if g != "--show"), ""))
        return {"check": lambda: check(chapter, exercises, exercise), "watch": lambda: watch(chapter, exercise), "hint": lambda: hint(exercise),
                "solution": lambda: solution(chapter, exercise, "--show" in given), "reset": lambda: reset(chapter)}[command]()
    return 0


def main(given):
    if not given:
        sys.exit(__doc__)
    os.chdir(ROOT)
    try:
        return run(given[0], given[1:])
    except Stop as stop:
        first, *others = stop.args
        red, off = (RED, OFF) if sys.stderr.isatty() else ("", "")
        print(f"{red}{first}{off}", *others, sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
        return 0
