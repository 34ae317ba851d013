"""What a person does in a hub, by Playwright in Debian's Chromium; run by the Python that has Playwright.

Prints what was found as JSON.
"""

import json
import sys
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-not-found]  # in the hub's environment
from playwright.sync_api import Page, sync_playwright  # type: ignore[import-not-found]

SIZES = {"1280": (1280, 1000), "390": (390, 844)}


def main(hub: str, chromium: str, folder: Path) -> None:
    """Log in, open the tile in JupyterLab's launcher, and look at the page in every size and colour."""
    found: dict[str, object] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(bypass_csp=True)
        context.set_default_timeout(120_000)
        lab = context.new_page()
        dialogs: list[str] = []
        lab.goto(f"{hub}/hub/login?next=/hub/spawn")
        lab.fill("#username_input", "alice")
        lab.fill("#password_input", "alice")
        lab.click("#login_submit")
        tile = lab.locator(".jp-LauncherCard", has_text="Images")
        tile.wait_for()
        with context.expect_page() as opened:
            tile.click()
        page = opened.value
        # Nothing answers a dialog, so one would also stop the page.
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        page.wait_for_function("document.getElementById('live')?.textContent === 'Live'")
        found["url"] = page.url
        found["images"] = page.locator("#images .name").all_inner_texts()
        found["loaded"] = page.evaluate(
            "document.styleSheets.length > 0 && [...document.images].every(i => i.naturalWidth)"
        )
        for colours in ("light", "dark"):
            for name, (width, height) in SIZES.items():
                page.emulate_media(color_scheme=colours)
                page.set_viewport_size({"width": width, "height": height})
                page.screenshot(path=str(folder / f"{colours}-{name}.png"), full_page=True)
                found[f"overflow {colours} {name}"] = page.evaluate(
                    "document.documentElement.scrollWidth > document.documentElement.clientWidth"
                )
                found[f"axe {colours} {name}"] = violations(page)
        found["dialogs"] = dialogs
        browser.close()
    sys.stdout.write(json.dumps(found))


def violations(page: Page) -> list[str]:
    """What axe-core finds that is serious or worse."""
    result = Axe().run(page)
    return [
        f"{found['id']}: {node['html']}"
        for found in result.response["violations"]
        for node in found["nodes"]
        if found["impact"] in ("serious", "critical")
    ]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
