// surface.js: what the boxes desk adds to jupyter-bbox-widget, whose own module stands above and is called `drawing` here.
//
// - A box that was just drawn is told apart from boxes of a screenshot that is no longer shown: every box carries the number of its page.
// - A box that is being drawn stays, whatever the kernel tells meanwhile.
// - A click that was no drag leaves no box behind, and a mouse that is released beside the picture ends the drag.
// - The cross of a box asks the kernel to remove it; nothing is removed here, so that every removal can be taken back.
// - With Shift one draws over other boxes.
// - The kernel can put the keyboard on the picture or into the name field, and bring the selected box into view.

const SMALLEST = 4;  // pixels of the screenshot; the kernel knows the same number

const isClick = box => box.number === undefined && (box.width < SMALLEST || box.height < SMALLEST);

// The box that a part of the drawing belongs to, by where it lies: the order of the elements says nothing while some of them fade away.
function boxUnder(svg, element, model) {
  const rect = [...svg.querySelectorAll("g")].find(group => group.contains(element))?.querySelector("rect.movable");
  const img = svg.parentElement.querySelector("img"), scale = img.naturalWidth / svg.clientWidth;
  const far = box => Math.abs(box.x - rect.x.baseVal.value * scale) + Math.abs(box.y - rect.y.baseVal.value * scale);
  return rect && model.get("bboxes").reduce((best, box) => (best && far(best) <= far(box) ? best : box), null);
}

// Which box a person has selected. The widget's own state says it too, but by a place in a list that may have changed until the kernel hears of it.
function tellChosen(model) {
  const box = model.get("bboxes")[model.get("selected_index")];
  if (!box || box.number !== undefined) model.send({ type: "chosen", number: box?.number ?? null, page: model.get("page") });
}

function sweepClicks(model) {
  const boxes = model.get("bboxes"), kept = boxes.filter(box => !isClick(box));
  if (kept.length === boxes.length) return;
  model.set("bboxes", kept);
  model.set("selected_index", -1);
  model.save_changes();
  tellChosen(model);
}

function render({ model, el }) {
  const ended = new AbortController(), { signal } = ended;
  const svg = () => el.querySelector(".image svg");
  let dragging = false, held = null;  // the box that is being drawn, and its place among the boxes

  const onBoxes = () => {
    const boxes = model.get("bboxes"), at = boxes.findLastIndex(box => box.number === undefined);
    for (const box of boxes) box.page ??= model.get("page");
    if (at >= 0) held = dragging ? { box: boxes[at], at } : null;
    else if (dragging && held) {  // the kernel told its boxes in the middle of a drag
      held.at = Math.min(held.at, boxes.length);
      boxes.splice(held.at, 0, held.box);
      onSelected();
    }
  };
  const onSelected = () => { if (dragging && held && model.get("selected_index") !== held.at) model.set("selected_index", held.at); };
  model.on("change:bboxes", onBoxes);  // before the widget's own listeners, so that these see what is changed here
  model.on("change:selected_index", onSelected);
  const close = drawing.render({ model, el });

  const removeUnder = (cross, tries = 600) => {  // a box that was just drawn has no number until the kernel has heard of it
    const box = cross.isConnected && svg()?.contains(cross) && boxUnder(svg(), cross, model);
    if (box?.number !== undefined) model.send({ type: "remove", number: box.number });
    else if (box && tries && !signal.aborted) requestAnimationFrame(() => removeUnder(cross, tries - 1));
  };
  const onCross = event => {
    const cross = event.target.closest?.("rect.clickable");
    if (!cross || event.button !== 0) return;
    event.stopPropagation();
    event.preventDefault();
    if (event.type === "mousedown") removeUnder(cross);
  };
  for (const kind of ["mousedown", "mouseup", "click"]) el.addEventListener(kind, onCross, { signal, capture: true });

  el.addEventListener("mousedown", event => {
    dragging = event.button === 0 && svg()?.contains(event.target);
    if (dragging && event.target !== svg()) setTimeout(() => tellChosen(model));  // once the widget has seen the event
    if (!dragging || !event.shiftKey || !event.isTrusted || event.target === svg()) return;
    event.stopPropagation();  // with Shift one draws where other boxes lie already
    const { clientX, clientY, button, buttons } = event;
    svg().dispatchEvent(new MouseEvent("mousedown", { clientX, clientY, button, buttons, bubbles: false, cancelable: true }));
  }, { signal, capture: true });
  const follow = event => {
    if (!dragging || !svg()) return;
    if (!svg().contains(event.target)) {
      const { clientX, clientY, button, buttons } = event;
      svg().dispatchEvent(new MouseEvent(event.type, { clientX, clientY, button, buttons, bubbles: false, cancelable: true }));
    }
    if (event.type === "mouseup") { dragging = false; held = null; sweepClicks(model); }
  };
  for (const kind of ["mousemove", "mouseup"]) window.addEventListener(kind, follow, { signal });

  const selected = () => [...el.querySelectorAll("rect.movable")].find(rect => parseFloat(rect.style.strokeWidth) === 3);
  const middle = () => { const all = [...el.querySelectorAll("rect.movable")]; return all[Math.floor(all.length / 2)]; };
  el.addEventListener("keydown", event => { if (event.key === "Tab") setTimeout(() => tellChosen(model)); }, { signal, capture: true });

  let asked = 0;
  const focusName = (ask, tries = 90) => {  // messages overtake changes of state: the field may be about to open
    const input = el.closest(".warp-desk")?.querySelector(".warp-names-input");
    if (ask !== asked || !input) return;
    if (!input.disabled) input.focus();
    else if (tries) requestAnimationFrame(() => focusName(ask, tries - 1));
  };
  const heard = message => {
    if (message.type === "focus") { asked++; el.querySelector(".wrapper")?.focus({ preventScroll: true }); }
    if (message.type === "name") focusName(++asked);
    const block = message.centre ? "center" : "nearest";
    if (message.type === "reveal") requestAnimationFrame(() => (selected() ?? (message.centre && middle()))?.scrollIntoView({ block, inline: block }));
  };
  model.on("msg:custom", heard);

  // The letters that move and size a box reach the widget only on its own element: it takes the keyboard whenever the desk as a whole gets it.
  const begin = () => {
    const root = el.closest(".warp-desk");
    if (!root && !signal.aborted) return void requestAnimationFrame(begin);
    root?.addEventListener("focus", () => el.querySelector(".wrapper")?.focus({ preventScroll: true }), { signal });
  };
  begin();
  return () => {
    ended.abort();
    model.off("change:bboxes", onBoxes);
    model.off("change:selected_index", onSelected);
    model.off("msg:custom", heard);
    close?.();
  };
}

export default { render };
