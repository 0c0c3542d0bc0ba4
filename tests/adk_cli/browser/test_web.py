"""`adk web` as a person sees it, in Chromium: a session and its history outlive the server.

Run by `tox -e browser`; chromium and chromedriver are taken from PATH. Each
test leaves screenshots in its temporary folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from support.adk_server import APP, USER, AdkServer

SWITCHES = [
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "window-size=1400,900",
    # ADK's page asks for fonts from elsewhere; it is readable without.
    "host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]

# The buttons above the conversation: the agent's, and that of its sessions.
SELECTORS = (By.CSS_SELECTOR, "button.selector-button")


class Page:
    """The page of `adk web`.

    Args:
        browser: What shows it.
        server: `adk web`.
        screenshots: Where to leave them.
    """

    def __init__(self, browser: Chrome, server: AdkServer, screenshots: Path) -> None:
        self._browser = browser
        self._server = server
        self._screenshots = screenshots
        self._wait = WebDriverWait(browser, 60, ignored_exceptions=[StaleElementReferenceException])

    def open(self) -> None:
        """Opens the page with the agent chosen, and no session."""
        self._browser.get(f"{self._server.url}/dev-ui/?app={APP}&userId={USER}")
        self._wait.until(lambda browser: browser.find_elements(By.TAG_NAME, "textarea"))
        self._wait.until(lambda browser: len(browser.find_elements(*SELECTORS)) > 1)

    def say(self, text: str, answer: str) -> None:
        """Types a message, and waits for the answer."""
        box = self._browser.find_element(By.TAG_NAME, "textarea")
        box.clear()
        box.send_keys(text, Keys.ENTER)
        self.wait_for(text, answer)

    def wait_for(self, *texts: str) -> None:
        """Waits until the conversation shows these texts."""
        self._wait.until(lambda browser: set(texts) <= set(self.shown()), f"{texts} are not all shown")

    def shown(self) -> list[str]:
        """Returns the lines of the conversation."""
        rows = self._browser.find_elements(By.TAG_NAME, "app-event-row")
        return [line for row in rows for line in row.text.splitlines()]

    def session_id(self) -> str:
        self._wait.until(lambda browser: "session" in parse_qs(urlsplit(browser.current_url).query))
        return parse_qs(urlsplit(self._browser.current_url).query)["session"][0]

    def open_from_list(self, session_id: str) -> None:
        """Opens a session by clicking on it in the list."""
        self._browser.find_elements(*SELECTORS)[1].click()
        entry = (By.XPATH, f"//*[contains(text(), '{session_id}')]")
        self._wait.until(lambda browser: browser.find_elements(*entry))
        self.save_screenshot("list")

        def click(browser: Chrome) -> bool:  # again where the page has just drawn the list anew
            browser.find_element(*entry).click()
            return True

        self._wait.until(click)

    def save_screenshot(self, name: str) -> None:
        self._browser.save_screenshot(str(self._screenshots / f"{name}.png"))


@pytest.fixture
def browser(agents: Path, tmp_path: Path) -> Iterator[Chrome]:
    """Chromium with a profile of its own, on loopback only."""
    options = ChromeOptions()
    for switch in [*SWITCHES, f"user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(f"--{switch}")
    found = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    assert all(found.values()), f"{found}: on Debian `apt-get install chromium chromium-driver` helps"
    options.binary_location = found["chromium"] or ""
    with Chrome(options, ChromeService(found["chromedriver"])) as browser:
        yield browser


@pytest.mark.parametrize("backend", ["redis", "mongod"])
def test_a_session_is_opened_again_after_a_restart(agents: Path, uri: str, browser: Chrome, tmp_path: Path) -> None:
    with AdkServer("web", agents, uri) as server:
        page = Page(browser, server, tmp_path)
        page.open()
        page.say("good morning", "GOOD MORNING")
        session_id = page.session_id()
        page.save_screenshot("held")

        server.restart()
        page.open()
        assert page.shown() == []
        page.open_from_list(session_id)
        page.wait_for("good morning", "GOOD MORNING")
        page.say("What did I say before?", "You said: good morning.")
        page.save_screenshot("reopened")
