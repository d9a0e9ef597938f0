// The gallery with its controls and viewer, and the light/dark switch. It follows pictures.js in the page's only script.

const MAX_DECODED = 80; // most images kept decoded at a time

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
  constructor({ threshold, classes, ignore, images }) {
    Object.assign(this, { classes, images, runThreshold: threshold });
    this.state = { split: images[0].split, layer: "photograph", threshold, heat: false, only: null, open: null };
    this.colors = { 255: ignore };
    classes.forEach(({ color }, index) => (this.colors[index + 1] = color));
    this.values = new Map(Object.entries(this.colors).map(([value, [r, g, b]]) => [(r << 16) | (g << 8) | b, +value]));
    this.find = Object.fromEntries([...document.querySelectorAll("#gallery [id]")].map((node) => [node.id, node]));
    this.layers = [...document.querySelectorAll("[data-choose]")];
    this.kinds = Object.fromEntries(this.layers.map(({ dataset }) => [dataset.choose, dataset.kind]));
    this.staticImages = [...document.querySelectorAll(".static-image")];
    this.decoded = new Map(); // index -> promise, least recently used first
    this.visible = new Set();
    this.tiles = images.map((image, index) => this.makeTile(image, index));
    this.addListeners();
    this.chooseLayer(this.preferredLayer());
    this.filter();
  }

  makeTile(image, index) {
    const tile = document.createElement("button");
    tile.type = "button";
    tile.className = "gallery-tile";
    tile.dataset.index = index;
    tile.setAttribute("aria-label", image.id);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = image.size;
    canvas.classList.toggle("pixelated", image.pixelated);
    const caption = document.createElement("span");
    caption.className = "caption";
    tile.append(canvas, caption);
    return tile;
  }

  addListeners() {
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
    find["reset-threshold"].addEventListener("click", () => this.chooseThreshold(this.runThreshold));
    find.heat.addEventListener("click", () => {
      state.heat = !state.heat;
      this.update();
    });
    find.split.addEventListener("change", () => {
      state.split = find.split.value;
      if (!this.hasLayer(state.layer)) this.chooseLayer(this.preferredLayer());
      this.filter();
    });
    find.class.addEventListener("change", () => this.filter());
    find.order.addEventListener("change", () => this.filter());
    find.previous.addEventListener("click", () => this.step(-1));
    find.next.addEventListener("click", () => this.step(1));
    find.close.addEventListener("click", () => find.viewer.close());
    find.viewer.addEventListener("close", () => this.onClose());
    document.getElementById("gallery").addEventListener("keydown", (event) => this.onKey(event));
  }

  onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("select")) return;
    const layer = this.layers[event.key === "0" ? 9 : Number(event.key) - 1];
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (layer && !layer.disabled) this.chooseLayer(layer.dataset.choose);
    else if (event.key === "h") this.find.heat.click();
    else if (!step || event.target === this.find.threshold) return;
    else if (this.state.open !== null && event.key.match(/Left|Right/)) this.step(step);
    else if (event.target.matches(".gallery-tile")) event.target[step < 0 ? "previousSibling" : "nextSibling"]?.focus();
    else return;
    event.preventDefault();
  }

  // ------------------------------ choosing what to show

  hasLayer(layer) {
    const ofSplit = this.images.filter((image) => image.split === this.state.split);
    return layer === "photograph" || ofSplit.some((image) => image.layers.includes(layer));
  }

  preferredLayer() {
    const preferred = ["refined", "matched", "cam", "prediction", "pseudo", "truth"];
    return preferred.find((key) => this.hasLayer(key)) ?? "photograph";
  }

  chooseLayer(layer) {
    this.state.layer = layer;
    this.update();
  }

  chooseThreshold(threshold) {
    this.state.threshold = threshold;
    this.update();
  }

  /** Update controls and canvases to match the state. */
  update() {
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
    find["reset-threshold"].hidden = Math.abs(state.threshold - this.runThreshold) < 0.005;
    find.heat.setAttribute("aria-pressed", String(state.heat));
    this.redraw();
  }

  filter() {
    const { find, state } = this;
    const tag = find.class.value === "" ? null : Number(find.class.value);
    const key = { worst: ({ score }) => score ?? 2, change: ({ change }) => -(change ?? -1) }[find.order.value];
    const matches = ({ split, tags }) => split === state.split && (tag === null || tags.includes(tag));
    this.order = this.images.flatMap((image, index) => (matches(image) ? [index] : []));
    if (key) this.order.sort((a, b) => key(this.images[a]) - key(this.images[b]));
    find.tiles.replaceChildren(...this.order.map((index) => this.tiles[index]));
    const all = this.images.filter((image) => image.split === state.split).length;
    find.count.textContent = `${this.order.length} of ${all} images`;
    this.update();
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
    const loading = known ?? decodePictures(this.images[index], this.staticImages[index], this.maskValue);
    this.decoded.delete(index);
    this.decoded.set(index, loading);
    if (this.decoded.size > MAX_DECODED) this.decoded.delete(this.decoded.keys().next().value);
    return loading;
  }

  maskValue = (red, green, blue) => this.values.get((red << 16) | (green << 8) | blue) ?? 0;

  /** Draw one image with the current layer and threshold, all classes or only one; return whether it has the layer. */
  compose(canvas, decoded, only) {
    const { layer, threshold, heat } = this.state;
    const labels = this.keepOnly(labelsOf(decoded, layer, threshold), only);
    const maps = decoded.maps[layer];
    const isHeat = this.kinds[layer] === "heat"; // never thresholded
    let image = new ImageData(decoded.photograph.slice(), ...decoded.size);
    if (maps && (heat || isHeat)) {
      const chosen = [...maps].filter(([tag]) => only === null || tag === only).map(([, map]) => map);
      image = paintHeat(decoded, chosen, isHeat ? labels.fill(0) : labels);
    } else if (labels) image = paintLabels(decoded, labels, this.colors);
    [canvas.width, canvas.height] = decoded.size;
    canvas.getContext("2d").putImageData(image, 0, 0);
    return labels !== null;
  }

  keepOnly(labels, tag) {
    return labels && tag !== null ? labels.map((label) => (label === tag + 1 ? label : 0)) : labels;
  }

  /** IoU by label of one image for a layer; empty if there is nothing to compare. */
  scores(decoded, layer) {
    const { truth } = decoded.masks;
    const labels = labelsOf(decoded, layer, this.state.threshold);
    const isScored = truth && labels && layer !== "truth" && this.kinds[layer] !== "heat";
    return isScored ? ious(labels, truth) : new Map();
  }

  async drawTile(tile) {
    const image = this.images[tile.dataset.index];
    const decoded = await this.load(Number(tile.dataset.index));
    this.compose(tile.firstChild, decoded, null);
    const found = this.scores(decoded, this.state.layer);
    const names = image.tags.map((tag) => this.classes[tag].name).join(", ") || "no class";
    const score = found.size ? `, ${percent(mean([...found.values()]))}` : "";
    tile.lastChild.textContent = names + score;
    tile.setAttribute("aria-label", `${image.id}: ${names}${score && `, mIoU${score.slice(1)}`}`);
  }

  async drawViewer() {
    const { find, state } = this;
    const index = state.open;
    const image = this.images[index];
    const decoded = await this.load(index);
    if (state.open !== index) return;
    const hasLabels = this.compose(find.canvas, decoded, state.only);
    find.canvas.classList.toggle("pixelated", image.pixelated);
    find.canvas.style.setProperty("--ratio", image.size[0] / image.size[1]);
    const found = this.scores(decoded, state.layer);
    const missing = !hasLabels && state.layer !== "photograph" ? " is missing" : "";
    const score = found.size ? ` · mIoU of this image ${percent(mean([...found.values()]))}` : "";
    find.caption.textContent = `${this.layerName}${missing}${score}`;
    find.canvas.setAttribute("aria-label", `${image.id}, ${find.caption.textContent}`);
    find["viewer-title"].textContent = image.id;
    find.position.textContent = `${this.order.indexOf(index) + 1} of ${this.order.length}`;
    for (const [tag, { button, iou }] of this.rows) {
      button.setAttribute("aria-pressed", String(state.only === tag));
      iou.textContent = found.has(tag + 1) ? `IoU ${percent(found.get(tag + 1))}` : "";
    }
    this.drawTable(decoded);
  }

  /** Row of one class in the viewer: a button that shows only this class, its IoU, and its prompt's words. */
  makeRow(tag) {
    const { name, color, words } = this.classes[tag];
    const kinds = ["li", "button", "span", "span", "span"];
    const [row, button, swatch, iou, learned] = kinds.map((kind) => document.createElement(kind));
    swatch.className = "swatch";
    swatch.style.background = `rgb(${color})`;
    button.type = "button";
    button.title = "Show only this class";
    button.append(swatch, name);
    button.addEventListener("click", () => {
      this.state.only = this.state.only === tag ? null : tag;
      this.redraw();
    });
    learned.className = "quiet";
    learned.textContent = words.length ? `background learned: ${words.join(", ")}` : "";
    row.append(button, iou, learned);
    return [tag, { row, button, iou }];
  }

  /** List the open image's mIoU after each stage. */
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
    this.rows = new Map(this.images[index].tags.map((tag) => this.makeRow(tag)));
    find["present-classes"].replaceChildren(...[...this.rows.values()].map(({ row }) => row));
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

  onClose() {
    const tile = this.tiles[this.state.open];
    this.state.open = null;
    this.find["page-controls"].append(this.find.controls);
    tile.focus();
    this.redraw();
  }
}
