// Renders /openapi.json and sends requests from the page. It needs nothing but this origin:
// no framework, no CDN, no inline script, so that the strictest content security policy fits.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
let api;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function resolved(thing) {
  if (!thing || !thing.$ref) return thing;
  return thing.$ref.slice(2).split("/").reduce((at, key) => at[key], api);
}

// Comments of the protos are Markdown of the simplest kind: paragraphs and `code`.
function prose(text = "") {
  return text.split("\n\n").filter(Boolean).map((paragraph) => {
    const parts = paragraph.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
    return element("p", {}, ...parts);
  });
}

function typeOf(schema, depth = 0) {
  if (!schema) return "any";
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    const target = resolved(schema);
    return target.enum ? target.enum.join(" | ") : name;
  }
  if (schema.type === "array") return `list of ${typeOf(schema.items, depth + 1)}`;
  if (schema.type === "object" && schema.additionalProperties && schema.additionalProperties.type)
    return `map to ${typeOf(schema.additionalProperties, depth + 1)}`;
  return [schema.type || "any", schema.format].filter(Boolean).join(", ");
}

function fieldTable(schema, seen = new Set()) {
  const target = resolved(schema) || {};
  const rows = Object.entries(target.properties || {}).map(([name, field]) => {
    const inner = field.$ref || (field.items && field.items.$ref);
    const below = inner && !seen.has(inner) && (resolved({ $ref: inner }) || {}).properties;
    const more = below
      ? element("details", {}, element("summary", { className: "dim" }, "fields"),
          fieldTable({ $ref: inner }, new Set([...seen, inner])))
      : null;
    const marks = [(target.required || []).includes(name) ? "required" : "", field.readOnly ? "read only" : ""];
    return element("tr", {},
      element("td", {}, element("code", {}, name)),
      element("td", {}, typeOf(field), element("div", { className: "dim" }, marks.filter(Boolean).join(", "))),
      element("td", {}, ...prose(field.description), more));
  });
  return rows.length ? element("table", {}, ...rows) : element("p", { className: "dim" }, typeOf(schema));
}

function curl(method, url, body) {
  const parts = [`curl -X ${method.toUpperCase()} '${location.origin}${url}'`, `-H "Authorization: Bearer $RETINUE_TOKEN"`];
  if (body) parts.push(`-H 'Content-Type: application/json'`, `-d '${body.replaceAll("'", "'\\''")}'`);
  return parts.join(" \\\n  ");
}

async function send(method, url, body, output) {
  output.textContent = "…";
  const headers = { Authorization: `Bearer ${document.getElementById("token").value.trim()}` };
  if (body) headers["Content-Type"] = "application/json";
  try {
    const answer = await fetch(url, { method: method.toUpperCase(), headers, body: body || undefined });
    output.textContent = `HTTP ${answer.status}\n\n`;
    const decoder = new TextDecoder();
    let text = "";
    const reader = answer.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += decoder.decode(part.value, { stream: true });
      output.textContent = `HTTP ${answer.status}\n\n${text}`;
    }
    if ((answer.headers.get("content-type") || "").startsWith("application/json"))
      output.textContent = `HTTP ${answer.status}\n\n${JSON.stringify(JSON.parse(text), null, 2)}`;
  } catch (error) {
    output.textContent = String(error);
  }
}

function tryIt(method, path, operation) {
  const fields = {};
  const parameters = (operation.parameters || []).map(resolved).filter((one) => one.in !== "header");
  const rows = parameters.map((one) => {
    const input = element("input", { name: one.name, placeholder: one.required ? "required" : "" });
    fields[one.name] = { input, place: one.in };
    return element("tr", {},
      element("td", {}, element("code", {}, one.name), element("div", { className: "dim" }, one.in)),
      element("td", {}, typeOf(one.schema)), element("td", {}, input), element("td", {}, ...prose(one.description)));
  });
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  const body = content ? element("textarea", { value: JSON.stringify(content.example, null, 2) }) : null;
  const command = element("pre", {});
  const output = element("pre", { hidden: true });
  const url = () => {
    const query = new URLSearchParams();
    let target = path;
    for (const [name, { input, place }] of Object.entries(fields)) {
      if (place === "path") target = target.replace(`{${name}}`, encodeURIComponent(input.value) || `{${name}}`);
      else if (input.value) query.set(name, input.value);
    }
    return query.size ? `${target}?${query}` : target;
  };
  const show = () => { command.textContent = curl(method, url(), body && body.value); };
  const form = element("form", {},
    rows.length ? element("table", {}, ...rows) : null,
    body, command, element("button", { type: "submit" }, "Send"), output);
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    output.hidden = false;
    send(method, url(), body && body.value, output);
  });
  show();
  return form;
}

function article(method, path, operation) {
  const [type, content] = Object.entries(operation.responses["200"].content || {})[0] || [];
  const request = operation.requestBody && operation.requestBody.content["application/json"].schema;
  const inside = element("div", { className: "inside" });
  const details = element("details", {},
    element("summary", {}, element("span", { className: "method" }, method.toUpperCase()),
      element("code", {}, path), element("h3", {}, operation.summary)),
    inside);
  // An operation is drawn when it is opened: most never are.
  details.addEventListener("toggle", () => {
    if (inside.childElementCount) return;
    inside.append(...prose(operation.description), tryIt(method, path, operation),
      ...(request ? [element("h4", {}, "Body"), fieldTable(request)] : []),
      element("h4", {}, `Answer (${type || "empty"})`), ...(content ? [fieldTable(content.schema)] : []));
  });
  return element("article", { id: operation.operationId }, details);
}

function draw() {
  document.getElementById("title").textContent = `${api.info.title} API ${api.info.version}`;
  const index = document.getElementById("index");
  const main = document.getElementById("operations");
  main.replaceChildren(...prose(api.info.description));
  for (const tag of api.tags) {
    main.append(element("h2", {}, tag.name), ...prose(tag.description));
    index.append(element("strong", {}, tag.name));
    for (const [path, item] of Object.entries(api.paths)) {
      for (const method of METHODS.filter((one) => item[one] && item[one].tags[0] === tag.name)) {
        main.append(article(method, path, item[method]));
        index.append(element("a", { href: `#${item[method].operationId}` }, item[method].summary));
      }
    }
  }
  const opened = location.hash && document.querySelector(`${location.hash} > details`);
  if (opened) opened.open = true;
}

window.addEventListener("hashchange", () => {
  const opened = document.querySelector(`${location.hash} > details`);
  if (opened) opened.open = true;
});

fetch("/openapi.json")
  .then((answer) => answer.json())
  .then((read) => { api = read; draw(); })
  .catch((error) => { document.getElementById("operations").textContent = `The description cannot be read: ${error}`; });
