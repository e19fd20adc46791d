import { byId, copyText, setText, show } from '../lib/dom';
import '../lib/focus';
import { t, translateWith } from '../lib/i18n';
import { DEFAULT_INFO, loadInfo } from '../lib/info';
import { securePage, showSecurePage } from '../lib/secure';
import { showVersion } from '../lib/version';
import { announce, dismiss } from './announce';
import { askState, change, useSession } from './api';
import { focusHeading } from './list';
import { Room } from './room';
import type { State } from './rows';
import { setClock, shown } from './format';
import { clear, enableSignIn } from './sign-in';
import { a } from './texts';

// This page is for the current browsers of operators, not for those of televisions.

const COMMAND = 'castway user add NAME --operator';
const AGAIN_MS = 3000;

let room: Room | null = null;
let timer = 0;

/** Shows one of the parts: `loading`, `off`, `sign-in` or `room`. */
function part(name: string): void {
  document.body.setAttribute('data-state', name === 'room' ? 'room' : 'setup');
  ['loading', 'off', 'sign-in-card', 'room'].forEach((id) => show(byId(id), id === name || id === `${name}-card`));
  show(byId('session'), name === 'room');
  if (name !== 'room') document.title = a.title;
}

function again(): void {
  clearTimeout(timer);
  timer = window.setTimeout(() => void begin(), AGAIN_MS);
}

async function showOff({ why }: State): Promise<void> {
  const texts: Record<string, [string, string]> = {
    no_operator: [a.offOperatorHeading, a.offOperator],
    not_secure: [a.offSecureHeading, a.offSecure],
    under_path: [a.offPathHeading, a.offPath],
  };
  const [heading, sentence] = texts[why ?? ''] ?? [a.offUnknownHeading, a.offUnknown];
  setText(byId('off-title'), heading);
  setText(byId('off-text'), sentence);
  show(byId('off-command-row'), why === 'no_operator');
  show(byId('off-secure'), why === 'not_secure');
  if (why === 'not_secure') {
    const secure = securePage((await loadInfo()) ?? DEFAULT_INFO);
    const elsewhere = secure && secure.url.split('#')[0] !== location.href.split('#')[0] ? secure : null;
    showSecurePage(elsewhere);
    if (!elsewhere) setText(byId('off-text'), a.offSecureNone);
  }
  byId('off').setAttribute('data-why', why ?? '');
  part('off');
}

function leave(sentence: string): void {
  room?.close();
  room = null;
  dismiss();
  useSession(null, () => {});
  setText(byId('signed-out'), sentence);
  show(byId('signed-out'), true);
  void begin();
}

function enter({ operator, csrf }: { operator: string; csrf: string }): void {
  clearTimeout(timer);
  room?.close();
  show(byId('signed-out'), false);
  useSession(csrf, ({ code }) => {
    if (!room) return;
    leave(a.signedOutElsewhere);
    // The session goes on, with another token.
    if (code === 'csrf') announce(a.failedCsrf);
  });
  setText(byId('operator'), shown(operator));
  byId('operator').setAttribute('aria-label', a.signedInAs(shown(operator)));
  part('room');
  room = new Room(() => leave(a.signedOutElsewhere));
}

async function begin(): Promise<void> {
  clearTimeout(timer);
  try {
    const state = await askState<State>();
    setClock(state.now);
    showVersion(state.version);
    if (!state.available) {
      await showOff(state);
      return again();
    }
    if (state.operator !== null && state.csrf !== null) return enter({ operator: state.operator, csrf: state.csrf });
    const fresh = byId('sign-in-card').hidden;
    part('sign-in');
    if (fresh) byId(byId<HTMLInputElement>('name').value ? 'password' : 'name').focus();
  } catch {
    setText(byId('loading-text'), a.unreachable);
    part('loading');
    again();
  }
}

async function signOut(): Promise<void> {
  // The server may be away; the page forgets the session all the same.
  await change('sign-out', {}).catch(() => {});
  if (room) leave(a.signedOut);
}

translateWith({ ...t, ...a }, a.title);
setText(byId('off-command'), COMMAND);
enableSignIn((session) => {
  enter(session);
  focusHeading();
});
byId('off-copy').addEventListener('click', async () => {
  if (await copyText(byId('off-command'))) setText(byId('off-copy'), a.copied);
});
byId('skip').addEventListener('click', focusHeading);
byId('sign-out').addEventListener('click', () => void signOut());
byId('done-close').addEventListener('click', dismiss);
// Another tab may have signed in meanwhile.
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible' && !room) void begin();
});
// A page that Back brings out of the browser's memory may show a session that has ended.
addEventListener('pageshow', (event) => event.persisted && location.reload());
clear();
void begin();
