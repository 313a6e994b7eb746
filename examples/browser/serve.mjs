// node serve.mjs [--port 8080]: serves the page to this machine. Any static server will do.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SERVED = /^\/(faces\.mjs|(browser|models|node_modules\/onnxruntime-web\/dist)\/[\w.-]+)$/;
const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".json": "application/json",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};
const HEADERS = {
  // These two let WebAssembly use several threads.
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-opener-policy": "same-origin",
  "x-content-type-options": "nosniff",
};

const { values } = parseArgs({ options: { port: { type: "string", default: "8080" } } });
const server = createServer(async (request, response) => {
  const { pathname: path } = new URL(request.url, "http://localhost");
  if (path === "/") {
    response.writeHead(302, { location: "/browser/index.html" }).end();
    return;
  }
  const file = join(ROOT, path);
  const found = SERVED.test(path) && (await stat(file).catch(() => null));
  if (!found || !found.isFile()) {
    response.writeHead(404).end();
    return;
  }
  const type = TYPES[extname(path)] ?? "application/octet-stream";
  response.writeHead(200, { ...HEADERS, "content-type": type, "content-length": found.size });
  createReadStream(file).pipe(response);
});
server.listen(Number(values.port), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
