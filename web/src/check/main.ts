import 'webrtc-adapter';
import { pagePath, server } from '../lib/base';
import { byId, later, setText, show } from '../lib/dom';
import '../lib/focus';
import { t, translate } from '../lib/i18n';
import { loadInfo } from '../lib/info';
import { offerSecurePage } from '../lib/insecure';
import { drawQr } from '../lib/qr';
import { TextField } from '../lib/text-field';
import { asVerdict, type Verdict } from '../lib/verdict';
import { join, poll, Refused, result, start, type PathTest, type Started } from './api';
import { given, parameter } from './given';
import { followLinks, leadLinks, LINKS, type LinkName, type LinkResult } from './links';
import { testPaths, type PathResult } from './paths';
import { testRange, type RangeResult } from './range';
import { Row } from './rows';

interface Report {
  paths: PathResult[];
  range: RangeResult | null;
  links: LinkResult[];
}

translate('checkTitle');

const field = (id: string) => byId<HTMLInputElement>(id);

let verdict: Verdict | null = null;
let report: Report = { paths: [], range: null, links: [] };

function state(name: string): void {
  document.body.setAttribute('data-state', name);
}

function complain(title: string, hint: string): void {
  setText(byId('notice-title'), title);
  setText(byId('notice-hint'), hint);
  show(byId('notice'), true);
}

/** Waits for a start or a join; a refusal is shown, and the form stays. */
async function begin(asked: Promise<Started>, buttons: HTMLButtonElement[]): Promise<Started | null> {
  show(byId('notice'), false);
  buttons.forEach((button) => (button.disabled = true));
  try {
    return await asked;
  } catch (error) {
    complain(t.checkNotStarted, error instanceof Refused ? error.sentence : String(error));
    return null;
  } finally {
    buttons.forEach((button) => (button.disabled = false));
  }
}

function nameOf({ kind, url }: PathTest): string {
  const where = url.replace(/^\w+:/, '').replace(/\?.*$/, '');
  return { stun: t.checkPathStun, udp: t.checkPathUdp, tcp: t.checkPathTcp, tls: t.checkPathTls }[kind](where);
}

async function range(started: Started, row: Row | null): Promise<RangeResult | null> {
  const offer = started.range;
  if (!offer || !row) return null;
  if (offer.denied) {
    row.set('untested', '', t.checkRangeDenied);
    return { sent: 0, arrived: 0, denied: true };
  }
  const working = report.paths.filter((path) => path.kind === 'udp' && path.ms !== null)[0];
  const stun = started.paths.filter((path) => path.kind === 'stun')[0];
  row.set('running');
  const found = working ? await testRange(working.url, stun && stun.url, offer) : null;
  if (!found) row.set('untested', '', t.checkRangeUnclear);
  else row.set(found.arrived ? 'ok' : 'failed', '', t.checkRangeArrived(found.arrived, found.sent));
  return found;
}

function showVerdict(): void {
  const card = byId('verdict');
  card.setAttribute('data-verdict', verdict ? verdict.code : 'unknown');
  setText(byId('verdict-title'), verdict ? verdict.title : t.checkNoServer);
  setText(byId('verdict-text'), verdict ? verdict.text : '');
  setText(byId('verdict-fix'), verdict ? verdict.fix : '');
  show(byId('verdict-fix'), !!(verdict && verdict.fix));
  const command = byId('verdict-command');
  setText(command.firstElementChild!, verdict ? verdict.command : '');
  show(command, !!(verdict && verdict.command));
  show(byId('sent'), !!verdict);
  show(card, true);
}

async function send(started: Started): Promise<void> {
  verdict = asVerdict(await result(started.session, report).catch(() => null));
  showVerdict();
}

function linkRows(): Record<LinkName, Row> {
  const names: Record<LinkName, string> = {
    direct: t.checkLinkDirect,
    'relay-udp': t.checkLinkUdp,
    'relay-tcp': t.checkLinkTcp,
    'relay-tls': t.checkLinkTls,
  };
  const rows = {} as Record<LinkName, Row>;
  LINKS.forEach((link) => (rows[link] = new Row(byId('links'), 'data-link', link, names[link])));
  show(byId('links'), true);
  return rows;
}

function note(text: string): void {
  setText(byId('two-status'), text);
  show(byId('two-status'), !!text);
}

function invite(digits: string): void {
  setText(byId('digits'), digits);
  byId('digits').setAttribute('aria-label', t.checkDigitsLabel(digits));
  drawQr(byId('qr'), `${server}/check?d=${digits}`, t.checkQrLabel);
  show(byId('two'), true);
}

/** Resolves to whether a second device has joined. */
async function waitForSecond(started: Started): Promise<boolean> {
  let failures = 0;
  while (failures < 10) {
    try {
      const { peer, digits } = await poll(started.session, false);
      failures = 0;
      if (peer) return true;
      if (!digits) {
        note(t.checkDigitsEnded);
        break;
      }
    } catch (error) {
      // 404: the check is over.
      if (error instanceof Refused && error.status === 404) break;
      failures++;
      await later(1000);
    }
  }
  return false;
}

async function testDevice(started: Started): Promise<void> {
  state('running');
  show(byId('setup'), false);
  show(byId('device'), true);
  const rows = started.paths.map((path) => new Row(byId('paths'), 'data-path', path.kind, nameOf(path)));
  const rangeRow = started.range ? new Row(byId('paths'), 'data-path', 'range', t.checkPathRange) : null;
  report.paths = await testPaths(started.paths, rows);
  report.range = await range(started, rangeRow);
  await send(started);
  // The relay knows more: whether it has refused the device's address, which browsers don't tell.
  const isUnclear = verdict && (verdict.code === 'fine' || verdict.code === 'not_tested');
  if (rangeRow && isUnclear && report.range && !report.range.denied && !report.range.arrived) rangeRow.set('untested', '', t.checkRangeUnknown);
  state('done');
}

async function runFirst(started: Started): Promise<void> {
  await testDevice(started);
  invite(started.digits || '');
  const joined = await waitForSecond(started);
  show(byId('invitation'), false);
  if (!joined) return;
  note(t.checkJoined);
  state('linking');
  report = { ...report, links: await leadLinks(started, linkRows()) };
  await send(started);
  note(t.checkLinksDone);
  state('done');
}

async function runSecond(started: Started): Promise<void> {
  state('linking');
  show(byId('setup'), false);
  show(byId('invitation'), false);
  show(byId('two'), true);
  note(t.checkJoined);
  note((await followLinks(started, linkRows())) ? t.checkSecond : t.checkOtherLeft);
  state('done');
}

/** For browsers without a clipboard, and for pages without HTTPS. */
function copyOld(text: string): void {
  const area = document.createElement('textarea');
  area.value = text;
  document.body.appendChild(area);
  area.select();
  document.execCommand('copy');
  document.body.removeChild(area);
}

async function copy(): Promise<void> {
  const text = JSON.stringify({ verdict, report, browser: navigator.userAgent }, null, 2);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyOld(text);
  }
  setText(byId('copy-report'), t.checkCopied);
}

/** A pasted link becomes the key, or the digits, in it. */
function takeLinks(name: string, input: HTMLInputElement): void {
  new TextField(input, () => {
    if (parameter(name, input.value.normalize('NFKC')) !== null) input.value = given(name, input.value);
  });
}

function enable(): void {
  const buttons = [byId<HTMLButtonElement>('start-check'), byId<HTMLButtonElement>('join-check')];
  byId('begin').addEventListener('submit', async (event) => {
    event.preventDefault();
    const key = given('k', field('key-input').value);
    if (!key) return complain(t.checkNotStarted, t.checkKeyMissing);
    const started = await begin(start(key), buttons);
    if (started) await runFirst(started);
  });
  byId('join').addEventListener('submit', async (event) => {
    event.preventDefault();
    const digits = given('d', field('digits-input').value);
    if (!/^\d{4}$/.test(digits)) return complain(t.checkNotStarted, t.checkDigitsMissing);
    const started = await begin(join(digits), buttons);
    if (started) await runSecond(started);
  });
  takeLinks('k', field('key-input'));
  takeLinks('d', field('digits-input'));
  byId('copy-report').addEventListener('click', () => void copy());
  // Before that, a click would only load the page again.
  buttons.forEach((button) => (button.disabled = false));
}

const { search } = location;
const [key, digits] = [parameter('k', search) ?? '', parameter('d', search) ?? ''];
field('key-input').value = key;
field('digits-input').value = digits;
// The key must not stay in the history, nor in a link that somebody copies.
if (search) history.replaceState(null, '', pagePath());
show(byId('key-field'), !key);
show(byId('join'), !key);
show(byId('begin'), !digits);

if (typeof RTCPeerConnection === 'function') enable();
else {
  show(byId('setup'), false);
  complain(t.checkNotStarted, t.checkNoRtc);
}
(digits ? byId('join-check') : key ? byId('start-check') : field('key-input')).focus();
void loadInfo().then((info) => info && offerSecurePage(info, search));
