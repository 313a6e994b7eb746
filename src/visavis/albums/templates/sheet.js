"use strict";
(() => {
  const $ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const fix = document.body.dataset.fix;
  const search = document.getElementById("search");
  const unsure = document.getElementById("unsure");
  const shown = document.getElementById("shown");
  const tray = document.getElementById("tray");
  const cards = $("article");
  const singles = $(".alone .f");
  const pairs = $(".pair");
  const texts = new Map();

  // Pictures wait as text until their card comes near the window.
  const kept = new Map();
  const lines_of = (document.getElementById("pictures") || { textContent: "" }).textContent;
  for (const line of lines_of.split("\n")) {
    const space = line.indexOf(" ");
    if (space > 0) kept.set(line.slice(0, space), line.slice(space + 1));
  }
  const fill = (root) => {
    for (const img of root.querySelectorAll("img[data-p]")) {
      const data = kept.get(img.dataset.p);
      if (data) img.src = `data:image/jpeg;base64,${data}`;
      delete img.dataset.p;
    }
  };
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) { fill(entry.target); near.unobserve(entry.target); }
    }
  }, { rootMargin: "1500px 0px" });
  for (const card of $("article, .pair, .block")) near.observe(card);
  addEventListener("beforeprint", () => fill(document));

  // Faces that are folded away are text, too.
  const elements = (folded) => {
    const holder = document.createElement("template");
    holder.innerHTML = folded.textContent;
    return holder.content;
  };

  // Words of a card: names, numbers, photos; of the faces not yet unfolded, too.
  const words = (card) => {
    if (!texts.has(card)) {
      const folded = $("script", card).flatMap((one) => $("img, small", elements(one)));
      const all = [...$("img, small", card), ...folded].map((one) => one.alt || one.textContent);
      const own = card.matches(".f") ? [] : $("h3, .head span", card).map((one) => one.textContent);
      texts.set(card, [...own, ...all, card.dataset.c || ""].join(" ").toLowerCase());
    }
    return texts.get(card);
  };

  const unfold = (button) => {
    const folded = button.nextElementSibling;
    const content = elements(folded);
    const face = content.firstElementChild;
    fill(content);
    button.replaceWith(content);
    folded.remove();
    face.focus();
  };

  const filter = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const keep = (card) => wanted.every((word) => words(card).includes(word));
    let count = 0;
    for (const card of cards) {
      card.hidden = !((!unsure.checked || "unsure" in card.dataset) && keep(card));
      count += !card.hidden;
    }
    for (const one of [...singles, ...pairs]) one.hidden = unsure.checked || !keep(one);
    count += singles.filter((one) => !one.hidden).length;
    const all = !wanted.length && !unsure.checked;
    shown.textContent = all ? "" : `${count} of ${cards.length + singles.length} shown`;
  };

  const copy = async (button) => {
    const text = button.parentElement.querySelector("code").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };

  const lines = () => {
    const faces = $(".f[aria-pressed=true]");
    const refs = faces.map((face) => face.dataset.f).join(" ");
    const from = [...new Set(faces.map((face) => face.dataset.c))];
    const size = faces[0] ? Number(faces[0].closest("[data-size]")?.dataset.size || 1) : 0;
    const into = document.getElementById("into").value.trim() || "CLUSTER";
    const quoted = /^[\w.-]+$/.test(into) ? into : `'${into.replaceAll("'", "'\\''")}'`;
    const all = [["Somebody else", `move ${refs} ${quoted}`], ["Not a face", `not-a-face ${refs}`]];
    if (from.length === 1 && faces.length < size) {
      all.unshift(["A person apart", `split ${from[0]} ${refs}`]);
    }
    if (from.length > 1) all.unshift(["One person", `merge ${from.join(" ")}`]);
    tray.hidden = !faces.length;
    document.getElementById("chosen").textContent =
      `${faces.length} face${faces.length === 1 ? "" : "s"} chosen`;
    document.getElementById("lines").replaceChildren(...all.map(([label, words]) => {
      const line = document.createElement("div");
      line.className = "line cmdline";
      const name = document.createElement("span");
      name.textContent = label;
      const code = document.createElement("code");
      code.textContent = `${fix} ${words}`;
      const button = document.createElement("button");
      button.className = "plain";
      button.dataset.copy = "";
      button.textContent = "Copy";
      line.append(name, code, button);
      return line;
    }));
  };

  const clear = () => {
    for (const face of $(".f[aria-pressed=true]")) face.setAttribute("aria-pressed", "false");
    lines();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.matches(".f")) {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      lines();
    } else if ("copy" in button.dataset) copy(button);
    else if (button.matches(".more")) unfold(button);
    else if (button.id === "clear") clear();
  });

  document.addEventListener("mouseover", (event) => {
    const face = event.target.closest(".f");
    const img = face && face.querySelector("img");
    if (img && !face.title) face.title = img.alt.replace("Face in ", "");
  });

  const step = (list, from, by) => {
    const visible = list.filter((one) => !one.hidden);
    const at = visible.indexOf(from);
    return visible[Math.min(Math.max(at < 0 ? 0 : at + by, 0), visible.length - 1)];
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const active = document.activeElement;
    if (active.matches("input")) {
      if (event.key === "Escape") { active.blur(); }
      return;
    }
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (active.matches(".faces .f, .more") && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
      const next = step($(".f, .more", active.closest(".faces, .alone")), active, by);
      if (next) next.focus();
    } else if (event.key === "j" || event.key === "k") {
      const next = step(cards, active.closest("article"), event.key === "j" ? 1 : -1);
      if (next) { next.focus({ preventScroll: true }); next.scrollIntoView({ block: "start" }); }
    } else if (event.key === "/") search.focus();
    else if (event.key === "Escape") clear();
    else return;
    event.preventDefault();
  });

  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  unsure.addEventListener("change", filter);
  document.getElementById("into").addEventListener("input", lines);
  document.querySelector(".bar").hidden = false;
})();
