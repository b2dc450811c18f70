"""The Prefect UI in a real browser."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from playwright.async_api import Page, Response, TimeoutError, async_playwright

# What the UI says where something went wrong.
ERRORS = ("Something went wrong", "Page not found", "Internal Server Error", "Failed to fetch", "Unexpected")
WIDE_PX = 1300

_HEIGHT = "Math.max(...[...document.querySelectorAll('*')].map((one) => one.scrollHeight))"
_GREEN_ROWS = """async (data) => {
    const image = new Image();
    image.src = "data:image/png;base64," + data;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, image.width, image.height).data;
    let rows = 0;
    for (let y = 0; y < image.height; y++) {
        for (let x = 0; x < image.width; x++) {
            const at = 4 * (y * image.width + x);
            const [red, green, blue] = [pixels[at], pixels[at + 1], pixels[at + 2]];
            if (green > red + 60 && green > blue + 40) { rows++; break; }
        }
    }
    return rows;
}"""


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("needs Chromium on the path (apt-get install chromium)")


class Browser:
    """One page, and what went wrong on it."""

    def __init__(self, page: Page, ui: str, pictures: Path) -> None:
        self.page, self._ui, self._pictures = page, ui, pictures
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("response", self._look)

    def _look(self, response: Response) -> None:
        # Prefect 3.8 doesn't have the little pictures that it names, such as /completed.svg.
        is_missing = response.status >= 400 and "/api/" not in response.url and ".svg" not in response.url
        if response.status >= 500 or is_missing:
            self.problems.append(f"{response.status} {response.request.method} {response.url}")

    async def open(self, path: str, *texts: str) -> str:
        """Go to a page of the UI; what it says, once it says all of these."""
        await self.page.goto(self._ui + path)
        return await self.says(*texts)

    async def says(self, *texts: str) -> str:
        """What the page says, once it says all of these; an error on it fails the test."""
        for text in texts:
            await self.page.get_by_text(text).first.wait_for(timeout=30_000)
        shown = await self.page.inner_text("body")
        assert [error for error in ERRORS if error in shown] == []
        assert self.problems == []
        return shown

    async def fill(self, label: str, text: str) -> None:
        """Type into the first field of that name, as a person does; the form takes it over after a moment."""
        field = self.page.get_by_label(label, exact=True).first
        await field.click()
        await field.press("Control+a")
        await field.press_sequentially(text)
        await asyncio.sleep(1.5)

    async def values(self) -> list[str]:
        """What the fields of a form hold."""
        found: list[str] = await self.page.locator("textarea, input").evaluate_all(
            "(fields) => fields.map((field) => field.value)"
        )
        return found

    async def form_height_px(self) -> float:
        """How high the form is."""
        found: float = await self.page.locator("form").evaluate(
            "(form) => form.getBoundingClientRect().height"
        )
        return found

    async def submit_until(self, text: str) -> None:
        """Press Submit until the page says this: after a refusal the first press only looks at the fields again."""
        for _ in range(4):
            await self.page.get_by_role("button", name="Submit").click()
            with suppress(TimeoutError):
                await self.page.get_by_text(text).first.wait_for(timeout=4000)
                return
        await self.says(text)

    async def menu(self, item: str) -> None:
        """Choose from the menu of the page."""
        dots = self.page.locator("svg.lucide-ellipsis-vertical")
        await self.page.get_by_role("button").filter(has=dots).first.click()
        await self.page.get_by_role("menuitem", name=item).click()

    async def drawn(self) -> int:
        """How many different rows of the graph have a bar of a completed step's colour on them."""
        canvas = self.page.locator("canvas").first
        await canvas.wait_for()
        await asyncio.sleep(8)  # it is drawn piece by piece
        data = base64.b64encode(await canvas.screenshot()).decode()
        found: int = await self.page.evaluate(_GREEN_ROWS, data)
        return found

    async def picture(self, name: str) -> None:
        """Keep what the page looks like, for a person."""
        # The page scrolls inside itself.
        high = await self.page.evaluate(
            "Math.max(...[...document.querySelectorAll('*')].map((one) => one.scrollHeight))"
        )
        await self.page.set_viewport_size({"width": WIDE_PX, "height": int(high)})
        await self.page.screenshot(path=self._pictures / f"{name}.png")
        await self.page.set_viewport_size({"width": WIDE_PX, "height": 1000})


@asynccontextmanager
async def browser(ui: str, pictures: Path) -> AsyncIterator[Browser]:
    """Chromium with an empty profile."""
    pictures.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        # Chromium refuses to run as root with its sandbox.
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"]
        found = await playwright.chromium.launch(executable_path=chromium(), args=options)
        page = await found.new_page(viewport={"width": WIDE_PX, "height": 1000})
        yield Browser(page, ui, pictures)
        await found.close()
