import { a, TAG } from './texts';

/** Characters of a text that a cell shows; its title has all of them. */
const MAX_SHOWN = 60;

/** What has no look of its own, or changes the direction of the text around it. The commands show the same character for it. */
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** A text of a client, as it may be shown. */
export const shown = (text: string) => text.replace(INVISIBLE, '\ufffd');

/** A text of a client for the middle of a sentence: its direction of writing does not affect the rest. */
export const isolated = (text: string) => `\u2068${shown(text)}\u2069`;

export function shortened(text: string, most = MAX_SHOWN): string {
  const characters = Array.from(text);
  return characters.length > most ? `${characters.slice(0, most - 1).join('')}…` : text;
}

const number = (value: number, digits: number) =>
  value.toLocaleString(TAG, { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false });

/** Bytes in decimal units, as the log has them. */
export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${number(value, unit > 0 && value < 99.95 ? 1 : 0)} ${units[unit]}`;
}

/** What `bytes` writes, and what the commands take: `50G`, `500 MB`, `1.5T`. Null for anything else. */
export function parseBytes(text: string): number | null {
  const found = /^\s*(\d+(?:[.,]\d+)?)\s*([kmgtp]?)b?\s*$/i.exec(text.normalize('NFKC'));
  if (!found) return null;
  const value = Number(found[1]!.replace(',', '.')) * Math.pow(1000, ' kmgtp'.indexOf(found[2]!.toLowerCase() || ' '));
  return Number.isSafeInteger(Math.round(value)) ? Math.round(value) : null;
}

/** As `lib/figures.ts` writes a bit rate; a server has larger ones. */
export function rate(kbps: number): string {
  if (kbps < 1000) return `${Math.round(kbps)} kbit/s`;
  const [value, name] = kbps < 1e6 ? [kbps / 1000, 'Mbit/s'] : [kbps / 1e6, 'Gbit/s'];
  return `${number(value, value < 99.95 ? 1 : 0)} ${name}`;
}

export const percent = (part: number) => `${number(part * 100, part > 0 && part < 0.0995 ? 1 : 0)} %`;

const unit = (value: number, name: 'second' | 'minute' | 'hour' | 'day') =>
  new Intl.NumberFormat(TAG, { style: 'unit', unit: name, unitDisplay: 'short', maximumFractionDigits: 0, useGrouping: false }).format(value);

// Chinese puts no space between units.
const both = (large: string, small: string) => large + (TAG === 'zh-CN' ? '' : ' ') + small;

/** A length of time in one unit, or in two where the smaller one still matters. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [minutes, hours, days] = [Math.floor(whole / 60), Math.floor(whole / 3600), Math.floor(whole / 86400)];
  if (minutes < 1) return unit(whole, 'second');
  if (hours < 1) return unit(minutes, 'minute');
  if (days < 1) return minutes % 60 ? both(unit(hours, 'hour'), unit(minutes % 60, 'minute')) : unit(hours, 'hour');
  return days < 7 && hours % 24 ? both(unit(days, 'day'), unit(hours % 24, 'hour')) : unit(days, 'day');
}

let skewMs = 0;

/** Clocks differ: the pages count from the server's one. `now` is in seconds since 1970. */
export function setClock(now: number): void {
  skewMs = now * 1000 - Date.now();
}

/** Seconds since 1970 by the server's clock. */
export const clock = () => (Date.now() + skewMs) / 1000;

export const since = (seconds: number) => duration(clock() - seconds);

export function ago(seconds: number): string {
  const passed = clock() - seconds;
  return passed < 5 ? a.now : a.ago(duration(passed));
}

export const absolute = (seconds: number) =>
  new Date(seconds * 1000).toLocaleString(TAG, { dateStyle: 'medium', timeStyle: 'medium' });

/** A host of `host:port`, without the brackets of an IPv6 address. */
export const hostOf = (address: string) => address.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');

const BROWSERS: [RegExp, string][] = [
  [/Edg(?:A|iOS)?\/(\d+)/, 'Edge'],
  [/OPR\/(\d+)/, 'Opera'],
  [/SamsungBrowser\/(\d+)/, 'Samsung Internet'],
  [/(?:Firefox|FxiOS)\/(\d+)/, 'Firefox'],
  [/(?:Chrome|Chromium|CriOS)\/(\d+)/, 'Chrome'],
  [/Version\/(\d+)[\d.]* (?:Mobile\/\S+ )?Safari/, 'Safari'],
];

const SYSTEMS: [RegExp, string][] = [
  [/Tizen ([\d.]+)/, 'Tizen'],
  [/Web0S|webOS/, 'webOS'],
  [/Android/, 'Android'],
  [/iPhone|iPad|iPod/, 'iOS'],
  [/CrOS/, 'ChromeOS'],
  [/Windows/, 'Windows'],
  [/Mac OS X|Macintosh/, 'macOS'],
  [/Linux/, 'Linux'],
];

function firstOf(patterns: [RegExp, string][], agent: string): string {
  for (let i = 0; i < patterns.length; i++) {
    const [pattern, name] = patterns[i]!;
    const found = pattern.exec(agent);
    if (found) return found[1] ? `${name} ${found[1]}` : name;
  }
  return '';
}

/** The browser and the system that a User-Agent names; its beginning, if it names neither. */
export function browserOf(agent: string): string {
  const named = [firstOf(BROWSERS, agent), firstOf(SYSTEMS, agent)].filter(Boolean).join(', ');
  return named || shortened(shown(agent), 40);
}

/** The time of a line of the log. */
export const TIME = new Intl.DateTimeFormat(TAG, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
