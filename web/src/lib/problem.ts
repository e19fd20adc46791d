import { byId, setText, show } from './dom';
import { t } from './i18n';

/** A problem that the user can do something about. `id` is stable: tests and bug reports use it. */
export interface Problem {
  id: string;
  tone: 'bad' | 'warn' | 'info';
  title: string;
  hint: string;
  link?: string;
  offer?: 'camera' | 'retry';
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
  const action = byId('notice-action');
  show(action, Boolean(problem.offer));
  if (problem.offer) setText(action, problem.offer === 'camera' ? t.castUseCamera : t.castRetry);
}
