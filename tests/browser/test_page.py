"""The page at `/`, as somebody who has it open sees it."""

from typing import Any

import png  # type: ignore[import-untyped]
import pytest
import zxingcpp
from playwright.async_api import Page, expect

from tests.support.service_process import ServiceProcess
from tests.support.simulator import Simulator

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

QR = "#qr[src^='data:image/png']"


async def shows(page: Page, status: str) -> None:
    await expect(page.locator("#status-text")).to_have_text(status, timeout=20_000)


async def press(page: Page, verb: str, *, confirm: bool = False) -> None:
    await page.locator(f"#actions [data-verb={verb}]").click()
    if confirm:
        await page.locator("#confirm-yes").click()


async def read_code(page: Page) -> str:
    """What the code on the screen says, read from its pixels."""
    await page.wait_for_selector(QR)
    width, height, rows, _ = png.Reader(bytes=await page.locator("#plate").screenshot()).asRGB8()
    grey = bytes(pixel for row in rows for pixel in bytes(row)[::3])
    image: Any = memoryview(grey).cast("B", (height, width))
    (found,) = zxingcpp.read_barcodes(image)
    return str(found.text)


async def link(page: Page, simulator: Simulator) -> None:
    await press(page, "generate-qr")
    await shows(page, "Waiting for a scan")
    await simulator.scan(await read_code(page))
    await shows(page, "Connected")


async def test_link_by_the_code_on_the_screen_then_log_out_on_the_phone(page: Page, simulator: Simulator) -> None:
    await shows(page, "Not linked")
    await link(page, simulator)
    await expect(page.locator("#facts")).to_contain_text("+15550001001")
    await expect(page.locator("#tally")).to_have_text("1 of 1 connected")
    await expect(page.locator("#link")).to_be_hidden()

    await simulator.logout()
    await shows(page, "Logged out")
    await expect(page.locator("#detail")).to_have_text("The phone removed this device; everything was cleared.")
    await expect(page.locator("#next")).to_have_text("Start the session and scan the new QR code.")
    await expect(page.locator("#timeline")).to_contain_text("The phone scanned the code")
    await link(page, simulator)  # what the page offers next works


async def test_force_reset_asks_first_and_says_what_it_did(page: Page, simulator: Simulator) -> None:
    await link(page, simulator)
    await press(page, "force-reset")
    await expect(page.locator("#confirm-title")).to_have_text("Force reset default?")
    await page.keyboard.press("Escape")
    await shows(page, "Connected")

    await press(page, "force-reset", confirm=True)
    await shows(page, "Not linked")
    await expect(page.locator("#outcome")).to_have_text("Reset: everything the session had was deleted.")
    await expect(page.locator("#codes")).to_have_text("force_reset")


async def test_log_out_and_stop_and_start_again(page: Page, simulator: Simulator) -> None:
    await link(page, simulator)
    await press(page, "stop-session")
    await shows(page, "Stopped")
    await press(page, "start-session")
    await shows(page, "Connected")
    await press(page, "logout", confirm=True)
    await shows(page, "Logged out")
    assert (await simulator.counters()).totals["unlinks"] == 1


async def test_sessions_are_added_deleted_and_seen_when_made_elsewhere(page: Page, service: ServiceProcess) -> None:
    await page.locator("#add-name").fill("not a name!")
    await page.locator("#add-form button").click()
    await expect(page.locator("#add-error")).to_contain_text("letters, digits")

    await page.locator("#add-name").fill("shop-1")
    await page.locator("#add-form button").click()
    await expect(page.locator("#name")).to_have_text("shop-1")
    await page.wait_for_selector(QR)

    await service.post("/sessions/made-elsewhere/start")
    await expect(page.locator("#list")).to_contain_text("made-elsewhere")

    await press(page, "delete", confirm=True)
    await expect(page.locator("#list")).not_to_contain_text("shop-1")
    assert (await service.http.get("/sessions/shop-1")).status_code == 404


async def test_names_from_outside_are_text_and_nothing_else(page: Page, simulator: Simulator) -> None:
    name = "<img src=x onerror=document.title='owned'>"
    phone = await simulator.add_phone(name=name)
    await press(page, "generate-qr")
    await simulator.scan(await read_code(page), phone=phone)
    await shows(page, "Connected")
    await page.goto("/#/" + "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    await expect(page.locator("#nothing-text")).to_contain_text("<img src=x onerror=alert(1)>")
    assert await page.locator("main img[src=x]").count() == 0
    assert "owned" not in await page.title()


async def test_everything_can_be_done_with_the_keyboard(page: Page, simulator: Simulator) -> None:
    await shows(page, "Not linked")
    await page.locator("#name").focus()
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.dataset.verb") == "generate-qr"
    await page.keyboard.press("Enter")
    await simulator.scan(await read_code(page))
    await shows(page, "Connected")
    await page.locator("#actions [data-verb=force-reset]").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#confirm")).to_be_visible()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await shows(page, "Not linked")


async def test_the_page_fits_a_phone(page: Page) -> None:
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.goto("/#/default")
    await shows(page, "Not linked")
    wider = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider == 0


async def test_nothing_comes_from_elsewhere_and_nothing_inline_runs(page: Page, service: ServiceProcess) -> None:
    answer = await service.http.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    loaded = await page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert loaded
    assert all(url.startswith(str(service.http.base_url)) for url in loaded)
