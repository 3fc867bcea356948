"""A real Chromium on the real page: the service as a process of its own, the real bridge, the simulator's phones."""

import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from tests.support.redis_server import RedisServer
from tests.support.service_process import ServiceProcess
from tests.support.simulator import Simulator

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# No sandbox: CI runs as root. The others keep Chromium from calling home.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

EXPECTED_NOISE = ("status of 401", "status of 404", "status of 409", "status of 503", "net::ERR_CONNECTION_")
"""What Chromium itself writes to the console about answers that a test provokes."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
def environment(shared_redis_server: RedisServer, simulator: Simulator) -> dict[str, str]:
    """Settings of the service; a module may override it."""
    shared_redis_server.everywhere("FLUSHALL")
    return {"REDIS_URL": shared_redis_server.url} | simulator.environment


@pytest_asyncio.fixture(loop_scope="module")
async def service(environment: dict[str, str], simulator: Simulator) -> AsyncIterator[ServiceProcess]:
    await simulator.reset()
    async with ServiceProcess(environment) as service:
        yield service


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, service: ServiceProcess) -> AsyncIterator[Page]:
    """The page, open. A test fails if the console said anything that it did not expect."""
    context = await browser.new_context(base_url=str(service.http.base_url), viewport={"width": 1180, "height": 900})
    page = await context.new_page()
    page.set_default_timeout(20_000)
    complaints: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(noise in message.text for noise in EXPECTED_NOISE):
            complaints.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto("/")
    yield page
    await context.close()
    assert complaints == []
