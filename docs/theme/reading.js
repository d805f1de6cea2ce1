// Reading: what has been read and where one stopped, kept in the browser, and cards that show what a link leads to.
(() => {
  "use strict";
  const store = {
    get: (name) => { try { return JSON.parse(localStorage.getItem(name)); } catch { return null; } },
    set: (name, value) => { try { localStorage.setItem(name, JSON.stringify(value)); } catch { /* private windows */ } },
  };
  const page = location.pathname.split("/").pop() || "index.html";

  // ---- ticks: a chapter counts as read when its end has been seen; a click on the tick takes it back --------------------
  function ticks() {
    const read = new Set(store.get("book-read") || []);
    const show = () => {
      for (const link of document.querySelectorAll(".tree a, .contents-list a")) {
        const name = link.getAttribute("href");
        link.classList.toggle("read", read.has(name));
        if (read.has(name)) link.title = "Read"; else link.removeAttribute("title");
      }
      const button = document.querySelector(".tick");
      if (button) { button.setAttribute("aria-pressed", String(read.has(page))); button.textContent = read.has(page) ? "✓ Read" : "Mark as read"; }
    };
    const set = (is) => {
      if (is) read.add(page); else read.delete(page);
      store.set("book-read", [...read]);
      show();
    };
    const end = document.querySelector("body.chapter .prevnext");
    if (end) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "tick";
      button.addEventListener("click", () => set(!read.has(page)));
      end.before(button);
      if ("IntersectionObserver" in window && !read.has(page)) {
        const watch = new IntersectionObserver((seen) => {
          if (!seen.some((one) => one.isIntersecting) || scrollY < 200) return;
          watch.disconnect();
          set(true);
        });
        watch.observe(end);
      }
    }
    show();
  }

  // ---- the last place: the section in view, offered again on the front page ---------------------------------------------
  function lastPlace() {
    const go = document.querySelector(".title-page .go"), last = store.get("book-place");
    if (go && last) {
      const link = document.createElement("a");
      link.className = "go-on";
      link.href = last.href;
      link.textContent = `Go on with ${last.title}`;
      go.append(link);
    }
    if (!document.body.classList.contains("chapter")) return;
    const heads = [...document.querySelectorAll("article h2[id]")];
    const note = () => {
      const above = heads.filter((head) => head.getBoundingClientRect().top < innerHeight * 0.4).pop();
      const title = document.querySelector("h1").textContent + (above ? `: ${above.firstChild.textContent.trim()}` : "");
      store.set("book-place", { href: page + (above ? `#${above.id}` : ""), title });
    };
    let waiting = 0;
    addEventListener("scroll", () => { clearTimeout(waiting); waiting = setTimeout(note, 400); }, { passive: true });
  }

  // ---- cards: what a name, an equation, a citation leads to, beside the pointer or the focus ---------------------------------
  function cards() {
    const card = document.createElement("div");
    card.className = "card";
    card.id = "card";
    card.hidden = true;
    card.setAttribute("role", "tooltip");
    document.body.append(card);
    let loading = null, timer = 0, shown = null;
    const load = () => loading || (loading = new Promise((done) => {
      const script = document.createElement("script");
      script.src = "cards.js";
      script.onload = done;
      script.onerror = done;
      document.head.append(script);
    }));
    const hide = () => {
      clearTimeout(timer);
      if (shown) shown.removeAttribute("aria-describedby");
      shown = null;
      card.hidden = true;
    };
    const show = async (link) => {
      await load();
      const href = link.getAttribute("href"), text = (window.BOOK_CARDS || {})[href.startsWith("#") ? page + href : href];
      if (!text || !link.isConnected) return;
      card.innerHTML = text;
      for (const inner of card.querySelectorAll("a")) inner.replaceWith(...inner.childNodes);
      window.bookMath(card);
      card.hidden = false;
      const at = link.getBoundingClientRect(), size = card.getBoundingClientRect();
      card.style.left = `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`;
      card.style.top = `${at.bottom + size.height + 12 < innerHeight ? at.bottom + 6 : Math.max(8, at.top - size.height - 6)}px`;
      shown = link;
      link.setAttribute("aria-describedby", "card");
    };
    const wanted = (event) => event.target.closest && event.target.closest("article a.api, article .code a, article a.eqref, article a.cite");
    const soon = (event) => {
      const link = wanted(event);
      if (!link || link === shown) return;
      hide();
      timer = setTimeout(() => show(link), 250);
    };
    document.addEventListener("pointerover", (event) => { if (event.pointerType === "mouse") soon(event); });
    document.addEventListener("pointerout", (event) => { if (wanted(event)) hide(); });
    document.addEventListener("focusin", (event) => { if (event.target.matches(":focus-visible")) soon(event); });
    document.addEventListener("focusout", hide);
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
    addEventListener("scroll", hide, { passive: true });
  }

  if (!document.querySelector(".sidebar")) return;  // the printed book
  ticks();
  lastPlace();
  cards();
})();
