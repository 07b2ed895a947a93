// Sliders of the noise level, all of them the same one, on a logarithmic scale.

export function levelSliders(root, state) {
  const sliders = [...root.querySelectorAll("input[data-level]")];
  for (const slider of sliders) {
    slider.addEventListener("input", () => state.set({ sigma: 10 ** Number(slider.value) }));
  }
  return function show() {
    for (const slider of sliders) {
      const text = format(state.values.sigma);
      slider.value = Math.log10(state.values.sigma);
      slider.setAttribute("aria-valuetext", text);
      slider.nextElementSibling.value = text;
    }
  };
}

export function format(sigma) {
  return sigma < 1 ? sigma.toPrecision(2) : sigma.toFixed(1);
}
