// Frames and signed maps on canvases whose size is that of the frame; the style sheet enlarges them.

const COLOURS = { up: [33, 102, 172], down: [178, 24, 43] }; // blue above zero, red below, white at zero

// Greys from 0 to 1; what is beyond is cut off.
export function drawFrame(canvas, frame, [height, width] = [32, 32]) {
  paint(canvas, height, width, (data, at, i) => {
    data[at] = data[at + 1] = data[at + 2] = 255 * frame[i];
  });
}

// A map on a scale from -most to most.
export function drawSigned(canvas, map, most, [height, width] = [32, 32]) {
  paint(canvas, height, width, (data, at, i) => {
    const share = Math.min(1, Math.abs(map[i]) / most), colour = map[i] > 0 ? COLOURS.up : COLOURS.down;
    for (let k = 0; k < 3; k++) data[at + k] = 255 + share * (colour[k] - 255);
  });
}

function paint(canvas, height, width, colour) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let i = 0, at = 0; i < height * width; i++, at += 4) {
    colour(image.data, at, i); // values are rounded and cut off at 0 and 255
    image.data[at + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

export function largest(...maps) {
  return maps.reduce((most, map) => map.reduce((m, v) => Math.max(m, Math.abs(v)), most), 1e-12);
}

export function rootMeanSquare(one, other) {
  return Math.sqrt(one.reduce((sum, v, i) => sum + (v - other[i]) ** 2, 0) / one.length);
}
