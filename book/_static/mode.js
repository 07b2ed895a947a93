// Before a reader has chosen light or dark, follow the system. The theme leaves the mode empty, which its own script
// reports as an error; its setting default_mode would do, but leaves the page without colours where no script runs.
{
  const page = document.documentElement.dataset;
  page.mode ||= "auto";
  page.theme ||= matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}
