// Finds what a page shows in English to somebody who reads Chinese.
import assert from 'node:assert/strict';

const HOST = String.raw`(?:localhost|(?:[\w*-]+\.)+[a-z]{2,}|[\da-f:.]+)`;
// Latin in any language, besides what clients and operators have named: addresses, settings, units, codes and ids, levels of the log,
// browsers and systems.
const LATIN = [
  /^(?=.*\d)[\[\]\da-f.:/]+$/i,
  new RegExp(`^${HOST}(, ${HOST})*$`),
  /^(https?:\/)?\/\S+$/,
  /^CASTWAY_\w+$/,
  /^[\d.,]+ ?(B|[kMGTP]B|ms|[kMG]bit\/s)$/,
  /^\S{0,3}•••\S?$/,
  /^(info|warn|error)$/i,
  /^(Castway( \d[\w.-]*)?|English)$/,
  /^Mozilla\/\d/,
  /^(Edge|Opera|Samsung Internet|Firefox|Chrome|Safari|Tizen|webOS|Android|iOS|ChromeOS|Windows|macOS|Linux)\b[\w .·–,]*$/,
];
// Lines of the log, values of settings and commands are as they are.
const AS_THEY_ARE = '.lines-of-log bdi, [data-list="settings"] [data-cell="value"] bdi, code, script, style, noscript';

// Texts that somebody sees or hears, and that have a Latin word and no Chinese character, or a whole sentence in Latin words.
function latinTexts(asTheyAre) {
  const found = new Set();
  const isLatin = (text) => /[A-Za-z]{2}/.test(text) && !/\p{Script=Han}/u.test(text);
  const hasSentence = (text) => /(?:[a-z’']{2,},? ){4,}[a-z]{2,}/i.test(text);
  const note = (text) => text.split(/ · |\n/).forEach((part) => (isLatin(part) || hasSentence(part)) && found.add(part.trim()));
  const isShown = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest(asTheyAre);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) if (isShown(walker.currentNode.parentElement)) note(walker.currentNode.data);
  document.querySelectorAll('[aria-label], [title], [placeholder], [alt], [data-label]').forEach((element) => {
    if (isShown(element)) ['aria-label', 'title', 'placeholder', 'alt', 'data-label'].forEach((name) => note(element.getAttribute(name) ?? ''));
  });
  note(document.title);
  return [...found];
}

// As the page shows a client's text, without what keeps its direction of writing from the text around it.
const visible = (text) => text.replace(/[\u2068\u2069]/g, '').replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g, '\ufffd').trim();

// Asserts that what the page shows now is Chinese. `names`: what clients and operators have named, such as users and rooms.
export async function assertChinese(page, what, names = []) {
  const known = names.map(visible);
  const isName = (text) => known.some((name) => name === text || (text.endsWith('…') && name.startsWith(text.slice(0, -1))));
  const texts = (await page.evaluate(latinTexts, AS_THEY_ARE)).map(visible);
  assert.deepEqual(texts.filter((text) => !LATIN.some((pattern) => pattern.test(text)) && !isName(text)), [], what);
}
