"use strict";

const byId = (id) => document.getElementById(id);
const collections = new Map();
let searches = 0;

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The service does not respond. Is it still running?");
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) {
    const fields = (body?.errors ?? []).map((error) => `${error.field}: ${error.detail}`);
    const message = body?.detail ?? body?.title ?? `HTTP status ${response.status}`;
    throw new Error([message, ...fields].join("\n"));
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
  const collection = collections.get(byId("collection").value);
  byId("empty").hidden = Boolean(collection && collection.documents > 0);
  const name = collection ? encodeURIComponent(collection.name) : null;
  const path = name ? `/v1/collections/${name}/documents` : "/v1/documents";
  byId("curl").textContent =
    `curl ${location.origin}${path} \\\n  -H 'Content-Type: application/json' \\\n` +
    `  -d '{"documents": [{"id": "newt", "text": "A newt is a small salamander that lives in ponds."}]}'`;
}

function tags(metadata) {
  const list = element("div", "tags");
  for (const [key, value] of Object.entries(metadata ?? {})) {
    const content = Array.isArray(value) && value.every((part) => typeof part === "string")
      ? value.join(", ")
      : typeof value === "string" ? value : JSON.stringify(value);
    list.append(element("span", "", `${key}: ${content}`));
  }
  return list;
}

async function showDocument(collection, result, text, button) {
  const path = `/v1/collections/${encodeURIComponent(collection)}/documents/`;
  try {
    const stored = await request(path + encodeURIComponent(result.id));
    // Offsets count characters; a JavaScript string counts an emoji as two.
    const characters = Array.from(stored.text);
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
  const entry = element("li");
  const top = element("div", "top");
  const bar = element("div", "bar");
  const filled = element("i");
  filled.style.width = `${Math.max(0, Math.min(1, result.score)) * 100}%`;
  bar.append(filled);
  bar.setAttribute("aria-hidden", "true");
  top.append(bar, element("span", "score", result.score.toFixed(3)), element("span", "id", result.id));
  const text = element("p", "text", result.chunk.text);
  entry.append(top, text, tags(result.metadata));
  const button = element("button", "more", "Show the whole document");
  button.type = "button";
  button.addEventListener("click", () => showDocument(collection, result, text, button));
  entry.append(button);
  return entry;
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
  const number = ++searches;
  const started = performance.now();
  try {
    const query = new URLSearchParams({ q: words, limit: "10" });
    const answer = await request(`/v1/collections/${encodeURIComponent(collection)}/search?${query}`);
    if (number !== searches) return;
    const elapsed = performance.now() - started;
    byId("results").replaceChildren(...answer.results.map((result) => item(collection, result)));
    byId("status").textContent =
      `${answer.results.length} ${answer.results.length === 1 ? "document" : "documents"} in ${elapsed.toFixed(0)} ms` +
      ` · ${answer.space.model} · space ${answer.space.id.slice(0, 16)}… · index ${answer.index} · ${answer.path}`;
    byId("status").title = answer.space.id;
  } catch (error) {
    if (number === searches) showProblem(error);
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
  const requested = url.searchParams.get("collection");
  if (collections.has(requested)) byId("collection").value = requested;
  await search();
}

start();
