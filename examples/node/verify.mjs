// node verify.mjs a.jpg b.jpg [--fmr 0.001] [--models DIR]
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { load, NoFaceError } from "../faces.mjs";

// The native runtime is faster; npm install onnxruntime-node adds it (290 MB).
const ort = await import("onnxruntime-node").catch(() => import("onnxruntime-web"));

/** Decodes a photo: upright, on white. */
async function decode(path) {
  // Color profiles are ignored, as visavis does for all but very wide ones.
  const photo = sharp(path, { ignoreIcc: true }).autoOrient().flatten({ background: "white" });
  const pixels = photo.toColourspace("srgb").ensureAlpha().raw();
  const { data, info } = await pixels.toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    fmr: { type: "string", default: "0.001" },
    models: { type: "string", default: fileURLToPath(new URL("../models", import.meta.url)) },
  },
});
if (positionals.length !== 2) {
  console.error("usage: node verify.mjs A B [--fmr RATE] [--models DIR]");
  process.exit(2);
}
try {
  const verifier = await load(ort, (name) => readFile(join(values.models, name)));
  const [templates, milliseconds] = [[], []];
  for (const path of positionals) {
    const began = performance.now();
    templates.push((await verifier.describe(await decode(path), path)).template);
    milliseconds.push(Math.round(performance.now() - began));
  }
  const answer = verifier.compare(...templates, Number(values.fmr));
  console.log(JSON.stringify({ ...answer, model: verifier.card.name, milliseconds }));
} catch (error) {
  console.error(error.message);
  process.exitCode = error instanceof NoFaceError ? 1 : 2;
}
