// Two photos in, one answer out. Everything runs in the page.
import * as ort from "../node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";
import { load } from "../faces.mjs";

const MOST_PIXELS = 50e6;
const answer = document.querySelector("#answer");
const rates = document.querySelector("#fmr");
const sides = ["a", "b"].map((id) => document.querySelector(`#${id}`));
const templates = [null, null];
const turns = [0, 0]; // a photo that was replaced meanwhile gives no answer

async function read(name) {
  const response = await fetch(`../models/${name}`);
  if (!response.ok) throw new Error(`${name} is missing: run python prepare.py`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Decodes a photo: upright, on white, colors as they are. */
async function decode(file) {
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none" };
  const bitmap = await createImageBitmap(file, options).catch(() => {
    throw new Error(`${file.name} is not a photo that this browser reads`);
  });
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) throw new Error(`${file.name} has more than 50 megapixels`);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

/** Shows a photo with its faces; the one that is compared has the thick box. */
function show(canvas, photo, faces) {
  Object.assign(canvas, { width: photo.width, height: photo.height, hidden: false });
  const context = canvas.getContext("2d");
  context.putImageData(photo, 0, 0);
  const unit = Math.max(photo.width, photo.height) / 200;
  context.strokeStyle = "#2ea043";
  context.fillStyle = "#2ea043";
  faces.forEach(({ box, landmarks }, k) => {
    context.lineWidth = k === 0 ? 2 * unit : unit / 2;
    context.strokeRect(...box);
    for (const [x, y] of landmarks) context.fillRect(x - unit, y - unit, 2 * unit, 2 * unit);
  });
}

async function take(verifier, k, file) {
  const [side, turn] = [sides[k], ++turns[k]];
  const status = side.querySelector("[role=status]");
  templates[k] = null;
  answer.className = "";
  answer.value = "";
  status.textContent = `Looking at ${file.name} …`;
  try {
    const photo = await decode(file);
    const canvas = side.querySelector("canvas");
    show(canvas, photo, []);
    const { faces, template } = await verifier.describe(photo, file.name);
    if (turn !== turns[k]) return;
    show(canvas, photo, faces);
    templates[k] = template;
    const others = faces.length > 1 ? `; the largest of ${faces.length} faces is compared` : "";
    status.textContent = `${file.name}${others}`;
    compare(verifier);
  } catch (error) {
    if (turn !== turns[k]) return;
    status.textContent = "";
    answer.className = "failed";
    answer.value = error.message;
  }
}

function compare(verifier) {
  if (templates.includes(null)) return;
  const { same, score, threshold } = verifier.compare(...templates, Number(rates.value));
  answer.className = same ? "same" : "different";
  answer.value = `${same ? "Same person" : "Different people"}: score ${score.toFixed(4)}, threshold ${threshold.toFixed(4)}`;
  Object.assign(answer.dataset, { same, score, threshold });
}

try {
  const verifier = await load(ort, read);
  // Photos are taken one after the other: a session runs one thing at a time.
  let queue = Promise.resolve();
  const give = (k, file) => {
    if (file) queue = queue.then(() => take(verifier, k, file));
  };
  sides.forEach((side, k) => {
    const input = side.querySelector("input");
    input.addEventListener("change", () => give(k, input.files[0]));
    for (const kind of ["dragover", "dragleave", "drop"]) {
      side.addEventListener(kind, (event) => {
        event.preventDefault();
        side.classList.toggle("over", kind === "dragover");
        if (kind === "drop") give(k, event.dataTransfer.files[0]);
      });
    }
  });
  for (const { fmr } of verifier.thresholds.points) {
    const rate = Math.round(1 / fmr).toLocaleString("en");
    rates.append(new Option(rate, fmr, fmr === 1e-3, fmr === 1e-3));
  }
  rates.addEventListener("change", () => compare(verifier));
  rates.disabled = false;
  answer.value = "";
  document.body.dataset.ready = "yes";
} catch (error) {
  answer.className = "failed";
  answer.value = error.message;
}
