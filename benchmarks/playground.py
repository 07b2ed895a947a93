"""Speed of the playground in headless Chromium: when it can be used, and how long evaluations, weights and samples take.

The page is opened anew for each round, without the book around it and from this machine, so that nothing is in a cache.
It can be used when the scene is drawn, and is ready when the network has answered to its name. Times of evaluations are
those that the page waits for, on the way to the worker and back. A task of the page that takes over 50 ms is one that
Chromium counts as long; shown is the longest of all rounds.
"""

import functools
import shutil
import statistics
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.append(str(Path(__file__).parents[1] / "book" / "_ext"))
from scorevid_book.playground import bare_page
from side_by_side import Result, median_range, options

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
WATCH = """window.longest = 0; new PerformanceObserver((found) => {
    for (const { duration } of found.getEntries()) longest = Math.max(longest, duration);
}).observe({ type: "longtask", buffered: true })"""
MEASURE = """async ([evaluations, steps]) => {
    const { Networks } = await import("../_static/playground/network.js");
    const networks = new Networks(), size = [32, 32], what = { network: "leaves-32", size };
    const frames = (n) => Float32Array.from({ length: 1024 * n }, Math.random);
    const seconds = async (task, more) => {
        const begun = performance.now();
        await networks.call(task, { ...what, y: frames(1), c: frames(2), ...more });
        return (performance.now() - begun) / 1000;
    };
    const several = async (...job) => {
        await seconds(...job);
        const found = [];
        for (let k = 0; k < evaluations; k++) found.push(await seconds(...job));
        return found;
    };
    const denoise = await several("denoise", {}), row = await several("row", { pixel: 500 });
    const sample = await seconds("sample", { n: 16, method: "multistep", settings: { steps }, seed: 1 });
    return { denoise, row, sample };
}"""


def visit(browser: Browser, url: str, evaluations: int, steps: int) -> dict[str, float]:
    """Open the page, wait for its network, and measure: seconds by name, and its longest task."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(300_000)
    page.add_init_script(WATCH)
    page.goto(url)
    page.wait_for_function("document.documentElement.dataset.playground === 'ready'")
    times = {
        name: page.evaluate(f"performance.getEntriesByName('{name}')[0].startTime / 1000")
        for name in ("usable", "ready")
    }
    found = page.evaluate(MEASURE, [evaluations, steps])
    page.locator("#play-sample [data-part=steps]").evaluate("(e, steps) => { e.value = steps; }", steps)
    page.locator("#play-sample [data-part=draw]").click()  # the page draws pictures as samples come
    page.wait_for_function("document.querySelector('#play-sample [data-part=seconds]').value !== ''")
    times |= {name: statistics.median(found[name]) for name in ("denoise", "row")}
    times |= {"sample": found["sample"], "longest": page.evaluate("longest") / 1000}
    context.close()
    return times


def main() -> None:
    given = options(
        __doc__,
        Path(__file__).parent / "results",
        rounds=(5, 1, "visits of the page"),
        evaluations=(50, 2, "of the network, and rows of weights, in each"),
        steps=(12, 4, "of our solver, for 16 samples"),
    )
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        sys.exit(f"a browser is needed on PATH, any of {', '.join(BROWSERS)} would do")
    result = Result("playground", given)
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as p:
        bare_page(Path(folder))
        size = sum(path.stat().st_size for path in Path(folder, "_static").rglob("*") if path.is_file()) / 1e6
        with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=folder)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            browser = p.chromium.launch(executable_path=executable, args=FLAGS)
            url = f"http://127.0.0.1:{server.server_port}/book/playground.html"
            visits = [visit(browser, url, given.evaluations, given.steps) for _ in range(given.rounds)]
            browser.close()
            server.shutdown()
    found = {name: median_range([each[name] for each in visits]) for name in visits[0]}
    cases = {
        "usable": ("the page can be used, after it was opened", 3.0),
        "ready": ("its network is ready, after it was opened", None),
        "denoise": ("an evaluation of a frame of 32 × 32 pixels", 0.04),
        "row": ("local linear weights of a pixel", None),
        "sample": (f"16 samples of {given.steps} steps", 5.0),
        "longest": ("the longest time that the page was busy, 0 where none is over 0.05", 0.1),
    }
    rows = [[what, found[name]] for name, (what, _) in cases.items()]
    result.table("The playground in headless Chromium", ["", "seconds"], rows)
    result.table("What the page loads at most", ["", "MB"], [["scripts, runtime and three networks", size]])
    for name, (what, bound) in cases.items():
        if bound is not None:
            result.target(f"seconds: {what}", found[name], bound, at_least=False)
    result.target("MB that the page loads at most", median_range([size]), 16.0, at_least=False)
    result.finish()


if __name__ == "__main__":
    main()
