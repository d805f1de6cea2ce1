// The book's few scripts: math, light and dark, the menu, search, copying, side notes on narrow screens.
(() => {
  "use strict";
  const root = document.documentElement;
  const macros = JSON.parse(document.currentScript.dataset.macros || "{}");

  // ---- math: \( \) and \[ \] in the text, rendered by KaTeX where they stand ------------------------------------------
  function renderMath() {
    const start = performance.now();
    let formulas = 0, failures = 0;
    const skip = new Set(["SCRIPT", "STYLE", "PRE", "CODE", "TEXTAREA", "OPTION"]);
    const delimiter = /\\\(([\s\S]*?)\\\)|\\\[([\s\S]*?)\\\]/g;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT, {
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

  // ---- search: every section of the book and every name of the library, loaded when first asked for --------------------
  function search() {
    const input = document.querySelector(".search input");
    const list = document.querySelector(".search .results");
    let loading = null;
    const load = () => loading || (loading = new Promise((done) => {
      const script = document.createElement("script");
      script.src = "search.js";
      script.onload = () => {
        for (const entry of window.BOOK_SEARCH) entry.push(`${entry[2]} ${entry[3]}`.toLowerCase(), entry[4].toLowerCase());
        done();
      };
      document.head.append(script);
    }));
    const score = (entry, words) => {
      let sum = 0;
      for (const word of words) {
        const title = entry[5].indexOf(word), text = entry[6].indexOf(word);
        if (title < 0 && text < 0) return 0;
        if (title >= 0) sum += entry[5] === word || entry[5] === word + " " ? 60 : /\W/.test(entry[5][title - 1] || " ") ? 20 : 8;
        if (text >= 0) sum += 2 + Math.min(6, entry[6].split(word).length - 1);
      }
      return sum + (entry[1] < 0 ? 1 : 0);
    };
    const marked = (element, text, words) => {
      const pattern = new RegExp(`(${words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "ig");
      text.split(pattern).forEach((piece, k) => {
        if (k % 2) { const mark = document.createElement("mark"); mark.textContent = piece; element.append(mark); } else element.append(piece);
      });
    };
    const show = async () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      list.replaceChildren();
      list.hidden = !words.length;
      if (!words.length) return;
      await load();
      const found = window.BOOK_SEARCH.map((entry) => [score(entry, words), entry]).filter(([s]) => s > 0)
        .sort((a, b) => b[0] - a[0]).slice(0, 24);
      list.replaceChildren();
      for (const [, [href, number, page, section, text]] of found) {
        const item = document.createElement("li"), link = document.createElement("a");
        link.href = href;
        const title = document.createElement("span"), where = document.createElement("span"), words_ = document.createElement("span");
        title.className = "title"; where.className = "where"; words_.className = "text";
        marked(title, section || page, words);
        where.textContent = number < 0 ? `The library, ${text}` : number ? `Chapter ${number}` + (section ? `, ${page}` : "") : section ? page : "";
        if (number >= 0) {
          const at = Math.max(0, text.toLowerCase().indexOf(words[0]) - 40);
          marked(words_, (at ? "…" : "") + text.slice(at, at + 130), words);
        }
        link.append(title, where, words_);
        item.append(link);
        list.append(item);
      }
      if (!found.length) {
        const item = document.createElement("li");
        item.className = "nothing";
        item.textContent = "Nothing found.";
        list.append(item);
      }
    };
    input.addEventListener("focus", load);
    input.addEventListener("input", show);
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
        event.preventDefault();
        root.classList.add("menu-open");
        input.focus();
      }
      if (event.key === "Escape" && !list.hidden) { input.value = ""; show(); }
      const links = [...list.querySelectorAll("a")];
      if ((event.key === "ArrowDown" || event.key === "ArrowUp") && links.length && document.activeElement.closest(".search")) {
        event.preventDefault();
        const at = links.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
        (at < 0 ? input : links[Math.min(at, links.length - 1)]).focus();
      }
    });
  }

  // Open the folded box that a link leads into.
  function openTarget() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let up = target.closest("details"); up; up = up.parentElement.closest("details")) up.open = true;
    target.scrollIntoView();
  }

  renderMath();
  sideNotes();
  if (!document.querySelector(".sidebar")) return;  // the printed book
  themeButtons();
  menu();
  followScrolling();
  copyButtons();
  search();
  addEventListener("hashchange", openTarget);
  openTarget();
  addEventListener("beforeprint", () => { for (const d of document.querySelectorAll("details.solution, details.hint")) d.open = true; });
})();
