// Clips, curves and bars that follow one scrubber. `root.fim` is for other scripts, which may also listen to
// "fim:frame" on the root: its detail has the frame.
const REST = 4; // frames that it stays at the end before it begins again
const ROUNDS = 2; // that it plays by itself

const start = (root, data) => {
  const one = (selector) => root.querySelector(selector);
  const all = (selector) => [...root.querySelectorAll(selector)];
  const last = data.frames - 1;
  const wait = (1000 * data.seconds) / last; // milliseconds between two frames
  const slider = one("input[type=range]");
  const time = one(".fim-time");
  const speed = one("select");
  const [back, play, on, again] = all(".fim-icon");
  const listeners = []; // each is told the frame
  let frame = data.first;
  let playing = false;
  let rounds = Infinity;
  let looping = true;

  const show = (next) => {
    frame = Math.max(0, Math.min(last, next));
    root.dataset.frame = frame;
    slider.value = frame;
    slider.style.setProperty("--at", frame / last);
    const seconds = ((frame * wait) / 1000).toFixed(2);
    time.textContent = `${seconds} s`;
    slider.setAttribute("aria-valuetext", `frame ${frame + 1} of ${data.frames}, ${seconds} seconds`);
    for (const listener of listeners) listener(frame);
    root.dispatchEvent(new CustomEvent("fim:frame", { bubbles: true, detail: { frame } }));
  };

  const stop = () => {
    playing = false;
    root.classList.remove("playing");
    play.setAttribute("aria-label", "Play");
    play.title = "Play";
  };
  const go = (times = Infinity) => {
    if (playing) return;
    playing = true;
    rounds = times;
    root.classList.add("playing");
    play.setAttribute("aria-label", "Pause");
    play.title = "Pause";
    let place = frame < last ? frame : 0;
    let before = performance.now();
    const tick = (now) => {
      if (!playing) return;
      place += ((now - before) / wait) * Number(speed.value);
      before = now;
      if (place >= last + (looping ? REST : 0)) {
        rounds -= 1;
        if (!looping || rounds <= 0) {
          stop();
          show(rounds <= 0 ? data.first : last);
          return;
        }
        place = 0;
      }
      const next = Math.min(last, Math.floor(place));
      if (next !== frame) show(next);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  };
  const step = (next) => {
    stop();
    show(next);
  };

  pictures(root, data, listeners);
  all(".fim-panel").forEach((panel, k) => listeners.push(follow(panel, data.panels[k], last, step)));
  if (data.arrange === "choose") stage(root, () => show(frame));
  all(".fim-heat").forEach(colour);
  all(".fim-points").forEach((drawing, k) => {
    const places = Uint8Array.from(atob(data.points[k % data.points.length]), (letter) => letter.charCodeAt(0));
    const count = places.length / data.frames;
    listeners.push((now) => {
      let path = "";
      for (let i = now * count; i < (now + 1) * count; i += 2) path += `M${places[i]} ${places[i + 1]}h.01`;
      drawing.firstElementChild.setAttribute("d", path);
    });
  });

  play.onclick = () => (playing ? stop() : go());
  back.onclick = () => step(frame - 1);
  on.onclick = () => step(frame + 1);
  slider.oninput = () => step(Number(slider.value));
  again.onclick = () => {
    looping = !looping;
    again.setAttribute("aria-pressed", looping);
  };
  again.setAttribute("aria-pressed", looping);
  for (const toggle of all(".fim-toggle"))
    toggle.onclick = () => {
      const shown = toggle.getAttribute("aria-pressed") !== "true";
      toggle.setAttribute("aria-pressed", shown);
      for (const layer of all(`[data-layer="${toggle.dataset.toggle}"]`)) layer.toggleAttribute("hidden", !shown);
    };

  const face = one(".fim-stage") ?? one(".fim-clips");
  face.tabIndex = 0;
  face.setAttribute("role", "group");
  face.setAttribute("aria-label", "The clip: arrow keys step, space plays");
  face.onclick = (event) => event.target.closest(".fim-screen") && !event.target.closest("button") && play.onclick();
  root.onkeydown = (event) => {
    const places = { ArrowLeft: frame - 1, ArrowRight: frame + 1, Home: 0, End: last };
    const { target, key } = event;
    if (target === speed || event.altKey || event.ctrlKey || event.metaKey) return;
    if (key in places && target !== slider) step(places[key]);
    else if (key === " " && !target.closest("button")) play.onclick();
    else return;
    event.preventDefault();
  };

  matchMedia("(prefers-reduced-motion: reduce)").addEventListener("change", (event) => event.matches && stop());
  let fresh = data.starts;
  for (const kind of ["pointerdown", "keydown"]) root.addEventListener(kind, () => (fresh = false), { capture: true });
  new IntersectionObserver(
    ([seen]) => {
      if (!seen.isIntersecting) stop();
      else if (fresh && !calm()) {
        fresh = false;
        step(0);
        go(ROUNDS);
      }
    },
    { threshold: 0.4 },
  ).observe(face);
  root.fim = { show: step, play: go, stop, frames: data.frames };
  show(frame);
};

// Move every sheet of frames such that the frame lies on its screen.
const pictures = (root, data, listeners) => {
  const { columns, rows } = data;
  root.style.setProperty("--columns", columns);
  listeners.push((frame) => {
    const right = (100 * (frame % columns)) / columns;
    const down = (100 * Math.floor(frame / columns)) / rows;
    root.style.setProperty("--sheet", `translate(${-right}%, ${-down}%)`);
  });
};

// Colours of heat, dark to bright like matplotlib's inferno, clear where there is none: a face is never dimmed.
const HEAT = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
const STRONGEST = 200; // of 255: the face is seen through it

// Put a coloured canvas in place of a grey sheet.
const colour = async (picture) => {
  await picture.decode();
  const canvas = document.createElement("canvas");
  canvas.width = picture.naturalWidth;
  canvas.height = picture.naturalHeight;
  for (const name of ["class", "data-layer", "hidden"])
    if (picture.hasAttribute(name)) canvas.setAttribute(name, picture.getAttribute(name));
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", picture.alt);
  const brush = canvas.getContext("2d");
  brush.drawImage(picture, 0, 0);
  const image = brush.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < image.data.length; i += 4) {
    const heat = image.data[i] / 255;
    const below = Math.min(HEAT.length - 2, Math.floor(heat * (HEAT.length - 1)));
    const part = heat * (HEAT.length - 1) - below;
    for (let k = 0; k < 3; k++) image.data[i + k] = HEAT[below][k] + part * (HEAT[below + 1][k] - HEAT[below][k]);
    image.data[i + 3] = STRONGEST * Math.sqrt(heat);
  }
  brush.putImageData(image, 0, 0);
  picture.replaceWith(canvas);
};

// Let a panel follow, and let a press on its plot choose a frame.
const follow = (panel, rows, last, step) => {
  const plot = panel.querySelector(".fim-plot");
  const lines = [...panel.querySelectorAll("li")];
  if (!plot)
    return (frame) =>
      lines.forEach((line, k) => {
        line.querySelector("i").style.setProperty("--v", rows[k].y[frame]);
        line.querySelector("b").textContent = `${Math.round(100 * rows[k].y[frame])} %`;
      });
  const cursor = make(plot, "i", { class: "fim-cursor" });
  const dots = lines.map((line) => make(plot, "i", { class: "fim-dot", style: line.getAttribute("style") }));
  const choose = (event) => {
    const box = plot.getBoundingClientRect();
    step(Math.round((last * (event.clientX - box.left)) / box.width));
  };
  plot.onpointerdown = (event) => {
    plot.setPointerCapture(event.pointerId);
    choose(event);
  };
  plot.onpointermove = (event) => plot.hasPointerCapture(event.pointerId) && choose(event);
  return (frame) => {
    const left = `${(100 * frame) / last}%`;
    cursor.style.left = left;
    panel.dataset.frame = frame;
    dots.forEach((dot, k) => {
      dot.style.left = left;
      dot.style.top = `${100 - 100 * rows[k].y[frame]}%`;
      lines[k].querySelector("b").textContent = rows[k].v[frame];
    });
  };
};

// One clip large, with its panels; all clips small below it, each a button that puts it there.
const stage = (root, refresh) => {
  const whole = root.querySelector(".fim-all");
  const area = make(whole, "div", { class: "fim-stage" });
  const side = make(whole, "div", { class: "fim-panels" });
  whole.prepend(area, side);
  const clips = [...root.querySelectorAll(".fim-clip")].map((clip) => {
    const screen = clip.querySelector(".fim-screen");
    const name = clip.querySelector(".fim-name");
    const large = make(area, "div", { class: "fim-large" });
    large.append(screen.cloneNode(true));
    const own = make(side, "div");
    own.append(...clip.querySelectorAll(".fim-own"));
    const button = make(clip, "button", { type: "button", class: "fim-pick", "aria-label": name.textContent });
    button.append(screen, name);
    return { large, own, button };
  });
  const choose = (chosen) => {
    for (const { large, own, button } of clips) {
      large.hidden = own.hidden = button !== chosen;
      button.setAttribute("aria-pressed", button === chosen);
    }
    refresh();
  };
  for (const { button } of clips) button.onclick = () => choose(button);
  choose(clips[0].button);
};
