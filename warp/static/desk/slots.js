// slots.js: the slots of a screen as a bar of buttons, each with its key, its colour, and how many of its places have a box.

function slotButton(slot, current, pick) {
  const button = document.createElement("button"), swatch = document.createElement("i"), name = document.createElement("span");
  button.type = "button";
  button.tabIndex = -1;  // digits reach them; Tab goes on to the name
  button.className = "warp-slot" + (slot.name === current ? " warp-slot-current" : "") + (slot.drawn > slot.most ? " warp-slot-over" : "");
  button.style.setProperty("--slot", slot.color);
  button.setAttribute("aria-pressed", String(slot.name === current));
  button.title = `${slot.name}: ${slot.drawn} drawn, at most ${slot.most}`;
  if (slot.key) {
    const key = document.createElement("kbd");
    key.textContent = slot.key.replace("Shift+", "⇧");
    button.append(key);
  }
  name.textContent = slot.name;
  button.append(swatch, name);
  if (slot.drawn) {
    const drawn = document.createElement("b");
    drawn.textContent = slot.drawn;
    button.append(drawn);
  }
  button.addEventListener("click", () => pick(slot.name));
  return button;
}

function render({ model, el }) {
  el.classList.add("warp-slots");
  el.setAttribute("role", "toolbar");
  const pick = slot => model.send({ type: "slot", slot });
  const fill = () => el.replaceChildren(...model.get("slots").map(slot => slotButton(slot, model.get("current"), pick)));
  model.on("change:slots change:current", fill);
  fill();
  return () => model.off("change:slots change:current", fill);
}

export default { render };
