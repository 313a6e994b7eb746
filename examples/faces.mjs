// Face verification with the files that prepare.py wrote: detect, align, embed, compare.
//
// Runs wherever ONNX Runtime's JavaScript API does; nothing here needs a page or Node.js. A photo is
// { width, height, data } with RGBA bytes, as ImageData has them, upright and opaque. A box is
// [x, y, width, height]; landmarks are right eye, left eye, nose, right and left corner of the mouth,
// each [x, y], in pixels of the photo.

const STRIDES = [8, 16, 32]; // of YuNet's three grids
const CELL = 32; // its input's sides are multiples of this
const SEEN = 30; // lowest height in input pixels of a face that it finds reliably
const FIRST = 480; // longest side of a photo in the smallest look, in pixels
const LOOKS = [96, 128]; // heights of a face, in pixels, in the further looks
const MARGIN = 1.6; // side of their window, in face heights
const CANDIDATE = 0.6; // lowest score in a first look
const FACE = 0.8; // lowest score of a face after all looks
const GRAY = 127; // outside the photo in a further look

export class NoFaceError extends Error {}

/**
 * Loads detector and model.
 * @param ort ONNX Runtime: the module onnxruntime-web or onnxruntime-node.
 * @param read async function from a file's name to its bytes, a Uint8Array.
 */
export async function load(ort, read) {
  const json = async (name) => JSON.parse(new TextDecoder().decode(await read(name)));
  const session = async (name) =>
    ort.InferenceSession.create(await read(name), { logSeverityLevel: 3 });
  const detector = await session("detector.onnx");
  const model = await session("model.onnx");
  return new Verifier(ort, detector, model, await json("model.json"), await json("thresholds.json"));
}

export class Verifier {
  constructor(ort, detector, model, card, thresholds) {
    Object.assign(this, { ort, detector, model, card, thresholds });
  }

  /** Returns the photo's faces, largest first: { box, landmarks, score }. May be empty. */
  async detect(photo) {
    const candidates = [];
    const levels = [photo];
    for (const scale of scales(Math.max(photo.width, photo.height))) {
      const size = [photo.width, photo.height].map((side) => Math.max(even(side * scale), 1));
      for (const { box, landmarks, score } of await this.#look(resize(reduced(levels, 1 / scale), ...size))) {
        candidates.push({
          box: box.map((value) => value / scale),
          landmarks: landmarks.map((point) => point.map((value) => value / scale)),
          score,
        });
      }
    }
    const faces = [];
    for (const face of suppress(candidates)) faces.push(await this.#lookAgain(levels, face));
    const best = Math.max(...faces.map((face) => face.score));
    const least = Math.max(FACE, best - 0.1); // next to a clear face: earrings, hands, blurred corners
    return faces.filter((face) => face.score >= least).sort((a, b) => area(b) - area(a));
  }

  /** Returns the aligned crop of a face, a photo of the model's input size. */
  align(photo, face) {
    const { size } = this.card.input;
    const target = this.card.alignment.positions;
    let points = face.landmarks;
    let matrix = similarity(points, target);
    const factor = Math.floor(1 / Math.hypot(matrix[0], matrix[3]));
    if (factor >= 2) {
      // A face much larger than the crop is reduced first: bilinear sampling would skip pixels.
      const [left, top, part] = surroundings(photo, inverse(matrix), size, factor);
      photo = resize(part, part.width / factor, part.height / factor);
      points = points.map(([x, y]) => [
        (x - left + 0.5) / factor - 0.5,
        (y - top + 0.5) / factor - 0.5,
      ]);
      matrix = similarity(points, target);
    }
    return warp(photo, inverse(matrix), size, 0);
  }

  /** Returns the template of an aligned crop, a Float32Array of unit length. */
  async embed(crop) {
    // Subtracting means, dividing and the unit length are part of the graph.
    const input = tensor(this.ort, crop, false, crop.width, crop.height);
    const results = await this.model.run({ [this.model.inputNames[0]]: input });
    return results[this.model.outputNames[0]].data;
  }

  /** Returns { faces, crop, template } of a photo's largest face. Throws NoFaceError. */
  async describe(photo, name = "the photo") {
    const faces = await this.detect(photo);
    if (!faces.length) {
      throw new NoFaceError(
        `${name}: no face found in ${photo.width}x${photo.height} pixels; ` +
          "use a sharper, upright photo that shows the whole face",
      );
    }
    const crop = this.align(photo, faces[0]);
    return { faces, crop, template: await this.embed(crop) };
  }

  /** Returns { same, score, threshold, fmr } of two templates at a false match rate. */
  compare(a, b, fmr = 1e-3) {
    const point = this.thresholds.points.find((one) => one.fmr === fmr);
    if (!point) {
      const rates = this.thresholds.points.map((one) => one.fmr).join(", ");
      throw new Error(`no threshold for a false match rate of ${fmr}; choose one of ${rates}`);
    }
    const score = a.reduce((sum, value, k) => sum + value * b[k], 0);
    return { same: score >= point.threshold, score, threshold: point.threshold, fmr };
  }

  /** Runs the detector once. Returns faces in pixels of the image. */
  async #look(image) {
    const columns = Math.ceil(image.width / CELL) * CELL;
    const rows = Math.ceil(image.height / CELL) * CELL;
    const input = tensor(this.ort, image, true, columns, rows);
    const outputs = await this.detector.run({ [this.detector.inputNames[0]]: input });
    return STRIDES.flatMap((stride) => {
      const [cls, obj, bbox, kps] = ["cls", "obj", "bbox", "kps"].map(
        (kind) => outputs[`${kind}_${stride}`].data,
      );
      const found = [];
      for (let cell = 0; cell < cls.length; cell++) {
        const score = Math.sqrt(Math.max(cls[cell] * obj[cell], 0));
        if (score < CANDIDATE) continue;
        const across = columns / stride;
        const [x, y] = [cell % across, Math.floor(cell / across)];
        const [width, height] = [bbox[4 * cell + 2], bbox[4 * cell + 3]].map(Math.exp);
        const left = x + bbox[4 * cell] - width / 2;
        const top = y + bbox[4 * cell + 1] - height / 2;
        const landmarks = [0, 1, 2, 3, 4].map((k) => [
          (x + kps[10 * cell + 2 * k]) * stride,
          (y + kps[10 * cell + 2 * k + 1]) * stride,
        ]);
        const box = [left, top, width, height].map((value) => value * stride);
        found.push({ box, landmarks, score: Math.min(score, 1) });
      }
      return found;
    });
  }

  /** Detects a face again at standard sizes with level eyes: the mean landmarks vary less. */
  async #lookAgain(levels, face) {
    const [left, top, width, height] = face.box;
    const size = Math.max(width, height);
    const middle = [left + width / 2, top + height / 2];
    const views = [face.landmarks];
    let { score } = face;
    for (const standard of LOOKS) {
      const [right, other] = views.at(-1);
      const angle = Math.atan2(other[1] - right[1], other[0] - right[0]);
      const side = Math.ceil((standard * MARGIN) / CELL) * CELL;
      const step = size / standard; // photo pixels per pixel of the window
      const [cos, sin] = [step * Math.cos(angle), step * Math.sin(angle)];
      const found = await this.#look(window(levels, middle, cos, sin, side));
      const placed = found.map((one) => ({
        score: one.score,
        landmarks: one.landmarks.map(([x, y]) => {
          const [u, v] = [x - side / 2, y - side / 2];
          return [middle[0] + cos * u - sin * v, middle[1] + sin * u + cos * v];
        }),
      }));
      const near = placed.map((one) => distance(one.landmarks, face.landmarks));
      const best = near.indexOf(Math.min(...near));
      if (best >= 0 && near[best] < 0.2 * size) {
        views.push(placed[best].landmarks);
        score = Math.max(score, placed[best].score);
      }
    }
    const mean = (k, axis) => views.reduce((sum, view) => sum + view[k][axis], 0) / views.length;
    const landmarks = face.landmarks.map((_, k) => [mean(k, 0), mean(k, 1)]);
    return { box: face.box, landmarks, score };
  }
}

/** Scales of the first looks at a photo, large first. */
function scales(longest) {
  const smallest = Math.max(20, even(longest / 40)); // height of a face that is looked for, in pixels
  const [first, last] = [SEEN / smallest, FIRST / longest];
  const steps = Array.from({ length: 16 }, (_, k) => first / 4 ** k).filter((scale) => scale > last);
  return [...steps, Math.min(first, last)];
}

/** Rounds as Python does. */
const even = (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

const area = ({ box }) => box[2] * box[3];

const distance = (a, b) =>
  a.reduce((sum, point, k) => sum + Math.hypot(point[0] - b[k][0], point[1] - b[k][1]), 0) / a.length;

/** Drops boxes that overlap a better one, or lie inside it. */
function suppress(faces) {
  const kept = [];
  for (const face of [...faces].sort((a, b) => b.score - a.score)) {
    if (kept.every((one) => !overlaps(one, face))) kept.push(face);
  }
  return kept;
}

function overlaps(one, other) {
  const [a, b] = [one.box, other.box];
  const across = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const down = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  const common = Math.max(across, 0) * Math.max(down, 0);
  const [p, q] = [area(one), area(other)];
  return common > 0.3 * (p + q - common) || common > 0.7 * Math.min(p, q);
}

/** Returns an NCHW tensor of values 0 to 255, black beyond the image. */
function tensor(ort, image, bgr, columns, rows) {
  const values = new Float32Array(3 * rows * columns);
  for (let channel = 0; channel < 3; channel++) {
    const from = bgr ? 2 - channel : channel;
    for (let y = 0; y < image.height; y++) {
      const row = (channel * rows + y) * columns;
      for (let x = 0; x < image.width; x++) {
        values[row + x] = image.data[4 * (y * image.width + x) + from];
      }
    }
  }
  return new ort.Tensor("float32", values, [1, 3, rows, columns]);
}

// Matrices are [a, b, c, d, e, f]: (x, y) becomes (a x + b y + c, d x + e y + f).

/** Returns the least-squares rotation, scale and shift from one list of points to another. */
export function similarity(source, target) {
  const center = (points) => [0, 1].map((k) => points.reduce((s, p) => s + p[k], 0) / points.length);
  const [[sx, sy], [tx, ty]] = [center(source), center(target)];
  let [real, imaginary, spread] = [0, 0, 0];
  source.forEach(([x, y], k) => {
    const [u, v, p, q] = [x - sx, y - sy, target[k][0] - tx, target[k][1] - ty];
    real += u * p + v * q;
    imaginary += u * q - v * p;
    spread += u * u + v * v;
  });
  const [a, b] = [real / spread, imaginary / spread];
  return [a, -b, tx - a * sx + b * sy, b, a, ty - b * sx - a * sy];
}

function inverse([a, b, c, d, e, f]) {
  const det = a * e - b * d;
  return [e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det];
}

/** Samples a square image; the matrix leads from its pixels to the photo's. Bilinear. */
export function warp(photo, matrix, side, outside) {
  const [a, b, c, d, e, f] = matrix;
  const { width, height, data } = photo;
  const out = new Uint8ClampedArray(4 * side * side).fill(255);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const [x, y] = [a * column + b * row + c, d * column + e * row + f];
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [fx, fy] = [x - left, y - top];
      const sums = [0, 0, 0];
      for (let k = 0; k < 4; k++) {
        const [u, v] = [left + (k & 1), top + (k >> 1)];
        const inside = u >= 0 && v >= 0 && u < width && v < height;
        const weight = (k & 1 ? fx : 1 - fx) * (k >> 1 ? fy : 1 - fy);
        for (let c = 0; c < 3; c++) {
          sums[c] += weight * (inside ? data[4 * (v * width + u) + c] : outside);
        }
      }
      for (let c = 0; c < 3; c++) out[4 * (row * side + column) + c] = sums[c]; // clamped, rounded
    }
  }
  return { width: side, height: side, data: out };
}

/** Returns a square window of the photo about a point, turned and scaled. */
function window(levels, middle, cos, sin, side) {
  const [photo, level] = [levels[0], reduced(levels, Math.hypot(cos, sin))];
  const [sx, sy] = [level.width / photo.width, level.height / photo.height];
  const half = (side - 1) / 2;
  const x = middle[0] - cos * half + sin * half;
  const y = middle[1] - sin * half - cos * half;
  const matrix = [cos * sx, -sin * sx, x * sx - 0.5, sin * sy, cos * sy, y * sy - 0.5];
  return warp(level, matrix, side, GRAY);
}

/** Returns the photo, halved as often as it may be before it is reduced by a factor. */
function reduced(levels, factor) {
  const wanted = Math.max(Math.floor(Math.log2(factor)), 0);
  for (let k = levels.length; k <= wanted; k++) {
    const { width, height } = levels[k - 1];
    if (Math.min(width, height) < 2) break;
    levels.push(shrunk(levels[k - 1], width >> 1, height >> 1));
  }
  return levels[Math.min(wanted, levels.length - 1)];
}

/** Returns left, top and pixels of the part of a photo that a crop shows, in whole blocks. */
function surroundings(photo, matrix, side, block) {
  const corners = [[0, 0], [side, 0], [0, side], [side, side]].map(([x, y]) => [
    matrix[0] * x + matrix[1] * y + matrix[2],
    matrix[3] * x + matrix[4] * y + matrix[5],
  ]);
  const spans = [photo.width, photo.height].map((length, axis) => {
    const values = corners.map((corner) => corner[axis]);
    const low = Math.max(Math.floor(Math.min(...values)) - 2 * block, 0);
    const high = Math.min(Math.ceil(Math.max(...values)) + 2 * block, length);
    return [low, Math.max(Math.floor((high - low) / block), 1) * block];
  });
  const [[left, width], [top, height]] = spans;
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) {
    const from = 4 * ((top + y) * photo.width + left);
    data.set(photo.data.subarray(from, from + 4 * width), 4 * y * width);
  }
  return [left, top, { width, height, data }];
}

/** Returns a photo at another size: bilinear where it grows, else by averaging areas. */
export function resize(photo, width, height) {
  if (width === photo.width && height === photo.height) return photo;
  if (width > photo.width || height > photo.height) return grown(photo, width, height);
  return shrunk(photo, width, height);
}

/** Bilinear, in the integers of OpenCV: the detector notices a level of brightness. */
function grown(photo, width, height) {
  const across = neighbors(photo.width, width);
  const expanded = (y) => {
    const row = new Int32Array(3 * width);
    for (let x = 0; x < width; x++) {
      const { first, second, far, near } = across[x];
      for (let c = 0; c < 3; c++) {
        const from = 4 * y * photo.width + c;
        row[3 * x + c] = photo.data[from + 4 * first] * near + photo.data[from + 4 * second] * far;
      }
    }
    return row;
  };
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  const rows = new Map();
  neighbors(photo.height, height).forEach(({ first, second, far, near }, y) => {
    for (const v of rows.keys()) if (v < first) rows.delete(v);
    for (const v of [first, second]) if (!rows.has(v)) rows.set(v, expanded(v));
    const [upper, lower] = [rows.get(first), rows.get(second)];
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) {
        const p = (near * (upper[3 * x + c] >> 4)) >> 16;
        const q = (far * (lower[3 * x + c] >> 4)) >> 16;
        data[4 * (y * width + x) + c] = (p + q + 2) >> 2;
      }
    }
  });
  return { width, height, data };
}

/** Old pixels beside each new one, and their weights in 1/2048. */
function neighbors(from, to) {
  return Array.from({ length: to }, (_, k) => {
    const at = Math.min(Math.max(((k + 0.5) * from) / to - 0.5, 0), from - 1);
    const first = Math.floor(at);
    const far = Math.round((at - first) * 2048);
    return { first, second: Math.min(first + 1, from - 1), far, near: 2048 - far };
  });
}

function shrunk(photo, width, height) {
  const [across, down] = [shares(photo.width, width), shares(photo.height, height)];
  const narrow = new Float32Array(3 * width * photo.height);
  for (let y = 0; y < photo.height; y++) {
    for (let x = 0; x < width; x++) {
      const { first, weights } = across[x];
      for (let k = 0; k < weights.length; k++) {
        const from = 4 * (y * photo.width + first + k);
        for (let c = 0; c < 3; c++) narrow[3 * (y * width + x) + c] += weights[k] * photo.data[from + c];
      }
    }
  }
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  const sums = new Float32Array(3 * width);
  for (let y = 0; y < height; y++) {
    const { first, weights } = down[y];
    sums.fill(0);
    for (let k = 0; k < weights.length; k++) {
      const from = 3 * (first + k) * width;
      for (let at = 0; at < sums.length; at++) sums[at] += weights[k] * narrow[from + at];
    }
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) data[4 * (y * width + x) + c] = Math.floor(sums[3 * x + c] + 0.5);
    }
  }
  return { width, height, data };
}

/** Old pixels that lie in each new one, and their shares of it. */
function shares(from, to) {
  const ratio = from / to;
  return Array.from({ length: to }, (_, k) => {
    const [low, high] = [k * ratio, Math.min((k + 1) * ratio, from)];
    const first = Math.floor(low);
    const count = Math.max(Math.ceil(high - 1e-6), first + 1) - first;
    const weights = Array.from(
      { length: count },
      (_, n) => (Math.min(first + n + 1, high) - Math.max(first + n, low)) / ratio,
    );
    return { first, weights };
  });
}
