"use strict";
(() => {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const asked = /theme=(light|dark|auto)/.exec(location.search + location.hash);
  let theme = asked ? asked[1] : "auto";
  let printing = false;

  // -- figures: colours are names of style-sheet variables, looked up at the moment of drawing
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const coloured = (value, style) => {
    if (typeof value === "string") return value.replace(/^var\((--[\w-]+)\)$/, (_, name) => style.getPropertyValue(name).trim());
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((item) => coloured(item, style));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(v, style)]));
    return value;
  };
  const draw = () => {
    if (!window.Plotly) return;
    const style = getComputedStyle(root);
    const font = getComputedStyle(document.body).fontFamily;
    const coarse = window.matchMedia("(pointer: coarse)").matches;
    for (const place of document.querySelectorAll(".plot")) {
      const figure = coloured(figures[place.dataset.figure], style);
      figure.layout.font.family = font;
      figure.layout.dragmode = coarse ? false : "zoom"; // a finger on a figure scrolls the page
      if (printing) figure.layout.width = 660;
      const narrow = place.clientWidth < 520;
      for (const note of figure.layout.annotations) if (narrow && note.text.length > 44) note.text = note.text.replace(" (", "<br>(");
      const config = { responsive: !printing, displayModeBar: false };
      window.Plotly.react(place, figure.data, figure.layout, config);
      const save = place.parentElement.querySelector(".save");
      save.hidden = false;
      save.onclick = () => window.Plotly.downloadImage(place, { format: "svg", filename: place.dataset.figure, width: place.clientWidth, height: place.clientHeight });
    }
  };

  // -- light and dark
  const shade = () => {
    const dark = !printing && (theme === "dark" || (theme === "auto" && system.matches));
    root.dataset.shade = dark ? "dark" : "light";
    for (const button of document.querySelectorAll(".themes button")) button.setAttribute("aria-pressed", String(button.dataset.theme === theme));
    draw();
  };
  document.querySelector(".themes").hidden = false;
  document.querySelector(".themes").addEventListener("click", (event) => {
    theme = event.target.dataset.theme || theme;
    shade();
  });
  system.addEventListener("change", shade);
  window.addEventListener("beforeprint", () => { printing = true; shade(); });
  window.addEventListener("afterprint", () => { printing = false; shade(); });

  // -- films and copying
  for (const button of document.querySelectorAll(".play")) {
    const reel = button.closest(".reel");
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const show = (playing) => {
      reel.classList.toggle("playing", playing);
      reel.classList.toggle("paused", !playing);
      button.textContent = playing ? "Pause" : "Play";
    };
    button.hidden = false;
    show(!still);
    button.addEventListener("click", () => show(reel.classList.contains("paused")));
  }
  const selected = (code) => { // where the clipboard is closed to a page from a file, the text is at least selected
    const range = document.createRange();
    range.selectNodeContents(code);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return document.execCommand("copy");
  };
  document.addEventListener("click", async (event) => {
    if (!event.target.classList.contains("copy")) return;
    const code = event.target.parentElement.querySelector("code");
    const done = navigator.clipboard ? await navigator.clipboard.writeText(code.textContent).then(() => true, () => selected(code)) : selected(code);
    event.target.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { event.target.textContent = "Copy"; }, 1600);
  });

  // -- the figure library travels compressed inside the page
  const unpack = async () => {
    const packed = document.getElementById("plotly");
    if (!packed) return;
    const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    draw();
    root.dataset.ready = "yes";
  };
  shade();
  unpack().catch((error) => {
    for (const place of document.querySelectorAll(".plot")) {
      place.style.height = "auto";
      place.textContent = "This browser could not draw the figure (" + error.message + "); its numbers stand in the table below.";
    }
  });
})();
