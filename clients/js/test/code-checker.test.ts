import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CodeChecker, type CodeCheck, type Reply } from '../src/index';

const free = (code: string): Reply<CodeCheck> => ({ ok: true, code, tv: { name: 'Kitchen', away: false }, caster: null, takeover: false });
const busy = (code: string, takeover = true): Reply<CodeCheck> => ({ ...(free(code) as CodeCheck), caster: { username: 'Anna', own: false }, takeover });
const refusal = (code: string, retryAfter?: number): Reply<CodeCheck> => ({ ok: false, error: { code, ...(retryAfter ? { retryAfter } : {}) } });

let asked: string[];
let answer: (code: string) => Reply<CodeCheck> | Promise<Reply<CodeCheck>>;
let checker: CodeChecker;

const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);
const kinds = () => checker.state.kind;

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  answer = free;
  checker = new CodeChecker(
    async (code) => {
      asked.push(code);
      return answer(code);
    },
    () => undefined,
  );
  checker.setOnline(true);
});

afterEach(() => {
  checker.setCode('');
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe('a code that is checked', () => {
  it('is asked for once, after the typing has paused', async () => {
    checker.setCode('ABC123');
    checker.setCode('ABC124');
    checker.setCode('ABC123');
    expect(kinds()).toBe('asking');
    await pass(1000);
    expect(asked).toEqual(['ABC123']);
    expect(checker.state).toEqual({ kind: 'known', check: free('ABC123') });
    await pass(60_000);
    expect(asked).toEqual(['ABC123']);
  });

  it('is not asked for again when somebody types a letter anew', async () => {
    answer = () => refusal('unknown_code');
    checker.setCode('ABC123');
    await pass(1000);
    expect(kinds()).toBe('unknown');
    checker.setCode('');
    expect(kinds()).toBe('none');
    checker.setCode('ABC123');
    expect(kinds()).toBe('unknown');
    await pass(60_000);
    expect(asked).toEqual(['ABC123']);
  });

  it('costs one guess for a click in the middle of a check and soon after it, and another one later', async () => {
    let answered: (reply: Reply<CodeCheck>) => void = () => undefined;
    answer = () => new Promise((resolve) => (answered = resolve));
    checker.setCode('ABC123');
    await pass(500);
    const click = checker.confirm(5000);
    answered(refusal('unknown_code'));
    expect((await click).kind).toBe('unknown');
    expect((await checker.confirm(5000)).kind).toBe('unknown');
    expect(asked.length).toBe(1);
    await pass(5000);
    answer = free;
    expect((await checker.confirm(5000)).kind).toBe('known');
    expect(asked.length).toBe(2);
    await pass(5000);
  });

  it('is asked for at a click without waiting for the pause of the typing', async () => {
    checker.setCode('ABC123');
    expect((await checker.confirm(5000)).kind).toBe('known');
    expect(asked).toEqual(['ABC123']);
    await pass(5000);
    expect(asked).toEqual(['ABC123']);
  });

  it('is asked for at every click while it is right, since somebody else may have begun to cast', async () => {
    checker.setCode('ABC123');
    await pass(1000);
    answer = (code) => busy(code);
    expect(await checker.confirm(5000)).toEqual({ kind: 'known', check: busy('ABC123') });
    checker.setCode('');
    await pass(5000);
  });

  it('keeps nobody waiting for longer than they want', async () => {
    answer = () => new Promise(() => undefined);
    checker.setCode('ABC123');
    const click = checker.confirm(2500);
    await pass(2500);
    expect((await click).kind).toBe('asking');
  });

  it('is asked for again while the TV is taken or away, and not for ever', async () => {
    answer = (code) => busy(code, false);
    checker.setCode('ABC123');
    await pass(10_000);
    expect(asked.length).toBeGreaterThan(1);
    answer = free;
    await pass(5000);
    expect(checker.state).toEqual({ kind: 'known', check: free('ABC123') });
    const { length } = asked;
    await pass(60_000);
    expect(asked.length).toBe(length);
    answer = (code) => busy(code);
    checker.setCode('ABC124');
    await pass(3_600_000);
    expect(asked.length - length).toBeLessThan(200);
    const much = asked.length;
    await pass(3_600_000);
    expect(asked.length).toBe(much);
  });

  it('is not asked for before the time that the server sets, whatever is typed', async () => {
    answer = () => refusal('too_many_attempts', 30);
    checker.setCode('ABC123');
    await pass(1000);
    expect(checker.state).toMatchObject({ kind: 'refused', error: { code: 'too_many_attempts' } });
    answer = free;
    checker.setCode('ABC124');
    expect(kinds()).toBe('refused');
    expect((await checker.confirm(1000)).kind).toBe('refused');
    await pass(28_000);
    expect(asked).toEqual(['ABC123']);
    await pass(3000);
    expect(asked).toEqual(['ABC123', 'ABC124']);
    expect(kinds()).toBe('known');
  });

  it('is not asked for where the server does not know the event, until another one answers', async () => {
    answer = () => refusal('unknown_event');
    checker.setCode('ABC123');
    await pass(1000);
    expect(kinds()).toBe('none');
    checker.setCode('ABC124');
    expect((await checker.confirm(1000)).kind).toBe('none');
    expect(asked).toEqual(['ABC123']);
    checker.setOnline(false);
    answer = free;
    checker.setOnline(true);
    await pass(1000);
    expect(kinds()).toBe('known');
  });

  it('is asked for when the connection is there, and not during a cast or by itself after it', async () => {
    checker.setOnline(false);
    checker.setCode('ABC123');
    await pass(1000);
    expect([kinds(), asked.length]).toEqual(['none', 0]);
    checker.setResting(true);
    checker.setOnline(true);
    await pass(60_000);
    expect([kinds(), asked.length]).toEqual(['none', 0]);
    checker.setResting(false);
    await pass(60_000);
    expect([kinds(), asked.length]).toEqual(['none', 0]);
    expect((await checker.confirm(1000)).kind).toBe('known');
    await pass(1000);
  });

  it('has no answer of another code', async () => {
    const waiting: Record<string, (reply: Reply<CodeCheck>) => void> = {};
    answer = (code) => new Promise((resolve) => (waiting[code] = resolve));
    checker.setCode('ABC123');
    await pass(1000);
    checker.setCode('ABC124');
    await pass(1000);
    waiting['ABC123']!(refusal('unknown_code'));
    await pass(0);
    expect(kinds()).toBe('asking');
    waiting['ABC124']!(free('ABC124'));
    await pass(0);
    expect(kinds()).toBe('known');
  });
});
