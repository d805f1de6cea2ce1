#!/usr/bin/env python3
"""Every page of the book in a real browser, from file://: test_browser.py HTML [PAGE...]

Wide and narrow, light and dark: math, console, requests, widths, contrast, side notes, and that the menu, the search,
the copy button, the switch of light and dark and the folded solutions do what they should.
"""
import os
import pathlib
import shutil
import sys
import tempfile
import time
import unittest

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

HTML, ONLY = "", []
SIZES = [(1280, 900), (400, 800)]

# What is wrong with the page as it stands, as a list of sentences.
LAYOUT = r"""
const problems = [], wide = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth > wide) {
  const out = [...document.querySelectorAll("main *")].filter((e) => {
    for (let up = e.parentElement; up; up = up.parentElement) if (/auto|scroll|hidden/.test(getComputedStyle(up).overflowX)) return false;
    return e.getBoundingClientRect().right > wide + 1;
  });
  problems.push(`wider than the page: ${document.documentElement.scrollWidth} > ${wide}: ` + out.slice(0, 3).map((e) => e.outerHTML.slice(0, 90)).join(" | "));
}
const box = (e) => e.getBoundingClientRect();
const notes = [...document.querySelectorAll(".sidenote")].filter((e) => getComputedStyle(e).float === "right");
const solid = [...document.querySelectorAll("article > .code, article > .output, article > figure, article > .box, article > .table")];
notes.forEach((note, k) => {
  const a = box(note);
  for (const other of [...notes.slice(k + 1), ...solid]) {
    const b = box(other);
    if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
      problems.push(`side note ${note.id} lies over ${(other.id || other.className)}: ${other.textContent.slice(0, 40)}`);
  }
});
for (const svg of document.querySelectorAll("figure svg")) if (box(svg).width < 60 || box(svg).height < 20) problems.push("a drawing without size: " + svg.closest("figure").id);
for (const pre of document.querySelectorAll("pre")) if (!pre.textContent.trim()) problems.push("an empty block");
return problems;
"""

# Text that stands out too little from its background.
CONTRAST = r"""
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true }), known = new Map(), found = new Map();
const rgba = (colour) => {
  if (!known.has(colour)) {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; known.set(colour, [r, g, b, a / 255]);
  }
  return known.get(colour);
};
const over = (top, below) => [0, 1, 2].map((k) => top[k] * top[3] + below[k] * (1 - top[3])).concat(1);
const light = ([r, g, b]) => { const f = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
const background = (e) => {
  const layers = [];
  for (let up = e; up; up = up.parentElement) { const c = rgba(getComputedStyle(up).backgroundColor); if (c[3] > 0) layers.push(c); if (c[3] === 1) break; }
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const e = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || e.closest("script, style, .katex-mathml, [hidden], .skip, .topbar, noscript")) continue;
  const style = getComputedStyle(e), inside = e.closest("figure svg");
  if (style.visibility === "hidden" || style.display === "none" || !e.getClientRects().length) continue;
  const key = style.color + style.fill + getComputedStyle(e.parentElement).backgroundColor + e.className;
  if (found.has(key)) continue;
  const back = background(inside ? inside.parentElement : e), ink = over(rgba(inside ? style.fill : style.color), back);
  const a = light(ink), b = light(back), ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  found.set(key, ratio < (inside ? 3 : 4.5) ? `contrast ${ratio.toFixed(2)}: <${e.tagName.toLowerCase()} class="${e.className.baseVal ?? e.className}"> ${walker.currentNode.data.trim().slice(0, 40)}` : "");
}
return [...found.values()].filter(Boolean);
"""

STATE = r"""
const text = document.querySelector("article").cloneNode(true);
text.querySelectorAll("pre, code, script, svg, .katex").forEach((e) => e.remove());
return {
  math: document.documentElement.dataset.math, ms: +document.documentElement.dataset.mathMs, formulas: +document.documentElement.dataset.formulas,
  rendered: document.querySelectorAll(".katex").length, errors: [...document.querySelectorAll(".katex-error")].map((e) => e.title + " " + e.textContent),
  left: (text.textContent.match(/\\[(\[)\]][^\n]{0,40}|\\f\$|\$\$/g) || []),
  requests: performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith("file://") && !n.startsWith("data:")),
  fonts: [...document.fonts].filter((f) => f.status === "error").map((f) => f.family),
};
"""


def browser():
    options = Options()
    options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    profile = tempfile.mkdtemp()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
                     "--disable-sync", "--disable-default-apps", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
    driver.profile = profile
    return driver


class Browser(unittest.TestCase):
    longMessage = False

    @classmethod
    def setUpClass(cls):
        cls.driver = browser()
        cls.names = [n for n in sorted(os.listdir(HTML)) if n.endswith(".html") and (not ONLY or n in ONLY)]

    @classmethod
    def tearDownClass(cls):
        cls.driver.quit()
        shutil.rmtree(cls.driver.profile, ignore_errors=True)

    def open(self, name, width=1280, height=900, dark=False):
        self.size(width, height)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        self.driver.get(pathlib.Path(HTML, name).resolve().as_uri())

    def size(self, width, height):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def none(self, problems):
        self.assertFalse(problems, f"{len(problems)} problems:\n  " + "\n  ".join(problems[:60]))

    def test_every_page(self):
        problems, slowest = [], ("", 0, 0)
        self.driver.get_log("browser")
        for name in self.names:
            self.open(name)
            state = self.driver.execute_script(STATE)
            if state["math"] != "done" or state["rendered"] != state["formulas"]:
                problems.append(f"{name}: math {state['math']}, {state['rendered']} of {state['formulas']} formulas rendered")
            problems += [f"{name}: {key}: {value}" for key in ("errors", "left", "requests", "fonts") for value in state[key]]
            slowest = max(slowest, (name, state["ms"], state["formulas"]), key=lambda entry: entry[1])
            for dark in (False, True):
                self.driver.execute_script("document.documentElement.classList.toggle('dark-mode', arguments[0]);"
                                           "document.documentElement.classList.toggle('light-mode', !arguments[0])", dark)
                for width, height in SIZES:
                    self.size(width, height)
                    problems += [f"{name} at {width}, {'dark' if dark else 'light'}: {p}" for p in self.driver.execute_script(LAYOUT)]
                    if width > 1000:
                        problems += [f"{name}, {'dark' if dark else 'light'}: {p}" for p in self.driver.execute_script(CONTRAST)]
            self.driver.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
            for width, height in SIZES:
                self.size(width, height)
                problems += [f"{name} at {width}, all unfolded: {p}" for p in self.driver.execute_script(LAYOUT)]
            problems += [f"{name}: console: {entry['message'][:200]}" for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        print(f"{len(self.names)} pages; most math: {slowest[0]}, {slowest[2]} formulas in {slowest[1]} ms")
        self.none(problems)

    # ---- what a reader does --------------------------------------------------------------------------------------------

    def chapter(self):
        return next(n for n in self.names if n.startswith("ch_"))

    def script(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def test_dark_follows_the_system_and_the_button(self):
        colour = "return getComputedStyle(document.body).backgroundColor"
        self.open(self.chapter())
        light = self.script(colour)
        self.open(self.chapter(), dark=True)
        dark = self.script(colour)
        self.assertNotEqual(light, dark)
        self.driver.find_element(By.CSS_SELECTOR, ".sidebar .theme-button").click()
        self.assertEqual(self.script(colour), light)
        self.driver.refresh()
        self.assertEqual(self.script(colour), light, "the choice is forgotten on the next page")
        self.script("localStorage.clear()")

    def test_figures_follow_dark_mode(self):
        self.open(self.chapter())
        ink = "return getComputedStyle(document.querySelector('figure svg text')).fill"
        light = self.script(ink)
        self.script("document.documentElement.classList.add('dark-mode')")
        self.assertNotEqual(light, self.script(ink))

    def test_menu_on_a_phone(self):
        self.open(self.chapter(), 400, 800)
        place = "return document.querySelector('.sidebar').getBoundingClientRect().right"
        self.assertLessEqual(self.script(place), 0)
        self.driver.find_element(By.CSS_SELECTOR, ".menu-button").click()
        self.driver.implicitly_wait(0)
        self.wait(lambda: self.script(place) > 200, "the menu does not open")
        link = self.driver.find_element(By.CSS_SELECTOR, ".tree a[href='index.html'], .tree a[href='how_to_read.html']")
        link.click()
        self.wait(lambda: "how_to_read" in self.driver.current_url or "index" in self.driver.current_url, "the menu's link leads nowhere")

    def wait(self, condition, message):
        for _ in range(60):
            if condition():
                return
            time.sleep(0.05)
        self.fail(message)

    def search(self, words):
        self.open(self.chapter())
        field = self.driver.find_element(By.CSS_SELECTOR, ".search input")
        field.send_keys(words)
        self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, ".results li"), "the search gives no list")
        return field, self.driver.find_elements(By.CSS_SELECTOR, ".results a")

    def test_search_finds_names_and_text(self):
        _, found = self.search("discretize_mamba2")
        self.assertTrue(any("mamba2_ssm.html#discretize_mamba2" in a.get_attribute("href") for a in found))
        _, found = self.search("recurrence state")
        self.assertTrue(any("ch_" in a.get_attribute("href") for a in found))
        _, found = self.search("xyzzyplugh")
        self.assertEqual(found, [])

    def test_search_by_keyboard(self):
        self.open(self.chapter())
        self.driver.find_element(By.TAG_NAME, "body").send_keys("/")
        active = self.driver.switch_to.active_element
        self.assertEqual(active.tag_name, "input")
        active.send_keys("tensor")
        self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, ".results a"), "the search gives no list")
        before = self.driver.current_url
        active.send_keys(Keys.ARROW_DOWN)
        self.driver.switch_to.active_element.send_keys(Keys.ENTER)
        self.wait(lambda: self.driver.current_url != before, "Enter does not open what was found")

    def test_what_was_searched_is_marked(self):
        field, _ = self.search("state")
        marks = "return document.querySelectorAll('article mark').length"
        before = self.driver.current_url
        field.send_keys(Keys.ENTER)
        self.wait(lambda: self.driver.current_url != before and self.script(marks) > 0, "Enter opens no page with its words marked")
        self.assertTrue(self.script("return document.querySelector('.results').hidden"))
        body = self.driver.find_element(By.TAG_NAME, "body")
        body.send_keys(Keys.ESCAPE)
        self.assertEqual(self.script(marks), 0)
        body.send_keys("/")
        self.driver.switch_to.active_element.send_keys("state")
        body.send_keys(Keys.ESCAPE)
        body.click()
        body.send_keys("/")
        self.assertEqual(self.script("return document.activeElement.value"), "", "/ goes on with the old words")

    def test_a_hit_on_the_same_page(self):
        name = self.chapter()
        self.open(name)
        self.script("document.querySelector('.search input').focus()")
        self.driver.switch_to.active_element.send_keys(self.script("return document.querySelector('article h2').firstChild.textContent"))
        here = f".results a[href^='{name}#']"
        self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, here), "a section of the page is not found")
        self.driver.find_element(By.CSS_SELECTOR, here).click()
        self.wait(lambda: self.script("return document.querySelector('.results').hidden"), "the list stays open")
        self.assertGreater(self.script("return document.querySelectorAll('article mark').length"), 0)

    def test_arrows_turn_pages(self):
        self.open(self.chapter())
        before = self.driver.current_url
        self.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.ARROW_RIGHT)
        self.wait(lambda: self.driver.current_url != before, "the arrow leads nowhere")
        self.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.ARROW_LEFT)
        self.wait(lambda: self.driver.current_url == before, "the arrow does not lead back")

    def test_cards(self):
        self.open("ch_chunked_scan.html")
        for kind, words in (("eqref", r"\S"), ("cite", r"\d{4}"), ("api", r"mamba2|[a-z]{4}")):
            link = self.driver.find_element(By.CSS_SELECTOR, f"article p > a.{kind}, article .citation > a.{kind}")
            self.script("arguments[0].scrollIntoView({block: 'center'})", link)
            self.wait(lambda: self.script("return document.querySelector('.card').hidden"), "a card stays where it was")
            time.sleep(0.2)  # scrolling takes a card away
            self.script("arguments[0].dispatchEvent(new PointerEvent('pointerover', {bubbles: true, pointerType: 'mouse'}))", link)
            self.wait(lambda: not self.script("return document.querySelector('.card').hidden"), f"no card for {link.text}")
            self.assertRegex(self.script("return document.querySelector('.card').textContent"), words)
            self.assertEqual(self.script("return document.querySelectorAll('.card .katex-error').length"), 0)

    def test_what_was_read_is_remembered(self):
        name = self.chapter()
        self.open(name)
        self.script("localStorage.clear()")
        self.open(name)
        self.script("document.querySelectorAll('article h2')[1].scrollIntoView()")
        self.wait(lambda: self.script("return !!localStorage.getItem('book-place')"), "the place is not kept")
        self.script("document.querySelector('.prevnext').scrollIntoView()")
        self.wait(lambda: self.script("return document.querySelector('.tick').getAttribute('aria-pressed')") == "true", "no tick at the end")
        self.open("index.html")
        self.assertEqual(self.script("return document.querySelectorAll('.tree a.read').length"), 1)
        self.assertIn(name, self.script("return document.querySelector('.go-on').href"))
        self.open(name)
        self.script("document.querySelector('.tick').click()")
        self.assertEqual(self.script("return localStorage.getItem('book-read')"), "[]")

    def test_copy_button_gives_the_code_alone(self):
        self.open(self.chapter())
        self.script("""navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }""")
        block = self.driver.find_element(By.CSS_SELECTOR, "article > .code.numbered")  # not a folded one: nothing there to select
        self.script("arguments[0].querySelector('.copy').click()", block)
        copied = self.script("return window.copied")
        self.assertEqual(copied.rstrip("\n"), self.script("return arguments[0].querySelector('pre').textContent", block).rstrip("\n"))
        self.assertNotRegex(copied, r"(?m)^\s*\d+\s*$")
        selected = self.script("""const r = document.createRange(); r.selectNodeContents(arguments[0].querySelector('code'));
            getSelection().removeAllRanges(); getSelection().addRange(r); return getSelection().toString()""", block)
        self.assertEqual(selected.split(), copied.split(), "selecting code takes more than the code")

    def test_links_open_folded_boxes_and_notes_jump(self):
        self.open(self.chapter())
        if self.script("return !document.querySelector('details.solution [id], .exercise')"):
            self.skipTest("no exercise on this page")
        self.script("location.hash = document.querySelector('.exercise').id")
        self.wait(lambda: abs(self.script("return document.querySelector('.exercise').getBoundingClientRect().top")) < 200, "the link to an exercise does not lead there")

    def test_side_notes(self):
        name = next((n for n in self.names if n.startswith("ch_") and "class=\"sidenote\"" in pathlib.Path(HTML, n).read_text(encoding="utf-8")), None)
        if name is None:
            self.skipTest("no side note in the book")
        place = """const n = document.querySelector('article > p .sidenote, article > .sidenote'); const p = document.querySelector('article > p').getBoundingClientRect();
                   const b = n.getBoundingClientRect(); return [b.left - p.right, getComputedStyle(n).float, b.width]"""
        self.open(name)
        left, float_, _ = self.script(place)
        self.assertEqual(float_, "right")
        self.assertGreater(left, 0, "not in the margin")
        self.open(name, 400, 800)
        _, float_, width = self.script(place)
        self.assertEqual(float_, "none")
        self.assertGreater(width, 200)

    def test_reading_without_scripts(self):
        """Without JavaScript the text, the code, the figures and the links between chapters are all there."""
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        try:
            self.open(self.chapter())
        finally:
            self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        self.assertTrue(self.driver.find_elements(By.CSS_SELECTOR, ".tree a[href^='ch_']"))
        self.assertTrue(self.driver.find_element(By.CSS_SELECTOR, ".code pre").is_displayed())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    HTML = sys.argv[1]
    ONLY = [a for a in sys.argv[2:] if a.endswith(".html")]
    unittest.main(argv=sys.argv[:1] + [a for a in sys.argv[2:] if not a.endswith(".html")])
