// The keyboard of a desk, and the line below it that tells which keys there are.
//
// Three parties want the keys that are pressed on a desk: JupyterLab (single letters cut and delete cells), the drawing widget (which keeps every key that it
// sees) and the desk. The desk listens on its own outermost element and in the capture phase, so it sees a key before everything inside it does; and it bears
// the attribute with which JupyterLab is asked to leave the keys of an element alone. What is no key of the desk goes on as if nobody had listened.

const MODIFIERS = ["Control", "Shift", "Alt", "Meta", "AltGraph", "CapsLock", "Dead"];

// Every way to spell the key that was pressed, the most exact first: "Ctrl+Shift+z", "Shift+1", "?". A digit is known by its place on the keyboard,
// because on some keyboards (French ones) it takes Shift to get one.
function spellings(event) {
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1];
  const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key === " " ? "Space" : event.key;
  const before = (event.ctrlKey || event.metaKey ? "Ctrl+" : "") + (event.altKey ? "Alt+" : "");
  const shift = event.shiftKey ? "Shift+" : "";
  const found = digit ? [before + shift + digit, before + shift + letter] : [before + shift + letter];
  if (event.shiftKey && event.key.length === 1 && letter === event.key) found.push(before + letter); // "?" needs Shift to be typed at all
  return found;
}

// An element in which people type.
function isField(element) {
  if (!element) return false;
  if (element.isContentEditable || element.tagName === "TEXTAREA" || element.tagName === "SELECT") return true;
  return element.tagName === "INPUT" && !["checkbox", "radio", "button", "range", "file"].includes(element.type);
}

// Listens to the keys of `root`. `handles(spelling)` says whether a key is wanted, `press(spelling)` does what it does.
function listenForKeys(root, handles, press, signal) {
  let typing = false; // whether the field with the focus holds letters that were not entered yet: Ctrl+Z then takes back a letter, not an act
  const settle = () => { typing = false; };
  root.addEventListener("input", event => { typing = isField(event.target); }, { signal, capture: true });
  for (const kind of ["change", "focusin", "focusout", "pointerdown"]) root.addEventListener(kind, settle, { signal, capture: true });

  root.addEventListener("keydown", event => {
    if (event.isComposing || MODIFIERS.includes(event.key) || event.getModifierState?.("AltGraph")) return;
    const field = isField(event.target) && event.target;
    if (field && event.key === "Escape") {
      if (field.getAttribute("aria-expanded") === "true") return; // a list is open below it: Escape closes that first
      event.preventDefault();
      event.stopPropagation();
      return root.focus({ preventScroll: true });
    }
    if (field && event.key === "Enter") settle();
    if (field && (!(event.ctrlKey || event.metaKey) || typing)) return;
    const wanted = spellings(event).find(handles);
    if (wanted === undefined) {
      if (spellings(event)[0] === "Ctrl+s") event.preventDefault(); // JupyterLab saves elsewhere; the browser's own dialog helps nobody here
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat || event.key.startsWith("Arrow")) press(wanted); // a key that is held down must not accept a whole page
  }, { signal, capture: true });
}

// A desk takes the keyboard when it appears and whenever it is clicked, but never out of a field in which somebody is typing.
function keepFocus(root, signal) {
  root.tabIndex = 0;
  root.dataset.lmSuppressShortcuts = "true";
  const take = () => { if (!root.contains(document.activeElement)) root.focus({ preventScroll: true }); };
  root.addEventListener("pointerup", () => setTimeout(take), { signal, capture: true });
  if (!isField(document.activeElement)) take();
  // The element with the focus may be taken off the page (a button that is replaced): the keyboard then stays with the desk.
  root.addEventListener("focusout", event => {
    const left = event.target;
    if (!event.relatedTarget) setTimeout(() => { if (!left.isConnected && document.activeElement === document.body) take(); });
  }, { signal });
}

function keyCap(spelling) {
  const caps = document.createElement("span");
  caps.className = "warp-caps";
  const names = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", Backspace: "⌫", Delete: "Del", PageUp: "PgUp",
    PageDown: "PgDn" };
  const parts = spelling === "+" ? ["+"] : spelling.split("+");
  for (const part of parts) {
    const cap = document.createElement("kbd");
    cap.textContent = names[part] ?? (part.length === 1 ? part.toUpperCase() : part);
    caps.append(cap);
  }
  return caps;
}

// The caps of keys that do the same; ten digits in a row are told by the first and the last.
function keyCaps(keys) {
  const runs = [];
  for (const key of keys) {
    const before = /^(.*)[0-9]$/.exec(key)?.[1];
    if (before !== undefined && runs.at(-1)?.before === before) runs.at(-1).keys.push(key);
    else runs.push({ before, keys: [key] });
  }
  const row = run => {
    const all = document.createElement("span");
    all.className = "warp-caps";
    all.append(keyCap(run.keys[0]), "…", keyCap(run.keys.at(-1)));
    return [all];
  };
  return runs.flatMap(run => (run.keys.length < 4 ? run.keys.map(keyCap) : row(run)));
}

function keyRow(entry) {
  const row = document.createElement("div");
  row.className = "warp-key-row";
  const caps = document.createElement("span");
  caps.className = "warp-key-caps";
  caps.append(...keyCaps(entry.keys));
  const does = document.createElement("span");
  does.textContent = entry.does;
  row.append(caps, does);
  return row;
}

function render({ model, el }) {
  const ended = new AbortController(), { signal } = ended;
  el.classList.add("warp-keys");
  const state = document.createElement("span"), ask = document.createElement("button"), sheet = document.createElement("div");
  state.className = "warp-keys-state";
  ask.className = "warp-keys-ask";
  ask.type = "button";
  ask.append(keyCap("?"), document.createTextNode("all keys"));
  sheet.className = "warp-keys-sheet";
  sheet.hidden = true;
  el.append(state, ask, sheet);

  const unfold = () => { sheet.hidden = !sheet.hidden; if (!sheet.hidden) sheet.scrollIntoView({ block: "nearest" }); };
  const fill = () => sheet.replaceChildren(...[...model.get("table"), { keys: ["?"], does: "show or hide this list" }].map(keyRow));
  const inTable = spelling => model.get("table").some(entry => entry.here && entry.keys.includes(spelling));
  const handles = spelling => spelling === "?" || (spelling === "Escape" && !sheet.hidden) || inTable(spelling);
  // Python says that it has heard each key. Where it does not, the kernel is at work, or it was restarted and this desk is only a picture of itself.
  let number = 0, patience = [], tell = () => {};
  const settled = () => { patience.forEach(clearTimeout); patience = []; delete el.dataset.waiting; tell(); };
  const waiting = words => { el.dataset.waiting = words; tell(); };
  const answered = content => { if (content.type === "heard" && content.number === number) settled(); };
  const press = spelling => {
    if (spelling === "?") return unfold();
    if (spelling === "Escape" && !sheet.hidden) { sheet.hidden = true; return; }
    model.send({ type: "key", key: spelling, number: ++number });
    if (patience.length) return;
    patience = [setTimeout(waiting, 1200, "working …"), setTimeout(waiting, 15000, "no answer: if the kernel was restarted, run the cell above again")];
  };
  model.on("msg:custom", answered);
  ask.addEventListener("click", unfold, { signal });
  model.on("change:table", fill);
  fill();

  // The widget is made before it hangs on the page, and its desk is known only then.
  const begin = () => {
    if (signal.aborted) return;
    const root = el.closest(".warp-desk");
    if (!root) return void requestAnimationFrame(begin);
    tell = () => {
      const on = root.contains(document.activeElement);
      root.classList.toggle("warp-listening", on);
      state.textContent = el.dataset.waiting ?? (on ? "keys are on" : "click the desk to switch its keys on");
    };
    for (const kind of ["focusin", "focusout"]) root.addEventListener(kind, () => setTimeout(tell), { signal });
    listenForKeys(root, handles, press, signal);
    keepFocus(root, signal);
    tell();
  };
  begin();
  return () => { ended.abort(); settled(); model.off("change:table", fill); model.off("msg:custom", answered); };
}

export default { render };
