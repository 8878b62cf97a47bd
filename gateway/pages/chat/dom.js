// Functions that build the page. Texts of people become text nodes only.

const LOOK_MS = 250;

/** The element of this selector; throws when there is none. */
export function one(selector, root = document) {
  const found = root.querySelector(selector);
  if (found === null) throw new Error(`nothing matches ${selector}`);
  return found;
}

/** An element with properties and children; strings become text. */
export function make(tag, properties = {}, ...children) {
  const { attributes = {}, ...own } = properties;
  const element = Object.assign(document.createElement(tag), own);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A text of a person: with its own direction, isolated from the surrounding text. */
export const written = (text, className = "") => make("bdi", { className, textContent: text });

/** Show exactly one of the views, and put the focus on its first element to read. */
export function show(id, focus = null) {
  for (const view of ["loading", "home", "door", "room"]) one(`#${view}`).hidden = view !== id;
  (focus ?? one(`#${id} h1`)).focus();
}

/** Show a problem in a form's alert; `field` is marked and gets the focus. Null clears alert and mark. */
export function complain(form, message, field = null) {
  const alert = one(".alert", form);
  alert.textContent = message ?? "";
  alert.hidden = message === null;
  for (const input of form.elements) input.removeAttribute("aria-invalid");
  const input = field === null ? null : form.elements.namedItem(field);
  input?.setAttribute("aria-invalid", "true");
  input?.focus();
}

/** Run the work of a form; meanwhile its button says `doing`, and the form can't be sent again. */
export async function busy(form, doing, work) {
  const button = one("button", form);
  if (button.getAttribute("aria-disabled") === "true") return;
  const usual = button.textContent;
  button.textContent = doing;
  button.setAttribute("aria-disabled", "true");
  form.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    button.textContent = usual;
    button.removeAttribute("aria-disabled");
    form.removeAttribute("aria-busy");
  }
}

/** Disable the button of a form for a time, which the button counts down. */
export async function pause(form, milliseconds) {
  const button = one("button", form);
  const usual = button.textContent;
  const until = performance.now() + milliseconds;
  button.disabled = true;
  for (let left = milliseconds; left > 0; left = until - performance.now()) {
    button.textContent = `Wait ${Math.ceil(left / 1000)} s`;
    await new Promise((resolve) => setTimeout(resolve, Math.min(left, LOOK_MS)));
  }
  button.textContent = usual;
  button.disabled = false;
}

/** Ask a question (a text and elements); resolves with whether the answer is yes. */
export function ask(question, details, yes) {
  const dialog = one("#ask");
  one("h2", dialog).replaceChildren(...question);
  one("p", dialog).textContent = details;
  one("[value=yes]", dialog).textContent = yes;
  return new Promise((resolve) => {
    for (const button of dialog.querySelectorAll("button")) button.onclick = () => dialog.close(button.value);
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    dialog.returnValue = "no";
    dialog.showModal();
  });
}

/** Take a question back: the answer is no. */
export const unask = () => one("#ask").close("no");

/** Put a text on the clipboard. Without a secure connection, or in a frame, browsers have only `execCommand`. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return;
  } catch {
    // The older way below.
  }
  const area = make("textarea", { value: text, className: "hidden" });
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (!isCopied) throw new Error("the browser does not let the page copy");
}
