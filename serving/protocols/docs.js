"use strict";
const { route, signature, samples, paths } = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const made = (tag, text, attributes) => {
  const element = Object.assign(document.createElement(tag), attributes || {});
  if (text !== undefined) element.textContent = text;
  return element;
};
const inputs = signature.inputs;
const fields = [];
let shown = -1;

function ranged(item) {
  if (item.type === "image") return `a JPEG or PNG file; scaled to ${item.width} x ${item.height}`;
  if (item.type === "date") return "2024-03-01 or 2024-03-01T10:20:30Z";
  if (item.type === "category") {
    const few = [...item.vocabulary].reverse();
    return few.slice(0, 12).join(", ") + (few.length > 12 ? `, ... (${few.length} known values)` : "");
  }
  return item.min == null || item.max == null ? "" : `in training ${item.min} to ${item.max}`;
}

for (const item of inputs) {
  const label = made("label");
  label.append(made("b", item.name), item.type);
  let field;
  if (item.type === "boolean") {
    field = made("select");
    for (const value of ["", "true", "false"]) field.append(made("option", value || "missing", { value }));
  } else if (item.type === "image") {
    field = made("input", undefined, { type: "file", accept: "image/jpeg,image/png" });
    field.addEventListener("change", async () => {
      const file = field.files[0];
      if (!file) return;
      const bytes = new Uint8Array(await file.arrayBuffer());
      let text = "";
      for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
      field.held = { b64: btoa(text) };
      write();
    });
  } else {
    field = made("input", undefined, { type: "text", autocomplete: "off", spellcheck: false });
    if (item.type === "number") field.inputMode = "decimal";
    if (item.type === "category") {
      const list = made("datalist", undefined, { id: `values-${fields.length}` });
      for (const value of [...item.vocabulary].reverse().slice(0, 200)) list.append(made("option", undefined, { value }));
      label.append(list);
      field.setAttribute("list", list.id);
    }
  }
  field.addEventListener("input", write);
  label.append(field);
  at("form").append(label);
  fields.push(field);
  const row = made("tr");
  row.append(made("td", item.name), made("td", item.type), made("td", ranged(item)));
  at("inputs").append(row);
}

function value(item, field) {
  if (item.type === "image") return field.held ?? null;
  if (field.value === "") return null;
  if (item.type === "boolean") return field.value === "true";
  if (item.type !== "number") return field.value;
  const number = Number(field.value);
  return Number.isFinite(number) ? number : field.value; // the server says what is wrong with it
}

function body() {
  const instance = {};
  // A field named __proto__ is a field as well.
  inputs.forEach((item, place) => Object.defineProperty(instance, item.name,
    { value: value(item, fields[place]), enumerable: true, configurable: true }));
  return JSON.stringify({ instances: [instance] });
}

function write() {
  const quoted = body().replaceAll("'", "'\\''");
  const text = quoted.length > 2000 ? `${quoted.slice(0, 2000)}...` : quoted;
  at("curl").textContent = `curl ${location.origin}${route} -d '${text}'`;
}

function fill() {
  shown = (shown + 1) % samples.length;
  inputs.forEach((item, place) => {
    const given = samples[shown][item.name];
    if (item.type === "image") fields[place].held = given;
    else fields[place].value = given === null || given === undefined ? "" : String(given === 1 && item.type === "boolean" ? true : given === 0 && item.type === "boolean" ? false : given);
  });
  write();
}

async function ask() {
  const headers = { "content-type": "application/json" };
  if (at("token").value) headers.authorization = `Bearer ${at("token").value}`;
  const start = performance.now();
  try {
    const answer = await fetch(new URL(route, location.origin), { method: "POST", headers, body: body() });
    const text = await answer.text();
    at("told").textContent = `Answer: ${answer.status}, ${(performance.now() - start).toFixed(1)} ms`;
    try {
      at("answer").textContent = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      at("answer").textContent = text;
    }
  } catch (error) {
    at("told").textContent = "No answer";
    at("answer").textContent = String(error);
  }
}

const groups = new Map();
for (const [path, methods] of Object.entries(paths))
  for (const [method, told] of Object.entries(methods)) {
    const tag = told.tags[0];
    if (!groups.has(tag)) groups.set(tag, []);
    groups.get(tag).push([method.toUpperCase(), path, told]);
  }
for (const [tag, routes] of groups) {
  at("routes").append(made("h3", tag));
  for (const [method, path, told] of routes) {
    const details = made("details");
    const summary = made("summary");
    summary.append(made("code", `${method} ${path}`), ` ${told.summary}`);
    details.append(summary);
    const asked = told.requestBody?.content["application/json"];
    const text = asked ? JSON.stringify(asked.example, null, 2) : "no body";
    details.append(made("pre", text.length > 4000 ? `${text.slice(0, 4000)}...` : text));
    at("routes").append(details);
  }
}

at("ask").addEventListener("click", ask);
at("next").addEventListener("click", fill);
at("form").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
fill();
