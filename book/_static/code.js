// One button opens and closes all code of a page.
document.addEventListener("DOMContentLoaded", () => {
  const button = document.querySelector(".all-code button");
  if (!button) return;
  button.parentElement.classList.add("ready");
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-pressed") !== "true";
    document.querySelectorAll("details.above-input").forEach((fold) => { fold.open = open; });
    button.setAttribute("aria-pressed", String(open));
    button.textContent = open ? "Hide all code" : "Show all code";
  });
});
