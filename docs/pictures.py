"""Makes the pictures in docs/pictures of a demo that runs (`make demo`), with Chromium; they are kept small.

    .venv/bin/python docs/pictures.py [FOLDER]

FOLDER is the demo's, `.demo` by default. The pictures show what is there: the newest plan, environment and rebuild of
REGION.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import urllib.request
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

PICTURES = Path(__file__).parent / "pictures"
WIDE_PX = 1300
# Higher pages are cut: the beginning is what a reader looks for.
HIGH_PX = 1600
# The demo's environment there has no database, so it can be rebuilt.
REGION = "northeurope"
LARGEST_BYTES = 100_000
# The menu alone has 120.
LEAST_CHARACTERS = 300


def ask(api: str, path: str, body: Any = None) -> Any:
    """What the Prefect server answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(api + path, data=data, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def pages(api: str) -> dict[str, str]:
    """Paths in the UI, by the picture's name."""
    found = {"automations": "/v2/automations", "deployments": "/v2/deployments"}
    for flow in ("rebuild", "provision"):
        deployment = ask(api, f"/deployments/name/{flow}/{REGION}")["id"]
        found[f"form-{flow}"] = f"/v2/deployments/deployment/{deployment}/run"
    for artifact in ask(api, "/artifacts/latest/filter", {}):
        key = str(artifact["key"])
        for kind, name in (
            ("environment-", "summary"),
            ("plan-", "plan"),
            ("rebuild-plan-", "approval"),
            ("timeline-", "timeline"),
            ("receipt-", "receipt"),
        ):
            if key.startswith(kind) and key.endswith(f"-{REGION}"):
                found[name] = f"/v2/artifacts/artifact/{artifact['latest_id']}"
                if name == "summary":
                    found["run"] = f"/v2/runs/flow-run/{artifact['flow_run_id']}"
    return found


async def picture(page: Page, url: str, file: Path) -> None:
    """Keep what a page looks like, once it has settled."""
    await page.set_viewport_size({"width": WIDE_PX, "height": 1000})
    await page.goto(url)
    await page.wait_for_load_state("networkidle")
    shown, before = "", "nothing yet"
    while len(shown) < LEAST_CHARACTERS or shown != before:  # a busy machine fills a page bit by bit
        before = shown
        await page.wait_for_timeout(3000)
        shown = await page.evaluate("document.body.innerText")
    high = await page.evaluate(
        "Math.max(...[...document.querySelectorAll('*')].map((one) => one.scrollHeight))"
    )
    await page.set_viewport_size({"width": WIDE_PX, "height": min(HIGH_PX, int(high))})
    await page.wait_for_timeout(500)
    for quality in (60, 40, 25, 15):
        await page.screenshot(path=file, type="jpeg", quality=quality)
        if file.stat().st_size < LARGEST_BYTES:
            return
    raise SystemExit(f"{file} has {file.stat().st_size} bytes; at most {LARGEST_BYTES} are kept")


async def main(folder: Path) -> None:
    """Make them all."""
    ui = f"http://127.0.0.1:{json.loads((folder / 'server.json').read_text())['port']}"
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    PICTURES.mkdir(exist_ok=True)
    async with async_playwright() as playwright:
        # Chromium refuses to run as root with its sandbox.
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"]
        browser = await playwright.chromium.launch(executable_path=chromium, args=options)
        page = await browser.new_page()
        texts = [file.read_text() for file in Path(__file__).parent.rglob("*.md")]
        for name, path in pages(f"{ui}/api").items():
            if not any(f"pictures/{name}.jpg" in text for text in texts):
                continue
            await picture(page, ui + path, PICTURES / f"{name}.jpg")
            print(f"{name}.jpg")
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".demo")))
