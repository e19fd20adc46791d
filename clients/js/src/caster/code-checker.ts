import type { Reply } from '../signaling';
import type { CodeCheck, WireError } from '../wire';

export type CodeState =
  /** There is no complete code, or the server can't be asked. */
  | { kind: 'none' }
  | { kind: 'asking' }
  | { kind: 'unknown' }
  | { kind: 'known'; check: CodeCheck }
  /** The server takes no check before this time stamp. */
  | { kind: 'refused'; error: WireError; until: number };

interface Answer {
  code: string;
  at: number;
  state: CodeState;
}

const TYPING_MS = 300;
/** A code that was wrong just now is not asked for again. */
const FRESH_MS = 2000;
/** A code that was typed before is not asked for again within this time; a wrong one costs a guess. */
const REMEMBERED_MS = 15_000;
const MAX_REMEMBERED = 8;
/** How often a TV that is taken or away is asked for. Checks of right codes cost nothing. */
const REPEAT_MS = 4000;
const MAX_REPEATS = 150;
/** Errors that name a time before which every check is refused. */
const REFUSALS = ['too_many_attempts', 'rate_limited'];

const NONE: CodeState = { kind: 'none' };

/** Whether this TV will become free or come back without another code. */
const isPassing = (state: CodeState) => state.kind === 'known' && (state.check.tv.away || (state.check.caster !== null && !state.check.caster.own));

/** Checks a code once it is complete: as few times as possible, since the server counts wrong codes. */
export class CodeChecker {
  state: CodeState = NONE;
  private code = '';
  private online = false;
  private resting = false;
  /** False for a server that does not know the event. */
  private able = true;
  private run = 0;
  /** The code whose answer is awaited. A second request for it would cost a second guess. */
  private awaited = '';
  private timer: ReturnType<typeof setTimeout> | undefined;
  private repeats = 0;
  private answers: Answer[] = [];
  private refusal: { error: WireError; until: number } | null = null;
  private settling: (() => void)[] = [];

  constructor(private readonly ask: (code: string) => Promise<Reply<CodeCheck>>, private readonly changed: () => void) {}

  /** The complete code in the field, or an empty text. */
  setCode(code: string): void {
    if (code === this.code) return;
    this.code = code;
    this.repeats = 0;
    this.begin();
  }

  setOnline(online: boolean): void {
    if (online === this.online) return;
    this.online = online;
    // Another server may answer now.
    this.able = true;
    this.begin();
  }

  /** The checker asks nothing during a cast, nor after it until the user types: the code may have changed, and a wrong one costs a guess. */
  setResting(resting: boolean): void {
    if (resting === this.resting) return;
    this.resting = resting;
    this.answers = [];
    this.run++;
    clearTimeout(this.timer);
    this.become(NONE);
  }

  /** Asks again, unless the code was wrong just now. It resolves to what is known after at most that time. */
  async confirm(milliseconds: number): Promise<CodeState> {
    if (!this.possible) return this.state;
    const last = this.answered(FRESH_MS);
    if (!last || last.state.kind !== 'unknown') {
      this.repeats = 0;
      if (this.awaited !== this.code) void this.send();
      await new Promise<void>((resolve) => {
        this.settling.push(resolve);
        setTimeout(resolve, milliseconds);
      });
    }
    return this.state;
  }

  /** Asks again about a TV that is taken or away, such as when the page is visible again. */
  refresh(): void {
    this.repeats = 0;
    if (this.possible && isPassing(this.state) && !this.answered(FRESH_MS)) void this.send();
  }

  private get possible(): boolean {
    return this.code !== '' && this.online && !this.resting && this.able && !this.refused();
  }

  private refused(): boolean {
    if (this.refusal && this.refusal.until <= Date.now()) this.refusal = null;
    return this.refusal !== null;
  }

  private answered(age: number): Answer | null {
    return this.answers.filter(({ code, at }) => code === this.code && Date.now() - at < age)[0] ?? null;
  }

  private begin(): void {
    this.run++;
    clearTimeout(this.timer);
    if (this.refused() && this.code && !this.resting) {
      const { error, until } = this.refusal!;
      this.timer = setTimeout(() => this.begin(), Math.max(0, until - Date.now()));
      return this.become({ kind: 'refused', error, until });
    }
    if (!this.possible) return this.become(NONE);
    const known = this.answered(REMEMBERED_MS);
    if (known) return this.become(known.state);
    this.become({ kind: 'asking' });
    this.timer = setTimeout(() => void this.send(), TYPING_MS);
  }

  private async send(): Promise<void> {
    const run = ++this.run;
    clearTimeout(this.timer);
    const { code } = this;
    this.awaited = code;
    const reply = await this.ask(code);
    if (this.awaited === code) this.awaited = '';
    if (!reply.ok) {
      if (REFUSALS.indexOf(reply.error.code) >= 0) this.refuse(reply.error);
      if (reply.error.code === 'unknown_event') this.able = false;
    }
    const state = this.stateOf(reply);
    if (state.kind !== 'none') {
      const others = this.answers.filter((one) => one.code !== code);
      this.answers = others.concat({ code, at: Date.now(), state }).slice(-MAX_REMEMBERED);
    }
    if (run !== this.run) return;
    if (this.refused()) this.begin();
    else this.become(state);
  }

  private refuse(error: WireError): void {
    this.refusal = { error, until: Date.now() + Math.ceil(error.retryAfter ?? 10) * 1000 };
  }

  private stateOf(reply: Reply<CodeCheck>): CodeState {
    if (reply.ok) return { kind: 'known', check: reply };
    return reply.error.code === 'unknown_code' ? { kind: 'unknown' } : NONE;
  }

  private become(state: CodeState): void {
    this.state = state;
    if (state.kind !== 'asking') this.settling.splice(0).forEach((resolve) => resolve());
    if (isPassing(state) && this.repeats < MAX_REPEATS) {
      this.repeats++;
      this.timer = setTimeout(() => void this.send(), REPEAT_MS);
    }
    this.changed();
  }
}
