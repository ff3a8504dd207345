// names.js: a field for the name of an item. One types a few letters of it, in any order, and picks from a drop-down.
//
//   const field = nameField(host, {placeholder: "type a few letters"});
//   field.setNames(["Ablative Shell", ..., "__empty__"]);                                  // all that may be entered
//   field.setSuggestions([{name: "Ablative Shell", score: 0.93, by: "model", picture: "data:image/jpeg;base64,..."}]);
//   field.onPick((name, by) => ...);                                                       // by: "enter", "digit", "tab" or "click"
//   field.onPictures(names => ...);                                                        // asked once a name, when it is shown; answer, now or later,
//   field.setPictures({"Ablative Shell": "data:image/jpeg;base64,..."});                   // with this; without a listener names come without pictures
//
// No imports, no exports: Python puts this file before the code of the widget that uses it. Whatever comes from data is shown as text, never as markup.

const NAME_LABELS = new Map([["__empty__", "empty slot"], ["__inactive__", "greyed out"]]);  // virtual names: what people read; the value stays
const NAME_SPEAKERS = new Map([["model", "the model"], ["templates", "the host's icons"], ["session", "what was confirmed here"], ["hashes", "the community"]]);
const NAME_ROWS = 12, NAME_DIGITS = 5;  // rows of names in the drop-down; suggestions that a digit picks
const NAME_START = 0, NAME_INSIDE = 1, NAME_INITIALS = 2, NAME_TYPO = 3, NAME_SCATTERED = 4;  // how a name fits what was typed, best first

const nameLabel = name => NAME_LABELS.get(name) ?? name;

// ---- letters: case, accents and punctuation do not count ------------------------------------------------------------------------------------

// "Größe-X's" -> " grosse xs": words in small plain letters, each after one blank. `at[i]` is where letter i stands in the text.
function foldName(text) {
  let folded = "", blank = true;
  const at = [];
  const put = (letters, i) => {
    if (blank) { folded += " "; at.push(i); blank = false; }
    for (const letter of letters) { folded += letter; at.push(i); }
  };
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if ((code >= 97 && code <= 122) || (code >= 48 && code <= 57)) put(text[i], i);
    else if (code >= 65 && code <= 90) put(String.fromCharCode(code + 32), i);
    else if (code === 39 || code === 0x2019 || code === 96) continue;  // apostrophes: "Chekov's" is found by "chekovs"
    else if (code < 128) blank = true;
    else {
      const plain = text[i].normalize("NFD").replace(/\p{M}/gu, "").toUpperCase().toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
      if (plain) put(plain, i);
      else if (!/\p{M}/u.test(text[i])) blank = true;  // an accent that is a letter of its own belongs to the letter before it
    }
  }
  return { folded, at };
}

// the same without the places, for the many
function foldedName(text) {
  if (/[^\x00-\x7f]/.test(text)) return foldName(text).folded;
  const plain = text.toLowerCase().replace(/['`]/g, "").replace(/[^a-z0-9]+/g, " ").trim();
  return plain && " " + plain;
}

const letterMask = word => { let mask = 0; for (let i = 0; i < word.length; i++) mask |= 1 << (word.charCodeAt(i) & 31); return mask; };
const bitCount = mask => { let count = 0; for (; mask; mask &= mask - 1) count++; return count; };

// ---- the index of a slot's names --------------------------------------------------------------------------------------------------------------

function indexNames(names) {
  const words = new Map(), spelled = new Map(), same = new Map();
  const entries = names.map(name => {
    const label = nameLabel(name), folded = foldedName(label);
    const ids = folded.split(" ").filter(Boolean).map(word => {
      if (!words.has(word)) words.set(word, words.size);
      return words.get(word);
    });
    for (const form of label === name ? [name] : [name, label]) {
      spelled.set(form.toLowerCase(), name);
      const plain = form === label ? folded : foldedName(form);
      same.set(plain, same.has(plain) && same.get(plain) !== name ? null : name);  // two names that differ by an accent: neither
    }
    return { name, folded, words: ids };
  });
  const list = [...words.keys()];
  const exact = text => spelled.get(text.trim().replace(/\s+/g, " ").toLowerCase()) ?? same.get(foldedName(text)) ?? null;
  return { entries, words: list, masks: list.map(letterMask), near: new Map(), exact };
}

// ---- how well a name fits ---------------------------------------------------------------------------------------------------------------------

// Every word that was typed stands in the name: one number, smaller is better, or -1.
function plainRank(entry, tokens, query) {
  const hay = entry.folded;
  let tier = NAME_START, whole = 0, first = 99;
  for (const token of tokens) {
    let at = hay.indexOf(token.start);
    if (at >= 0) { const end = at + token.start.length; if (end === hay.length || hay[end] === " ") whole++; }
    else { at = hay.indexOf(token.text); if (at < 0) return -1; tier = NAME_INSIDE; }
    if (at < first) first = at;
  }
  const kind = hay === query ? 0 : hay.startsWith(query) ? 1 : hay.includes(query) ? 2 : 3;
  return nameRank(tier, kind, 9 - Math.min(whole, 9), first, hay.length);
}

const nameRank = (tier, kind, missing, first, length) => (((tier * 10 + kind) * 10 + missing) * 100 + Math.min(first, 99)) * 1000 + Math.min(length, 999);
const nameTier = rank => Math.floor(rank / 1e7);

// "sda" or "soldef" for Solanae Deflector Array: where each letter stands, going on or jumping to the start of a later word; null if it does not fit.
function initialsOf(folded, letters) {
  const found = [];
  let at = 0;
  for (const letter of letters) {
    if (found.length && folded[at] === letter) { found.push(at++); continue; }
    const start = folded.indexOf(" " + letter, Math.max(0, at - 1));
    if (start < 0) return null;
    found.push(start + 1);
    at = start + 2;
  }
  return found;
}

// "slndfl" for Solanae Deflector Array: the letters in their order, the first at the start of a word, not too far apart.
function scatteredIn(folded, letters) {
  for (let start = folded.indexOf(" " + letters[0]); start >= 0; start = folded.indexOf(" " + letters[0], start + 1)) {
    const found = [start + 1];
    for (let i = 1; i < letters.length; i++) {
      const next = folded.indexOf(letters[i], found[i - 1] + 1);
      if (next < 0) break;
      found.push(next);
    }
    if (found.length === letters.length && found[found.length - 1] - start <= 3 * letters.length) return found;
  }
  return null;
}

// Letters that must be changed, added, dropped or swapped with a neighbour to make the token the beginning of the word; more than `most` reads as `most + 1`.
// Only cells within `most` of the diagonal are looked at: no path through others is shorter. The rows are kept, for this is asked
// thousands of times a keystroke.
const TYPO_LETTERS = 60, typoRows = Array.from({ length: 3 }, () => new Uint8Array(TYPO_LETTERS + 8));

function typosBetween(token, word, most) {
  const wide = Math.min(word.length, token.length + most), over = most + 1;
  if (token.length > TYPO_LETTERS || wide < token.length - most) return over;
  let [older, old, row] = typoRows;
  for (let j = 0; j <= Math.min(wide, most + 1); j++) old[j] = j;
  for (let i = 1; i <= token.length; i++) {
    const from = Math.max(1, i - most), to = Math.min(wide, i + most), letter = token.charCodeAt(i - 1);
    row[from - 1] = from === 1 ? i : over;
    let least = row[from - 1];
    for (let j = from; j <= to; j++) {
      let cost = old[j - 1] + (letter === word.charCodeAt(j - 1) ? 0 : 1);
      if (row[j - 1] + 1 < cost) cost = row[j - 1] + 1;
      if (j < i + most && old[j] + 1 < cost) cost = old[j] + 1;
      const swapped = i > 1 && j > 1 && letter === word.charCodeAt(j - 2) && token.charCodeAt(i - 2) === word.charCodeAt(j - 1);
      if (swapped && older[j - 2] + 1 < cost) cost = older[j - 2] + 1;
      row[j] = cost;
      if (cost < least) least = cost;
    }
    if (least > most) return over;
    [older, old, row] = [old, row, older];
  }
  let least = over;
  for (let j = Math.max(0, token.length - most); j <= wide; j++) if (old[j] < least) least = old[j];
  return least;
}

const typosAllowed = token => token.length >= 8 ? 2 : token.length >= 4 ? 1 : 0;

// Short words have too many neighbours: their first letter must be right, or swapped with the second.
const sameBeginning = (token, word) => token.length >= 6 || token[0] === word[0] || (token[0] === word[1] && token[1] === word[0]);

// Per word of the index: 0, or one more than the typos between the token and its beginning. Kept, because most words of a text stay while the last is typed.
function nearWords(index, token) {
  if (index.near.has(token)) return index.near.get(token);
  if (index.near.size > 100) index.near.clear();
  const most = typosAllowed(token), mask = letterMask(token), near = new Uint8Array(index.words.length);
  index.near.set(token, near);
  if (!most) return near;
  for (let id = 0; id < near.length; id++) {
    const word = index.words[id];
    if (word.length < token.length - most || bitCount(mask & ~index.masks[id]) > most || !sameBeginning(token, word)) continue;
    const typos = typosBetween(token, word, most);
    if (typos <= most) near[id] = typos + 1;
  }
  return near;
}

function typoRank(entry, tokens, near) {
  let typos = 0;
  for (let i = 0; i < tokens.length; i++) {
    if (entry.folded.includes(tokens[i].text)) continue;
    let least = 0;
    for (const id of entry.words) if (near[i][id] && (!least || near[i][id] < least)) least = near[i][id];
    if (!least) return -1;
    typos += least - 1;
  }
  return nameRank(NAME_TYPO, Math.min(typos, 9), 0, 0, entry.folded.length);
}

// ---- the search -------------------------------------------------------------------------------------------------------------------------------

function nameTokens(text) {
  return foldedName(text).split(" ").filter(Boolean).map(word => ({ text: word, start: " " + word }));
}

// The best names for what was typed: {rows: [{name, rank}], total}; names that hold all that was typed, and only where these are few, names that nearly do.
function searchNames(index, text, most = NAME_ROWS) {
  const tokens = nameTokens(text), query = tokens.map(token => token.start).join(""), letters = tokens.map(token => token.text).join("");
  const best = [], left = [];
  let total = 0;
  const keep = (entry, rank) => {
    total++;
    if (best.length === most && rank >= best[most - 1].rank) return;
    let at = best.length;
    while (at > 0 && best[at - 1].rank > rank) at--;
    best.splice(at, 0, { name: entry.name, rank });
    if (best.length > most) best.pop();
  };
  if (!tokens.length) return { rows: index.entries.slice(0, most).map(entry => ({ name: entry.name, rank: 0 })), total: index.entries.length };
  for (const entry of index.entries) {
    const rank = plainRank(entry, tokens, query);
    if (rank >= 0) keep(entry, rank); else left.push(entry);
  }
  if (total >= most || letters.length < 2) return { rows: best, total };
  const plain = total, rest = [];
  for (const entry of left) {
    const jumps = initialsOf(entry.folded, letters);
    if (jumps) keep(entry, nameRank(NAME_INITIALS, 0, 0, jumps[0], entry.folded.length)); else rest.push(entry);
  }
  if (plain) return { rows: best, total };
  const near = tokens.map(token => nearWords(index, token.text));
  for (const entry of rest) {
    const rank = typoRank(entry, tokens, near);
    if (rank >= 0) keep(entry, rank);
  }
  if (!total && letters.length > 3) for (const entry of rest) {
    const found = scatteredIn(entry.folded, letters);
    if (found) keep(entry, nameRank(NAME_SCATTERED, 0, 0, found[found.length - 1] - found[0], entry.folded.length));
  }
  return { rows: best, total };
}

// Which letters of a label to highlight: [[from, to], ...], ascending and apart.
function matchedRanges(label, text) {
  const { folded, at } = foldName(label), tokens = nameTokens(text), letters = tokens.map(token => token.text).join("");
  const places = new Set();
  const put = (from, length) => { for (let i = from; i < from + length && i < folded.length; i++) if (folded[i] !== " ") places.add(at[i]); };
  const missing = tokens.filter(token => {
    const start = folded.indexOf(token.start), inside = folded.indexOf(token.text);
    if (start >= 0) put(start + 1, token.text.length); else if (inside >= 0) put(inside, token.text.length);
    return start < 0 && inside < 0;
  });
  if (missing.length) {
    const jumps = initialsOf(folded, letters);
    const near = missing.map(token => nearStart(folded, token.text));
    if (jumps) { places.clear(); jumps.forEach(i => put(i, 1)); }
    else if (near.every(start => start >= 0)) near.forEach((start, i) => put(start, missing[i].text.length));
    else { places.clear(); (scatteredIn(folded, letters) ?? []).forEach(i => put(i, 1)); }
  }
  const ranges = [];
  for (const i of [...places].sort((a, b) => a - b)) {
    if (ranges.length && ranges[ranges.length - 1][1] === i) ranges[ranges.length - 1][1] = i + 1;
    else ranges.push([i, i + 1]);
  }
  return ranges;
}

// where the word begins that was meant by a token with a typo, or -1
function nearStart(folded, token) {
  const most = typosAllowed(token);
  let found = -1, least = most + 1;
  for (const { index, 0: word } of folded.matchAll(/[^ ]+/g)) {
    const typos = most && sameBeginning(token, word) ? typosBetween(token, word, most) : most + 1;
    if (typos < least) { least = typos; found = index; }
  }
  return found;
}

// ---- what is seen -----------------------------------------------------------------------------------------------------------------------------

function nameElement(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// a label as text, the highlighted letters in <mark>
function markedName(label, ranges) {
  const element = nameElement("span", "warp-names-name");
  let done = 0;
  for (const [from, to] of ranges) {
    if (from > done) element.append(label.slice(done, from));
    element.append(nameElement("mark", "warp-names-mark", label.slice(from, to)));
    done = to;
  }
  if (done < label.length) element.append(label.slice(done));
  return element;
}

// the picture of a suggestion, the sign of a virtual name, or an empty place of the same size
function nameThumbnail(name, picture) {
  if (picture && /^(data:image\/|blob:)/.test(picture)) {
    const img = nameElement("img", "warp-names-picture");
    img.src = picture;
    img.alt = "";
    return img;
  }
  return nameElement("span", "warp-names-picture warp-names-glyph" + (NAME_LABELS.has(name) ? " warp-names-glyph" + name.replaceAll("_", "-") : ""));
}

function nameScore(score) {
  const element = nameElement("span", "warp-names-score"), bar = nameElement("span", "warp-names-bar"), full = nameElement("span", "warp-names-full");
  const percent = Math.round(100 * Math.max(0, Math.min(1, Number(score) || 0)));
  full.style.width = percent + "%";
  bar.append(full);
  element.append(bar, nameElement("span", "warp-names-percent", percent + " %"));
  return element;
}

// ---- the field --------------------------------------------------------------------------------------------------------------------------------

let nameFields = 0;

function nameField(host, { placeholder = "" } = {}) {
  const id = `warp-names-${++nameFields}`, handlers = [], askers = [], pictures = new Map();
  const root = nameElement("div", "warp-names"), input = nameElement("input", "warp-names-input"), panel = nameElement("div", "warp-names-panel");
  const hint = nameElement("div", "warp-names-hint"), list = nameElement("ul", "warp-names-list"), foot = nameElement("div", "warp-names-foot");
  root.dataset.lmSuppressShortcuts = "true";  // JupyterLab leaves the keys alone
  Object.assign(input, { type: "text", autocomplete: "off", spellcheck: false, placeholder });
  const roles = { role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": id, "aria-label": placeholder || "name" };
  for (const [key, value] of Object.entries(roles)) input.setAttribute(key, value);
  list.id = id;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "names");
  hint.setAttribute("role", "status");
  panel.append(hint, list, foot);
  if ("popover" in panel) panel.popover = "manual"; else panel.hidden = true;  // above everything: notebook outputs cut off what sticks out
  root.append(input, panel);
  host.append(root);

  let index = indexNames([]), suggestions = [], value = "", touched = false, open = false, rows = [], active = -1;

  const matching = text => {
    const found = searchNames(index, text), exact = text.trim() ? index.exact(text) : null, shown = new Map();
    const add = (name, rank) => { if (!shown.has(name)) shown.set(name, { name, rank, suggestion: suggestions.find(s => s.name === name) }); };
    if (exact !== null) add(exact, 0);
    const tokens = nameTokens(text), query = tokens.map(token => token.start).join("");
    for (const { name } of suggestions) {
      const rank = plainRank({ folded: foldedName(nameLabel(name)) }, tokens, query);
      if (rank >= 0) add(name, rank);
    }
    for (const { name, rank } of found.rows) add(name, rank);
    return { rows: [...shown.values()].slice(0, NAME_ROWS), total: Math.max(found.total, shown.size) };
  };

  const untyped = () => {
    const names = index.entries.length <= NAME_ROWS ? index.entries.map(entry => entry.name) : [];
    const others = names.filter(name => !suggestions.some(s => s.name === name));
    const shown = [...suggestions.map(suggestion => ({ name: suggestion.name, rank: 0, suggestion })), ...others.map(name => ({ name, rank: 0 }))];
    return { rows: shown, total: index.entries.length };
  };

  const rowElement = (row, number, text) => {
    const element = nameElement("li", "warp-names-row" + (row.suggestion ? " warp-names-suggested" : ""));
    element.id = `${id}-${number}`;
    element.setAttribute("role", "option");
    element.setAttribute("aria-selected", "false");
    element.dataset.name = row.name;
    const digit = !text && row.suggestion && number < NAME_DIGITS ? String(number + 1) : "";
    if (!text && suggestions.length) element.append(nameElement("span", "warp-names-digit", digit));
    const label = nameLabel(row.name), picture = row.suggestion?.picture || pictures.get(row.name);
    element.append(nameThumbnail(row.name, picture), markedName(label, text ? matchedRanges(label, text) : []));
    if (row.suggestion) {
      element.append(nameScore(row.suggestion.score));
      if (row.suggestion.by) element.title = `so says ${NAME_SPEAKERS.get(row.suggestion.by) ?? row.suggestion.by}`;
    }
    element.addEventListener("click", () => pick(row.name, "click"));
    element.addEventListener("mousemove", () => { if (active !== number) highlight(number); });
    return element;
  };

  const highlight = number => {
    const before = list.children[active], now = list.children[number];
    before?.classList.remove("warp-names-active");
    before?.setAttribute("aria-selected", "false");
    active = now ? number : -1;
    if (!now) return input.removeAttribute("aria-activedescendant");
    now.classList.add("warp-names-active");
    now.setAttribute("aria-selected", "true");
    input.setAttribute("aria-activedescendant", now.id);
    now.scrollIntoView({ block: "nearest" });
  };

  const say = text => {
    hint.textContent = text;
    root.classList.toggle("warp-names-refused", Boolean(text));
    input.setAttribute("aria-invalid", String(Boolean(text)));
    if (text) show();
  };

  const askPictures = () => {
    const wanted = askers.length ? rows.filter(row => !row.suggestion?.picture && !pictures.has(row.name)).map(row => row.name) : [];
    for (const name of wanted) pictures.set(name, "");
    if (wanted.length) for (const ask of askers) ask(wanted);
  };

  const showPictures = some => {
    for (const [name, picture] of Object.entries(some)) pictures.set(name, picture);
    for (const element of list.children) {
      const picture = Object.hasOwn(some, element.dataset.name) && some[element.dataset.name];
      if (picture) element.querySelector(".warp-names-picture").replaceWith(nameThumbnail(element.dataset.name, picture));
    }
  };

  // The rows for what stands in the field. What surely is meant is highlighted, so that Enter takes it; what only looks like it is not.
  const update = () => {
    const text = touched ? input.value : "", found = text.trim() ? matching(text) : untyped();
    rows = found.rows;
    list.replaceChildren(...rows.map((row, number) => rowElement(row, number, text.trim())));
    askPictures();
    active = -1;
    input.removeAttribute("aria-activedescendant");
    if (text.trim() && rows.length && nameTier(rows[0].rank) <= NAME_INSIDE) highlight(0);
    const all = index.entries.length.toLocaleString("en");
    foot.textContent = !text.trim() ? (rows.length < index.entries.length ? `type to search all ${all} names` : "")
      : !rows.length ? `none of ${all} names` : found.total > rows.length ? `${rows.length} of ${found.total.toLocaleString("en")}: type on` : "";
  };

  const place = () => {
    const field = input.getBoundingClientRect(), room = window.innerHeight - field.bottom, above = room < Math.min(panel.offsetHeight, 240) && field.top > room;
    panel.style.left = `${Math.max(4, Math.min(field.left, window.innerWidth - panel.offsetWidth - 4))}px`;
    panel.style.minWidth = `${Math.min(Math.max(field.width, 260), 640, window.innerWidth - 8)}px`;
    panel.style.maxHeight = `${Math.max(120, (above ? field.top : room) - 10)}px`;
    panel.style.top = above ? "auto" : `${field.bottom + 2}px`;
    panel.style.bottom = above ? `${window.innerHeight - field.top + 2}px` : "auto";
  };

  const show = () => {
    if (!open) {
      open = true;
      if (panel.showPopover) panel.showPopover(); else panel.hidden = false;
      input.setAttribute("aria-expanded", "true");
      window.addEventListener("scroll", place, true);
      window.addEventListener("resize", place);
    }
    place();
  };

  const close = () => {
    if (!open) return;
    open = false;
    if (panel.hidePopover) { if (panel.isConnected) panel.hidePopover(); } else panel.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    active = -1;
    window.removeEventListener("scroll", place, true);
    window.removeEventListener("resize", place);
  };

  const setValue = name => {
    value = name ?? "";
    input.value = value && nameLabel(value);
    touched = false;
    say("");
    close();
  };

  const pick = (name, by) => {
    setValue(name);
    input.select();
    for (const handler of handlers) handler(name, by);
  };

  const enter = () => {
    if (open && rows[active]) return pick(rows[active].name, "enter");
    if (!touched && value) return pick(value, "enter");
    const exact = touched && input.value.trim() ? index.exact(input.value) : null;
    if (exact !== null) return pick(exact, "enter");
    if (!open) update();
    if (touched && input.value.trim()) say("no such name in this slot" + (rows.length ? "; is one of these meant?" : ""));
    else say(suggestions.length ? "type a name, or press the digit of a suggestion" : "type a name");
  };

  const move = step => {
    if (!open) { update(); show(); if (active >= 0) return; }
    if (rows.length) highlight(active < 0 ? (step > 0 ? 0 : rows.length - 1) : (active + step + rows.length) % rows.length);
  };

  const escape = () => {
    if (!open && !touched) return input.blur();
    if (!open || !touched) return setValue(value);
    say("");
    close();
  };

  const keys = { Enter: enter, Escape: escape, ArrowDown: () => move(1), ArrowUp: () => move(-1) };
  const whole = () => !input.value || (!touched && input.selectionStart === 0 && input.selectionEnd === input.value.length);

  root.addEventListener("keydown", event => {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation();  // nothing typed here is a shortcut of what lies around
    const suggestion = /^[1-9]$/.test(event.key) && whole() && !event.shiftKey ? suggestions[event.key - 1] : undefined;
    if (suggestion && event.key <= NAME_DIGITS) { event.preventDefault(); pick(suggestion.name, "digit"); }
    else if (event.key === "Tab") { if (open && touched && rows[active]) pick(rows[active].name, "tab"); }
    else if (Object.hasOwn(keys, event.key)) { event.preventDefault(); keys[event.key](); }
  }, true);
  input.addEventListener("input", () => { touched = true; say(""); update(); show(); });
  input.addEventListener("focus", () => { input.select(); if (!touched) { update(); if (rows.length) show(); } });
  input.addEventListener("click", () => { if (!open) { update(); show(); } });
  input.addEventListener("blur", () => { if (document.hasFocus()) setValue(value); else close(); });  // another window's turn: what was typed stays
  panel.addEventListener("mousedown", event => event.preventDefault());  // the field keeps the focus

  const again = () => { if (open) { update(); place(); } };
  return {
    root, input, setValue, close,
    setNames(names) { index = indexNames(names); again(); },
    setSuggestions(some) { suggestions = [...some]; again(); },
    setDisabled(disabled) { input.disabled = disabled; if (disabled) close(); },
    setPlaceholder(text) { input.placeholder = text; input.setAttribute("aria-label", text || "name"); },
    focus() { input.focus(); },
    setPictures: showPictures,
    onPick(handler) { handlers.push(handler); },
    onPictures(asker) { askers.push(asker); list.classList.add("warp-names-pictured"); },
    destroy() { close(); root.remove(); },
  };
}
