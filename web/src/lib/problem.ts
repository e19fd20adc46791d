import { byId, copyText, setText, show } from './dom';
import { t } from './i18n';
import { showSecurePage, type SecurePage } from './secure';
import type { Verdict } from './verdict';

/** A problem that the user can do something about. `id` is stable: tests and bug reports use it. */
export interface Problem {
  id: string;
  tone: 'bad' | 'warn' | 'info';
  title: string;
  hint: string;
  link?: string;
  /** The link leads to this page at a secure address. */
  secure?: SecurePage;
  offer?: 'camera' | 'retry';
  /** What stopped the connection. */
  verdict?: Verdict;
  /** Offers to send the report to the operator. */
  sends?: boolean;
  /** Offers another attempt over TLS. */
  tls?: boolean;
  /** The earliest time of another attempt, as a time stamp. */
  until?: number;
  /** The page can't start anything while the problem persists. */
  blocks?: boolean;
}

export const makeProblem = (id: string, title: string, hint: string, more: Partial<Problem> = {}): Problem => ({
  id, tone: 'bad', title, hint, ...more,
});

/** Shows the problem in the page's `#notice`. */
export function showProblem(problem: Problem | null): void {
  const notice = byId('notice');
  show(notice, problem !== null);
  if (!problem) {
    notice.removeAttribute('data-error');
    notice.removeAttribute('data-verdict');
    setText(byId('notice-title'), '');
    return;
  }
  notice.setAttribute('data-error', problem.id);
  notice.setAttribute('data-tone', problem.tone);
  setText(byId('notice-title'), problem.title);
  const seconds = problem.until ? Math.ceil((problem.until - Date.now()) / 1000) : 0;
  setText(byId('notice-hint'), seconds > 0 ? t.tooManyHint(seconds) : problem.hint);
  const link = byId<HTMLAnchorElement>('notice-link');
  show(link, Boolean(problem.link));
  if (problem.link) {
    link.href = problem.link;
    setText(link, problem.link);
  }
  showSecurePage(problem.secure ?? null);
  showVerdict(problem);
  const action = byId('notice-action');
  show(action, Boolean(problem.offer));
  if (problem.offer) setText(action, problem.offer === 'camera' ? t.castUseCamera : t.castRetry);
}

/** The problem whose report has been sent, or is being sent. */
let reported: Problem | null = null;
let answer: 'sending' | 'sent' | 'failed' = 'sending';

function showVerdict(problem: Problem): void {
  const { verdict } = problem;
  const notice = byId('notice');
  if (verdict) notice.setAttribute('data-verdict', verdict.code);
  else notice.removeAttribute('data-verdict');
  const more = document.getElementById('notice-more');
  // A page without verdicts has no place for them.
  if (!more) return;
  show(more, Boolean(verdict && (verdict.fix || verdict.command)));
  setText(byId('notice-fix'), verdict ? verdict.fix : '');
  show(byId('notice-command-row'), Boolean(verdict && verdict.command));
  setText(byId('notice-command'), verdict ? verdict.command : '');
  show(byId('retry-tls'), Boolean(problem.tls));
  const send = byId<HTMLButtonElement>('send-report');
  const mine = reported !== null && reported.verdict === verdict;
  show(send, Boolean(problem.sends));
  send.disabled = mine && answer !== 'failed';
  setText(byId('report-sent'), mine && answer !== 'sending' ? (answer === 'sent' ? t.reportSent : t.reportNotSent) : '');
}

/** Connects the buttons of a verdict. `shown` is the problem that the notice shows. */
export function onVerdict(shown: () => Problem | null, send: () => Promise<boolean>, retryTls: () => void): void {
  byId('retry-tls').addEventListener('click', retryTls);
  byId('notice-copy').addEventListener('click', () => void copyText(byId('notice-command')));
  byId('send-report').addEventListener('click', async () => {
    const problem = shown();
    if (!problem) return;
    reported = problem;
    answer = 'sending';
    showVerdict(problem);
    const sent = await send();
    if (reported !== problem) return;
    answer = sent ? 'sent' : 'failed';
    const now = shown();
    if (now) showVerdict(now);
  });
}
