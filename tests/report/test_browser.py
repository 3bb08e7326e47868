"""The report of a real sweep, opened from disk in a real browser without a network."""

from __future__ import annotations

import json
import shutil

import pytest

from gentext.cli import main

webdriver = pytest.importorskip("selenium.webdriver", reason="needs the extra: pip install gentext[browser]")
support = pytest.importorskip("selenium.webdriver.support.ui")
BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="no Chromium with its chromedriver is installed"),
]

SWEEP = [
    *("data.train=300", "data.valid=50", "data.test=100", "eval.samples=80", "decode=temperatures"),
    *("family=ngram,transformer,human", "train.epochs=1"),
]
FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1400,1000"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("GENTEXT_CACHE", str(folder / "cache"))
        assert main(["run", "-m", *SWEEP]) == 0
    return folder / "runs" / "report.html"


@pytest.fixture
def page(report, tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        driver.get(report.as_uri())
        yield driver
        told = [entry["message"] for entry in driver.get_log("browser")]
        assert told == []
        events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        assert [url for url in asked if url.startswith(("http", "ws"))] == []
    finally:
        driver.quit()


def drawn(page, name):
    """The SVG of a chart, once it is scrolled to and drawn."""
    place = page.find_element("id", f"b1-{name}")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", place)
    wait = support.WebDriverWait(page, 20)
    return wait.until(lambda _: place.find_elements("css selector", "svg"))[0]


def rows(page, css="tbody tr"):
    return [row for row in page.find_elements("css selector", f"#b1 {css}") if row.is_displayed()]


def test_the_leaderboard_sorts_and_filters(page):
    heads = page.find_elements("css selector", "#b1 thead th")
    column = next(i for i, head in enumerate(heads) if head.text.startswith("BLEU-4"))

    def figures():
        return [
            float(row.find_elements("css selector", "th, td")[column].get_attribute("data-value")) for row in rows(page)
        ]

    assert len(rows(page)) == 15
    heads[column].find_element("tag name", "button").send_keys("\n")  # by keyboard
    assert figures() == sorted(figures())
    assert heads[column].get_attribute("aria-sort") == "ascending"
    heads[column].find_element("tag name", "button").click()
    assert figures() == sorted(figures(), reverse=True)
    page.find_element("css selector", "[data-filter=b1]").send_keys("transf")
    assert {row.find_element("tag name", "th").text.split()[0] for row in rows(page)} == {"transformer"}
    assert page.find_element("id", "b1-count").text == "5 of 15 rows"
    support.Select(page.find_element("css selector", "select[data-decode=b1]")).select_by_visible_text("ancestral")
    assert len(rows(page)) == 1


def test_pictures_are_drawn_and_answer_to_the_pointer(page):
    svg = drawn(page, "frontier-bleu4-selfbleu4")
    point = svg.find_elements("css selector", ".mark-symbol path[aria-roledescription]")[0]
    webdriver.ActionChains(page).move_to_element(point).perform()
    wait = support.WebDriverWait(page, 10)
    tip = wait.until(lambda _: page.find_elements("css selector", "#vg-tooltip-element.visible"))[0]
    assert "decode" in tip.text
    assert "T " in tip.text or "ancestral" in tip.text
    assert drawn(page, "transformer-1").find_elements("css selector", ".mark-rect path")  # attention of layer 1


def test_light_and_dark(page):
    root, button = page.find_element("tag name", "html"), page.find_element("id", "theme")
    seen = set()
    for _ in range(2):
        body = page.find_element("tag name", "body")
        seen.add((root.get_attribute("data-theme"), body.value_of_css_property("background-color")))
        button.click()
    assert {theme for theme, _ in seen} == {"light", "dark"}
    assert len({colour for _, colour in seen}) == 2


@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_is_wider_than_the_screen(page, width):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    drawn(page, "frontier-bleu4-selfbleu4")
    assert page.execute_script("return document.documentElement.scrollWidth") <= width


def test_it_stays_under_five_megabytes_and_every_picture_has_words(report, page):
    assert report.stat().st_size < 5_000_000
    pictures = page.find_elements("css selector", ".chart")  # their role changes once they are drawn
    assert pictures
    assert all(picture.get_attribute("aria-label") for picture in pictures)
