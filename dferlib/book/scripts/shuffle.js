// Two clips of a player, with all frames of each below it. A shuffle gives each clip an order of its own and hides its
// name; the player's scrubber then goes through that order.
const start = (root, data) => {
  const inner = root.querySelector(".fim-player");
  if (!inner.fim) {
    setTimeout(() => start(root, data), 50); // in a notebook the player may begin later
    return;
  }
  const said = root.querySelector(".fim-said");
  const inOrder = [...Array(data.frames).keys()];
  const clips = [...inner.querySelectorAll(".fim-clip")].map((clip) => {
    const sprite = clip.querySelector(".fim-sprite");
    const strip = make(clip, "div", { class: "fim-strip", "aria-hidden": "true" });
    strip.style.cssText = clip.querySelector(".fim-screen").style.cssText; // how wide a frame is
    const cells = inOrder.map((place) => {
      const cell = make(strip, "div", { class: "fim-cell" });
      cell.append(sprite.cloneNode());
      cell.onclick = () => inner.fim.show(place);
      return cell;
    });
    return { clip, cells, told: sprite.alt, name: clip.querySelector(".fim-name"), order: inOrder };
  });

  const sheet = (frame) => {
    const right = (100 * (frame % data.columns)) / data.columns;
    const down = (100 * Math.floor(frame / data.columns)) / data.rows;
    return `translate(${-right}%, ${-down}%)`;
  };
  const follow = () => {
    const frame = Number(inner.dataset.frame);
    for (const { clip, cells, order } of clips) {
      clip.style.setProperty("--sheet", sheet(order[frame]));
      cells.forEach((cell, place) => cell.classList.toggle("fim-now", place === frame));
    }
  };
  const lay = (orders, named) => {
    clips.forEach((one, k) => {
      one.order = orders[k];
      one.clip.dataset.order = one.order;
      one.cells.forEach((cell, place) => (cell.firstChild.style.transform = sheet(one.order[place])));
      one.name.textContent = named ? data.names[k] : "?";
      for (const picture of one.clip.querySelectorAll(".fim-sprite"))
        picture.alt = named ? one.told : "One of the two clips, its frames shuffled";
    });
    said.textContent = named
      ? `In order, each clip tells which it is. Both hold the same ${data.frames} frames.`
      : `Shuffled: both hold the same ${data.frames} frames, and nothing else is left. Which clip is ${data.names[0]}?`;
    follow();
  };

  root.querySelector("[data-do=shuffle]").onclick = () => {
    const swap = Math.random() < 0.5;
    clips.forEach(({ clip }, k) => (clip.style.order = swap ? 1 - k : k));
    lay(clips.map(() => shuffled(inOrder)), false);
  };
  root.querySelector("[data-do=order]").onclick = () => lay(clips.map(() => inOrder), true);
  inner.addEventListener("fim:frame", follow);
  lay(clips.map(() => inOrder), true);
};

// The same values in a random order (Fisher and Yates).
const shuffled = (values) => {
  const out = [...values];
  for (let k = out.length - 1; k > 0; k--) {
    const other = Math.floor(Math.random() * (k + 1));
    [out[k], out[other]] = [out[other], out[k]];
  }
  return out;
};
