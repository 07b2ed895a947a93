"""The whole book as one PDF, printed from the built pages by headless Chromium: ``make pdf``.

    .venv/bin/python scripts/print_book.py                    # _build/html -> _build/scorevid.pdf
    .venv/bin/python scripts/print_book.py --pages book/theory --out theory.pdf

The articles of all pages, in the order of the table of contents, are put into one document, in which links from page to
page lead to where that page begins; MathJax typesets it and Chromium prints it, with an outline and page numbers. How it
looks on paper is said in ``book/_static/custom.css``. Nothing is fetched from elsewhere.
"""

from __future__ import annotations

import functools
import posixpath
import shutil
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import tyro
import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
UNPRINTED = ".headerlink, .copybtn, .figure-code details, script"
FOOTER = (
    '<div style="width: 100%; font-size: 8px; color: #555; text-align: center">'
    '<span class="title"></span> · <span class="pageNumber"></span> of <span class="totalPages"></span></div>'
)


def main(
    html: Path = ROOT / "_build" / "html", out: Path = ROOT / "_build" / "scorevid.pdf", pages: list[str] | None = None
) -> None:
    """html: the built book. out: the PDF to write. pages: only these, as _toc.yml names them."""
    pages = pages or toc_pages(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
    if missing := [page for page in pages if not (html / f"{page}.html").is_file()]:
        raise ValueError(f"{html} has no page {', '.join(missing)}: `make book` builds the book")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        sys.exit(f"a PDF needs a browser on PATH, any of {', '.join(BROWSERS)} would do")
    document = bind(html, pages)
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=str(html))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path=executable, args=FLAGS)
            paper(browser.new_page(), f"http://127.0.0.1:{server.server_port}/", document, out)
            browser.close()
        server.shutdown()
    print(f"{len(pages)} pages of the book are in {out}, {out.stat().st_size / 1e6:.1f} MB")


def paper(page: Page, address: str, document: str, out: Path) -> None:
    """Print the document, which stands beside the pages of the book without being a file among them."""
    page.set_default_timeout(300_000)
    page.route(f"{address}print.html", lambda route: route.fulfill(body=document, content_type="text/html"))
    page.goto(f"{address}print.html", wait_until="networkidle")
    page.evaluate("() => Promise.all([window.MathJax?.startup?.promise, document.fonts.ready])")
    page.evaluate("() => Promise.all([...document.images].map(image => image.decode().catch(() => null)))")
    out.parent.mkdir(parents=True, exist_ok=True)
    margin = {"top": "18mm", "bottom": "18mm", "left": "18mm", "right": "18mm"}
    page.pdf(
        path=out,
        format="A4",
        margin=margin,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER,
        print_background=True,
        outline=True,
        tagged=True,
    )


def toc_pages(entry: dict) -> list[str]:
    """All pages of a table of contents, in their order."""
    own = [entry[key] for key in ("root", "file") if key in entry]
    below = [part for key in ("parts", "chapters", "sections") for part in entry.get(key, [])]
    return own + [page for part in below for page in toc_pages(part)]


def bind(html: Path, pages: list[str]) -> str:
    """One document of the articles of all pages."""
    soups = {page: BeautifulSoup((html / f"{page}.html").read_text(encoding="utf-8"), "html.parser") for page in pages}
    head = soups[pages[0]].head
    book = BeautifulSoup(
        '<!DOCTYPE html><html lang="en" data-theme="light"><head></head><body></body></html>', "html.parser"
    )
    book.head.append(book.new_tag("meta", charset="utf-8"))
    title = book.new_tag("title")
    title.string = head.title.get_text().rpartition("—")[2].strip()
    book.head.append(title)
    for sheet in head.select('link[rel="stylesheet"]'):
        book.head.append(book.new_tag("link", rel="stylesheet", href=moved(sheet["href"], pages[0])))
    for script in typesetter(soups, pages):
        book.head.append(script)
    content = book.new_tag("div", attrs={"class": "bd-content"})
    book.body.append(content)
    for page, soup in soups.items():
        article = soup.select_one("article.bd-article")
        relink(article, page, pages)
        article["id"] = mark(page)
        article["style"] = "break-before: page" if page != pages[0] else ""
        content.append(article)
    return str(book)


def typesetter(soups: dict[str, BeautifulSoup], pages: list[str]) -> list[Tag]:
    """The scripts that typeset mathematics, of the first page that has any."""
    for page in pages:
        scripts = [s for s in soups[page].select("script") if "mathjax" in (s.get("src") or s.get_text()).lower()]
        if len(scripts) > 1:
            for script in scripts:
                if script.get("src"):
                    script["src"] = moved(script["src"], page)
            return scripts
    return []


def relink(article: Tag, page: str, pages: list[str]) -> None:
    """Make an article fit to stand among others: names of its own, links that lead into the same document."""
    for part in article.select(UNPRINTED):
        part.decompose()
    for part in article.select("details"):
        part["open"] = ""
    for part in article.select("[id]"):
        part["id"] = mark(page, part["id"])
    for image in article.select("img[src], source[src]"):
        image["src"] = moved(image["src"], page)
    for link in article.select("a[href]"):
        parts = urlsplit(link["href"])
        if parts.scheme or parts.netloc:
            continue
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path))) if parts.path else ""
        target = path.removesuffix(".html") if path else page
        if target in pages:
            link["href"] = "#" + mark(target, unquote(parts.fragment))
        else:
            link.unwrap()  # a file that is not printed


def mark(page: str, name: str = "") -> str:
    """What a place of a page is called in the document."""
    return page.replace("/", "-") + (f"--{name}" if name else "")


def moved(url: str, page: str) -> str:
    """A relative address of a page, as seen from the top of the book."""
    if urlsplit(url).scheme or url.startswith("/"):
        return url
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), url))


if __name__ == "__main__":
    tyro.cli(main)
