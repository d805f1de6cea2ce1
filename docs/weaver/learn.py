"""learn: all exercises, one after the other: the screen shows the one that is next, graded at each save, and goes on by itself.

On a terminal there are keys; without one the same is printed line by line. Each turn of `learn` is one screen: it says what is
to be done, grades, and waits for a save or a key.
"""
import contextlib
import os
import re
import select
import sys
import textwrap

from .chapters import chapters
from .exercises import Exercises
from .grading import (BOLD, BUILD, DIM, GREEN, OFF, ROOT, TERMINAL, Stop, clear, file_of, grade, meanwhile, note, pending, reset,
                      stamp, untouched, verdict)
from .hints import hint, solution

KEYS = {"h": "hint", "s": "solution", "n": "next", "r": "reset", "q": "quit"}
WIDTH = 30  # of the bar


def every():
    return [(chapter, exercise) for chapter in chapters(ROOT) for exercise in Exercises(chapter)]


def same(one, other):
    return one[1].name == other[1].name


def passed(one):
    """Whether it passed when it was last graded: a change to another exercise of the file takes nothing away."""
    chapter, exercise = one
    return not untouched(chapter) and note("verdicts", f"{chapter.name}.{exercise.number}").startswith("passed")


def after(one):
    """The exercise that is next in the book, whatever its verdict; None after the last."""
    everything = every()
    place = next(k for k, other in enumerate(everything) if same(one, other))
    return everything[place + 1] if place + 1 < len(everything) else None


def next_open(one=None):
    """The first exercise that has not passed, from behind the given one on and then from the start; None if all have."""
    everything = every()
    start = next((k + 1 for k, other in enumerate(everything) if one and same(one, other)), 0)
    return next((other for other in everything[start:] + everything[:start] if not passed(other)), None)


def bar():
    """How far one has come, as a line."""
    everything = every()
    done = sum(passed(one) for one in everything)
    full = WIDTH * done // len(everything)
    return f"{GREEN}{'█' * full}{OFF}{DIM}{'░' * (WIDTH - full)}{OFF}  {done} of {len(everything)} passed"


def task(chapter, exercise):
    """What the stub says of the exercise: its lines of comment, as one text."""
    found = re.search(rf"^// {exercise.number}\. (.*\n(?:// ?.*\n)*)", chapter.read("exercises_stub.cpp"), re.M)
    return textwrap.fill(" ".join(re.sub(r"^// ?", "", found.group(1), flags=re.M).split()), 92) if found else ""


def where(chapter, exercise):
    """The reader's file, with the line where the stub still stands."""
    own = file_of(chapter)
    with contextlib.suppress(FileNotFoundError), open(own, encoding="utf-8", errors="replace") as source:
        for number, line in enumerate(source, 1):
            if re.search(rf"\bnot_implemented\({exercise.number}\)", line):
                return f"{own}:{number}"
    return own


def page(chapter, exercise):
    """The exercise's place in the book, for a browser."""
    name = re.search(r"\{#([\w-]+)\}", chapter.read(f"{chapter.name}.cpp").split("\n", 1)[0])
    path = os.path.abspath(os.path.join(BUILD, "book", "html", f"{name.group(1) if name else ''}.html"))
    return f"file://{path}#exercise_{exercise.name.replace('.', '_')}" if os.path.exists(path) else ""


def introduce(chapter, exercise):
    """What is to be done."""
    print(bar() + "\n")
    print(f"{BOLD}{exercise.name}  {exercise.title}{OFF}   {DIM}Chapter {chapter.number}, {chapter.title}{OFF}\n")
    print(textwrap.indent(task(chapter, exercise), "    ") + "\n")
    print(f"    write:      {where(chapter, exercise)}")
    if page(chapter, exercise):
        print(f"    read:       {page(chapter, exercise)}")
    print(flush=True)


class Keyboard:
    """Single keys of a terminal, as long as it is entered; elsewhere none ever comes."""

    def __enter__(self):
        self.settings = None
        if TERMINAL and sys.stdin.isatty():
            import termios
            import tty
            self.settings = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        return self

    def __exit__(self, *_):
        if self.settings:
            import termios
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self.settings)

    @property
    def there(self):
        return self.settings is not None

    def key(self, seconds):
        """The key that is pressed within the time, or nothing."""
        ready = select.select([sys.stdin] if self.there else [], [], [], seconds)[0]
        return os.read(sys.stdin.fileno(), 1).decode("latin-1").lower() if ready else ""

    def sure(self, question):
        print(f"{question} {BOLD}y{OFF}es, or any other key", flush=True)
        return self.key(None) == "y"


def legend():
    print(f"\n{DIM}save to grade again   " + "   ".join(f"{OFF}{BOLD}{key}{OFF}{DIM} {word}" for key, word in KEYS.items()) + OFF, flush=True)


def press(key, chapter, exercise, keyboard):
    """Does what a key asks for. True if the screen has to begin anew."""
    print()
    if key == "h":
        with contextlib.suppress(Stop):
            hint(exercise)
    elif key == "s" and (passed((chapter, exercise)) or keyboard.sure("Your answer has not passed yet. See the solution all the same?")):
        solution(chapter, exercise, show=True)
    elif key == "r" and keyboard.sure(f"All of chapter {chapter.number} as the book gives it? Your file is kept beside it."):
        reset(chapter)
        return True
    legend()
    return False


def wait(chapter, exercise, before, keyboard):
    """Until the file is saved, or a key leads on: "", "n" or "q"."""
    own = file_of(chapter)
    while stamp(own) in (None, before):
        key = keyboard.key(0.1)
        if key in ("n", "q"):
            return key
        if key in KEYS and press(key, chapter, exercise, keyboard):
            return ""
    return ""


def one_screen(current, keyboard):
    """Shows an exercise, grades it, waits. The key that led on; or "passed"."""
    introduce(*current)
    before = stamp(file_of(current[0]))
    grade(*current)
    if verdict(*current) == "passed":
        print(f"    ours:       ./book solution {current[1].name}\n", flush=True)
        grade(current[0], shown=False)  # whether the others still do
        return "passed"
    if keyboard.there:
        legend()
    else:
        print(f"\nGraded again at each save of {file_of(current[0])}.", flush=True)
    return wait(*current, before, keyboard)


def learn(chosen=None):
    """From the chosen exercise on, or from the first that has not passed, to the last."""
    for chapter in pending(None):
        with meanwhile(f"grading what has changed in chapter {chapter.number}"):
            grade(chapter, shown=False)
    current = chosen or next_open()
    clear()
    with Keyboard() as keyboard:
        while current:
            came = one_screen(current, keyboard)
            if came == "q":
                return print(f"\nTo go on from here:  ./book learn {current[1].name}")
            if came in ("passed", "n"):
                current = next_open(current)
            if came != "passed":  # what there is to show for it stays above the next one
                clear()
    print(f"{bar()}\n\n{BOLD}All exercises have passed.{OFF} You have written the core of Mamba-2 yourself, part by part.\n"
          "Compare with ours:  ./book solution N.k\nA chapter of your own:  ./book new NAME")
    return None
