"""The report in headless Chromium: it is used, measured, looked at and listened to."""

from __future__ import annotations

import shutil
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")]


@pytest.fixture(scope="module")
def address(page, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def visit(address, tmp_path_factory):
    """Give a function that opens the report; whatever the browser complains about or asks for is an error."""
    complaints = []
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=BROWSER, args=SWITCHES, headless=True
        )

        def open_report(*, width=1280, height=900, scheme="light"):
            tab = context.new_page()
            tab.set_viewport_size({"width": width, "height": height})
            tab.emulate_media(color_scheme=scheme)
            tab.on("console", lambda message: complaints.append(message.text))
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.on("request", lambda request: _local(request.url) or complaints.append(request.url))
            tab.goto(address)
            return tab

        yield open_report
        context.close()
    assert complaints == []


def _local(url):
    return url.startswith(("file:", "data:"))


def brightness(tab):
    return np.asarray(Image.open(BytesIO(tab.screenshot())).convert("L")).mean()


def test_theme_follows_the_system_and_the_button(visit):
    light, dark = visit(scheme="light"), visit(scheme="dark")
    assert brightness(light) > 200
    assert brightness(dark) < 60
    dark.get_by_role("button", name="Light theme").click()
    assert brightness(dark) > 200
    dark.get_by_role("button", name="Dark theme").click()
    assert brightness(dark) < 60


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_page_fits_the_screen_and_answers_on_the_first(visit, width):
    tab = visit(width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    answer = tab.get_by_role("heading", name="Does position-invariant fine-tuning beat the other fine-tuned systems?")
    assert answer.bounding_box()["y"] < 300
    assert tab.locator(".answer p", has_text="Cost:").bounding_box()["y"] < 700
    assert tab.locator(".answer li").first.bounding_box()["y"] < 900
    together = tab.get_by_role("columnheader", name="noisy sets together").first.bounding_box()
    assert together["x"] + together["width"] <= width


def test_details_open_and_links_lead_to_their_parts(visit):
    tab = visit()
    closed = tab.locator("#details ~ details").first
    assert not closed.locator("table").first.is_visible()
    closed.locator("summary").click()
    assert closed.locator("table").first.is_visible()
    tab.get_by_role("link", name="Listening").click()
    assert abs(tab.locator("#listening").bounding_box()["y"]) < 450


def test_audio_plays_one_at_a_time(visit):
    tab = visit()
    tab.get_by_role("button").click()
    playing = "element => element.play().then(() => !element.paused)"
    players = tab.locator("audio")
    assert players.nth(0).evaluate(playing)
    assert players.nth(1).evaluate(playing)
    assert players.nth(0).evaluate("element => element.paused")
    assert players.nth(1).evaluate("element => element.duration") == pytest.approx(0.5, abs=0.01)
    tab.wait_for_function("document.querySelectorAll('audio')[1].ended", timeout=10_000)


def test_pictures_have_content(visit):
    tab = visit()
    tab.locator("#listening").scroll_into_view_if_needed()
    tab.wait_for_function("[...document.images].every(image => image.complete && image.naturalHeight >= 128)")
    drawing = tab.locator("#figure-curves svg")
    shades = np.asarray(Image.open(BytesIO(drawing.screenshot())).convert("L"))
    assert shades.std() > 5
    assert drawing.bounding_box()["height"] > 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_violation(visit, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
    tab = visit(scheme=scheme)
    for details in tab.locator("details").all():
        details.evaluate("element => { element.open = true; }")
    violations = axe.Axe().run(tab).response["violations"]
    serious = [v for v in violations if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"] for node in v["nodes"]][:3]) for v in serious] == []
