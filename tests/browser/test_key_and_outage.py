"""The page of a service that asks for a key, and of one that goes away and comes back."""

import socket

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.test_page import press, shows
from tests.support.redis_server import RedisServer
from tests.support.service_process import ServiceProcess
from tests.support.simulator import Simulator

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

KEY = "a-key-for-the-tests-0123456789"


@pytest.fixture
def environment(shared_redis_server: RedisServer, simulator: Simulator) -> dict[str, str]:
    shared_redis_server.everywhere("FLUSHALL")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"REDIS_URL": shared_redis_server.url, "API_KEY": KEY, "PORT": str(port)} | simulator.environment


async def enter(page: Page, key: str) -> None:
    await page.locator("#gate-key").fill(key)
    await page.locator("#gate-form button").click()


async def test_the_key_is_asked_for_kept_for_the_tab_and_forgotten_on_request(page: Page) -> None:
    await expect(page.locator("#gate")).to_be_visible()
    await expect(page.locator("#list li")).to_have_count(0)
    await enter(page, "certainly-not-the-right-one")
    await expect(page.locator("#gate-error")).not_to_be_empty()
    await enter(page, KEY)
    await shows(page, "Not linked")
    await press(page, "generate-qr")
    await shows(page, "Waiting for a scan")

    await page.reload()
    await shows(page, "Waiting for a scan")
    await page.locator("#forget-key").click()
    await expect(page.locator("#gate")).to_be_visible()


async def test_the_page_goes_on_by_itself_when_the_service_is_back(
    browser: Browser, page: Page, service: ServiceProcess, environment: dict[str, str]
) -> None:
    await enter(page, KEY)
    await expect(page.locator("#pulse-text")).to_have_text("Live")
    await service.kill()
    await expect(page.locator("#banner-title")).to_have_text("The service does not answer.")
    await expect(page.locator("#actions [data-verb=generate-qr]")).to_have_attribute("aria-disabled", "true")
    async with ServiceProcess(environment):
        await expect(page.locator("#pulse-text")).to_have_text("Live", timeout=20_000)
        await expect(page.locator("#banner")).to_be_hidden()
        await press(page, "generate-qr")
        await shows(page, "Waiting for a scan")
