"use strict";

const byId = (id) => document.getElementById(id);
const collections = new Map();
let asked = 0;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The service doesn't answer. Is it still running?");
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) {
    const fields = (body?.errors ?? []).map((error) => `${error.field}: ${error.detail}`);
    const said = body?.detail ?? body?.title ?? `HTTP status ${response.status}`;
    throw new Error([said, ...fields].join("\n"));
  }
  return body;
}

function showProblem(error) {
  byId("problem").replaceChildren(
    ...(error ? error.message.split("\n").map((line) => element("p", "", line)) : []),
  );
  byId("problem").hidden = !error;
}

async function loadCollections() {
  let cursor = null;
  do {
    const page = await request(
      "/v1/collections?limit=100" + (cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""),
    );
    for (const collection of page.items) collections.set(collection.name, collection);
    cursor = page.next_cursor;
  } while (cursor);
  const options = [...collections.values()].map((collection) => {
    const count = collection.documents.toLocaleString("en");
    const option = element("option", "", `${collection.name} (${count})`);
    option.value = collection.name;
    return option;
  });
  byId("collection").replaceChildren(...options);
  byId("collection").disabled = options.length === 0;
}

function showEmpty() {
  const chosen = collections.get(byId("collection").value);
  byId("empty").hidden = Boolean(chosen && chosen.documents > 0);
  const name = chosen ? encodeURIComponent(chosen.name) : null;
  const path = name ? `/v1/collections/${name}/documents` : "/v1/documents";
  byId("curl").textContent =
    `curl ${location.origin}${path} \\\n  -H 'Content-Type: application/json' \\\n` +
    `  -d '{"documents": [{"id": "newt", "text": "A newt is a small salamander that lives in ponds."}]}'`;
}

function tags(metadata) {
  const list = element("div", "tags");
  for (const [key, value] of Object.entries(metadata ?? {})) {
    const shown = Array.isArray(value) && value.every((part) => typeof part === "string")
      ? value.join(", ")
      : typeof value === "string" ? value : JSON.stringify(value);
    list.append(element("span", "", `${key}: ${shown}`));
  }
  return list;
}

async function showDocument(collection, result, text, button) {
  const path = `/v1/collections/${encodeURIComponent(collection)}/documents/`;
  try {
    const whole = await request(path + encodeURIComponent(result.id));
    // Offsets count characters; a JavaScript string counts an emoji as two.
    const characters = Array.from(whole.text);
    const { start, end } = result.chunk;
    text.replaceChildren(
      characters.slice(0, start).join(""),
      element("mark", "", characters.slice(start, end).join("")),
      characters.slice(end).join(""),
    );
    button.remove();
  } catch (error) {
    showProblem(error);
  }
}

function item(collection, result) {
  const made = element("li");
  const top = element("div", "top");
  const bar = element("div", "bar");
  const filled = element("i");
  filled.style.width = `${Math.max(0, Math.min(1, result.score)) * 100}%`;
  bar.append(filled);
  bar.setAttribute("aria-hidden", "true");
  top.append(bar, element("span", "score", result.score.toFixed(3)), element("span", "id", result.id));
  const text = element("p", "text", result.chunk.text);
  made.append(top, text, tags(result.metadata));
  const button = element("button", "more", "Show the whole document");
  button.type = "button";
  button.addEventListener("click", () => showDocument(collection, result, text, button));
  made.append(button);
  return made;
}

async function search() {
  const words = byId("words").value.trim();
  const collection = byId("collection").value;
  const url = new URL(location);
  if (collection) url.searchParams.set("collection", collection);
  if (words) url.searchParams.set("q", words);
  else url.searchParams.delete("q");
  history.replaceState(null, "", url);
  showProblem(null);
  showEmpty();
  byId("results").replaceChildren();
  byId("status").textContent = "";
  if (!words || !collection) return;
  const mine = ++asked;
  const started = performance.now();
  try {
    const query = new URLSearchParams({ q: words, limit: "10" });
    const found = await request(`/v1/collections/${encodeURIComponent(collection)}/search?${query}`);
    if (mine !== asked) return;
    const took = performance.now() - started;
    byId("results").replaceChildren(...found.results.map((result) => item(collection, result)));
    byId("status").textContent =
      `${found.results.length} ${found.results.length === 1 ? "document" : "documents"} in ${took.toFixed(0)} ms` +
      ` · ${found.space.model} · space ${found.space.id.slice(0, 16)}… · index ${found.index} · ${found.path}`;
    byId("status").title = found.space.id;
  } catch (error) {
    if (mine === asked) showProblem(error);
  }
}

async function start() {
  const url = new URL(location);
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  byId("collection").addEventListener("change", search);
  document.addEventListener("keydown", (event) => {
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement.tagName);
    if (event.key === "/" && !typing) {
      event.preventDefault();
      byId("words").focus();
    }
  });
  byId("words").value = url.searchParams.get("q") ?? "";
  try {
    await loadCollections();
  } catch (error) {
    showProblem(error);
    return;
  }
  const wanted = url.searchParams.get("collection");
  if (collections.has(wanted)) byId("collection").value = wanted;
  await search();
}

start();
