// The review desk: one crop, large, beside the names it was given and pictures of what bears these names.
//
// Python puts names.js before this file (it brings `nameField` and `nameLabel`). The widget shows `item`, `state` and `names`, and knows nothing of hubs. Most keys
// are the page's (keys.js) and heard in Python; here are only those after which letters follow at once. Once an item is painted, pictures decoded, the widget says which
// one: Python acts on no key that was pressed before, so a fast hand never decides a crop that nobody has seen.

const REVIEW_KINDS = { disputed: "Disputed", contradicted: "The model disagrees", unknown: "In no vocabulary", slots: "Slot in dispute" };

function wrElement(tag, classes, text = "") {
  const element = document.createElement(tag);
  element.className = classes;
  if (text) element.textContent = text; // text from data is only ever set as text
  return element;
}

function wrPicture(classes, url, alt) {
  if (!/^data:image\/(png|jpeg);base64,/.test(url ?? "")) return wrElement("span", `${classes} wr-none`, alt);
  const img = wrElement("img", classes);
  img.src = url;
  img.alt = alt;
  img.draggable = false;
  return img;
}

const wrSays = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
const wrWhen = text => text.replace("T", " ").replace(/:\d\dZ$/, "");

function render({ model, el }) {
  const ended = new AbortController(), { signal } = ended;
  let shown = ""; // the key of the item that is painted
  const root = wrElement("div", "warp-review");
  root.dataset.lmSuppressShortcuts = "true";
  el.append(root);
  const desk = () => root.closest(".warp-desk") ?? root;
  const rest = () => desk().focus({ preventScroll: true }); // the keyboard goes back to the desk
  const press = key => { model.send({ type: "press", key, shown }); rest(); };

  // ---- furniture ------------------------------------------------------------------------------------------------------------------------
  const head = wrElement("div", "wr-head"), kinds = wrElement("div", "wr-kinds"), acts = wrElement("div", "wr-acts");
  head.append(kinds, acts);
  const note = wrElement("div", "wr-note"), busy = wrElement("div", "wr-busy"), body = wrElement("div", "wr-body");
  note.setAttribute("role", "status");
  busy.setAttribute("role", "progressbar");
  busy.append(wrElement("span", "wr-busy-words"), wrElement("span", "wr-busy-bar"));
  busy.lastChild.append(wrElement("span", "wr-busy-full"));
  const left = wrElement("div", "wr-left"), right = wrElement("div", "wr-right");
  body.append(left, right);
  const nothing = wrElement("div", "wr-nothing");
  root.append(head, note, busy, body, nothing);

  const buttons = {};
  const button = (name, label, key, host, classes = "") => {
    const one = wrElement("button", `wr-button ${classes}`);
    one.type = "button";
    one.append(wrElement("span", "wr-label", label), ...key.split(" ").filter(Boolean).map(cap => wrElement("kbd", "", cap)));
    one.dataset.act = name;
    host.append(one);
    buttons[name] = one;
    return one;
  };
  for (const [name, label, cap, key] of [["undo", "Undo", "Ctrl+Z", "Ctrl+z"], ["model", "Ask the model", "M", "m"], ["send", "Send", "Ctrl+Enter", "Ctrl+Enter"]])
    button(name, label, cap, acts, name === "send" ? "wr-send" : "").addEventListener("click", () => press(key), { signal });

  const smooth = wrElement("figure", "wr-figure"), pixels = wrElement("figure", "wr-figure wr-pixels"), where = wrElement("div", "wr-where"), stamp = wrElement("div", "wr-stamp");
  const pair = wrElement("div", "wr-pair");
  pair.append(smooth, pixels);
  left.append(pair, stamp, where);
  const why = wrElement("div", "wr-why"), cards = wrElement("div", "wr-cards"), say = wrElement("div", "wr-say"), ballot = wrElement("div", "wr-ballot");
  cards.setAttribute("role", "group");
  cards.setAttribute("aria-label", "the names it may have");
  why.setAttribute("role", "status");
  right.append(why, cards, say, ballot);

  const fieldBox = wrElement("label", "wr-labelled"), reasonBox = wrElement("label", "wr-labelled"), decide = wrElement("div", "wr-decide");
  fieldBox.append(wrElement("span", "wr-caption", "another name"), wrElement("kbd", "", "T"));
  reasonBox.append(wrElement("span", "wr-caption", "why"), wrElement("kbd", "", "W"));
  const host = wrElement("div", "wr-field"), reason = wrElement("input", "wr-reason");
  Object.assign(reason, { type: "text", maxLength: 300, autocomplete: "off" });
  reason.setAttribute("aria-label", "why you decide so");
  fieldBox.append(host);
  reasonBox.append(reason);
  say.append(decide, fieldBox, reasonBox);
  for (const [name, label, cap, key] of [["pin", "Pin the leading name", "Enter", "Enter"], ["deny", "Deny the crop", "X", "x"], ["later", "Later", "Space", "Space"]])
    button(name, label, cap, decide, `wr-${name}`).addEventListener("click", () => press(key), { signal });

  const field = nameField(host, { placeholder: "type a few letters of the name" });
  field.onPick(name => { model.send({ type: "name", name, shown }); field.setValue(""); rest(); });
  field.onPictures(names => model.send({ type: "pictures", names }));
  reason.addEventListener("input", () => model.send({ type: "why", text: reason.value, shown }), { signal });
  reason.addEventListener("keydown", event => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.isComposing) return;
    event.preventDefault();
    rest();
  }, { signal });

  // ---- painting ---------------------------------------------------------------------------------------------------------------------------
  function card(choice, item) {
    const one = wrElement("button", `wr-card${choice.lead ? " wr-lead" : ""}${choice.taken ? " wr-taken" : ""}`);
    one.type = "button";
    one.dataset.name = choice.name;
    const pictures = wrElement("span", "wr-pictures");
    for (const [url, says] of choice.pictures) {
      const figure = wrElement("span", "wr-reference");
      figure.append(wrPicture("wr-picture", url, says), wrElement("span", "wr-says", says));
      pictures.append(figure);
    }
    if (!choice.pictures.length) pictures.append(wrPicture("wr-picture", "", "no picture of it"));
    const top = wrElement("span", "wr-top");
    top.append(wrElement("kbd", "", choice.key), wrElement("span", "wr-tag", choice.tag));
    const name = wrElement("span", "wr-name", nameLabel(choice.name)), bar = wrElement("span", "wr-bar"), full = wrElement("span", "wr-full");
    full.style.width = `${Math.round(100 * choice.share)}%`;
    bar.append(full);
    const count = wrElement("span", "wr-count"), said = choice.votes ? wrSays(choice.votes, "vote") : "no vote";
    count.append(wrElement("b", "", said), choice.score ? wrElement("span", "wr-score", `model ${Math.round(100 * choice.score)} %`) : "");
    const who = wrElement("span", "wr-who", choice.who.slice(0, 6).join(" ") + (choice.who.length > 6 ? ` and ${choice.who.length - 6} more` : ""));
    one.append(top, pictures, name, ...(choice.slot ? [wrElement("span", "wr-slot", choice.slot)] : []), bar, count, who);
    one.title = `${choice.key}: this is ${nameLabel(choice.name)}${choice.slot ? ` in ${choice.slot}` : ""}`;
    one.addEventListener("click", () => press(choice.key));
    return one;
  }

  function paintBallot(rows) {
    const table = wrElement("table", "wr-table"), headRow = wrElement("tr", "");
    for (const text of ["when", "install", "said", "slot", ""]) headRow.append(wrElement("th", "", text));
    table.append(wrElement("caption", "", "Who said what, and when"), headRow);
    for (const row of rows) {
      const line = wrElement("tr", `wr-is-${row.state}`);
      for (const text of [wrWhen(row.at), row.who, row.name && nameLabel(row.name), row.slot, row.state]) line.append(wrElement("td", "", text));
      table.append(line);
    }
    ballot.replaceChildren(table);
  }

  async function paintItem() {
    const item = model.get("item"), there = Boolean(item.key);
    body.hidden = !there;
    nothing.hidden = there;
    if (!there) {
      nothing.replaceChildren(wrElement("b", "", item.title ?? ""), wrElement("span", "", item.says ?? ""));
      shown = "";
      root.dataset.shown = "nothing";
      return;
    }
    const another = item.key !== shown;
    root.dataset.kind = item.kind;
    for (const [figure, says] of [[smooth, "smooth"], [pixels, "pixel by pixel"]]) figure.replaceChildren(wrPicture("wr-crop", item.crop, item.fault || says), wrElement("figcaption", "", says));
    where.replaceChildren(...item.where.flatMap(([what, text]) => [wrElement("span", "wr-what", what), wrElement("span", "wr-told", text)]));
    stamp.textContent = item.decided;
    stamp.hidden = !item.decided;
    why.replaceChildren(wrElement("span", "wr-kind", REVIEW_KINDS[item.kind] ?? ""), document.createTextNode(item.why));
    cards.replaceChildren(...item.choices.map(choice => card(choice, item)));
    buttons.pin.disabled = !item.choices.some(choice => choice.lead);
    paintBallot(item.ballot);
    field.setNames(model.get("names"));
    field.setSuggestions(item.suggested.map(([number, score, by]) => ({ name: item.choices[number].name, score, by, picture: item.choices[number].pictures[0]?.[0] })));
    reason.placeholder = item.reason;
    if (another) { field.setValue(""); reason.value = item.written; cards.scrollLeft = ballot.scrollTop = 0; }
    await Promise.allSettled([...left.querySelectorAll("img"), ...cards.querySelectorAll("img")].map(img => img.decode()));
    if (signal.aborted || model.get("item").key !== item.key) return;
    shown = item.key;
    root.dataset.shown = shown;
    model.send({ type: "shown", shown });
  }

  function paintState() {
    const { kinds: counts = [], at = "", unsent = 0, note: told = "", undo = false, asking = null } = model.get("state");
    kinds.replaceChildren(...counts.map(({ kind, open, of }) => {
      const chip = wrElement("button", `wr-chip${kind === at ? " wr-at" : ""}`);
      chip.type = "button";
      chip.dataset.kind = kind;
      chip.disabled = !of;
      chip.append(wrElement("span", "wr-dot"), wrElement("span", "", REVIEW_KINDS[kind]), wrElement("b", "", String(open)));
      chip.title = `${open} of ${of} left: go to the first`;
      chip.addEventListener("click", () => { model.send({ type: "kind", kind }); rest(); });
      return chip;
    }));
    note.textContent = told;
    note.hidden = !told;
    buttons.undo.disabled = !undo;
    buttons.send.disabled = !unsent;
    buttons.send.querySelector(".wr-label").textContent = unsent ? `Send ${wrSays(unsent, "decision")}` : "Nothing to send";
    buttons.model.querySelector(".wr-label").textContent = asking ? "Stop asking" : "Ask the model";
    buttons.model.title = "find crops whose name the model contradicts";
    root.dataset.unsent = unsent;
    busy.hidden = !asking;
    if (!asking) return;
    busy.firstChild.textContent = `The model looks at ${asking[0].toLocaleString("en")} of ${asking[1].toLocaleString("en")} crops …`;
    busy.setAttribute("aria-valuenow", String(Math.round(100 * asking[0] / Math.max(1, asking[1]))));
    busy.querySelector(".wr-busy-full").style.width = `${100 * asking[0] / Math.max(1, asking[1])}%`;
  }

  // ---- keys after which one types, and buttons that have the focus ------------------------------------------------------------------------------
  window.addEventListener("keydown", event => {
    if (!desk().contains(event.target) || event.isComposing) return;
    if (event.target instanceof HTMLButtonElement && root.contains(event.target) && !event.ctrlKey && (event.key === "Enter" || event.key === " ")) return event.stopPropagation(); // its own
    if (event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey || !shown) return;
    const to = { t: field.input, "/": field.input, w: reason }[event.key.toLowerCase()];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    to.focus();
    to.scrollIntoView({ block: "nearest" });
  }, { signal, capture: true });

  const heard = message => { if (message.type === "pictures") field.setPictures(message.pictures); };
  const followed = [["change:item", paintItem], ["change:state", paintState], ["msg:custom", heard]];
  followed.forEach(([event, follow]) => model.on(event, follow));
  paintState();
  paintItem();
  return () => { ended.abort(); followed.forEach(([event, follow]) => model.off(event, follow)); field.destroy(); };
}

export default { render };
