// The gallery, its controls and its viewer, and the switch between light and dark. Follows pictures.js in one script.

const KEPT = 80; // images that stay decoded

document.documentElement.classList.add("scripted");

document.addEventListener("DOMContentLoaded", () => {
  startTheme();
  const data = document.getElementById("viewer-data");
  if (data) new Gallery(JSON.parse(data.textContent));
});

function startTheme() {
  const button = document.getElementById("theme");
  const isDark = () => (document.documentElement.style.colorScheme || system()) === "dark";
  const system = () => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  button.addEventListener("click", () => {
    document.documentElement.style.colorScheme = isDark() ? "light" : "dark";
    button.setAttribute("aria-pressed", String(isDark()));
  });
  button.setAttribute("aria-pressed", String(isDark()));
}

class Gallery {
  constructor({ threshold, classes, ignore, shots }) {
    Object.assign(this, { classes, shots, chosen: threshold });
    this.state = { split: shots[0].split, layer: "photograph", threshold, heat: false, only: null, open: null };
    this.colors = { 255: ignore };
    classes.forEach(({ color }, index) => (this.colors[index + 1] = color));
    this.values = new Map(Object.entries(this.colors).map(([value, [r, g, b]]) => [(r << 16) | (g << 8) | b, +value]));
    this.find = Object.fromEntries([...document.querySelectorAll("#gallery [id]")].map((node) => [node.id, node]));
    this.layers = [...document.querySelectorAll("[data-choose]")];
    this.kinds = Object.fromEntries(this.layers.map(({ dataset }) => [dataset.choose, dataset.kind]));
    this.statics = [...document.querySelectorAll(".shot")];
    this.decoded = new Map(); // index -> promise, the longest unused first
    this.visible = new Set();
    this.tiles = shots.map((shot, index) => this.makeTile(shot, index));
    this.listen();
    this.chooseLayer(this.bestLayer());
    this.filter();
  }

  makeTile(shot, index) {
    const tile = document.createElement("button");
    tile.type = "button";
    tile.className = "tile-shot";
    tile.dataset.index = index;
    tile.setAttribute("aria-label", shot.id);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = shot.size;
    canvas.classList.toggle("pixelated", shot.pixelated);
    const caption = document.createElement("span");
    caption.className = "caption";
    tile.append(canvas, caption);
    return tile;
  }

  listen() {
    const { find, state } = this;
    const observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.visible.add(target);
        else this.visible.delete(target);
      }
      this.redraw();
    }, { rootMargin: "200px" });
    this.tiles.forEach((tile) => {
      observer.observe(tile);
      tile.addEventListener("click", () => this.open(Number(tile.dataset.index)));
    });
    this.layers.forEach((button) => button.addEventListener("click", () => this.chooseLayer(button.dataset.choose)));
    find.threshold.addEventListener("input", () => this.chooseThreshold(Number(find.threshold.value)));
    find.chosen.addEventListener("click", () => this.chooseThreshold(this.chosen));
    find.heat.addEventListener("click", () => {
      state.heat = !state.heat;
      this.show();
    });
    find.split.addEventListener("change", () => {
      state.split = find.split.value;
      if (!this.hasLayer(state.layer)) this.chooseLayer(this.bestLayer());
      this.filter();
    });
    find.class.addEventListener("change", () => this.filter());
    find.order.addEventListener("change", () => this.filter());
    find.previous.addEventListener("click", () => this.step(-1));
    find.next.addEventListener("click", () => this.step(1));
    find.close.addEventListener("click", () => find.viewer.close());
    find.viewer.addEventListener("close", () => this.closed());
    document.getElementById("gallery").addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("select")) return;
    const layer = this.layers[event.key === "0" ? 9 : Number(event.key) - 1];
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (layer && !layer.disabled) this.chooseLayer(layer.dataset.choose);
    else if (event.key === "h") this.find.heat.click();
    else if (!step || event.target === this.find.threshold) return;
    else if (this.state.open !== null && event.key.match(/Left|Right/)) this.step(step);
    else if (event.target.matches(".tile-shot")) event.target[step < 0 ? "previousSibling" : "nextSibling"]?.focus();
    else return;
    event.preventDefault();
  }

  // ------------------------------ what is shown

  hasLayer(layer) {
    const ofSplit = this.shots.filter((shot) => shot.split === this.state.split);
    return layer === "photograph" || ofSplit.some((shot) => shot.layers.includes(layer));
  }

  bestLayer() {
    const preferred = ["refined", "matched", "cam", "prediction", "pseudo", "truth"];
    return preferred.find((key) => this.hasLayer(key)) ?? "photograph";
  }

  chooseLayer(layer) {
    this.state.layer = layer;
    this.show();
  }

  chooseThreshold(threshold) {
    this.state.threshold = threshold;
    this.show();
  }

  /** Bring controls and canvases in line with the state. */
  show() {
    const { find, state } = this;
    for (const button of this.layers) {
      const isChosen = button.dataset.choose === state.layer;
      button.setAttribute("aria-pressed", String(isChosen));
      button.disabled = !this.hasLayer(button.dataset.choose);
      if (!isChosen) continue;
      this.layerName = button.dataset.name;
      const row = button.parentElement; // scrolls sideways on phones
      if (row.scrollWidth > row.clientWidth) row.scrollLeft = button.offsetLeft - row.offsetLeft - 40;
    }
    find.threshold.value = state.threshold;
    find.value.textContent = state.threshold.toFixed(2);
    find["threshold-row"].classList.toggle("idle", this.kinds[state.layer] !== "cams");
    find.chosen.hidden = Math.abs(state.threshold - this.chosen) < 0.005;
    find.heat.setAttribute("aria-pressed", String(state.heat));
    this.redraw();
  }

  filter() {
    const { find, state } = this;
    const tag = find.class.value === "" ? null : Number(find.class.value);
    const key = { worst: ({ score }) => score ?? 2, change: ({ change }) => -(change ?? -1) }[find.order.value];
    const matches = ({ split, tags }) => split === state.split && (tag === null || tags.includes(tag));
    this.order = this.shots.flatMap((shot, index) => (matches(shot) ? [index] : []));
    if (key) this.order.sort((a, b) => key(this.shots[a]) - key(this.shots[b]));
    find.tiles.replaceChildren(...this.order.map((index) => this.tiles[index]));
    const all = this.shots.filter((shot) => shot.split === state.split).length;
    find.count.textContent = `${this.order.length} of ${all} images`;
    this.show();
  }

  // ------------------------------ drawing

  redraw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.state.open !== null) this.drawViewer();
      else this.visible.forEach((tile) => this.drawTile(tile));
    });
  }

  load(index) {
    const known = this.decoded.get(index);
    const loading = known ?? decodeShot(this.shots[index], this.statics[index], this.valueOf);
    this.decoded.delete(index);
    this.decoded.set(index, loading);
    if (this.decoded.size > KEPT) this.decoded.delete(this.decoded.keys().next().value);
    return loading;
  }

  valueOf = (red, green, blue) => this.values.get((red << 16) | (green << 8) | blue) ?? 0;

  /** Draw one image at the state's layer and threshold, all its classes or one, and say whether it has that layer. */
  compose(canvas, decoded, only) {
    const { layer, threshold, heat } = this.state;
    const labels = this.alone(labelsOf(decoded, layer, threshold), only);
    const maps = decoded.maps[layer];
    const isHeat = this.kinds[layer] === "heat"; // not to be cut
    let image = new ImageData(decoded.photograph.slice(), ...decoded.size);
    if (maps && (heat || isHeat)) {
      const chosen = [...maps].filter(([tag]) => only === null || tag === only).map(([, map]) => map);
      image = paintHeat(decoded, chosen, isHeat ? labels.fill(0) : labels);
    } else if (labels) image = paintLabels(decoded, labels, this.colors);
    [canvas.width, canvas.height] = decoded.size;
    canvas.getContext("2d").putImageData(image, 0, 0);
    return labels !== null;
  }

  alone(labels, only) {
    return labels && only !== null ? labels.map((label) => (label === only + 1 ? label : 0)) : labels;
  }

  /** IoU by label of one image at a layer, empty where there is nothing to compare. */
  scores(decoded, layer) {
    const { truth } = decoded.masks;
    const labels = labelsOf(decoded, layer, this.state.threshold);
    const isScored = truth && labels && layer !== "truth" && this.kinds[layer] !== "heat";
    return isScored ? ious(labels, truth) : new Map();
  }

  async drawTile(tile) {
    const shot = this.shots[tile.dataset.index];
    const decoded = await this.load(Number(tile.dataset.index));
    this.compose(tile.firstChild, decoded, null);
    const found = this.scores(decoded, this.state.layer);
    const names = shot.tags.map((tag) => this.classes[tag].name).join(", ") || "no class";
    const score = found.size ? `, ${percent(mean([...found.values()]))}` : "";
    tile.lastChild.textContent = names + score;
    tile.setAttribute("aria-label", `${shot.id}: ${names}${score && `, mIoU${score.slice(1)}`}`);
  }

  async drawViewer() {
    const { find, state } = this;
    const index = state.open;
    const shot = this.shots[index];
    const decoded = await this.load(index);
    if (state.open !== index) return;
    const isThere = this.compose(find.canvas, decoded, state.only);
    find.canvas.classList.toggle("pixelated", shot.pixelated);
    find.canvas.style.setProperty("--ratio", shot.size[0] / shot.size[1]);
    const found = this.scores(decoded, state.layer);
    const missing = !isThere && state.layer !== "photograph" ? " is missing" : "";
    const score = found.size ? ` · mIoU of this image ${percent(mean([...found.values()]))}` : "";
    find.told.textContent = `${this.layerName}${missing}${score}`;
    find.canvas.setAttribute("aria-label", `${shot.id}, ${find.told.textContent}`);
    find["viewer-title"].textContent = shot.id;
    find.position.textContent = `${this.order.indexOf(index) + 1} of ${this.order.length}`;
    for (const [tag, { button, told }] of this.rows) {
      button.setAttribute("aria-pressed", String(state.only === tag));
      told.textContent = found.has(tag + 1) ? `IoU ${percent(found.get(tag + 1))}` : "";
    }
    this.drawTable(decoded);
  }

  /** A class of the open image: a button that shows it alone, its IoU, and the words of its prompt. */
  makeRow(tag) {
    const { name, color, words } = this.classes[tag];
    const kinds = ["li", "button", "span", "span", "span"];
    const [row, button, swatch, told, learned] = kinds.map((kind) => document.createElement(kind));
    swatch.className = "swatch";
    swatch.style.background = `rgb(${color})`;
    button.type = "button";
    button.title = "Show this class alone";
    button.append(swatch, name);
    button.addEventListener("click", () => {
      this.state.only = this.state.only === tag ? null : tag;
      this.redraw();
    });
    learned.className = "quiet";
    learned.textContent = words.length ? `background learned: ${words.join(", ")}` : "";
    row.append(button, told, learned);
    return [tag, { row, button, told }];
  }

  /** mIoU of the open image after each stage. */
  drawTable(decoded) {
    const rows = this.layers.flatMap(({ dataset }) => {
      const found = [...this.scores(decoded, dataset.choose).values()];
      return found.length ? [[dataset.name, percent(mean(found))]] : [];
    });
    this.find["by-layer"].replaceChildren(...rows.map(([name, score]) => {
      const row = document.createElement("div");
      for (const [kind, textContent] of [["dt", name], ["dd", score]]) {
        row.append(Object.assign(document.createElement(kind), { textContent }));
      }
      return row;
    }));
  }

  // ------------------------------ the viewer

  open(index) {
    const { find, state } = this;
    Object.assign(state, { open: index, only: null });
    this.rows = new Map(this.shots[index].tags.map((tag) => this.makeRow(tag)));
    find.present.replaceChildren(...[...this.rows.values()].map(({ row }) => row));
    if (!find.viewer.open) {
      find["viewer-controls"].append(find.controls);
      find.viewer.showModal();
    }
    this.redraw();
  }

  step(by) {
    const { order, state } = this;
    this.open(order[(order.indexOf(state.open) + by + order.length) % order.length]);
  }

  closed() {
    const tile = this.tiles[this.state.open];
    this.state.open = null;
    this.find["page-controls"].append(this.find.controls);
    tile.focus();
    this.redraw();
  }
}
