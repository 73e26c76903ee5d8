// A Vecmark client for Node.js 18 or newer, without dependencies.
const url = process.env.VECMARK_URL ?? "http://127.0.0.1:8000";
const collection = process.env.VECMARK_COLLECTION ?? "example";
const waitS = Number(process.env.VECMARK_WAIT_S ?? 60);

function stop(message) {
  console.error(message);
  process.exit(1);
}

const reason = (error) => error.cause?.message ?? error.message;

// POST if there is a body, otherwise GET.
async function call(path, body) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  try {
    const response = await fetch(url + path, options);
    if (response.ok) return response;
    stop(`${url}${path} answered ${response.status}: ${await response.text()}`);
  } catch (error) {
    stop(`${url}${path} did not answer: ${reason(error)}`);
  }
}

async function waitUntilHealthy() {
  const deadline = Date.now() + waitS * 1000;
  for (;;) {
    const problem = await fetch(`${url}/healthcheck`, { signal: AbortSignal.timeout(5000) }).then(
      (response) => (response.ok ? null : `it answers ${response.status}`),
      reason,
    );
    if (problem === null) return;
    if (Date.now() > deadline) stop(`${url} is not ready after ${waitS} s: ${problem}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

await waitUntilHealthy();
console.log(`${url} is ready.`);

const embedded = await call("/embed", { text: "A newt lives in ponds." });
const vector = await embedded.json();
const first = vector.slice(0, 3).map((number) => number.toFixed(4));
console.log(`${vector.length} numbers: ${first.join(", ")}, ...`);
console.log(`space ${embedded.headers.get("X-Vecmark-Space")}`);

const documents = [
  { id: "newt", text: "A newt is a small salamander that lives in ponds." },
  { id: "violin", text: "A violin has four strings and is played with a bow." },
  { id: "bread", text: "Bread is baked from a dough of flour, water and yeast." },
];
await call("/v1/collections", { name: collection });
const indexed = await call(`/v1/collections/${collection}/documents`, { documents });
for (const { id, status } of (await indexed.json()).results) console.log(`${id}: ${status}`);

const query = new URLSearchParams({ q: "an animal that swims", limit: 2 });
const searched = await call(`/v1/collections/${collection}/search?${query}`);
for (const { score, id, chunk } of (await searched.json()).results) {
  console.log(`${score.toFixed(3)}  ${id}  ${chunk.text}`);
}
