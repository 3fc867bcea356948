"""A code's time on the screen: it runs down, the next one comes, and none is shown when it is over."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_page import QR, press, read_code, shows
from tests.support.redis_server import RedisServer
from tests.support.service_process import ServiceProcess
from tests.support.simulator import Simulator

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

LIFETIME_S = 4


@pytest.fixture
def environment(shared_redis_server: RedisServer, simulator: Simulator) -> dict[str, str]:
    shared_redis_server.everywhere("FLUSHALL")
    return {"REDIS_URL": shared_redis_server.url, "QR_LIFETIME": str(LIFETIME_S)} | simulator.environment


async def test_the_countdown_runs_and_the_next_code_takes_the_place_of_the_last(
    page: Page, simulator: Simulator
) -> None:
    await simulator.behave(refs=2)
    await press(page, "generate-qr")
    first = await read_code(page)
    await expect(page.locator("#code-count")).to_contain_text("Code 1 of 2.")
    left = int(re.sub(r"\D", "", await page.locator("#clock-text").inner_text()))
    assert 0 < left <= LIFETIME_S
    await expect(page.locator("#code-count")).to_contain_text("Code 2 of 2.", timeout=10_000)
    assert await read_code(page) != first
    await shows(page, "Failed")
    await expect(page.locator("#codes")).to_contain_text("qr_expired")
    await expect(page.locator("#link")).to_be_hidden()


@pytest.mark.invariant("I8")
async def test_no_expired_code_is_ever_on_the_screen(page: Page, service: ServiceProcess, simulator: Simulator) -> None:
    """Not even with the service gone before the next one could come."""
    await press(page, "generate-qr")
    await page.wait_for_selector(QR)
    await service.kill()
    await expect(page.locator(QR)).to_have_count(0, timeout=10_000)
    await expect(page.locator("#plate-text")).to_contain_text("has expired")
    await expect(page.locator("#banner-title")).to_have_text("The service does not answer.")
