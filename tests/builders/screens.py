"""What a person needs of every page, asked of a real browser."""

from __future__ import annotations

import os
from typing import Any

SHOTS = os.environ.get("FHIR_TEST_SCREENSHOTS", "")
"""A folder for pictures of the pages; the browser makes it."""

UNLABELLED = """() => [...document.querySelectorAll('input:not([type=hidden])')]
  .filter(one => !one.labels.length || !one.labels[0].innerText.trim()).map(one => one.name)"""

WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"

PALE = """() => {
  const parts = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(one => one / 255)
    .map(one => one <= .04045 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4)
    .reduce((sum, one, place) => sum + one * [.2126, .7152, .0722][place], 0);
  const ground = node => {
    for (let one = node; one; one = one.parentElement) {
      const color = parts(getComputedStyle(one).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const node of document.querySelectorAll('body *')) {
    const text = [...node.childNodes].filter(one => one.nodeType === 3).map(one => one.data.trim()).join('');
    if (!text) continue;
    const pair = [light(parts(getComputedStyle(node).color)), light(ground(node))].sort((a, b) => b - a);
    const ratio = (pair[0] + .05) / (pair[1] + .05);
    if (ratio < 4.5) found.push(`${text}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""

OUTLINE = """() => {
  const style = getComputedStyle(document.activeElement);
  return style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth);
}"""


async def check(page: Any, name: str) -> None:
    """Nothing is cut off, unlabelled or pale, at this width and at 320 pixels (1280 at 400 %)."""
    await page.wait_for_load_state()
    await picture(page, name)
    size = page.viewport_size
    for width in (size["width"], 320):
        await page.set_viewport_size({"width": width, "height": size["height"]})
        assert await page.evaluate(WIDER) <= 0, f"{name} scrolls sideways at {width}"
    await page.set_viewport_size(size)
    assert await page.evaluate(UNLABELLED) == [], name
    assert await page.evaluate(PALE) == [], name
    assert await page.locator("h1").count() == 1, name


async def picture(page: Any, name: str) -> None:
    if SHOTS:
        await page.screenshot(path=f"{SHOTS}/{name}-{page.viewport_size['width']}.png", full_page=True)
