// Two moving disks, as in scorevid/worlds/leaves: how a scene is rendered, and all next frames that its past allows.
//
// A scene is { disks, front }. A disk is { x, y, vx, vy, r, g }: its centre in the NEXT frame, in pixels, its velocity in
// pixels a frame, radius and grey. front is the number of the disk that covers the other; it matters only where the past
// shows an overlap. Frames are Float32Arrays of 32 x 32 greys, row by row. Times count from the next frame, 0.

export const SIZE = 32, PIXELS = SIZE * SIZE;
export const GROUND = 0.5, KAPPA = 4; // grey of the ground; the larger disk is more often in front, as r to this power
export const RADIUS = [3, 7], SPEED = 2.5, CONTRAST = 0.15; // of the scenes that the network was trained on
const TOLERANCE = 1e-4; // frames this close are one

// How much of each pixel a disk covers: its edge is one pixel wide.
export function cover(disk, time) {
  const cx = disk.x + time * disk.vx, cy = disk.y + time * disk.vy, scale = 1 / (2 * disk.r);
  const covered = new Float32Array(PIXELS);
  for (let row = 0, i = 0; row < SIZE; row++) {
    for (let column = 0; column < SIZE; column++, i++) {
      const square = (column - cx) ** 2 + (row - cy) ** 2;
      covered[i] = Math.min(1, Math.max(0, disk.r / 2 + 0.5 - square * scale));
    }
  }
  return covered;
}

export function render({ disks, front }, time) {
  const frame = new Float32Array(PIXELS).fill(GROUND);
  for (const k of [1 - front, front]) {
    const covered = cover(disks[k], time);
    for (let i = 0; i < PIXELS; i++) frame[i] += covered[i] * (disks[k].g - frame[i]);
  }
  return frame;
}

// The two frames before the next one, oldest first.
export function past(scene) {
  return [render(scene, -2), render(scene, -1)];
}

// All next frames that the past allows, with their probabilities and which disk is in front in each. The depth order is
// Plackett and Luce's: P(i in front of j) = 1 / (1 + (r_j / r_i)^kappa).
export function futures(scene) {
  const seen = past(scene), [a, b] = scene.disks;
  const found = [];
  for (const front of [0, 1]) {
    const other = { ...scene, front };
    if (past(other).some((frame, k) => largestDifference(frame, seen[k]) > TOLERANCE)) continue;
    const ratio = front === 0 ? b.r / a.r : a.r / b.r;
    const future = { frame: render(other, 0), probability: 1 / (1 + ratio ** KAPPA), front };
    const equal = found.find(({ frame }) => largestDifference(frame, future.frame) <= TOLERANCE);
    if (equal) equal.probability += future.probability;
    else found.push(future);
  }
  const total = found.reduce((sum, future) => sum + future.probability, 0);
  return found.map((future) => ({ ...future, probability: future.probability / total }));
}

// Whether all but the depth order can be read off the past: then the probabilities above are p(x | c). Half of each disk
// must be seen in both past frames, and disks that touch must differ in grey.
export function determined(scene) {
  const [a, b] = scene.disks;
  if (Math.abs(a.g - b.g) <= 0.02 && [-2, -1, 0].some((time) => touch(a, b, time))) return false;
  return [-2, -1].every((time) => {
    const covers = scene.disks.map((disk) => cover(disk, time));
    return scene.disks.every((disk, k) => {
      const over = k === scene.front ? null : covers[1 - k];
      let seen = 0;
      for (let i = 0; i < PIXELS; i++) seen += covers[k][i] * (over ? 1 - over[i] : 1);
      return seen >= 0.5 * Math.PI * disk.r ** 2;
    });
  });
}

// Whether two disks may cover one pixel, by their distance and by the boxes around them within the frame.
function touch(a, b, time) {
  const at = [a, b].map(({ x, y, vx, vy, r }) => ({ place: [x + time * vx, y + time * vy], reach: Math.sqrt(r * r + r) + 1e-3 }));
  const [one, other] = at, apart = one.place.map((v, k) => v - other.place[k]);
  const shared = [0, 1].every((k) => {
    const low = Math.max(0, ...at.map(({ place, reach }) => place[k] - reach));
    return low <= Math.min(SIZE - 1, ...at.map(({ place, reach }) => place[k] + reach));
  });
  return shared && Math.hypot(...apart) < one.reach + other.reach;
}

export function distance(one, other) {
  let sum = 0;
  for (let i = 0; i < one.length; i++) sum += (one[i] - other[i]) ** 2;
  return Math.sqrt(sum);
}

function largestDifference(one, other) {
  let most = 0;
  for (let i = 0; i < one.length; i++) most = Math.max(most, Math.abs(one[i] - other[i]));
  return most;
}
