// Where pictures come in: pasted anywhere on the desk, dropped onto it, or chosen from a folder. Their bytes travel to Python as they are.

function render({ model, el }) {
  const ended = new AbortController(), { signal } = ended;
  el.classList.add("warp-inbox");
  const choose = document.createElement("button"), words = document.createElement("span"), file = document.createElement("input");
  choose.type = "button";
  choose.textContent = "Add pictures";
  words.textContent = "or paste them (Ctrl+V), or drop them on the desk";
  Object.assign(file, { type: "file", accept: "image/*", multiple: true, hidden: true });
  el.append(choose, words, file);
  choose.addEventListener("click", () => file.click(), { signal });

  const take = async files => {
    const pictures = [...files].filter(f => f.type === "" || f.type.startsWith("image/"));
    for (const [i, picture] of pictures.entries()) {
      const bytes = new DataView(await picture.arrayBuffer());
      // A picture from the clipboard has no name of its own: browsers call every one of them image.png.
      const name = picture.fromClipboard || picture.name === "image.png" ? "" : picture.name;
      model.send({ type: "picture", name, number: i + 1, of: pictures.length }, undefined, [bytes]);
    }
    return pictures.length;
  };
  file.addEventListener("change", async () => { await take(file.files); file.value = ""; }, { signal });

  const begin = () => {
    if (signal.aborted) return;
    const root = el.closest(".warp-desk");
    if (!root) return void requestAnimationFrame(begin);
    const carries = event => [...(event.dataTransfer?.types ?? [])].includes("Files");
    let depth = 0; // dragging over a child leaves the parent: only the balance tells
    const glow = change => { depth = Math.max(0, depth + change); root.classList.toggle("warp-dropping", depth > 0); };
    root.addEventListener("dragenter", e => { if (carries(e)) { e.preventDefault(); glow(1); } }, { signal });
    root.addEventListener("dragover", e => { if (carries(e)) { e.preventDefault(); e.stopPropagation(); } }, { signal });
    root.addEventListener("dragleave", e => { if (carries(e)) glow(-1); }, { signal });
    root.addEventListener("drop", e => {
      if (!carries(e)) return;
      e.preventDefault();
      e.stopPropagation();
      glow(-depth);
      take(e.dataTransfer.files);
    }, { signal });
    // Copy and paste of cells is JupyterLab's: it gets what carries no picture.
    root.ownerDocument.addEventListener("paste", e => {
      if (!root.contains(e.target) && !root.contains(document.activeElement)) return;
      const files = [...(e.clipboardData?.items ?? [])].filter(item => item.kind === "file").map(item => item.getAsFile()).filter(Boolean);
      if (!files.length) return;
      e.preventDefault();
      e.stopPropagation();
      take(files);
    }, { signal, capture: true });
  };
  begin();
  return () => ended.abort();
}

export default { render };
