// Finding: the search over all sections and names, its words marked on the page it leads to, and keys that turn pages.
(() => {
  "use strict";
  const root = document.documentElement;
  const keep = (name, value) => { try { sessionStorage.setItem(name, value); } catch { /* private windows */ } };
  const take = (name) => {
    try { const value = sessionStorage.getItem(name); sessionStorage.removeItem(name); return value; } catch { return null; }
  };
  const anyOf = (words) => new RegExp(`(${words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "ig");

  // A text put into an element, the words in it marked.
  function marked(element, text, words) {
    text.split(anyOf(words)).forEach((piece, k) => {
      if (k % 2) { const mark = document.createElement("mark"); mark.textContent = piece; element.append(mark); } else element.append(piece);
    });
  }

  // ---- the words of a search on the page; Escape takes the marks away ------------------------------------------------------
  function markOnPage(words) {
    unmark();
    if (!words.length) return;
    const pattern = anyOf(words), nodes = [];
    const walker = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
    while (walker.nextNode())
      if (walker.currentNode.data.search(pattern) >= 0 && !walker.currentNode.parentElement.closest("svg, .katex, script, .copy")) nodes.push(walker.currentNode);
    for (const node of nodes) {
      const place = document.createElement("span");
      place.className = "found";
      marked(place, node.data, words);
      node.replaceWith(place);
    }
  }
  function unmark() {
    for (const place of document.querySelectorAll(".found")) place.replaceWith(place.textContent);
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
    const close = () => { input.value = ""; show(); };
    // A hit is opened: its words are marked on the page that it leads to, which may be this one.
    const opened = (link) => {
      const words = input.value.toLowerCase().split(/\s+/).filter((word) => word.length > 1);
      close();
      input.blur();
      root.classList.remove("menu-open");
      if (link.pathname === location.pathname) markOnPage(words);
      else keep("book-find", JSON.stringify(words));
    };
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
    list.addEventListener("click", (event) => { const link = event.target.closest("a"); if (link) opened(link); });
    document.addEventListener("pointerdown", (event) => { if (!list.hidden && !event.target.closest(".search")) close(); });
    input.addEventListener("focus", load);
    input.addEventListener("input", show);
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
        event.preventDefault();
        root.classList.add("menu-open");
        close();
        input.focus();
      }
      if (event.key === "Escape") {
        if (!list.hidden) close();
        else unmark();
      }
      const links = [...list.querySelectorAll("a")];
      if (event.key === "Enter" && document.activeElement === input && links.length) { event.preventDefault(); links[0].click(); }
      if ((event.key === "ArrowDown" || event.key === "ArrowUp") && links.length && document.activeElement.closest(".search")) {
        event.preventDefault();
        const at = links.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
        (at < 0 ? input : links[Math.min(at, links.length - 1)]).focus();
      }
    });
  }

  // ---- the arrow keys turn pages, unless they scroll or write something ------------------------------------------------------
  function pageKeys() {
    document.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      const way = { ArrowLeft: "prev", ArrowRight: "next" }[event.key], active = document.activeElement;
      if (!way || (active && active.closest("input, textarea, select, pre, .table, .drawing, .live"))) return;
      const link = document.querySelector(`.prevnext a[rel=${way}]`);
      if (link) link.click();
    });
  }

  if (!document.querySelector(".sidebar")) return;  // the printed book
  search();
  pageKeys();
  const words = take("book-find");
  if (words) markOnPage(JSON.parse(words));
})();
