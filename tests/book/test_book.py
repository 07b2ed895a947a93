"""The built book, as a reader meets it: in a browser, light and dark, on a telephone and on a desk, without a network."""

import base64
import functools
import hashlib
import importlib
import itertools
import json
import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urljoin, urlsplit

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
LEDGER = ROOT / "book" / "claims.yml"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"]]
for chapter in (chapter for part in TOC["parts"] for chapter in part["chapters"]):
    PAGES += [chapter["file"], *(section["file"] for section in chapter.get("sections", ()))]
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")]
VIEWS = [  # of one page and of the next: each page is seen at both widths, light and dark, without half of the work
    [("light", 390), ("dark", 1280)],
    [("dark", 390), ("light", 1280)],
]
CHATTER = ("[PST]: ", "[togglebutton]: ")  # what the theme and its parts log when all is well
UNFINISHED = {  # what a page must not say outside of code
    "a traceback": re.compile(r"Traceback \(most recent call last\)|\b\w*Error: "),
    "a role or directive as text": re.compile(r"\{[a-z:-]+\}`|```|:::|\{\{"),
    "a link as text": re.compile(r"\]\([^)\s]+\)|\[\[|\]\["),
    "emphasis as text": re.compile(r"\*\*\w"),
    "a table as text": re.compile(r"\|\s*:?-{2,}:?\s*\|"),
    "mathematics as text": re.compile(r"\$\$|\\\(|\\\)|\\\[|\\begin\{|\\mathbb|\\sigma"),
    "a claim that was not measured": re.compile(r"not measured in this build"),
    "an object's repr": re.compile(r"<(Figure size|matplotlib\.|Axes:|torch\.)|np\.float64\("),
    "an unresolved reference": re.compile(r"\?\?|\[\?\]"),
}


class Page(HTMLParser):
    """What a page loads, links to, shows and says."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.images, self.ids, self.text = [], [], [], set(), []
        self.hidden = 0
        self.math = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        self.ids.add(a.get("id"))
        self.math |= "math" in (a.get("class") or "").split()
        self.hidden += tag in ("script", "style")
        if tag == "a" and a.get("href"):
            self.links.append(a["href"])
        if tag == "img":
            self.images.append(a)
        if tag == "link" and set(a.get("rel", "").split()) & {
            "stylesheet",
            "icon",
            "preload",
            "modulepreload",
            "manifest",
        }:
            self.loads.append(a["href"])
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed") and a.get("src"):
            self.loads.append(a["src"])

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.hidden:
            self.text.append(data)


@functools.cache
def read(path):
    return Page(path.read_text(encoding="utf-8"))


def html_pages():
    return [path for path in sorted(HTML.rglob("*.html")) if "_static" not in path.parts]


@pytest.fixture(scope="module", autouse=True)
def _built():
    if not (HTML / "index.html").is_file():
        pytest.fail("there is no book in _build/html: `make book` builds it", pytrace=False)


# ---- the files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_the_contents_is_there(page):
    assert (HTML / f"{page}.html").is_file()


def test_nothing_is_loaded_from_elsewhere():
    loaded = {(path.relative_to(HTML), url) for path in html_pages() for url in read(path).loads}
    assert loaded
    assert not sorted(str(p) + ": " + url for p, url in loaded if urlsplit(url).netloc)
    external = re.compile(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//")
    assert not [str(path) for path in HTML.rglob("*.css") if external.search(path.read_text(encoding="utf-8"))]


def test_every_internal_link_leads_somewhere():
    dead = []
    for path in html_pages():
        for url in read(path).links + read(path).loads:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc or url == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                dead.append(f"{path.relative_to(HTML)}: {url}")
            elif target == HTML / "book" / "playground.html" and "=" in parts.fragment:  # a scene that the page reads
                unknown = parse_qs(parts.fragment).keys() - {
                    "a",
                    "b",
                    "front",
                    "future",
                    "sigma",
                    "seed",
                    "pixel",
                    "show",
                }
                dead += [f"{path.relative_to(HTML)}: {url} (no {name})" for name in unknown]
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read(target).ids:
                dead.append(f"{path.relative_to(HTML)}: {url} (no such place on the page)")
    assert not dead


def test_every_image_has_alternative_text():
    bad = []
    for path in html_pages():
        for image in read(path).images:
            alt = (image.get("alt") or "").strip()
            if len(alt) < 4 or re.search(r"\.(png|svg|jpe?g|gif)$", alt) or "/" in alt.split(" ")[0]:
                bad.append(f"{path.relative_to(HTML)}: {image.get('src')} has {alt!r}")
    assert not bad


def test_chapters_show_figures_with_captions():
    for page in CHAPTERS:
        article = soup(page).select_one("article")
        assert len(article.select("figure")) == len(article.select("figcaption")) > 0, page
        assert all(figure.select("img") for figure in article.select("figure")), page


def test_every_claim_of_the_ledger_is_on_its_page():
    text = " ".join(read(HTML / "book" / "claims.html").text)
    for claim in yaml.safe_load(LEDGER.read_text()):
        assert claim["id"] in text


@functools.cache
def soup(page):
    return BeautifulSoup((HTML / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


@pytest.mark.parametrize("room", ["worlds", "noise", "denoisers", "sampling", "measures", "training"])
def test_a_room_s_page_lists_its_names_and_then_its_modules(room):
    """Each name links to where it is documented, so that a map that is wrong shows."""
    article = soup(f"book/api/{room}").select_one("article")
    table, *heads = article.find_all(["table", "h2"])
    names = [row.select_one("td").get_text().strip() for row in table.select("tbody tr")]
    assert sorted(names) == importlib.import_module(f"scorevid.{room}").__all__
    modules = {path.stem for path in (ROOT / "scorevid" / room).glob("*.py")} - {"__init__"}
    assert modules <= {head.find(string=True).removeprefix(f"{room}.") for head in heads if head.name == "h2"}


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_can_be_taken_home_as_it_was_executed(page):
    """What is offered for download holds the very pictures of the page, and can be opened."""
    path = HTML / f"{page}.html"
    offered = {(path.parent / url).resolve() for url in read(path).links if url.endswith(".ipynb") and "://" not in url}
    assert offered == {HTML / "_sources" / f"{page}.ipynb"}
    notebook = nbformat.read(offered.pop(), 4)
    nbformat.validate(notebook)
    install, *code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "%pip install" in install.source
    assert not re.findall(r"\{[a-z:-]+\}`|:::", "".join(c.source for c in notebook.cells if c.cell_type == "markdown"))
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    drawn = [o.data["image/png"] for cell in code for o in cell.outputs if "image/png" in o.get("data", {})]
    text = path.read_text(encoding="utf-8")
    assert drawn
    assert not [png for png in drawn if hashlib.sha256(base64.b64decode(png)).hexdigest() not in text]


@pytest.mark.parametrize("page", CHAPTERS)
def test_every_figure_leads_to_its_code(page):
    figures = soup(page).select("article figure")
    ways = soup(page).select("article .figure-code")
    assert len(ways) == len(figures) > 0
    for figure, way in zip(figures, ways, strict=True):
        cell = figure.find_parent("div", class_="cell")
        assert way.find_parent("div", class_="cell") is cell
        code, *calls = way.select("p a")
        source = soup(page).find(id=code["href"].removeprefix("#"))
        assert source.find_parent("div", class_="cell") is cell and "cell_input" in source["class"]
        assert all(f"{call.get_text()}(" in source.get_text() for call in calls)
        command = way.select_one("details pre").get_text()
        assert command.startswith(f".venv/bin/papermill {page}.ipynb out.ipynb")
        defined = re.findall(r"^(\w+): \w+ = ", soup(page).select_one(".tag_parameters .cell_input").get_text(), re.M)
        assert re.findall(r"-[py] '?(\w+)", command) == defined
    assert any(len(way.select("p a")) > 1 for way in ways), "no figure's functions are in the reference"


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_says_how_it_was_made(page):
    """Against what the build left of its claims."""
    told = " ".join(soup(page).select_one("article .provenance").get_text().split())
    records = [c for c in json.loads((HTML.parent / "claims.json").read_text()) if f"notebooks/{c['chapter']}" == page]
    if page.removeprefix("notebooks/") not in {c["chapter"] for c in yaml.safe_load(LEDGER.read_text())}:
        assert "this chapter decides no claim" in told
        return
    assert records
    assert re.search(r"Commit ?: ([0-9a-f]{10}( \+ changes)?|unknown) ", told)
    for record in records:
        assert all(sha256 in told for sha256 in re.findall(r"[0-9a-f]{64}", json.dumps(record["context"])))
        assert all(f"{name} {version}" in told for name, version in record["versions"].items())
        seed = record["context"].get("seed")
        assert seed is None or re.search(rf"Seed ?: [\d, ]*\b{seed}\b", told)
    assert re.search(rf"Run ?: \d+ s .*{len(records)} claims? decided", told)


# ---- in a browser --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(_built, serve):
    with serve(HTML) as at:
        yield at


@pytest.fixture(scope="module")
def window(browser, address):
    """A browser window that asks for nothing from elsewhere; keeps a list of all that went wrong on a visit."""
    context = browser.new_context()
    context.add_init_script("localStorage.clear(); sessionStorage.clear()")  # every visit is a first one
    page, wrong = context.new_page(), []
    page.set_default_timeout(120_000)  # of a machine that does other things besides
    page.on("console", lambda m: m.text.startswith(CHATTER) or wrong.append(f"console {m.type}: {m.text}"))
    page.on("pageerror", lambda e: wrong.append(f"script error: {e}"))
    page.on("requestfailed", lambda r: "ERR_ABORTED" in r.failure or wrong.append(f"failed: {r.url} {r.failure}"))
    page.on("response", lambda r: r.status >= 400 and wrong.append(f"status {r.status}: {r.url}"))

    def local_only(route):
        if route.request.url.startswith((address, "data:", "blob:")):
            return route.continue_()
        wrong.append(f"asked for {route.request.url}")
        return route.abort()

    def show(theme, width):
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 844})

    def visit(url, theme="light", width=390):
        """Open a page, wait until it has settled, and return what went wrong on the way."""
        page.goto("about:blank")  # which is resized in no time
        show(theme, width)
        wrong.clear()
        page.goto(urljoin(address, url), wait_until="load")
        page.evaluate("() => Promise.all([window.MathJax?.startup?.promise, document.fonts.ready])")
        page.evaluate("() => new Promise(requestIdleCallback)")
        return wrong

    page.route("**/*", local_only)
    page.visit, page.show, page.wrong = visit, show, wrong
    yield page
    context.close()


@pytest.fixture(scope="module")
def look(window):
    """What a page looks like, read off it in one visit: some things once, the others at both widths, light and dark."""
    turns = itertools.cycle(VIEWS)

    @functools.cache
    def look(page):
        order, views = next(turns), {}
        wrong = window.visit(f"{page}.html", *order[0])
        once = window.evaluate(ONCE)
        for view in order:
            window.show(*view)
            views[view] = window.evaluate(EVERY)
        return SimpleNamespace(**once, views=views, wrong=list(wrong))

    return look


@pytest.mark.parametrize("page", PAGES)
def test_page_in_a_browser(look, page):
    seen = look(page)
    assert seen.wrong == []
    assert seen.missing == [], "no font at hand has these characters"
    assert seen.broken == []
    assert seen.math["typeset"] == seen.math["all"]
    assert seen.math["errors"] == []
    if read(HTML / f"{page}.html").math:
        assert seen.math["all"] > 0
    for what, pattern in UNFINISHED.items():
        assert not (found := pattern.search(seen.prose)), f"{what}: …{context_of(found)}…"
    for what in ("a traceback", "an object's repr"):
        assert not (found := UNFINISHED[what].search(seen.output)), f"{what} in an output: …{context_of(found)}…"
    for (theme, width), view in seen.views.items():
        assert view["theme"] == theme
        assert view["extent"] <= width, f"the page is {view['extent']} px wide in a window of {width} px"
        assert not view["spilt"], "what is wider than the window must scroll by itself"
        assert view["cut"] == [], "what is wider than its place must scroll, not be cut off"
        assert view["contrast"] >= 4.5, "the WCAG's bound for normal text"


def test_claims_can_be_read_at_any_width(look):
    """A table on a desk; on a telephone each claim a block that begins with the verdict."""
    claims = yaml.safe_load(LEDGER.read_text())
    for (_, width), view in look("book/claims").views.items():
        assert len(view["claims"]) == len(claims)
        for row in view["claims"]:
            for name, (left, top, right, bottom) in row.items():
                assert 0 <= left < right <= width, f"{name} reaches from {left} to {right} px"
                assert top < bottom, name
            sentence, bound, measured, outcome = (
                row[f"claim-{n}"] for n in ("sentence", "bound", "measured", "outcome")
            )
            if width < 700:
                assert outcome[3] <= sentence[1] + 1 and sentence[3] <= bound[1] + 1 and bound[3] <= measured[1] + 1
            else:
                assert sentence[2] <= bound[0] + 1 and bound[2] <= measured[0] + 1 and measured[2] <= outcome[0] + 1


def test_an_equation_that_is_cut_says_so(look):
    """What does not fit scrolls, with a shadow where it goes on; on a telephone equations are set smaller first."""
    for (_, width), view in look("book/theory").views.items():
        assert view["equations"]
        for e in view["equations"]:
            assert e["fits"] or (e["scrolls"] and e["shadow"]), e
            assert width > 600 or e["scale"] <= 1.1, e


def test_a_hundred_characters_of_code_fit_on_a_desk(look):
    for (_, width), view in look(CHAPTERS[0]).views.items():
        assert width < 1280 or view["code"]["characters"] >= 100
        assert view["code"]["size"] >= 12
        assert view["code"]["prose"] <= 46 * 16, "prose in wide lines is hard to read"


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_can_be_read_to_its_end(look, page):
    """Catches a chapter that grows, and code that is left unfolded."""
    (length,) = (view["length"] for (_, width), view in look(page).views.items() if width == 1280)
    assert length["screens"] <= 12 and length["figures"] <= 12 and length["unfolded"] == 0


def test_one_button_opens_all_code_of_a_page_and_badges_lead_to_the_ledger(window):
    assert window.visit(f"{CHAPTERS[0]}.html", width=1280) == []
    folds, button = window.locator("details.above-input"), window.locator(".all-code button")
    assert folds.count() > 4 and window.locator("details.above-input[open]").count() == 0
    button.click()
    assert window.locator("details.above-input[open]").count() == folds.count()
    button.click()
    assert window.locator("details.above-input[open]").count() == 0
    badge = window.locator(".claim-badge").first
    assert badge.bounding_box()["height"] < 40, "a badge is one line"
    claim = badge.get_attribute("data-claim")
    badge.locator("a").click()
    window.wait_for_url(f"**/book/claims.html#claim-{claim}")
    assert window.locator(f"[id='claim-{claim}']").is_visible()


def test_the_site_carries_its_source(window):
    """An archive that can be built, of the commit that the page names, where the book is built from a repository."""
    link = soup(TOC["root"]).find("a", string="scorevid-source.zip")
    if not (ROOT / ".git").exists():
        pytest.skip("the book was not built from a repository")
    assert link["href"] == "../scorevid-source.zip"
    with zipfile.ZipFile(HTML / "scorevid-source.zip") as archive:
        assert {"scorevid/pyproject.toml", "scorevid/scorevid/__init__.py", "scorevid/Makefile"} <= set(
            archive.namelist()
        )


def test_the_map_of_the_package_fits_and_is_told_to_who_listens(look):
    for (_, width), view in look("book/contributing").views.items():
        assert len(view["rooms"]["boxes"]) > 10 and "worlds" in view["rooms"]["label"]
        outside = [(left, right) for left, right in view["rooms"]["boxes"] if not 0 <= left < right <= width]
        assert not outside


def test_run_times_are_given_for_every_chapter_with_a_status_in_words():
    text = " ".join(" ".join(read(HTML / "book" / "status.html").text).split())
    for page in PAGES:
        if page.startswith("notebooks/"):
            assert re.search(rf"{page} [-\d: ]+ [\d.]+ completed", text), page


def test_front_door_leads_to_the_book(window, address):
    window.wrong.clear()
    window.goto(address)
    window.wait_for_url(f"**/{TOC['root']}.html")
    assert window.wrong == []


def test_the_playground_runs_in_the_book(window):
    """Its own tests are in test_playground.py; this one sees that the build has brought all of it along."""
    window.visit("book/playground.html", theme="dark")
    window.wait_for_selector("html[data-playground=ready] #play-denoise[data-shown]", state="attached")
    assert window.locator("#play-status").evaluate("e => e.value") == "The network is ready."
    assert window.wrong == []


@pytest.mark.parametrize("word", ["occlusion", "Miyasawa"])
def test_search_finds_a_page(window, word):
    assert window.visit(f"search.html?q={word}") == []
    window.wait_for_selector("#search-results li a")
    assert window.locator("#search-results li a").count() > 0


def test_the_way_from_a_figure_to_its_code_needs_no_script(browser, address):
    """On a telephone, in every chapter: the command unfolds, a link opens the fold that the code is in, nothing scrolls."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False)
    page = context.new_page()
    for chapter in CHAPTERS:
        page.goto(urljoin(address, f"{chapter}.html"), wait_until="load")
        ways = page.locator(".figure-code")
        for way in map(ways.nth, sorted({0, ways.count() - 1})):
            assert not way.locator("pre").is_visible()
            way.locator("summary").click()
            assert way.locator("pre").is_visible()
            box = way.locator("pre").bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390
            link = way.locator("p a").first
            link.click()
            code = page.locator(f"[id='{link.get_attribute('href').removeprefix('#')}']")
            assert code.is_visible() and code.bounding_box()["y"] < 844
    context.close()


def test_pages_on_paper(browser, tmp_path):
    """Two pages as one PDF: text, mathematics, an outline, pages with numbers."""
    from pypdf import PdfReader

    command = [sys.executable, ROOT / "scripts" / "print_book.py", "--out", tmp_path / "two.pdf"]
    done = subprocess.run([*command, "--pages", "book/notation", CHAPTERS[0]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pdf = PdfReader(tmp_path / "two.pdf")
    text = [" ".join(page.extract_text().split()) for page in pdf.pages]
    assert len(text) > 4
    for number, page in enumerate(text, 1):
        assert page.endswith(f"{number} of {len(text)}")
    titles = [soup(page).select_one("h1").find(string=True).split()[0] for page in ("book/notation", CHAPTERS[0])]
    outline = [entry.title for entry in pdf.outline if not isinstance(entry, list)]
    assert [title.split()[0] for title in outline] == titles
    assert "\\mathbb" not in "".join(text)
    assert sum(len(page.images) for page in pdf.pages) >= len(soup(CHAPTERS[0]).select("article figure"))


def context_of(match):
    return match.string[max(0, match.start() - 40) : match.end() + 40] if match else ""


# Elements that stick out of the window without a scrolling ancestor.
SPILT = """() => {
  const scrolls = e => { for (let p = e; p; p = p.parentElement)
    if (/(auto|scroll|hidden|clip)/.test(getComputedStyle(p).overflowX) && p !== document.body) return true; };
  const content = document.querySelector('article') || document.body;
  return [...content.querySelectorAll('*')]
    .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !scrolls(e))
    .filter(e => getComputedStyle(e).visibility !== 'hidden' && e.getBoundingClientRect().width > 1)
    .slice(0, 5).map(e => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 60));
}"""

# Elements with content beyond their edge that nobody can scroll to.
CUT = """() => [...document.querySelectorAll('article *')]
  .filter(e => /hidden|clip/.test(getComputedStyle(e).overflowX) && e.clientWidth > 1)
  .filter(e => !e.closest('mjx-math, mjx-assistive-mml'))
  .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).visibility !== 'hidden')
  .slice(0, 5).map(e => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 60))"""

# Characters of the prose that are drawn like one that no font has.
MISSING = """async () => {
  await document.fonts.ready;
  const text = document.querySelector('article').cloneNode(true);
  text.querySelectorAll('pre, script, style, mjx-container').forEach(e => e.remove());
  const pen = Object.assign(document.createElement('canvas'), {width: 40, height: 40})
    .getContext('2d', {willReadFrequently: true});
  const font = '20px ' + getComputedStyle(document.querySelector('article p, article h1')).fontFamily;
  const drawn = c => { pen.clearRect(0, 0, 40, 40); pen.font = font; pen.fillText(c, 5, 30);
    return pen.getImageData(0, 0, 40, 40).data.join(); };
  const unusual = [...new Set(text.textContent)].filter(c => c > '\\u00ff');
  await document.fonts.load(font, unusual.join(''));
  const box = drawn('\\u{10fff0}');
  return unusual.filter(c => drawn(c) === box);
}"""

# Of each row of the ledger, where its cells are: left, top, right, bottom.
CLAIMS = """() => [...document.querySelectorAll('table.claims tbody tr')].map(row => Object.fromEntries(
  [...row.cells].map(e => [e, e.getBoundingClientRect()]).map(([e, b]) =>
    [[...e.classList].find(c => c.startsWith('claim-')), [b.left, b.top, b.right, b.bottom]])))"""

EQUATIONS = """() => [...document.querySelectorAll('article mjx-container[display="true"]')].map(e => {
  const style = getComputedStyle(e);
  return { fits: e.scrollWidth <= e.clientWidth, scrolls: style.overflowX === 'auto',
           shadow: style.backgroundImage.includes('gradient'),
           scale: parseFloat(style.fontSize) / parseFloat(getComputedStyle(e.parentElement).fontSize) };
})"""

# How many characters of code fit into a cell, the size of its font, and how wide prose is, in px.
CODE = """() => {
  const pre = document.querySelector('article div.cell_input pre'), ruler = document.createElement('span');
  if (!pre) return null;
  ruler.textContent = 'm'.repeat(100);
  pre.append(ruler);
  const style = getComputedStyle(pre), width = ruler.getBoundingClientRect().width / 100;
  ruler.remove();
  return { characters: (pre.clientWidth - parseFloat(style.paddingLeft)) / width, size: parseFloat(style.fontSize),
           prose: document.querySelector('article section > p').clientWidth };
}"""

MATH = """() => {
  const all = [...document.querySelectorAll('article .math')];
  return { all: all.length, typeset: all.filter(e => e.querySelector('mjx-container')).length,
           errors: [...document.querySelectorAll('mjx-merror, merror')].map(e => e.textContent) };
}"""

PROSE = """() => {
  const copy = document.querySelector('article').cloneNode(true);
  copy.querySelectorAll('pre, code, dt.sig, script, style, mjx-container').forEach(e => e.remove());
  return copy.textContent;
}"""

OUTPUT = """() => [...document.querySelectorAll('.cell_output pre')].map(e => e.textContent).join('\\n')"""

CONTRAST = """() => {
  const parse = s => s.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ratio = text => {
    let ground = text;
    while (ground && (parse(getComputedStyle(ground).backgroundColor)[3] === 0)) ground = ground.parentElement;
    const a = light(parse(getComputedStyle(text).color));
    const b = light(parse(getComputedStyle(ground || document.body).backgroundColor));
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  };
  const cells = document.querySelectorAll('article table.sortable :is(th, td, caption)');
  return Math.min(...[document.querySelector('article p'), ...cells].map(ratio));
}"""

ROOMS = """() => ({
  label: document.querySelector('figure.rooms')?.getAttribute('aria-label'),
  boxes: [...document.querySelectorAll('figure.rooms .room')].map(e => e.getBoundingClientRect()).map(b => [b.left, b.right]),
})"""

LENGTH = """() => ({
  screens: document.querySelector('article').getBoundingClientRect().height / 900,
  figures: document.querySelectorAll('article figure').length,
  unfolded: [...document.querySelectorAll('div.cell_input')].filter(e => !e.closest('details:not([open])')).length,
})"""

BROKEN = "() => [...document.images].filter(i => !i.complete || !i.naturalWidth || !i.alt).map(i => i.src)"


# The theme hears of another preference when the page is drawn next, and lets sidebars slide and colours fade.
FOLLOWED = """
  const preferred = () => matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  for (let k = 0; k < 100 && document.documentElement.dataset.theme !== preferred(); k++)
    await new Promise(requestAnimationFrame);
  document.body.offsetWidth;
  document.getAnimations().filter(a => a instanceof CSSTransition).forEach(a => a.finish());
"""


def together(**scripts):
    """One script that answers for all of these, by name, once the page has followed the last change of its window."""
    parts = (f"{name}: await ({script})()" for name, script in scripts.items())
    return f"async () => {{ {FOLLOWED} return {{{', '.join(parts)}}}; }}"


ONCE = together(missing=MISSING, broken=BROKEN, math=MATH, prose=PROSE, output=OUTPUT)
EVERY = together(
    theme="() => document.documentElement.dataset.theme",
    extent="() => document.documentElement.scrollWidth",
    spilt=SPILT,
    cut=CUT,
    contrast=CONTRAST,
    claims=CLAIMS,
    equations=EQUATIONS,
    code=CODE,
    rooms=ROOMS,
    length=LENGTH,
)
