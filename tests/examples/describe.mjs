// node describe.mjs MODELS WIDTH HEIGHT < RGBA: faces, crop and template of the largest face.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as ort from "../../examples/node_modules/onnxruntime-web/dist/ort.node.min.mjs";
import { load } from "../../examples/faces.mjs";

const [models, width, height] = process.argv.slice(2);
const verifier = await load(ort, (name) => readFileSync(join(models, name)));
const photo = { width: Number(width), height: Number(height), data: readFileSync(0) };
const { faces, crop, template } = await verifier.describe(photo);
console.log(JSON.stringify({ faces, crop: [...crop.data], template: [...template] }));
