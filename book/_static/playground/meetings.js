// Random scenes in which two disks meet for the first time in the next frame, drawn as scorevid/worlds/leaves/world.py does.

import { CONTRAST, GROUND, RADIUS, SIZE, SPEED, determined, distance, futures } from "./world.js";

const LEAST_DISTANCE = 0.7; // of the two futures, in grey units: below it a choice can hardly be judged

export function drawMeeting(random) {
  for (;;) {
    const scene = approach(random), possible = futures(scene);
    if (possible.length === 2 && determined(scene) && distance(possible[0].frame, possible[1].frame) >= LEAST_DISTANCE) {
      return scene;
    }
  }
}

// The edges part by a little in the last past frame, and overlap in the next.
function approach(random) {
  const [ra, rb] = [0, 1].map(() => Math.exp(random.uniform(...RADIUS.map(Math.log))));
  const angle = random.uniform(0, 2 * Math.PI), u = [Math.cos(angle), Math.sin(angle)], across = [-u[1], u[0]];
  const gap = random.uniform(1.1, 1.6), most = 2 * SPEED;
  const closing = random.uniform(gap + 1.2, most), sliding = random.uniform(-0.5, 0.5);
  const relative = u.map((v, k) => -closing * v + sliding * across[k]); // velocity of the second seen from the first
  const apart = u.map((v, k) => (ra + rb + gap) * v + relative[k]);
  const middle = u.map(() => random.uniform(0.2 * SIZE, 0.8 * SIZE));
  const share = random.uniform() * Math.max(0, most - Math.hypot(...relative)) / 2, way = random.uniform(0, 2 * Math.PI);
  const drift = [share * Math.cos(way), share * Math.sin(way)];
  const disk = (sign, r) => ({
    x: middle[0] + sign * apart[0] / 2,
    y: middle[1] + sign * apart[1] / 2,
    vx: drift[0] + sign * relative[0] / 2,
    vy: drift[1] + sign * relative[1] / 2,
    r,
    g: grey(random),
  });
  return { disks: [disk(-1, ra), disk(1, rb)], front: 0 };
}

function grey(random) {
  const g = random.uniform(0, 2 * (GROUND - CONTRAST));
  return g < GROUND - CONTRAST ? g : 1 - (g - (GROUND - CONTRAST));
}
