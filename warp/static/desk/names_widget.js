// names_widget.js: the name field as a Jupyter widget. Python puts names.js before this file.

function render({ model, el }) {
  const field = nameField(el, { placeholder: model.get("placeholder") });
  const followed = {
    "change:names": () => field.setNames(model.get("names")),
    "change:suggestions": () => field.setSuggestions(model.get("suggestions")),
    "change:placeholder": () => field.setPlaceholder(model.get("placeholder")),
    "change:disabled": () => field.setDisabled(model.get("disabled")),
    "change:value": () => field.setValue(model.get("value")),
    "msg:custom": message => {
      if (message.type === "focus") field.focus();
      if (message.type === "pictures") field.setPictures(message.pictures);
      if (message.type === "reset") field.setValue(model.get("value"));  // another box: what was half typed for the last one goes
    },
  };
  for (const [event, follow] of Object.entries(followed)) {
    model.on(event, follow);
    if (event.startsWith("change:")) follow();
  }
  if (model.get("pictured")) field.onPictures(names => model.send({ type: "pictures", names }));
  field.onPick((name, by) => {
    model.set("value", name);
    model.save_changes();
    if (by === "enter" || by === "digit") model.send({ type: "entered", by });
  });
  return () => {
    for (const [event, follow] of Object.entries(followed)) model.off(event, follow);
    field.destroy();
  };
}

export default { render };
