// The desk for screen types: thumbnails on the left, the one that is looked at large on the right, and below it the types with their keys.
//
// The thumbnails of a thousand screenshots are a thousand pictures that nobody has decoded yet. So a picture is asked for when its place comes into sight, one
// at a time and the most urgent first: between two of them the kernel has time for keys. What a screenshot is lives in `marks`, one letter for each:
// "1" to "7" a type, "0" nothing here, "s" later, "!" no picture, "-" nobody has said.

const VIEWS_KEPT = 24; // large pictures that stay in the browser

function element(kind, name, ...children) {
  const made = document.createElement(kind);
  made.className = name;
  made.append(...children);
  return made;
}

function render({ model, el }) {
  const ended = new AbortController(), { signal } = ended;
  const types = model.get("types"); // {key, title, tells, colour}
  const byKey = Object.fromEntries(types.map(type => [type.key, type]));
  const thumbs = new Map(), views = new Map(), faults = new Map(); // place -> address of a picture in the browser, or why there is none
  let tiles = [], wanted = null, seen = new Set();

  el.classList.add("warp-screens");
  const grid = element("div", "warp-tiles"), picture = element("img", "warp-view-picture"), fault = element("div", "warp-view-fault");
  const caption = element("div", "warp-view-caption"), view = element("div", "warp-view", picture, fault, caption), legend = element("div", "warp-legend");
  grid.setAttribute("role", "listbox");
  grid.setAttribute("aria-label", "screenshots");
  picture.alt = "";
  el.append(grid, element("div", "warp-beside", view, legend));

  // ---- the tiles

  const watcher = new IntersectionObserver(entries => {
    for (const entry of entries) entry.isIntersecting ? seen.add(+entry.target.dataset.at) : seen.delete(+entry.target.dataset.at);
    ask();
  }, { root: grid, rootMargin: "160px 0px" });

  function addTiles() {
    const names = model.get("names");
    for (let at = tiles.length; at < names.length; at++) {
      const img = element("img", "warp-tile-picture"), badge = element("span", "warp-badge"), tile = element("div", "warp-tile", img, badge);
      img.alt = "";
      img.draggable = false;
      tile.dataset.at = at;
      tile.title = names[at];
      tile.setAttribute("role", "option");
      tile.addEventListener("click", () => moveTo(at), { signal });
      tiles.push({ tile, img, badge, shown: null });
      grid.append(tile);
      watcher.observe(tile);
    }
  }

  function paintBadge(at) {
    const mark = model.get("marks")[at] ?? "-", guess = model.get("guesses")[at] ?? "-", { tile, badge } = tiles[at];
    const state = mark + guess;
    if (tiles[at].shown === state) return;
    tiles[at].shown = state;
    const type = byKey[mark] ?? (mark === "-" || mark === "s" ? byKey[guess] : undefined), said = mark in byKey;
    badge.className = "warp-badge" + (type && !said ? " warp-guess" : "") + (mark === "!" ? " warp-broken" : "");
    badge.textContent = mark === "!" ? "no picture" : type ? type.short + (said ? "" : "?") : mark === "s" ? "later" : "";
    badge.style.setProperty("--badge", type?.colour ?? "transparent");
    tile.classList.toggle("warp-said", said || mark === "!");
  }

  function paint() {
    addTiles();
    for (let at = 0; at < tiles.length; at++) paintBadge(at);
    const marks = model.get("marks");
    for (const row of legend.children) {
      const count = [...marks].filter(mark => mark === row.dataset.key).length;
      row.querySelector(".warp-legend-count").textContent = count || "";
    }
    paintLegend();
    ask();
  }

  // ---- the one that is looked at

  let focused = -1;
  function paintFocus() {
    const at = model.get("at");
    if (tiles[focused]) tiles[focused].tile.classList.remove("warp-focused");
    focused = at;
    const tile = tiles[at]?.tile;
    if (tile) {
      tile.classList.add("warp-focused");
      tile.setAttribute("aria-selected", "true");
      const above = tile.offsetTop - grid.scrollTop, below = above + tile.offsetHeight - grid.clientHeight;
      if (above < 8) grid.scrollTop += above - 8;
      else if (below > -8) grid.scrollTop += below + 8;
    }
    paintView();
    paintLegend();
    ask();
  }

  function paintView() {
    const at = model.get("at"), sharp = views.get(at), rough = thumbs.get(at), why = faults.get(at);
    fault.textContent = why ?? "";
    fault.hidden = !why;
    picture.hidden = Boolean(why) || !(sharp ?? rough);
    if (!picture.hidden) picture.src = sharp ?? rough;
    picture.classList.toggle("warp-rough", !sharp);
    view.dataset.at = at;
    view.dataset.sharp = sharp ? "yes" : "no";
    const name = model.get("names")[at];
    caption.textContent = name === undefined ? "no screenshots yet: paste some, drop some here, or choose files" : `${at + 1} of ${tiles.length}  ·  ${name}`;
  }

  function paintLegend() {
    const at = model.get("at"), mark = model.get("marks")[at], guess = model.get("guesses")[at];
    for (const row of legend.children) {
      row.classList.toggle("warp-chosen", row.dataset.key === mark);
      row.classList.toggle("warp-guessed", row.dataset.key === guess && !(mark in byKey));
    }
  }

  for (const type of types) {
    const cap = element("kbd", "", type.key), title = element("b", "", type.title), tells = element("span", "warp-legend-tells", type.tells);
    const row = element("button", "warp-legend-row", cap, element("span", "warp-legend-words", title, tells), element("span", "warp-legend-count"));
    row.type = "button";
    row.tabIndex = -1; // the keys do it; Tab leads out of the desk
    row.dataset.key = type.key;
    row.style.setProperty("--badge", type.colour);
    row.addEventListener("click", () => model.send({ type: "choose", key: type.key }), { signal });
    legend.append(row);
  }

  // ---- pictures

  const keep = (kept, at, bytes, most) => {
    URL.revokeObjectURL(kept.get(at));
    kept.delete(at);
    kept.set(at, URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })));
    for (const old of kept.keys()) {
      if (kept.size <= most) break;
      if (old !== model.get("at")) { URL.revokeObjectURL(kept.get(old)); kept.delete(old); }
    }
  };

  // The most urgent picture that is missing: what is looked at, then what is in sight, then what comes next.
  function mostUrgent() {
    const at = model.get("at"), lacks = (kept, i) => !kept.has(i) && !faults.has(i);
    if (tiles[at] && lacks(views, at)) return { what: "view", at };
    const inSight = [...seen].filter(i => lacks(thumbs, i)).sort((a, b) => Math.abs(a - at) - Math.abs(b - at))[0];
    if (inSight !== undefined) return { what: "thumb", at: inSight };
    const next = model.get("ahead");
    return tiles[next] && lacks(views, next) ? { what: "view", at: next } : null;
  }

  let patience;
  function ask() {
    if (wanted || signal.aborted || !(wanted = mostUrgent())) return;
    model.send({ type: "want", ...wanted });
    clearTimeout(patience);
    patience = setTimeout(() => { wanted = null; ask(); }, 6000); // a message can be lost where a kernel is restarted: ask again
  }

  function arrived(content, buffers) {
    if (content.type !== "picture") return;
    const { what, at, fault: why } = content;
    if (why) faults.set(at, why);
    else if (what === "view") keep(views, at, buffers[0], VIEWS_KEPT);
    else { keep(thumbs, at, buffers[0], Infinity); if (tiles[at]) tiles[at].img.src = thumbs.get(at); }
    if (at === model.get("at")) paintView();
    if (wanted?.at === at && wanted.what === what) wanted = null; // not when the answer is to another window on the same desk
    ask();
  }

  // ---- moving about

  function moveTo(at) {
    at = Math.max(0, Math.min(tiles.length - 1, at));
    if (at === model.get("at") || !tiles.length) return;
    model.set("at", at);
    model.send({ type: "move", at }); // as a message, so that it cannot be overtaken by the key that follows
  }
  const inRow = () => tiles.length < 2 ? 1 : Math.max(1, tiles.findIndex(({ tile }) => tile.offsetTop > tiles[0].tile.offsetTop) === -1
    ? tiles.length : tiles.findIndex(({ tile }) => tile.offsetTop > tiles[0].tile.offsetTop));
  const steps = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -inRow(), ArrowDown: () => inRow(), Home: () => -Infinity, End: () => Infinity,
    PageUp: () => -4 * inRow(), PageDown: () => 4 * inRow() };

  const begin = () => {
    if (signal.aborted) return;
    const root = el.closest(".warp-desk");
    if (!root) return void requestAnimationFrame(begin);
    root.addEventListener("keydown", event => {
      if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
      if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
      event.preventDefault();
      event.stopPropagation();
      const step = steps[event.key](), at = model.get("at");
      if (Math.abs(step) === Infinity || (at + step >= 0 && at + step < tiles.length) || event.key.startsWith("Page")) moveTo(at + step);
    }, { signal, capture: true });
    paintFocus();
  };

  const listeners = { "change:names": paint, "change:marks": paint, "change:guesses": paint, "change:at": paintFocus, "change:ahead": ask,
    "msg:custom": arrived };
  for (const [what, act] of Object.entries(listeners)) model.on(what, act);
  paint();
  begin();
  return () => {
    ended.abort();
    clearTimeout(patience);
    watcher.disconnect();
    for (const [what, act] of Object.entries(listeners)) model.off(what, act);
    for (const address of [...thumbs.values(), ...views.values()]) URL.revokeObjectURL(address);
  };
}

export default { render };
