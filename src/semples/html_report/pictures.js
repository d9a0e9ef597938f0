"use strict";
// Pictures of the gallery. They are the page's own <img> elements (shown as they are if scripts are off): photographs,
// one gray map per CAM and class, and masks in the classes' colors. They are decoded when first needed, and the gallery
// composes everything it shows from them on canvases.

const HEAT = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];

/** Decode an <img> to RGBA at [width, height]; maps are stored smaller, so they are enlarged smoothly. */
async function decode(element, [width, height], smooth) {
  const image = new Image();
  image.src = element.src;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

/** Decode all pictures of an image: {size, photograph, maps: {layer: Map(class -> bytes)}, masks: {layer: bytes}}. */
async function decodePictures({ size }, element, maskValue) {
  const decoded = { size, photograph: null, maps: {}, masks: {} };
  const pictures = [...element.querySelectorAll("img")].map(async (image) => {
    const { layer, tag } = image.dataset;
    const rgba = await decode(image, size, layer !== "photograph" && tag !== undefined);
    if (layer === "photograph") decoded.photograph = rgba;
    else if (tag === undefined) decoded.masks[layer] = byPixel(rgba, maskValue);
    else (decoded.maps[layer] ??= new Map()).set(Number(tag), byPixel(rgba, (red) => red));
  });
  await Promise.all(pictures);
  decoded.photograph ??= new Uint8ClampedArray(4 * size[0] * size[1]).fill(128);
  return decoded;
}

function byPixel(rgba, valueOf) {
  const values = new Uint8Array(rgba.length / 4);
  for (let i = 0; i < values.length; i++) values[i] = valueOf(rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]);
  return values;
}

// ---------------------------------------------------------------- from arrays to labels, colors and scores

/** Labels of a layer: masks as they are, maps thresholded (the highest map above it wins); null if it is missing. */
function labelsOf(decoded, layer, threshold) {
  if (decoded.masks[layer]) return decoded.masks[layer];
  const maps = decoded.maps[layer];
  if (!maps) return null;
  const pixels = decoded.size[0] * decoded.size[1];
  const labels = new Uint8Array(pixels);
  const best = new Float64Array(pixels).fill(255 * threshold);
  for (const [tag, map] of maps) {
    for (let i = 0; i < pixels; i++) {
      if (map[i] > best[i]) {
        best[i] = map[i];
        labels[i] = tag + 1;
      }
    }
  }
  return labels;
}

/** Whether a pixel has a neighbor with a different label. */
function isEdge(labels, i, width) {
  const x = i % width;
  const differs = (j) => j >= 0 && j < labels.length && labels[j] !== labels[i];
  return differs(i - width) || differs(i + width) || (x > 0 && differs(i - 1)) || (x < width - 1 && differs(i + 1));
}

/** Blend labels in their colors over the photograph, with a lighter outline. */
function paintLabels({ photograph, size }, labels, colors) {
  const image = new ImageData(photograph.slice(), ...size);
  labels.forEach((label, i) => {
    if (label === 0) return;
    const [share, base] = isEdge(labels, i, size[0]) ? [0.6, null] : [0.55, photograph];
    for (let c = 0; c < 3; c++) {
      image.data[4 * i + c] = share * colors[label][c] + (1 - share) * (base ? base[4 * i + c] : 255);
    }
  });
  return image;
}

/** Paint the pixelwise maximum of maps as heat over the grayed photograph; a white line marks the threshold. */
function paintHeat({ photograph, size }, maps, labels) {
  const image = new ImageData(...size);
  for (let i = 0; i < labels.length; i++) {
    let heat = 0;
    for (const map of maps) heat = Math.max(heat, map[i]);
    const gray = (0.8 * (photograph[4 * i] + photograph[4 * i + 1] + photograph[4 * i + 2])) / 3;
    const strength = 0.2 + (0.65 * heat) / 255;
    const step = Math.min(3, Math.floor(heat / 63.75));
    const within = heat / 63.75 - step;
    const onLine = labels[i] !== 0 && isEdge(labels, i, size[0]);
    for (let c = 0; c < 3; c++) {
      const color = (1 - within) * HEAT[step][c] + within * HEAT[step + 1][c];
      image.data[4 * i + c] = onLine ? 255 : (1 - strength) * gray + strength * color;
    }
    image.data[4 * i + 3] = 255;
  }
  return image;
}

/** IoU by label of the labels that occur in one image, background included; ignored pixels (255) are left out. */
function ious(labels, truth) {
  const both = new Map();
  const either = new Map();
  const add = (counts, label) => counts.set(label, (counts.get(label) ?? 0) + 1);
  truth.forEach((right, i) => {
    if (right === 255) return;
    const found = labels[i] === 255 ? 0 : labels[i];
    add(either, right);
    if (found === right) add(both, right);
    else add(either, found);
  });
  return new Map([...either].map(([label, count]) => [label, (both.get(label) ?? 0) / count]));
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const percent = (rate) => (100 * rate).toFixed(1);
