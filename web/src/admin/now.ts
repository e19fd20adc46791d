import { setText, show } from '../lib/dom';
import { language } from '../lib/i18n';
import { look, Newest } from './api';
import { make, setAttribute } from './build';
import { absolute, ago, duration, rate, shown } from './format';
import { Plot } from './plot';
import type { Now, Sentence } from './rows';
import { a } from './texts';
import type { View } from './view';

const COUNTS: [keyof Now & ('tvs' | 'casts' | 'calls' | 'rooms' | 'allocations'), string, string][] = [
  ['tvs', a.nowTvs, '#casts'],
  ['casts', a.nowCasts, '#casts'],
  ['calls', a.nowCalls, '#calls'],
  ['rooms', a.nowRooms, '#rooms'],
  ['allocations', a.nowAllocations, '#allocations'],
];

/** A card with a heading, a sentence and smaller ones. */
class Fact {
  readonly element: HTMLElement;
  private readonly main = make('p', { class: 'fact' });
  private readonly more = make('p', { class: 'hint' });

  constructor(name: string, title: string, ...content: Node[]) {
    this.element = make('section', { class: 'card', 'data-fact': name }, make('h2', {}, title), this.main, this.more, ...content);
  }

  set(tone: 'good' | 'bad' | null, main: string, more: string, title: string | null = null): void {
    setAttribute(this.element, 'data-tone', tone);
    setAttribute(this.main, 'title', title);
    setText(this.main, main);
    setText(this.more, more);
    show(this.more, more !== '');
  }
}

function showCertificate(fact: Fact, certificate: Now['certificate']): void {
  if (!certificate) return fact.set(null, a.nowCertificateNone, '');
  const { names, daysLeft, trusted, problem } = certificate;
  const days = a.nowCertificateDays(daysLeft);
  const wrong = trusted ? problem && shown(problem[language]) : a.nowCertificateUntrusted;
  const more = [shown(names.join(', ')), wrong ? days : ''].filter(Boolean).join(' · ');
  fact.set(wrong || daysLeft < 7 ? 'bad' : 'good', wrong || days, more);
}

function showCheck(fact: Fact, check: Now['lastCheck']): void {
  if (!check) return fact.set('bad', a.nowCheckNever, '');
  fact.set(check.ok ? 'good' : 'bad', shown(check.verdict[language]), `${ago(check.at)} · ${check.address}`, absolute(check.at));
}

function showWarnings(section: HTMLElement, list: HTMLElement, warnings: Sentence[]): void {
  const texts = warnings.length ? warnings.map((warning) => shown(warning[language])) : [a.nowWarningsNone];
  setAttribute(section, 'data-tone', warnings.length ? 'bad' : 'good');
  texts.forEach((text, at) => {
    const item = list.children[at] ?? list.appendChild(make('li', {}));
    setText(item, text);
  });
  while (list.children.length > texts.length) list.lastElementChild!.remove();
}

export function nowView(): View {
  const figures = make('dl', { class: 'counts' });
  const values = COUNTS.map(([name, label, href]) => {
    const value = make('a', { href }, a.none);
    figures.append(make('div', { 'data-count': name }, make('dt', {}, label), make('dd', {}, value)));
    return value;
  });
  const relayed = make('dd', {}, a.none);
  figures.append(make('div', { 'data-count': 'relayed' }, make('dt', {}, a.nowRelayed), relayed));
  const plot = new Plot();
  const certificate = new Fact('certificate', a.nowCertificate);
  const check = new Fact('check', a.nowCheck, make('a', { href: '#check' }, a.nowCheckNew));
  const server = new Fact('server', a.nowServer);
  const warnings = make('ul', {});
  const warned = make('section', { class: 'card warnings', 'data-fact': 'warnings' }, make('h2', {}, a.nowWarnings), warnings);
  const hour = make('section', { class: 'card' }, make('h2', {}, a.nowHour), plot.element);
  const newest = new Newest<Now>((now) => {
    COUNTS.forEach(([name], at) => setText(values[at]!, String(now[name])));
    setText(relayed, rate(now.kbpsRelayed));
    plot.show(now.history);
    showCertificate(certificate, now.certificate);
    showCheck(check, now.lastCheck);
    server.set(null, `Castway ${shown(now.version)}`, a.nowUptime(duration(now.uptime)));
    showWarnings(warned, warnings, now.warnings);
  });
  return {
    name: 'now', title: a.viewNow, stream: 'now',
    element: make('div', { class: 'now' }, figures, warned, hour, make('div', { class: 'facts' }, certificate.element, check.element, server.element)),
    load: () => newest.ask(() => look('now')),
    take: (event, data) => event === 'now' && newest.take(data as Now),
  };
}
