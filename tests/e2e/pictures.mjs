// Makes the pictures of README in docs/images: npm --prefix tests/e2e run pictures. The pages of casts are those of a running server with a cast
// between them; /admin shows made-up casts of a busy day.
import { mkdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startServer } from '../interop/support/server.mjs';
import { DEVICES, inState, launch, until } from './support/browser.mjs';
import { FULL, startMockAdmin } from './support/mock-admin.mjs';

const out = fileURLToPath(new URL('../../docs/images/', import.meta.url));
const MAX_BYTES = 150_000;
mkdirSync(out, { recursive: true });

const server = await startServer({ CASTWAY_PUBLIC_URL: 'https://cast.example.org' });
// This version, and nothing to warn of.
const data = FULL();
const { version } = await (await fetch(`${server.url}/api/info`)).json();
data.state.version = version;
Object.assign(data.now, { version, warnings: [] });
const operators = await startMockAdmin(data);
const browser = await launch(DEVICES);

const open = async (locale, size, url) => {
  const [width, height] = size;
  const page = await (await browser.newContext({ locale, colorScheme: 'dark', viewport: { width, height } })).newPage();
  await page.goto(url);
  return page;
};

async function save(page, name) {
  const path = `${out}${name}.jpg`;
  await page.screenshot({ path, type: 'jpeg', quality: 85 });
  const { size } = statSync(path);
  if (size > MAX_BYTES) throw new Error(`${path} has ${size} bytes, and ${MAX_BYTES} are the most`);
  console.log(`${path}: ${size} bytes`);
}

// For README.md and README.zh-CN.md.
const LANGUAGES = [
  { locale: 'en-US', suffix: '', tvName: 'Living room' },
  { locale: 'zh-CN', suffix: '.zh-CN', tvName: '客厅' },
];

async function pictures({ locale, suffix, tvName }) {
  let tv;
  let code;
  // A code may consist of digits only, and the picture shows that letters are usual.
  do {
    await tv?.context().close();
    tv = await open(locale, [960, 540], `${server.url}/tv?name=${encodeURIComponent(tvName)}`);
    await inState(tv, 'waiting');
    code = await tv.evaluate(() => window.castway.code());
  } while (!/[A-Z]/.test(code) || !/\d/.test(code));
  const caster = await open(locale, [480, 540], `${server.url}/cast?code=${code}`);
  await until('the code is ready', () => caster.locator('#code-status').getAttribute('data-code-state'), (state) => state === 'ready');
  const shots = await Promise.all([tv, caster].map(async (page) => (await page.screenshot()).toString('base64')));
  const both = await (await browser.newContext({ viewport: { width: 1456, height: 540 } })).newPage();
  await both.setContent(`<style>body { margin: 0; display: flex; gap: 16px; background: #fff }</style>${shots.map((shot) => `<img src="data:image/png;base64,${shot}">`).join('')}`);
  await save(both, `cast${suffix}`);
  const admin = await open(locale, [1280, 720], `${operators.url}/admin#now`);
  await admin.locator('#view[data-loaded]').waitFor();
  await save(admin, `admin${suffix}`);
}

try {
  for (const language of LANGUAGES) await pictures(language);
} finally {
  await browser.close();
  await operators.close();
  await server.close();
}
