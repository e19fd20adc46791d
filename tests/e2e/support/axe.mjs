// axe-core, which finds what keeps people with disabilities from using a page.
import assert from 'node:assert/strict';
import axe from 'axe-core';

const brief = ({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(({ html, any, all }) => `${html.slice(0, 160)} (${[...any, ...all].map(({ message }) => message).join('; ')})`).join(' · ')}`;

// Asserts that axe finds nothing in the page as it is now.
export async function assertAccessible(page, what) {
  // The page's policy allows no script of ours in it; this one comes over the debugging protocol.
  await page.evaluate(`window.axe || (() => { ${axe.source} })()`);
  const violations = await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ['violations'] })).violations);
  assert.deepEqual(violations.map(brief), [], what);
}

// What is wider than the window, or outside it at a side, where nobody sees it without scrolling.
const outside = () => {
  const { clientWidth, scrollWidth } = document.documentElement;
  const found = scrollWidth > clientWidth ? [`the page is ${scrollWidth} wide in a window of ${clientWidth}`] : [];
  for (const element of document.body.querySelectorAll('*')) {
    const { left, right, width, height } = element.getBoundingClientRect();
    if (width > 1 && height > 1 && (left < -1 || right > clientWidth + 1)) found.push(`${element.tagName}#${element.id}.${element.getAttribute('class')}: ${left} to ${right} of ${clientWidth}`);
  }
  return found.slice(0, 5);
};

// Asserts that nothing is outside the window's sides in windows of these sizes.
export async function assertFits(page, what, sizes) {
  const before = page.viewportSize();
  for (const [width, height] of sizes) {
    await page.setViewportSize({ width, height });
    assert.deepEqual(await page.evaluate(outside), [], `${what}, ${width}×${height}`);
  }
  await page.setViewportSize(before);
}
