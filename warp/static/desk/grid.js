// The confirm grid: crops, the name suggested for each, and the picture of what it is said to be. Everything goes by keyboard.
//
// This file is joined behind names.js, which brings `nameField` and `nameLabel`; Python joins them, because the parts of an anywidget cannot import each other.
// The widget knows nothing of files. It shows `cells`, tells the kernel what the person did (`model.send`), paints that at once, and believes
// whatever the kernel says afterwards (`changes`). A cell's pictures are places on one large sheet, so 500 of them are one picture for the browser.

const GRID_LOW = 12; // open cells left when the grid asks for more by itself
const GRID_PATIENCE_MS = 8000; // until it says that answers are not stored

// An element with classes and text; text from data is only ever set as text.
function gridElement(tag, classes, text = "") {
  const element = document.createElement(tag);
  element.className = classes;
  if (text) element.textContent = text;
  return element;
}

const gridPercent = (score) => (score > 0 ? `${Math.round(100 * score)} %` : "");
const gridOpen = (cell) => cell.state === "open" || cell.state === "again";
// The name that is shown: what was said, else what Enter would say. Empty when nothing is suggested.
const gridOffer = (cell) => (cell.state === "confirmed" ? cell.name : cell.offer);

const gridTile = (classes) => gridElement("span", `wg-tile ${classes}`);

// Shows in a tile of CSS size `side` the place `tile` of the sheet; instead of -1 a picture of its own (a data URL), and without one an empty frame.
function gridPlace(span, tile, columns, side, image = "") {
  const own = tile < 0 && image.startsWith("data:image/"), style = span.style;
  span.classList.toggle("wg-none", tile < 0 && !own);
  style.backgroundImage = own ? `url("${image}")` : "";
  style.backgroundSize = own ? "contain" : tile < 0 ? "" : `${columns * side}px auto`;
  style.backgroundPosition = own ? "center" : tile < 0 ? "" : `${-(tile % columns) * side}px ${-Math.floor(tile / columns) * side}px`;
}

function render({ model, el }) {
  const view = Math.random().toString(36).slice(2); // who asks: one grid may be shown twice
  const elements = new Map(); // key -> the cell's element
  const waiting = new Map(); // key -> number of the newest act that the kernel has not answered
  let cells = [], byKey = new Map(), at = 0, number = 0, asked = false, url = "";

  // ---- the page's furniture -------------------------------------------------------------------------------------------------
  const root = gridElement("div", "warp-grid");
  root.dataset.lmSuppressShortcuts = "true";
  const head = gridElement("div", "wg-head");
  const count = gridElement("span", "wg-count");
  head.append(count);
  const list = gridElement("div", "wg-cells");
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "icons to confirm");
  const side = gridElement("div", "wg-side");
  const body = gridElement("div", "wg-body");
  body.append(list, side);
  const status = gridElement("div", "wg-status");
  status.setAttribute("role", "status");
  status.setAttribute("aria-live", "polite");
  root.append(head, body, status);
  el.append(root);

  const buttons = {};
  for (const [what, label, key, press] of [
    ["all", "Accept all alike", "a", acceptAll], ["empty", "Empty slot", "e", () => say("__empty__")], ["skip", "Can't tell", "x", skip],
    ["undo", "Undo", "Ctrl+Z", () => step("undo")], ["redo", "Redo", "Ctrl+Shift+Z", () => step("redo")],
    ["more", "Find more", "f", findMore]]) {
    const button = gridElement("button", `wg-button wg-${what}`, label);
    button.type = "button";
    button.title = `${label} (${key})`;
    button.append(gridElement("kbd", "", key));
    button.addEventListener("click", () => { press(); focus(at); });
    buttons[what] = button;
    head.append(button);
  }

  // The focused icon, large, with its likeliest names and the field for any other.
  const large = { crop: gridTile("wg-large"), picture: gridTile("wg-large"), title: gridElement("div", "wg-title"), slot: gridElement("div", "wg-slot"),
    doubt: gridElement("div", "wg-doubt"), host: gridElement("div", "wg-field"), choices: gridElement("ol", "wg-choices") };
  const pair = gridElement("div", "wg-pair");
  pair.append(large.crop, large.picture);
  side.append(pair, large.title, large.slot, large.doubt, large.host, large.choices);

  // ---- painting -------------------------------------------------------------------------------------------------------------
  const columns = () => model.get("columns");

  function build(cell, index) {
    const element = gridElement("div", "wg-cell");
    element.setAttribute("role", "option");
    element.tabIndex = -1;
    element.id = `wg-${view}-${index}`;
    element.dataset.key = cell.key;
    const crop = gridTile("wg-crop"), picture = gridTile("wg-picture");
    const name = gridElement("div", "wg-name"), note = gridElement("div", "wg-note"), mark = gridElement("span", "wg-mark"), alike = gridElement("span", "wg-alike");
    const pictures = gridElement("div", "wg-pictures");
    pictures.append(crop, picture);
    element.append(pictures, name, note, mark, alike);
    element.parts = { crop, picture, name, note, mark, alike };
    gridPlace(crop, cell.tile, columns(), 64);
    element.addEventListener("mousedown", () => focus(byKey.get(cell.key)));
    element.addEventListener("dblclick", () => { focus(byKey.get(cell.key)); accept(); });
    elements.set(cell.key, element);
    return element;
  }

  function paint(cell) {
    const element = elements.get(cell.key), { picture, name, note, mark, alike } = element.parts;
    const offer = gridOffer(cell), choice = cell.choices.find((one) => one.name === offer);
    element.className = `wg-cell wg-is-${cell.state}${waiting.has(cell.key) ? " wg-waiting" : ""}`;
    gridPlace(picture, choice ? choice.tile : cell.picture, columns(), 64, cell.image);
    name.textContent = cell.state === "skipped" ? "can't tell" : nameLabel(offer) || "no suggestion";
    name.title = name.textContent;
    const score = choice && cell.state !== "confirmed" ? gridPercent(choice.score) : "";
    note.replaceChildren(gridElement("span", "wg-where", cell.state === "again" ? cell.note : cell.slot), gridElement("span", "wg-score", cell.state === "again" ? "" : score));
    note.title = `${cell.slot} in ${cell.file}`;
    mark.textContent = { confirmed: "✓", skipped: "?", gone: "–", again: "look again" }[cell.state] ?? cell.why;
    element.dataset.why = cell.state === "open" ? cell.why : "";
    const all = cell.cluster >= 0 && gridOpen(cell) ? alikes(cell) : [];
    alike.textContent = all.length > 1 && all[0] === cell ? `${all.length} alike` : "";
    const words = { open: "not answered", again: "confirmed earlier, please look again", confirmed: "confirmed", skipped: "can't tell", gone: "replaced" }[cell.state];
    element.setAttribute("aria-label", [nameLabel(offer) || "no suggestion", score, cell.slot, words, all.length > 1 ? `one of ${all.length} alike` : ""].filter(Boolean).join(", "));
  }

  const alikes = (cell) => cells.filter((one) => one.cluster === cell.cluster && one.cluster >= 0 && one.state === "open" && gridOffer(one) === gridOffer(cell));

  function paintHead() {
    const open = cells.filter(gridOpen).length;
    count.textContent = open ? `${open} to go` : "all answered";
    count.classList.toggle("wg-saving", waiting.size > 0);
    count.title = waiting.size ? `${waiting.size} on their way to the disk` : "everything answered is stored";
    buttons.more.disabled = !model.get("more") || asked;
    const alike = cells[at] ? alikes(cells[at]).length : 0;
    buttons.all.firstChild.textContent = alike > 1 ? `Accept all ${alike} alike` : "Accept all alike";
    buttons.all.disabled = alike < 2;
  }

  function paintSide() {
    const cell = cells[at];
    side.classList.toggle("wg-bare", !cell);
    large.choices.replaceChildren();
    if (!cell) return;
    const offer = gridOffer(cell), chosen = cell.choices.find((one) => one.name === offer);
    gridPlace(large.crop, cell.tile, columns(), 128);
    gridPlace(large.picture, chosen ? chosen.tile : cell.picture, columns(), 128, cell.image);
    large.title.textContent = cell.state === "skipped" ? "can't tell" : nameLabel(offer) || "no suggestion";
    large.slot.textContent = `${cell.slot} in ${cell.file}`;
    large.doubt.textContent = cell.state === "again" ? `You said this earlier, and it ${cell.note}. Enter keeps your word.` : "";
    cell.choices.forEach((choice, index) => {
      const row = gridElement("li", `wg-choice${choice.name === offer ? " wg-offer" : ""}`);
      const picture = gridTile("wg-small"), words = gridElement("span", "wg-words"), meter = gridElement("span", "wg-meter"), level = gridElement("span", "wg-level");
      gridPlace(picture, choice.tile, columns(), 32);
      level.style.width = `${Math.round(100 * choice.score)}%`;
      meter.append(level);
      words.append(gridElement("span", "wg-choice-name", nameLabel(choice.name)), meter);
      row.append(gridElement("kbd", "", String(index + 1)), picture, words, gridElement("span", "wg-percent", gridPercent(choice.score)));
      row.title = choice.by ? `${nameLabel(choice.name)}, says ${choice.by}` : nameLabel(choice.name);
      row.addEventListener("click", () => pick(index));
      large.choices.append(row);
    });
  }

  // Shows which icons one key would answer together.
  function paintAlike() {
    const mates = new Set(cells[at] ? alikes(cells[at]) : []);
    cells.forEach((cell) => elements.get(cell.key).classList.toggle("wg-mate", mates.size > 1 && mates.has(cell)));
  }

  function repaint(keys) {
    const clusters = new Set();
    keys.forEach((key) => { const cell = cells[byKey.get(key)]; if (cell) { paint(cell); clusters.add(cell.cluster); } });
    cells.forEach((cell) => { if (cell.cluster >= 0 && clusters.has(cell.cluster)) paint(cell); }); // who is first of its kind may have changed
    refocus();
  }

  function refocus() {
    cells.forEach((cell, index) => {
      const element = elements.get(cell.key), here = index === at;
      element.classList.toggle("wg-at", here);
      element.setAttribute("aria-selected", here);
      element.tabIndex = here ? 0 : -1;
    });
    paintHead();
    paintSide();
    paintAlike();
  }

  // Goes to an icon. The page's focus moves along, except when the grid only shows itself.
  function focus(index, take = true) {
    if (!cells.length) return;
    at = Math.max(0, Math.min(cells.length - 1, index));
    refocus();
    if (take) elements.get(cells[at].key).focus({ preventScroll: true });
    const box = elements.get(cells[at].key).getBoundingClientRect(), frame = list.getBoundingClientRect();
    if (box.top < frame.top + 4) list.scrollTop -= frame.top + 4 - box.top;
    if (box.bottom > frame.bottom - 4) list.scrollTop += box.bottom - frame.bottom + 4;
  }

  const nextOpen = (from) => {
    for (let step = 1; step <= cells.length; step++) if (gridOpen(cells[(from + step) % cells.length])) return (from + step) % cells.length;
    return from;
  };

  function tell(text, fault = false) {
    status.textContent = text;
    status.classList.toggle("wg-fault", fault);
  }

  // ---- acts: painted now, stored behind ---------------------------------------------------------------------------------------
  function act(message, guess) {
    number += 1;
    for (const [key, fields] of Object.entries(guess)) {
      waiting.set(key, number);
      Object.assign(cells[byKey.get(key)], fields);
    }
    model.send({ ...message, keys: Object.keys(guess), number, view });
    repaint(Object.keys(guess));
    const mine = number;
    setTimeout(() => {
      const late = [...waiting.values()].filter((one) => one <= mine).length;
      if (late) tell(`${late} of your answers are not stored yet. If it stays so, the kernel has stopped: run the cell again.`, true);
    }, GRID_PATIENCE_MS);
  }

  function say(name) {
    const cell = cells[at];
    if (!cell || !name || cell.state === "gone") return;
    if (cell.state === "confirmed" && cell.name === name) return tell("This one is answered: 1–5 or a name changes it, Ctrl+Z takes it back.");
    act({ act: "name", name }, { [cell.key]: { state: "confirmed", name, picture: -1, image: "" } });
    tell(nameLabel(name));
    focus(nextOpen(at));
    runLow();
  }

  function accept() {
    const cell = cells[at];
    if (!cell) return;
    if (!gridOpen(cell)) return tell(cell.state === "gone" ? "Another answer has replaced this one." : "This one is answered: 1–5 or a name changes it, Ctrl+Z takes it back.");
    if (!gridOffer(cell)) return tell("Nothing is suggested for this one: type its name, or press x if you can't tell.");
    say(gridOffer(cell));
  }

  function pick(index) {
    const choice = cells[at]?.choices[index];
    if (choice) say(choice.name); else tell(`There is no suggestion ${index + 1} for this one.`);
  }

  function acceptAll() {
    const cell = cells[at], all = cell ? alikes(cell) : [];
    if (all.length < 2 || !gridOffer(cell)) return accept();
    const name = gridOffer(cell), last = byKey.get(all.at(-1).key);
    act({ act: "name", name }, Object.fromEntries(all.map((one) => [one.key, { state: "confirmed", name }])));
    tell(`${all.length} accepted: Ctrl+Z takes them back`);
    focus(nextOpen(last));
    runLow();
  }

  function skip() {
    const cell = cells[at];
    if (!cell || cell.state === "skipped" || cell.state === "gone") return;
    act({ act: "skip" }, { [cell.key]: { state: "skipped", name: "" } });
    tell("can't tell");
    focus(nextOpen(at));
    runLow();
  }

  function step(which) {
    act({ act: which }, {});
  }

  function findMore() {
    if (!model.get("more") || asked) return tell(asked ? "Looking for more …" : "There is nothing more to find.");
    asked = true;
    tell("Looking for more …");
    model.send({ act: "more", keys: [], number: (number += 1), view });
    paintHead();
  }

  function runLow() {
    if (cells.filter(gridOpen).length < GRID_LOW && model.get("more") && !asked) findMore();
  }

  // ---- the name field ---------------------------------------------------------------------------------------------------------
  function openField(text = "") {
    const cell = cells[at];
    if (!cell || cell.state === "gone") return;
    field.focus();
    if (text) { field.input.value = text; field.input.dispatchEvent(new Event("input", { bubbles: true })); }
  }

  function closeField() {
    field.setValue("");
    focus(at);
  }

  const field = nameField(large.host, { placeholder: "type any other name" });
  field.input.setAttribute("aria-label", "name of the icon");
  field.onPick((name) => { say(name); closeField(); });
  large.host.addEventListener("focus", () => { // before the field itself shows its list
    const cell = cells[at];
    field.setNames(cell ? (model.get("names")[cell.slot] ?? []) : []);
    field.setSuggestions(cell ? cell.choices.map((one) => ({ ...one, picture: tilePicture(one.tile) })) : []);
    field.setValue("");
  }, true);

  // A place of the sheet as a picture of its own, for the field's list.
  let drawn = null;
  function tilePicture(tile) {
    if (tile < 0 || !drawn) return "";
    const canvas = document.createElement("canvas"), across = columns();
    canvas.width = canvas.height = 64;
    canvas.getContext("2d").drawImage(drawn, 64 * (tile % across), 64 * Math.floor(tile / across), 64, 64, 0, 0, 64, 64);
    return canvas.toDataURL("image/jpeg", 0.9);
  }

  // ---- keys -------------------------------------------------------------------------------------------------------------------
  const perRow = () => getComputedStyle(list).gridTemplateColumns.split(" ").length;
  const perPage = () => {
    const one = cells.length ? elements.get(cells[at].key).offsetHeight + 8 : 1;
    return perRow() * Math.max(1, Math.floor(list.clientHeight / one));
  };
  const COMMANDS = {
    Enter: accept, " ": accept, a: acceptAll, e: () => say("__empty__"), x: skip, t: () => openField(), "/": () => openField(),
    f: findMore, n: () => focus(nextOpen(at)),
    ArrowRight: () => focus(at + 1), ArrowLeft: () => focus(at - 1), ArrowDown: () => focus(at + perRow() < cells.length ? at + perRow() : at),
    ArrowUp: () => focus(at - perRow() >= 0 ? at - perRow() : at), Home: () => focus(0), End: () => focus(cells.length - 1),
    PageDown: () => focus(at + perPage()), PageUp: () => focus(at - perPage()),
  };

  function command(event) {
    if (event.altKey) return null;
    const letter = event.key.toLowerCase(), key = event.key.length === 1 && !event.shiftKey ? letter : event.key; // also with Caps Lock on
    if (event.ctrlKey || event.metaKey) {
      if (letter === "z") return () => step(event.shiftKey ? "redo" : "undo");
      return letter === "y" ? () => step("redo") : null;
    }
    const digit = /^[1-5]$/.exec(event.key)?.[0] ?? (event.shiftKey ? undefined : /^Digit([1-5])$/.exec(event.code)?.[1]); // French keyboards need Shift for digits
    if (digit) return () => pick(Number(digit) - 1);
    if (Object.hasOwn(COMMANDS, key)) return COMMANDS[key];
    return event.key.length === 1 && /\p{L}/u.test(event.key) ? () => openField(event.key) : null;
  }

  // The keys of the whole desk are the grid's. The window hears them before JupyterLab (which listens on the document) and the desk's own page do;
  // what is no key of the grid, such as the question mark, goes on to them.
  function onKey(event) {
    const desk = root.closest(".warp-desk") ?? root, typing = event.target instanceof HTMLInputElement, turning = (event.ctrlKey || event.metaKey) && !event.target.value;
    if (!desk.contains(event.target) || event.isComposing || (typing && event.key !== "Escape" && !turning)) return;
    if (event.target instanceof HTMLButtonElement && (event.key === "Enter" || event.key === " ")) return event.stopPropagation(); // the button's own
    const does = typing && event.key === "Escape" ? closeField : command(event);
    if (!does) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat || event.key.startsWith("Arrow") || event.key.startsWith("Page")) does(); // a key that is held down must not accept a whole page
  }
  window.addEventListener("keydown", onKey, true);

  // ---- what the kernel says -----------------------------------------------------------------------------------------------------
  function onCells() {
    const here = cells[at]?.key;
    cells = model.get("cells");
    byKey = new Map(cells.map((cell, index) => [cell.key, index]));
    const kept = new Map(elements);
    elements.clear();
    const all = cells.map((cell, index) => { const old = kept.get(cell.key); if (old) elements.set(cell.key, old); return old ?? build(cell, index); });
    const scrolled = list.scrollTop, held = list.contains(document.activeElement);
    list.replaceChildren(...all);
    list.scrollTop = scrolled;
    list.classList.toggle("wg-empty", !cells.length);
    if (!cells.length) list.replaceChildren(gridElement("div", "wg-nothing", "Nothing waits for you here. Name the type of more screenshots, or draw boxes, and come back."));
    if (!cells.length) root.dataset.painted = "0";
    cells.forEach(paint);
    asked = false;
    at = here !== undefined && byKey.has(here) ? byKey.get(here) : Math.max(0, cells.findIndex(gridOpen));
    refocus();
    if (held) elements.get(cells[at]?.key)?.focus({ preventScroll: true }); // what is moved on a page loses the keyboard
  }

  async function onSheet() {
    const bytes = model.get("sheet"), old = url;
    if (!bytes || !bytes.byteLength) return;
    url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    const mine = url, image = new Image();
    image.src = url;
    await image.decode();
    if (mine !== url) return; // a newer sheet has come
    drawn = image;
    root.style.setProperty("--wg-sheet", `url("${url}")`);
    requestAnimationFrame(() => requestAnimationFrame(() => { root.dataset.painted = String(cells.length); }));
    if (old) setTimeout(() => URL.revokeObjectURL(old), 1000);
  }

  function onChanges() {
    const { cells: changed = {}, say: text = "", fault = false, number: answered = 0, view: whose = "", go = "", found = null } = model.get("changes");
    const painted = [];
    for (const [key, fields] of Object.entries(changed)) {
      const newest = waiting.get(key);
      if (newest !== undefined && (whose !== view || newest > answered)) continue; // what the person did since is newer than this answer
      waiting.delete(key);
      if (!byKey.has(key)) continue;
      Object.assign(cells[byKey.get(key)], fields);
      painted.push(key);
    }
    for (const [key, newest] of waiting) if (whose === view && newest <= answered) { waiting.delete(key); painted.push(key); }
    repaint(painted);
    if (text) tell(text, fault);
    if (whose === view && go && byKey.has(go)) focus(byKey.get(go));
    root.dataset.answered = String(answered);
    if (fault) asked = false;
    if (found !== null) { asked = false; paintHead(); runLow(); } // goes on looking while there is too little to answer
  }

  const onMore = () => { asked = false; paintHead(); };
  const heard = [["change:cells", onCells], ["change:sheet", onSheet], ["change:changes", onChanges], ["change:more", onMore]];
  heard.forEach(([event, listener]) => model.on(event, listener));
  onCells();
  onSheet();
  runLow();
  return () => {
    heard.forEach(([event, listener]) => model.off(event, listener));
    window.removeEventListener("keydown", onKey, true);
    field.destroy();
    if (url) URL.revokeObjectURL(url);
  };
}

export default { render };
