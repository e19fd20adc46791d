import { describe, expect, it } from 'vitest';
import { deviceName } from '../src/index';

const APPLE = 'AppleWebKit/537.36 (KHTML, like Gecko)';
const AGENTS: Record<string, string> = {
  'Chrome on Windows': `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${APPLE} Chrome/150.0.0.0 Safari/537.36`,
  'Edge on Windows': `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${APPLE} Chrome/150.0.0.0 Safari/537.36 Edg/150.0.0.0`,
  'Opera on Mac': `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ${APPLE} Chrome/149.0.0.0 Safari/537.36 OPR/120.0.0.0`,
  'Safari on Mac': 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15',
  'Safari on iPhone': 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1',
  'Chrome on iPhone': 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/150.0.0.0 Mobile/15E148 Safari/604.1',
  'Firefox on Linux': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  'Chrome on ChromeOS': `Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) ${APPLE} Chrome/150.0.0.0 Safari/537.36`,
  'Samsung Internet on Android': `Mozilla/5.0 (Linux; Android 10; K) ${APPLE} SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36`,
  'Chrome on Linux': `Mozilla/5.0 (X11; Linux x86_64) ${APPLE} HeadlessChrome/150.0.0.0 Safari/537.36`,
};

describe('the name of a device', () => {
  for (const [name, agent] of Object.entries(AGENTS)) it(`is ${name}`, () => expect(deviceName(agent)).toBe(name));

  it('has what is known, in another language too', () => {
    expect(deviceName('Links (2.29; Linux x86_64)')).toBe('Linux');
    expect(deviceName('')).toBe('');
    expect(deviceName(AGENTS['Chrome on Windows']!, (browser, system) => `${system} 上的 ${browser}`)).toBe('Windows 上的 Chrome');
  });
});
