#!/usr/bin/env python3
"""The pages of the book, read as files: test_pages.py SOURCE HTML

Links and anchors, what may not be left over from the weaving, the order of a chapter, its figures, code and exercises.
"""
import json
import os
import re
import sys
import unittest
from urllib.parse import unquote, urlsplit

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pages import pages  # noqa: E402

SOURCE, HTML = "", ""
LEFT_OVER = [":::", "@output", "@eqref", "@figref", "@quote", "@summary", "@contents", "[^", "[@", "\u27e6", "\u27e7", "\\ref ", "\\f$", "$$", "{#", "](", "**", "\\cite"]
HEADINGS = ["What it builds on", "Shapes", "The program", "What has not changed", "Exercises", "Further reading"]


def line_numbers(block):
    """The numbers that the style sheet counts in front of the lines of a block of code."""
    number = int(block.find("code")[0].attributes["style"].split()[-1])
    numbers = []
    for line in block.find("i"):
        number += int(line.attributes.get("style", "counter-increment:n 1").split()[-1])
        numbers.append(number)
    return numbers


class Pages(unittest.TestCase):
    longMessage = False

    @classmethod
    def setUpClass(cls):
        cls.pages = pages(HTML)
        cls.chapters = {name: page for name, page in cls.pages.items() if "chapter" in page.kind}

    def none(self, problems):
        """No problems, or all of them in one message."""
        self.assertFalse(problems, f"{len(problems)} problems:\n  " + "\n  ".join(problems[:60]))

    def test_there_is_a_book(self):
        self.assertGreater(len(self.chapters), 0)
        for name in ("index.html", "how_to_read.html", "notation.html", "library.html", "glossary.html", "references.html"):
            self.assertTrue(name in self.pages, f"there is no {name}")
        folders = [f for f in os.listdir(os.path.join(SOURCE, "chapters"))
                   if re.match(r"\d\d_", f) and os.path.exists(os.path.join(SOURCE, "chapters", f, f[3:] + ".cpp"))]
        self.assertEqual(sorted(self.chapters), sorted(f"ch_{f[3:]}.html" for f in folders))
        headers = [f for f in os.listdir(os.path.join(SOURCE, "src/mamba2")) if f.endswith(".hpp")]
        self.none([f"no page for mamba2/{h}" for h in headers if f"mamba2_{h[:-4]}.html" not in self.pages])

    def test_elements_are_closed(self):
        self.none([f"{name}: {problem}" for name, page in self.pages.items() for problem in page.problems])

    def test_links_lead_somewhere(self):
        problems = []
        for name, page in self.pages.items():
            for element in page.root.walk():
                for key in ("href", "src"):
                    target = element.attributes.get(key)
                    if target is None or (element.tag == "use" and target.startswith("#")):
                        continue
                    problems += self.check_link(name, page, element, target)
        self.none(problems)

    def check_link(self, name, page, element, target):
        where = f"{name}, line {element.line}: {target}"
        parts = urlsplit(target)
        if parts.scheme in ("http", "https"):
            return [] if element.tag == "a" else [f"{where}: loads something from outside"]
        if parts.scheme or parts.netloc:
            return [f"{where}: neither within the book nor a page of the web"]
        path = unquote(parts.path) or name
        if path not in self.pages:
            return [] if os.path.isfile(os.path.join(HTML, path)) else [f"{where}: no such file"]
        if parts.fragment and unquote(parts.fragment) not in self.pages[path].ids:
            return [f"{where}: no such place on {path}"]
        return []

    def test_drawings_refer_to_themselves(self):
        problems = []
        for name, page in self.pages.items():
            for svg in page.root.find("svg"):
                own = {e.attributes.get("id") for e in svg.walk()}
                for element in svg.walk():
                    for value in element.attributes.values():
                        for wanted in re.findall(r"url\(['\"]?#([^)'\"]+)", value or "") + re.findall(r"^#(\S+)$", element.attributes.get("href") or ""):
                            if wanted not in own:
                                problems.append(f"{name}: a drawing refers to #{wanted}, which it does not hold")
        self.none(sorted(set(problems)))

    def test_drawings_have_a_name(self):
        problems = []
        for name, page in self.pages.items():
            for drawing in page.root.find("div", "drawing"):
                label = drawing.attributes.get("aria-labelledby")
                if drawing.attributes.get("role") != "img" or not (drawing.attributes.get("aria-label") or label in page.ids):
                    problems.append(f"{name}: a drawing without a name, of {drawing.attributes.get('id') or drawing.parent.attributes.get('id')}")
        self.none(problems)

    def test_the_search_knows_words_alone(self):
        with open(os.path.join(HTML, "search.js"), encoding="utf-8") as source:
            entries = json.loads(source.read().split("=", 1)[1].rstrip(";\n"))
        self.assertGreater(len(entries), 100)
        self.none([f"{href}: {text[:60]}" for href, _, _, _, text in entries if re.search(r"aria-label|permalink|</\w+>", text)])

    def test_cards_are_of_places_that_are_there(self):
        with open(os.path.join(HTML, "cards.js"), encoding="utf-8") as source:
            cards = json.loads(source.read().split("=", 1)[1].rstrip(";\n"))
        places = [href.split("#") for href in cards]
        self.none([f"{page}#{anchor}" for page, anchor in places if page not in self.pages or anchor not in self.pages[page].ids])
        for kind in ("eqref", "cite"):
            links = {(name if a.attributes["href"].startswith("#") else "") + a.attributes["href"]
                     for name, page in self.pages.items() for a in page.root.find("a", kind)}
            self.none([f"no card for {href}" for href in sorted(links) if href not in cards])

    def test_nothing_comes_from_outside(self):
        problems = []
        for folder, _, files in os.walk(HTML):
            for file in files:
                if file.endswith((".css", ".js")):
                    with open(os.path.join(folder, file), encoding="utf-8") as source:
                        text = source.read()
                    for found in re.findall(r"url\(\s*['\"]?(?:https?:)?//[^)]*|@import[^;]*|(?<![\w.])(?:fetch\((?!\)\s*\{)|XMLHttpRequest|importScripts)[^;\n]{0,60}", text):
                        problems.append(f"{file}: {found[:80]}")
        self.none(problems)

    def test_identifiers_stand_once(self):
        problems = []
        for name, page in self.pages.items():
            problems += sorted({f"{name}: id '{i}' stands {page.ids.count(i)} times" for i in page.ids if page.ids.count(i) > 1})
        self.none(problems)

    def test_nothing_is_left_over(self):
        problems = []
        for name, page in self.pages.items():
            text = page.article().text(skip=("pre", "code", "script", "svg"))
            text = re.sub(r"\\\(.*?\\\)|\\\[.*?\\\]", " ", text, flags=re.S)  # the math, which the browser renders
            for mark in LEFT_OVER:
                at = text.find(mark)
                if at >= 0:
                    problems.append(f"{name}: '{mark}' in the text: …{' '.join(text[max(0, at - 40):at + 40].split())}…")
            star = re.search(r".{0,30}(?:(?<!\w)[*_]\w|\w[*_](?!\w)).{0,30}", text)
            if star:
                problems.append(f"{name}: emphasis that is none: {star.group(0)}")
            command = re.search(r".{0,30}\\[a-zA-Z(\[].{0,30}", text)
            if command:
                problems.append(f"{name}: a TeX command in the text: {command.group(0)}")
        self.none(problems)

    def test_nothing_is_missing(self):
        self.none([f"{name}: {e.text()}" for name, page in self.pages.items() for e in page.root.find(name="missing")])

    def test_code_is_what_the_files_say(self):
        problems = []
        for name, page in self.pages.items():
            for block in page.root.find("div", "code"):
                pre = block.find("pre")
                text = pre[0].text() if pre else ""
                if not text.strip():
                    problems.append(f"{name}, line {block.line}: an empty code block")
                if "\u00a0" in text:
                    problems.append(f"{name}, line {block.line}: a no-break space in code")
                if "numbered" in block.classes:
                    problems += self.compare_with_file(name, block, text)
        self.none(problems)

    @staticmethod
    def compare_with_file(name, block, text):
        path = block.find("div", "caption")[0].text().strip()
        with open(os.path.join(SOURCE, path), encoding="utf-8") as source:
            lines = source.read().split("\n")
        numbers = line_numbers(block)
        shown = text.split("\n")
        if len(numbers) != len(shown):
            return [f"{name}: {path}: {len(shown)} lines with {len(numbers)} numbers"]
        return [f"{name}: {path}:{n} is shown as '{line}'" for n, line in zip(numbers, shown) if lines[n - 1] != line]

    def test_all_code_of_a_chapter_is_shown(self):
        problems = []
        for name, page in self.chapters.items():
            shown = {}
            for block in page.root.find("div", "numbered"):
                path = block.find("div", "caption")[0].text().strip()
                shown.setdefault(path, set()).update(line_numbers(block))
            folder = next(os.path.dirname(p) for p in shown if p.startswith("chapters/"))
            for path in [p for p in shown if os.path.dirname(p) == folder and not p.endswith(("solutions.cpp", "exercises_test.cpp"))]:
                with open(os.path.join(SOURCE, path), encoding="utf-8") as source:
                    for number, line in enumerate(source.read().split("\n"), 1):
                        if line.strip() and line != "//" and not line.startswith("// ") and not re.match(r"\s*//: ", line) and number not in shown[path]:
                            problems.append(f"{name}: {path}:{number} is not on the page")
        self.none(problems)

    def test_chapters_have_their_headings(self):
        problems = []
        for name, page in self.chapters.items():
            heads = [h.text(skip=("permalink",)).strip() for h in page.article().find("h2")]
            places = [heads.index(h) if h in heads else -1 for h in HEADINGS]
            problems += [f"{name}: no heading '{h}'" for h, place in zip(HEADINGS, places) if place < 0]
            if -1 not in places:
                if places != sorted(places):
                    problems.append(f"{name}: the headings are not in the order {', '.join(HEADINGS)}")
                if places[0] != 0 or places[1] != 1 or places[-1] != len(heads) - 1:
                    problems.append(f"{name}: not first 'What it builds on', then 'Shapes', at the end 'Further reading'")
                if places[2] - places[1] < 3:
                    problems.append(f"{name}: fewer than two sections between 'Shapes' and 'The program'")
            if not page.article().find("div", "shapes"):
                problems.append(f"{name}: no box of shapes")
            if not page.article().find("p", "lede"):
                problems.append(f"{name}: no @summary")
            if not page.article().find("p", "kicker"):
                problems.append(f"{name}: no line that says chapter and part")
        self.none(problems)

    def test_chapters_have_figures(self):
        problems = []
        for name, page in self.chapters.items():
            figures = page.article().find("figure")
            if len(figures) < 2:
                problems.append(f"{name}: {len(figures)} figures, should be two or more")
            for figure in figures:
                caption = figure.find("figcaption")
                if not figure.find("svg") or not [e for e in figure.find("svg")[0].walk() if e.tag in ("path", "rect", "line", "circle", "polygon", "text", "polyline", "use", "image")]:
                    problems.append(f"{name}: {figure.attributes.get('id')} has no drawing")
                if not caption or len(caption[0].text().split()) < 5:
                    problems.append(f"{name}: {figure.attributes.get('id')} has no caption")
        self.none(problems)

    def test_the_readme_shows_what_was_printed(self):
        with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as source:
            lines = re.findall(r"^  This is the.*$", source.read(), re.M)
        printed = "".join(pre.text() for pre in self.pages["ch_training.html"].article().find("pre"))
        self.assertTrue(lines)
        self.none([line for line in lines if line not in printed])

    def test_chapters_show_what_they_print(self):
        self.none([f"{name}: shows no output" for name, page in self.chapters.items() if not page.article().find("div", "output")])

    def test_exercises_have_hints_and_a_solution(self):
        problems = []
        for name, page in self.chapters.items():
            exercises = page.article().find("div", "exercise")
            if not 2 <= len(exercises) <= 6:
                problems.append(f"{name}: {len(exercises)} exercises, should be two to six")
            for exercise in exercises:
                label = exercise.attributes.get("id")
                hints, solutions = exercise.find("details", "hint"), exercise.find("details", "solution")
                if not hints or any(len(h.text().split()) < 4 for h in hints):
                    problems.append(f"{name}: {label} has no hints, or an empty one")
                if len(solutions) != 1 or not solutions[0].find("pre"):
                    problems.append(f"{name}: {label} has no solution")
                if any("open" in d.attributes for d in hints + solutions):
                    problems.append(f"{name}: {label} gives its hints or solution away")
                if not any(pre.text().rstrip().endswith(");") for pre in exercise.find("pre")):
                    problems.append(f"{name}: {label} does not show what is to be written")
                number = label.replace("exercise_", "").replace("_", ".")
                if f"./book check {number}" not in exercise.text() or "/exercises.cpp" not in exercise.text():
                    problems.append(f"{name}: {label} does not say which file to edit and what to type")
        self.none(problems)

    def test_order_of_the_pages(self):
        """Next leads through all chapters, in order, and Previous back."""
        numbers = {name: int(re.search(r"Chapter (\d+)", page.article().find("p", "kicker")[0].text()).group(1)) for name, page in self.chapters.items()}
        name, seen = "index.html", []
        while name:
            seen.append(name)
            links = {a.attributes.get("rel"): a.attributes["href"] for nav in self.pages[name].root.find("nav", "prevnext") for a in nav.find("a")}
            following = links.get("next")
            if following:
                back = {a.attributes.get("rel"): a.attributes["href"] for nav in self.pages[following].root.find("nav", "prevnext") for a in nav.find("a")}
                self.assertEqual(back.get("prev"), name, f"{following}: Previous does not lead to {name}")
            name = following
            self.assertLess(len(seen), 100)
        self.assertEqual([n for n in seen if n in numbers], sorted(numbers, key=numbers.get))

    def test_contents_list_every_chapter(self):
        tree = [a.attributes["href"] for a in self.pages["index.html"].root.find("nav", "tree")[0].find("a")]
        listed = [a.attributes["href"] for e in self.pages["index.html"].article().find("div", "contents-list") for a in e.find("a")]
        self.assertEqual(sorted(set(listed)), sorted(self.chapters))
        self.assertEqual([h for h in tree if h in self.chapters], listed)

    def test_every_reference_is_cited(self):
        references = self.pages["references.html"]
        cited = {urlsplit(a.attributes["href"]).fragment for page in self.pages.values() for a in page.root.find("a", "cite")}
        listed = [dt.attributes["id"] for dl in references.root.find("dl", "references") for dt in dl.find("dt")]
        self.assertTrue(listed)
        self.none([f"references.html: '{key}' is cited nowhere" for key in listed if key not in cited])

    def test_pages_are_light(self):
        """What a page loads the first time, fonts and scripts included, in kilobytes."""
        shared = sum(os.path.getsize(os.path.join(HTML, f)) for f in ("book.css", "book.js", "finding.js", "reading.js", "katex/katex.min.js", "katex/katex.min.css"))
        fonts = sum(os.path.getsize(os.path.join(HTML, folder, f)) for folder in ("fonts", "katex/fonts")
                    if os.path.isdir(os.path.join(HTML, folder)) for f in os.listdir(os.path.join(HTML, folder)))
        self.assertLess(shared, 400_000)
        self.assertLess(fonts, 450_000)
        self.none([f"{name}: {len(page.source) // 1000} kB" for name, page in self.pages.items() if len(page.source.encode()) > 1_000_000])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    SOURCE, HTML = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
