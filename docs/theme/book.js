// The book's few scripts: math, light and dark, the menu, copying, side notes on narrow screens. Others: finding.js, reading.js.
(() => {
  "use strict";
  const root = document.documentElement;
  const macros = JSON.parse(document.currentScript.dataset.macros || "{}");

  // ---- math: \( \) and \[ \] in the text, rendered by KaTeX where they stand ------------------------------------------
  function renderMath(within) {
    const start = performance.now();
    let formulas = 0, failures = 0;
    const skip = new Set(["SCRIPT", "STYLE", "PRE", "CODE", "TEXTAREA", "OPTION"]);
    const delimiter = /\\\(([\s\S]*?)\\\)|\\\[([\s\S]*?)\\\]/g;
    const walker = document.createTreeWalker(within, NodeFilter.SHOW_TEXT, {
      acceptNode: (node) => {
        if (!node.data.includes("\\(") && !node.data.includes("\\[")) return NodeFilter.FILTER_REJECT;
        for (let up = node.parentElement; up; up = up.parentElement) if (skip.has(up.tagName)) return NodeFilter.FILTER_REJECT;
        return NodeFilter.FILTER_ACCEPT;
      },
    });
    const nodes = [];
    while (walker.nextNode()) nodes.push(walker.currentNode);
    for (const node of nodes) {
      const pieces = document.createDocumentFragment();
      let end = 0;
      for (const found of node.data.matchAll(delimiter)) {
        pieces.append(node.data.slice(end, found.index));
        const display = found[2] !== undefined;
        const place = document.createElement("span");
        try {
          katex.render(display ? found[2] : found[1], place, { displayMode: display, throwOnError: true, strict: "ignore", macros: { ...macros } });
        } catch (problem) {
          ++failures;
          place.className = "katex-error";
          place.textContent = found[0];
          place.title = String(problem);
          console.error(`bad formula: ${found[0]}: ${problem.message}`);
        }
        ++formulas;
        pieces.append(place);
        end = found.index + found[0].length;
      }
      pieces.append(node.data.slice(end));
      node.replaceWith(pieces);
    }
    if (within !== document.body) return;
    root.dataset.math = failures ? "failed" : "done";
    root.dataset.mathMs = (performance.now() - start).toFixed(0);
    root.dataset.formulas = formulas;
  }

  // ---- light and dark -------------------------------------------------------------------------------------------------
  function setTheme(dark) {
    root.classList.toggle("dark-mode", dark);
    root.classList.toggle("light-mode", !dark);
  }
  function themeButtons() {
    for (const button of document.querySelectorAll(".theme-button")) {
      button.addEventListener("click", () => {
        const dark = !root.classList.contains("dark-mode");
        setTheme(dark);
        try { localStorage.setItem("book-theme", dark ? "dark" : "light"); } catch { /* private windows */ }
      });
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
      let chosen = null;
      try { chosen = localStorage.getItem("book-theme"); } catch { /* private windows */ }
      if (!chosen) setTheme(event.matches);
    });
  }

  // ---- the menu on narrow screens -------------------------------------------------------------------------------------
  function menu() {
    const button = document.querySelector(".menu-button");
    const show = (open) => {
      root.classList.toggle("menu-open", open);
      button.setAttribute("aria-expanded", String(open));
    };
    button.addEventListener("click", () => show(!root.classList.contains("menu-open")));
    document.querySelector(".scrim").addEventListener("click", () => show(false));
    document.querySelector(".sidebar").addEventListener("click", (event) => { if (event.target.closest("a")) show(false); });
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") show(false); });
    const here = document.querySelector(".tree [aria-current]");
    const tree = document.querySelector(".tree");
    if (here && here.offsetTop > tree.clientHeight * 0.7) tree.scrollTop = here.offsetTop - tree.clientHeight / 3;
  }

  // The section in view, marked in the tree.
  function followScrolling() {
    const links = [...document.querySelectorAll(".tree .sections a")];
    const places = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
    if (!links.length) return;
    let waiting = false;
    const mark = () => {
      waiting = false;
      let current = -1;
      places.forEach((place, k) => { if (place && place.getBoundingClientRect().top < innerHeight * 0.3) current = k; });
      links.forEach((link, k) => link.classList.toggle("in-view", k === current));
    };
    addEventListener("scroll", () => { if (!waiting) { waiting = true; requestAnimationFrame(mark); } }, { passive: true });
    mark();
  }

  // ---- code -----------------------------------------------------------------------------------------------------------
  function copyButtons() {
    for (const block of document.querySelectorAll(".code")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        const text = block.querySelector("pre").textContent.replace(/\n?$/, "\n");
        try {
          await navigator.clipboard.writeText(text);
        } catch {  // file:// pages may not have the clipboard
          const area = document.createElement("textarea");
          area.value = text;
          document.body.append(area);
          area.select();
          document.execCommand("copy");
          area.remove();
        }
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
      (block.querySelector(".caption") || block).append(button);
    }
  }

  // ---- side notes: in the margin where there is one, else after their paragraph ----------------------------------------
  function sideNotes() {
    const wide = matchMedia("(min-width: 1200px)");
    const notes = [...document.querySelectorAll(".sidenote")].map((note) => ({ note, mark: note.previousElementSibling }));
    const place = () => {
      for (const { note, mark } of wide.matches ? notes : [...notes].reverse()) {
        if (wide.matches) mark.after(note);
        else (mark.closest("p, li, dd, td, figcaption") || mark).after(note);
      }
    };
    if (notes.length) {
      place();
      wide.addEventListener("change", place);
    }
  }

  // Open the folded box that a link leads into.
  function openTarget() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let up = target.closest("details"); up; up = up.parentElement.closest("details")) up.open = true;
    target.scrollIntoView();
  }

  window.bookMath = renderMath;
  renderMath(document.body);
  sideNotes();
  if (!document.querySelector(".sidebar")) return;  // the printed book
  themeButtons();
  menu();
  followScrolling();
  copyButtons();
  addEventListener("hashchange", openTarget);
  openTarget();
  addEventListener("beforeprint", () => { for (const d of document.querySelectorAll("details.solution, details.hint")) d.open = true; });
})();
