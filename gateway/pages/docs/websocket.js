// Shows asyncapi.json: the channel, every message with its fields and examples, errors and closes.
// Inserts all values as text, never as markup.

const GROUPS = [
  ["command", "What a client sends"],
  ["answer", "Answers"],
  ["sequenced", "Sequenced events"],
  ["ephemeral", "Ephemeral events"],
  ["notice", "Notices"],
  ["batch", "Batches"],
];

/** An element with attributes and children; back ticks in texts become `code`. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  for (const child of children) element.append(...(typeof child === "string" ? marked(child) : [child]));
  return element;
}

function marked(text) {
  return text.split("`").map((part, index) => {
    if (index % 2 === 0) return part;
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
}

function table(heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell))));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

class Reference {
  constructor(document_) {
    this.document = document_;
  }

  resolve(schema) {
    if (schema.$ref === undefined) return schema;
    return schema.$ref.slice(2).split("/").reduce((found, key) => found[key], this.document);
  }

  /** The type and the limits of a value, in a few words. */
  type(given) {
    const schema = this.resolve(given);
    if (schema.enum) return schema.enum.map((value) => `\`${JSON.stringify(value)}\``).join(", ");
    if (schema.anyOf) return schema.anyOf.map((one) => this.type(one)).join(", or ");
    if (schema.type === "array" && schema.items.oneOf) return "array of events";
    if (schema.type === "array") return `array of ${this.type(schema.items)}`;
    if (schema.type === "string" && schema.maxLength !== undefined)
      return `string, ${schema.minLength ? `${schema.minLength} to` : "up to"} ${schema.maxLength} characters`;
    return schema.type ?? "anything";
  }

  /** One row for each field, those of objects inside too. */
  rows(given, prefix = "") {
    const schema = this.resolve(given);
    return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
      if (prefix === "" && name === "type") return [];
      const isNeeded = schema.required?.includes(name);
      const note = field.description ?? "";
      const row = [`\`${prefix}${name}\``, this.type(field), isNeeded ? "yes" : "", note];
      const inner = (field.anyOf ?? [field]).map((one) => (one.type === "array" ? one.items : one));
      return [row, ...inner.flatMap((one) => this.rows(one, `${prefix}${name}.`))];
    });
  }

  message(name, message) {
    const article = make("article", { id: name }, make("h3", {}, make("a", { href: `#${name}` }, `\`${name}\``)));
    article.append(make("p", {}, message.summary));
    const rows = this.rows(message.payload);
    if (rows.length > 0) article.append(table(["field", "is", "always", ""], rows));
    for (const { payload } of message.examples) {
      const pre = make("pre", { tabindex: "0" });
      pre.textContent = JSON.stringify(payload, null, 2);
      article.append(pre);
    }
    return article;
  }

  render(main, contents) {
    const { info, channels, components } = this.document;
    const channel = channels.session;
    const address = make("p", { class: "address" }, `\`GET ${channel.address}\``);
    main.append(address, ...info.description.split("\n\n").map((text) => make("p", {}, text)));
    for (const [tag, title] of GROUPS) {
      const found = Object.entries(components.messages).filter(([, message]) => message.tags[0].name === tag);
      main.append(make("h2", { id: `${tag}s` }, title), ...found.map((entry) => this.message(...entry)));
      const links = found.map(([name]) => make("li", {}, make("a", { href: `#${name}` }, name)));
      contents.append(make("h2", {}, make("a", { href: `#${tag}s` }, title)), make("ul", {}, ...links));
    }
    this.tables(main, contents, channel);
  }

  tables(main, contents, channel) {
    const errors = channel["x-errors"].map(({ code, meaning }) => [`\`${code}\``, meaning]);
    const closes = channel["x-closes"].map(({ code, name, message, reconnect }) => [
      String(code), `\`${name}\``, message, reconnect ? "reconnect" : "stop",
    ]);
    const refusals = channel["x-refusals"].map(({ status, meaning }) => [String(status), meaning]);
    for (const [id, title, text, part] of [
      ["errors", "Errors", "These keep the connection.", table(["code", "means"], errors)],
      ["closes", "Closes", "Before a close from 4000 on comes an `error` with the same name.",
        table(["code", "name", "means", "then"], closes)],
      ["refusals", "Refusals", "A request that is not upgraded gets an HTTP answer with the envelope.",
        table(["status", "means"], refusals)],
    ]) {
      main.append(make("h2", { id }, title), make("p", {}, text), part);
      contents.append(make("h2", {}, make("a", { href: `#${id}` }, title)));
    }
  }
}

const main = document.getElementById("reference");
try {
  const answer = await fetch(new URL("../asyncapi.json", import.meta.url));
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  new Reference(await answer.json()).render(main, document.getElementById("contents"));
  // The target of the address did not exist yet when the page was loaded.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
} catch (error) {
  main.append(make("p", { role: "alert" }, `The document could not be loaded (${error.message}). Reload the page.`));
}
main.setAttribute("aria-busy", "false");
