"""Writes mailshot/render/css_shorthands.json: what each CSS shorthand and alias sets, as Chromium says.

.venv/bin/python .ci/css_shorthands.py [/usr/bin/chromium]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

TABLE = Path(__file__).parents[1] / "mailshot" / "render" / "css_shorthands.json"
ASK = """() => {
  const style = document.body.style, names = new Set([...getComputedStyle(document.body)]), table = {};
  for (const key in style)
    names.add(key.replace(/[A-Z]/g, letter => '-' + letter.toLowerCase()).replace(/^webkit-/, '-webkit-'));
  for (const name of names) {
    style.cssText = '';
    style.setProperty(name, 'initial');
    const longhands = [...style];
    if (longhands.length && !(longhands.length == 1 && longhands[0] == name)) table[name] = longhands.sort();
  }
  return table;
}"""


def main() -> None:
    """Ask the browser, and write the table."""
    browser_path = sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_content("<body></body>")
        table = page.evaluate(ASK)
        browser.close()
    for name in ("all", "css-text"):
        table.pop(name, None)
    lines = [f"{json.dumps(name)}: {json.dumps(longhands)}" for name, longhands in sorted(table.items())]
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
