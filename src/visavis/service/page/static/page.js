// Behavior of the page's own elements: photo inputs, boards of faces, copy buttons.
"use strict";
const vv = (window.vv = Object.fromEntries(Object.entries(document.currentScript.dataset).map(([name, text]) => [name, JSON.parse(text)])));

// Gradio takes its own language from the browser; this page has a language of its own.
for (const [name, value] of [["language", vv.words.lang], ["languages", [vv.words.lang]]]) {
  Object.defineProperty(navigator, name, { configurable: true, get: () => value });
}

vv.make = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
};

// A press of a button, as updates of the button and of what shows the answer; see Page.on_press.
vv.update = (changes) => ({ __type__: "update", ...changes });
vv.begin = (working) => [vv.update({ value: working, interactive: false }),
  vv.make("p", { class: "vv-working", role: "status" }, working).outerHTML];
vv.ready = (label) => vv.update({ value: label, interactive: true });
vv.cleared = (photos, html) => (photos?.length && !/data-group|vv-progress|vv-working/.test(html) ? "" : vv.update({}));
vv.show = () => setTimeout(() => {
  const answer = [...document.querySelectorAll(".vv-result, .vv-rows, .vv-review, .vv-out .vv-alert")].find((one) => one.offsetParent);
  const top = answer?.getBoundingClientRect().top;
  if (top < 0 || top > window.innerHeight / 2) answer.scrollIntoView({ block: "start" });
}, 50);

// Gradio names each radio button differently; those of one name are a group, which arrow keys move in.
new MutationObserver(() => {
  for (const [k, group] of document.querySelectorAll("fieldset").entries()) {
    for (const radio of group.querySelectorAll("input[type=radio]")) if (radio.name !== `vv-radio-${k}`) radio.name = `vv-radio-${k}`;
  }
}).observe(document, { childList: true, subtree: true });

// A photo input: file, drop, paste, or camera. The photo stays in the page until it is used.
vv.photo = (element, props, watch) => {
  const many = props.many, words = vv.words;
  const root = element.querySelector(".vv-photo"), message = vv.make("p", { class: "vv-alert", role: "alert", hidden: true });
  let stream = null;
  const fail = (text) => { message.textContent = text; message.hidden = false; };
  const photos = () => props.value || [];
  const set = (value) => { props.value = value; draw(); };
  const put = (added) => set(many ? [...photos(), ...added] : added.slice(0, 1));
  const read = (file) => new Promise((done) => {
    if (file.size > props.most_bytes) { fail(words.too_big); done(null); return; }
    const reader = new FileReader();
    reader.onload = () => done({ name: file.name || "photo", data: String(reader.result) });
    reader.onerror = () => done(null);
    reader.readAsDataURL(file);
  });
  const add = async (files) => {
    message.hidden = true;
    const chosen = [...files].slice(0, many ? 50 : 1);
    const found = (await Promise.all(chosen.map(read))).filter(Boolean);
    if (found.length) put(found);
  };
  const stop = () => { stream?.getTracks().forEach((track) => track.stop()); stream = null; };
  const start = async () => {
    message.hidden = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
      draw();
    } catch { fail(words.no_camera); }
  };
  const shoot = (video) => {
    const canvas = vv.make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    stop();
    put([{ name: "camera.jpg", data: canvas.toDataURL("image/jpeg", 0.95) }]);
  };
  const picture = (photo, k) => {
    const image = vv.make("img", { src: photo.data, alt: photo.name });
    image.addEventListener("error", () => image.replaceWith(vv.make("p", { class: "vv-note" }, words.no_preview)));
    const remove = () => set(photos().filter((_, i) => i !== k));
    return vv.make("figure", {}, image, vv.make("figcaption", {}, vv.make("span", {}, photo.name),
      vv.make("button", { type: "button", class: "vv-link", onclick: remove, "aria-label": `${words.remove}: ${photo.name}` }, words.remove)));
  };
  const draw = () => {
    const body = vv.make("div", { class: "vv-photo-body" });
    if (stream) {
      const video = vv.make("video", { autoplay: true, playsinline: true, muted: true });
      video.srcObject = stream;
      body.append(video, vv.make("div", { class: "vv-actions" },
        vv.make("button", { type: "button", class: "vv-button vv-primary", onclick: () => shoot(video) }, words.shoot),
        vv.make("button", { type: "button", class: "vv-button", onclick: () => { stop(); draw(); } }, words.cancel)));
    } else {
      const input = vv.make("input", { type: "file", multiple: many, class: "vv-hidden", accept: "image/*,.heic,.heif", id: `${props.name}-file`,
        onchange: (event) => { add(event.target.files); event.target.value = ""; } });
      if (photos().length) body.append(vv.make("div", { class: many ? "vv-many" : "" }, ...photos().map(picture)));
      body.append(vv.make("div", { class: "vv-actions" },
        input, vv.make("label", { for: `${props.name}-file`, class: "vv-button" }, many ? words.choose_more : words.choose),
        vv.make("button", { type: "button", class: "vv-button", onclick: start }, words.camera)));
      if (!photos().length) body.append(vv.make("p", { class: "vv-note" }, many ? words.drop_more : words.drop));
      if (vv.samples.length) {
        body.append(vv.make("div", { class: "vv-samples" }, vv.make("span", {}, words.samples), ...vv.samples.map((sample) =>
          vv.make("button", { type: "button", title: sample.name, onclick: () => put([sample]) }, vv.make("img", { src: sample.data, alt: sample.name })))));
      }
    }
    root.replaceChildren(vv.make("p", { class: "vv-label", id: `${props.name}-label` }, props.title), body, message);
  };
  root.addEventListener("dragover", (event) => { event.preventDefault(); root.classList.add("vv-over"); });
  root.addEventListener("dragleave", () => root.classList.remove("vv-over"));
  root.addEventListener("drop", (event) => { event.preventDefault(); root.classList.remove("vv-over"); add(event.dataTransfer.files); });
  root.addEventListener("paste", (event) => { if (event.clipboardData.files.length) add(event.clipboardData.files); });
  watch("value", draw);
  draw();
};

// Many photos: a folder, files, or a zip archive, sent one by one.
vv.files = (element, props, watch, upload) => {
  const root = element.querySelector(".vv-photo"), words = vv.words;
  const status = vv.make("p", { class: "vv-note", role: "status" }), message = vv.make("p", { class: "vv-alert", role: "alert", hidden: true });
  const send = async (files) => {
    const chosen = [...files].filter((file) => !file.name.startsWith(".")).slice(0, props.most);
    const sent = [], button = root.closest("[role=tabpanel]").querySelector("button.primary");
    const choices = root.querySelectorAll("input");
    message.hidden = true;
    for (const one of [button, ...choices]) one.disabled = true;
    root.setAttribute("aria-busy", "true");
    for (const [k, file] of chosen.entries()) {
      status.replaceChildren(`${words.sending} ${k + 1} / ${chosen.length}`, vv.make("progress", { max: chosen.length, value: k, "aria-label": words.sending }));
      if (file.size > props.most_bytes) continue;
      try {
        const { path } = await upload(file);
        sent.push({ path, folder: (file.webkitRelativePath || "").split("/").slice(1, -1).pop() || "" });
      } catch { message.textContent = words.not_sent; message.hidden = false; break; }
    }
    for (const one of [button, ...choices]) one.disabled = false;
    root.removeAttribute("aria-busy");
    props.value = sent;
    draw();
  };
  const draw = () => { status.textContent = props.value?.length ? words.chosen.replace("{n}", props.value.length) : words.drop_files; };
  const choice = (name, text, options) => [
    vv.make("input", { type: "file", class: "vv-hidden", id: `${props.name}-${name}`, ...options,
      onchange: (event) => { send(event.target.files); } }),
    vv.make("label", { for: `${props.name}-${name}`, class: "vv-button" }, text)];
  root.replaceChildren(vv.make("p", { class: "vv-label", id: `${props.name}-label` }, props.title),
    vv.make("div", { class: "vv-photo-body" }, vv.make("div", { class: "vv-actions" },
      ...choice("folder", words.folder, { webkitdirectory: true, multiple: true }),
      ...choice("files", words.files, { multiple: true, accept: "image/*,.heic,.heif,.zip,application/zip" })), status), message);
  root.addEventListener("dragover", (event) => { event.preventDefault(); root.classList.add("vv-over"); });
  root.addEventListener("dragleave", () => root.classList.remove("vv-over"));
  root.addEventListener("drop", (event) => { event.preventDefault(); root.classList.remove("vv-over"); send(event.dataTransfer.files); });
  watch("value", draw);
  draw();
};

// A board: HTML from the server, whose buttons say what is to be done with what is selected.
vv.board = (element, trigger, props, watch, event) => {
  const root = element.querySelector(".vv-board");
  const picked = (from) => [...(from.closest("[data-group]") || root).querySelectorAll("input[data-pick]:checked")];
  const act = (button) => {
    const scope = button.closest("[data-scope]") || root;
    const fields = {};
    for (const field of scope.querySelectorAll("[data-field]")) fields[field.dataset.field] = field.type === "checkbox" ? field.checked : field.value;
    trigger(event, { act: button.dataset.act, on: button.dataset.on || "", fields, picked: picked(button).map((box) => box.value) });
  };
  const count = () => {
    for (const place of root.querySelectorAll("[data-count]")) place.textContent = place.dataset.count.replace("{n}", picked(place).length);
    for (const place of root.querySelectorAll("[data-names]")) place.textContent = place.dataset.names.replace("{names}", picked(place).map((box) => box.dataset.pick).join(", "));
    for (const button of root.querySelectorAll("[data-least]")) button.disabled = picked(button).length < Number(button.dataset.least) || picked(button).length > Number(button.dataset.most || 1e9);
    for (const place of root.querySelectorAll(".vv-confirm")) place.hidden = true;
  };
  const draw = () => {
    root.innerHTML = props.value || "";
    count();
    root.querySelector("[data-focus]")?.focus({ preventScroll: !root.contains(document.activeElement) });
  };
  root.addEventListener("change", count);
  root.addEventListener("click", (click) => {
    const button = click.target.closest("button");
    if (!button) return;
    if (button.dataset.reveal) { const place = root.querySelector(button.dataset.reveal); place.hidden = !place.hidden; if (!place.hidden) place.querySelector("button, input")?.focus(); }
    if (button.dataset.act) act(button);
  });
  root.addEventListener("keydown", (key) => {
    const pressed = (key.altKey ? "Alt+" : "") + key.key;
    const scope = key.target.closest("[data-scope]") || root;
    const button = scope.querySelector(`button[data-key="${CSS.escape(pressed)}"]`);
    if (!button || button.disabled || (pressed === "Enter" && key.target.tagName === "BUTTON") || key.isComposing) return;
    key.preventDefault();
    act(button);
  });
  root.addEventListener("input", (typed) => {
    if (!typed.target.matches("[data-find]")) return;
    const wanted = typed.target.value.trim().toLowerCase();
    for (const tile of root.querySelectorAll("[data-found]")) tile.hidden = !tile.dataset.found.includes(wanted);
  });
  watch("value", draw);
  draw();
};

document.addEventListener("click", async (click) => {
  const button = click.target.closest?.("button[data-copy]");
  if (!button) return;
  const text = button.parentElement.querySelector("code").textContent;
  await navigator.clipboard.writeText(text);
  button.textContent = vv.words.copied;
  setTimeout(() => { button.textContent = vv.words.copy; }, 2000);
});
