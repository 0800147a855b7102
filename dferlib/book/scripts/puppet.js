// A face that the page draws by itself, as `dferlib.makefaces.render` does: blend shapes move a mesh, lamps light its
// vertices, and each sample of the canvas takes the colour of the nearest triangle. `root.fim` is for other scripts.
const TYPES = { uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array };
const TONES = 8192; // steps of the tone curve
const GLIDE = 300; // milliseconds from one recipe to the next

const start = async (root, data) => {
  let face;
  try {
    face = await load(data);
  } catch {
    root.classList.remove("live"); // a browser that cannot unpack it shows what stands there without scripts
    return;
  }
  const canvas = root.querySelector("canvas");
  const brush = canvas.getContext("2d");
  const sliders = [...root.querySelectorAll(".fim-unit input")];
  const turn = root.querySelector(".fim-turn input");
  const presets = [...root.querySelectorAll("[data-emotion]")];
  const said = root.querySelector(".fim-said");
  const values = () => sliders.map((slider) => Number(slider.value));
  let shown = values(); // what the canvas shows, on its way to what the sliders say
  let recipe = shown.some(Boolean) ? null : { emotion: "neutral", number: 0 }; // a page that is loaded again may remember
  let moving = 0;
  let waiting = false;

  const draw = () => {
    waiting = false;
    brush.putImageData(picture(face, shown, Number(turn.value), canvas.width), 0, 0);
    root.dataset.drawn = Number(root.dataset.drawn ?? 0) + 1;
  };
  const soon = () => {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  };
  const jump = () => {
    moving += 1;
    shown = values();
    soon();
  };
  const glide = () => {
    const [from, to, mine, begun] = [shown, values(), ++moving, performance.now()];
    const step = (now) => {
      if (mine !== moving) return;
      const part = Math.min(1, Math.max(0, now - begun) / GLIDE);
      const risen = part * part * (3 - 2 * part);
      shown = from.map((value, k) => value + risen * (to[k] - value));
      draw();
      if (part < 1) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  };
  const tell = () => {
    const units = values();
    sliders.forEach((slider, k) => {
      slider.style.setProperty("--at", units[k]);
      slider.parentNode.querySelector(".fim-value").textContent = units[k].toFixed(2);
      slider.parentNode.classList.toggle("fim-on", units[k] > 0);
    });
    turn.style.setProperty("--at", (turn.value - turn.min) / (turn.max - turn.min));
    turn.parentNode.querySelector(".fim-value").textContent = `${turn.value}°`;
    for (const one of presets) one.setAttribute("aria-pressed", one.dataset.emotion === recipe?.emotion);
    said.textContent = words(data, units, recipe);
    canvas.setAttribute("aria-label", `The face. ${said.textContent}`);
  };

  sliders.forEach((slider) => {
    slider.oninput = () => {
      recipe = null;
      tell();
      jump();
    };
  });
  turn.oninput = () => {
    tell();
    soon();
  };
  for (const button of presets)
    button.onclick = () => {
      const { emotion } = button.dataset;
      const number = recipe?.emotion === emotion ? (recipe.number + 1) % data.recipes[emotion].length : 0;
      recipe = { emotion, number };
      data.recipes[emotion][number].forEach((value, k) => (sliders[k].value = value));
      tell();
      if (calm()) jump();
      else glide();
    };
  root.fim = { points: (units, degrees) => place(face, units, degrees, canvas.width), units: values, face };
  tell();
  draw();
};

// What the sliders say, in words.
const words = (data, units, recipe) => {
  const active = data.names.map(([unit, name], k) => [`${unit} ${name} ${units[k].toFixed(2)}`, units[k]]);
  const listed = active.filter(([, value]) => value > 0).sort((one, other) => other[1] - one[1]);
  const found = listed.length ? listed.map(([text]) => text).join(", ") : "No unit is active: the face is at rest";
  if (!recipe || recipe.emotion === "neutral") return `${found}.`;
  const count = data.recipes[recipe.emotion].length;
  return `${recipe.emotion}, recipe ${recipe.number + 1} of ${count}: ${found}.`;
};

// Unpack the arrays and the texture.
const load = async (data) => {
  const bytes = Uint8Array.from(atob(data.bytes), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  const face = { ...data.numbers };
  let at = 0;
  for (const [name, type, count] of data.parts) {
    const end = at + count * TYPES[type].BYTES_PER_ELEMENT;
    const values = new TYPES[type](buffer.slice(at, end));
    const worth = face.worth[name];
    face[name] = worth === undefined ? values : Float32Array.from(values, (value) => value * worth);
    at = end;
  }
  face.corners = face.triangles.map((corner) => face.vertex[corner]);
  const [colour, folds] = await Promise.all([pixels(data.texture), pixels(data.wrinkles)]);
  const { width, height } = colour;
  const [, , gamma] = face.tone;
  const linear = Float32Array.from({ length: 256 }, (_, k) => (k / 255) ** gamma);
  const [from, to] = face.foldsFrom;
  face.width = width;
  face.height = height;
  face.atlas = new Float32Array(7 * width * height); // three colours and four channels of wrinkles
  for (let n = 0; n < width * height; n++) {
    for (let c = 0; c < 3; c++) face.atlas[7 * n + c] = linear[colour.data[4 * n + c]];
    const [row, column] = [Math.floor(n / width), n % width];
    for (let c = 0; c < 4; c++) {
      const tile = (row + (c >> 1) * height) * 2 * width + column + (c & 1) * width;
      face.atlas[7 * n + 3 + c] = from + ((to - from) * folds.data[4 * tile]) / 255;
    }
  }
  const [exposure, shoulder] = face.tone;
  face.brightest = 1 / (1 - shoulder) / exposure; // from here on all is white
  face.tones = Uint8ClampedArray.from({ length: TONES + 1 }, (_, k) => {
    const light = (k / TONES) * face.brightest * exposure;
    return 255 * Math.min(1, light / (1 + shoulder * light)) ** (1 / gamma);
  });
  return face;
};

const pixels = async (source) => {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  brush.drawImage(image, 0, 0);
  return brush.getImageData(0, 0, canvas.width, canvas.height);
};

// Weights of the groups of blend shapes.
const mixed = (face, units) =>
  face.parting.map((_, g) => Math.min(face.most, total(units, (value, k) => value * face.mix[k][g])));

// The vertices (x, y, z one after the other, metres) with expression and turn, and the camera.
const posed = (face, weights, degrees) => {
  const count = face.follows.length;
  const world = new Float32Array(3 * count);
  for (let k = 0; k < world.length; k++) world[k] = face.rest[k] * face.step + face.middle[Math.floor(k / count)];
  const all = face.movedAt.length;
  let n = 0;
  weights.forEach((weight, g) => {
    const end = n + face.movedCount[g];
    if (!weight) n = end;
    for (; n < end; n++)
      for (let c = 0; c < 3; c++) world[c * count + face.movedAt[n]] += weight * face.step * face.moved[c * all + n];
  });
  const [cos, sin] = [Math.cos, Math.sin].map((wave) => wave((degrees * Math.PI) / 180));
  const turned = (x, y) => [
    cos * (x - face.pivot[0]) - sin * (y - face.pivot[1]) + face.pivot[0],
    sin * (x - face.pivot[0]) + cos * (y - face.pivot[1]) + face.pivot[1],
  ];
  for (let v = 0; v < count; v++) {
    const [x, y] = turned(world[v], world[count + v]);
    world[v] += face.follows[v] * (x - world[v]);
    world[count + v] += face.follows[v] * (y - world[count + v]);
  }
  return { world, eye: [turned(face.middle[0], face.middle[1])[0], face.eye, face.middle[2]] };
};

// Perspective: x and y in samples and depth, one after the other.
const projected = (face, { world, eye }, size) => {
  const count = face.follows.length;
  const focal = (size / 2 / face.halfWidth) * face.distance;
  const points = new Float32Array(3 * count);
  for (let v = 0; v < count; v++) {
    const depth = world[count + v] - eye[1];
    points[v] = size / 2 + (focal * (world[v] - eye[0])) / depth;
    points[count + v] = size / 2 - (focal * (world[2 * count + v] - eye[2])) / depth;
    points[2 * count + v] = depth + face.bias[v];
  }
  return points;
};
const place = (face, units, degrees, size) => projected(face, posed(face, mixed(face, units), degrees), size);

// Unit normals of the vertices: the sum of those of their triangles.
const normalsOf = (face, world) => {
  const count = face.follows.length;
  const normal = new Float32Array(3 * count);
  const { corners } = face;
  for (let n = 0; n < corners.length; n += 3) {
    const i = corners[n], j = corners[n + 1], k = corners[n + 2];
    const bx = world[j] - world[i], by = world[count + j] - world[count + i], bz = world[2 * count + j] - world[2 * count + i];
    const cx = world[k] - world[i], cy = world[count + k] - world[count + i], cz = world[2 * count + k] - world[2 * count + i];
    for (let c = 0; c < 3; c++) {
      const v = corners[n + c];
      normal[v] += by * cz - bz * cy;
      normal[count + v] += bz * cx - bx * cz;
      normal[2 * count + v] += bx * cy - by * cx;
    }
  }
  for (let v = 0; v < count; v++) {
    const length = Math.sqrt(normal[v] ** 2 + normal[count + v] ** 2 + normal[2 * count + v] ** 2) || 1;
    for (let c = 0; c < 3; c++) normal[c * count + v] /= length;
  }
  return normal;
};

const unit = (vector) => {
  const length = Math.sqrt(dot(vector, vector)) || 1;
  return [vector[0] / length, vector[1] / length, vector[2] / length];
};
const total = (values, of) => values.reduce((sum, value, k) => sum + of(value, k), 0);
const dot = (one, other) => one[0] * other[0] + one[1] * other[1] + one[2] * other[2];

// Light at each vertex: three colours that are scattered, three that are mirrored.
const illuminated = (face, { world, eye }, normal, degrees, weights) => {
  const { turns, lamps } = face;
  const count = face.follows.length;
  const light = new Float32Array(6 * count);
  const below = Math.max(0, turns.findLastIndex((turn, k) => turn <= degrees && k < turns.length - 1));
  const part = (degrees - turns[below]) / (turns[below + 1] - turns[below]);
  const strands = unit(face.strands);
  const [closed, dark] = face.mouth;
  const parted = Math.max(0, Math.min(1, total(weights, (weight, g) => weight * face.parting[g]) - closed));
  for (let v = 0; v < count; v++) {
    const view = unit([eye[0] - world[v], eye[1] - world[count + v], eye[2] - world[2 * count + v]]);
    let n = [normal[v], normal[count + v], normal[2 * count + v]];
    if (face.turnsToUs[v] && dot(n, view) < 0) n = [-n[0], -n[1], -n[2]];
    const along = dot(n, strands);
    const strand = face.hair[v] ? unit(strands.map((value, c) => value - along * n[c])) : null;
    const here = light.subarray(6 * v, 6 * v + 6);
    here.fill(face.ambient * (face.sky[0] + face.sky[1] * n[2]) * face.open[v], 0, 3);
    for (let k = 0; k < lamps.length; k++) {
      const at = (below * lamps.length + k) * count + v;
      const seen = face.lit[at] + part * (face.lit[at + lamps.length * count] - face.lit[at]);
      addLamp(face, v, { n, view, strand }, lamps[k], face.powers[k] * seen, here);
    }
    const shut = 1 - (1 - dark) * (1 - parted) * face.inMouth[v];
    for (let c = 0; c < 3; c++) here[c] *= shut;
  }
  return light;
};

// Add what a lamp of some power does at a vertex.
const addLamp = (face, v, { n, view, strand }, lamp, power, here) => {
  const open = face.open[v];
  const facing = dot(n, lamp);
  const soft = (facing + face.wrap[v]) / (1 + face.wrap[v]);
  if (soft > 0) {
    const falls = power * (face.falls[0] + face.falls[1] * open);
    here[0] += soft ** face.reach[0] * falls;
    here[1] += soft * falls;
    here[2] += soft ** face.reach[1] * falls;
  }
  const half = unit([lamp[0] + view[0], lamp[1] + view[1], lamp[2] + view[2]]);
  const mirrored = dot(n, half);
  let gloss = 0;
  if (face.strength[v] && facing > 0 && mirrored > 0)
    gloss = face.strength[v] * mirrored ** face.sharpness[v] * (face.shines[0] + face.shines[1] * open);
  let sheen = 0;
  if (strand && facing + face.sheen[1] > 0)
    sheen = face.hair[v] * Math.max(0, 1 - dot(strand, half) ** 2) ** face.sheen[0] * (facing + face.sheen[1]);
  for (let c = 0; c < 3; c++) here[3 + c] += (gloss + sheen * face.hairColour[c]) * power;
};

// The nearest triangle of each sample, -1 where there is none, with its barycentric coordinates.
const rasterised = (face, points, size) => {
  const count = face.follows.length;
  const found = new Int32Array(size * size).fill(-1);
  const near = new Float32Array(size * size).fill(Infinity);
  const weights = new Float32Array(2 * size * size);
  for (let m = 0; m < face.kind.length; m++) {
    const i = face.corners[3 * m], j = face.corners[3 * m + 1], k = face.corners[3 * m + 2];
    const ax = points[i], ay = points[count + i], az = points[2 * count + i];
    const abx = points[j] - ax, aby = points[count + j] - ay, abz = points[2 * count + j] - az;
    const acx = points[k] - ax, acy = points[count + k] - ay, acz = points[2 * count + k] - az;
    const area = abx * acy - acx * aby;
    if (!area || (area > 0 && face.kind[m] !== face.twoSided)) continue;
    const left = Math.max(0, Math.ceil(ax + Math.min(0, abx, acx) - 0.5));
    const right = Math.min(size - 1, Math.floor(ax + Math.max(0, abx, acx) - 0.5));
    const bottom = Math.min(size - 1, Math.floor(ay + Math.max(0, aby, acy) - 0.5));
    for (let y = Math.max(0, Math.ceil(ay + Math.min(0, aby, acy) - 0.5)); y <= bottom; y++)
      for (let x = left; x <= right; x++) {
        const px = x + 0.5 - ax, py = y + 0.5 - ay;
        const w1 = (px * acy - acx * py) / area;
        const w2 = (abx * py - px * aby) / area;
        if (w1 < 0 || w2 < 0 || w1 + w2 > 1) continue;
        const depth = az + w1 * abz + w2 * acz;
        const n = y * size + x;
        if (depth >= near[n]) continue;
        near[n] = depth;
        found[n] = m;
        weights[2 * n] = w1;
        weights[2 * n + 1] = w2;
      }
  }
  return { found, weights };
};

// The whole face as an image.
const picture = (face, units, degrees, size) => {
  const weights = mixed(face, units);
  const pose = posed(face, weights, degrees);
  const normal = normalsOf(face, pose.world);
  const light = illuminated(face, pose, normal, degrees, weights);
  const depth = (r) => Math.min(1, total(weights, (weight, g) => weight * face.folds[g][r]));
  const folded = face.folds[0].map((_, r) => face.folding * depth(r));
  return shaded(face, { pose, normal, light, folded }, rasterised(face, projected(face, pose, size), size), size);
};

// Each sample's colour, lit.
const shaded = (face, lit, { found, weights }, size) => {
  const { corners, triangles, texels, texel, tones, kind } = face;
  const { light } = lit;
  const image = new ImageData(size, size);
  const { data } = image;
  const scale = TONES / face.brightest;
  const empty = tones[Math.round(face.background * scale)];
  const second = texels.length / 2; // where the rows of the texels begin
  const colour = new Float32Array(3);
  data.fill(empty);
  for (let n = 0; n < size * size; n++) {
    const m = found[n];
    data[4 * n + 3] = 255;
    if (m < 0) continue;
    const w1 = weights[2 * n];
    const w2 = weights[2 * n + 1];
    const w0 = 1 - w1 - w2;
    const i = triangles[3 * m], j = triangles[3 * m + 1], k = triangles[3 * m + 2];
    const right = texel * (w0 * texels[i] + w1 * texels[j] + w2 * texels[k]);
    const down = texel * (w0 * texels[second + i] + w1 * texels[second + j] + w2 * texels[second + k]);
    lookUp(face, right, down, lit.folded, kind[m], colour);
    const shine = kind[m] === face.isEye ? highlight(face, lit, m, [w0, w1, w2]) : 0;
    const a = 6 * corners[3 * m], b = 6 * corners[3 * m + 1], c = 6 * corners[3 * m + 2];
    for (let h = 0; h < 3; h++) {
      const falls = w0 * light[a + h] + w1 * light[b + h] + w2 * light[c + h];
      const added = w0 * light[a + 3 + h] + w1 * light[b + 3 + h] + w2 * light[c + 3 + h];
      data[4 * n + h] = tones[Math.min(TONES, Math.round((colour[h] * falls + added + shine) * scale))];
    }
  }
  return image;
};

// The colour at a place of the texture, between four texels; skin is darker or lighter in wrinkles.
const lookUp = (face, right, down, folded, kind, colour) => {
  const { atlas, width, height, wrinkled } = face;
  const x = Math.max(0, Math.min(width - 1.001, right));
  const y = Math.max(0, Math.min(height - 1.001, down));
  const south = y - Math.floor(y);
  const east = x - Math.floor(x);
  const nw = (1 - south) * (1 - east);
  const ne = (1 - south) * east;
  const sw = south * (1 - east);
  const se = south * east;
  const at = 7 * (Math.floor(y) * width + Math.floor(x));
  const under = at + 7 * width;
  let fold = 0;
  if (kind < face.noFolds)
    for (let c = 0, k = at + 3, l = under + 3; c < 4; c++, k++, l++) {
      const deep = folded[4 * kind + c];
      if (deep) fold += deep * (atlas[k] * nw + atlas[k + 7] * ne + atlas[l] * sw + atlas[l + 7] * se);
    }
  const shade = Math.min(wrinkled[1], Math.max(wrinkled[0], 1 - fold));
  for (let c = 0, k = at, l = under; c < 3; c++, k++, l++)
    colour[c] = shade * (atlas[k] * nw + atlas[k + 7] * ne + atlas[l] * sw + atlas[l + 7] * se);
};

// The sharp reflection of the lamps in a wet eye.
const highlight = (face, { pose, normal }, m, weights) => {
  const count = face.follows.length;
  const between = (values) =>
    [0, 1, 2].map((c) => total(weights, (weight, k) => weight * values[c * count + face.corners[3 * m + k]]));
  const [at, n] = [between(pose.world), unit(between(normal))];
  const view = unit(pose.eye.map((value, c) => value - at[c]));
  return face.lamps.reduce((sum, lamp, k) => {
    const half = unit(lamp.map((value, c) => value + view[c]));
    if (dot(n, lamp) <= 0) return sum;
    return sum + face.eyes[0] * face.powers[k] * Math.max(0, dot(n, half)) ** face.eyes[1];
  }, 0);
};
