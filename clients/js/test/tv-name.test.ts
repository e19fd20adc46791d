import { describe, expect, it } from 'vitest';
import { shownName } from '../src/tv/name';

describe('a name that is shown', () => {
  it('is one line in NFC without spaces around it', () => {
    expect(shownName(' \u3000Cafe\u0301\tof\r\nAnna\u00a0 ')).toBe('Caf\u00e9 of Anna');
    expect(shownName('Ｋｉｔｃｈｅｎ')).toBe('Ｋｉｔｃｈｅｎ');
  });

  it('can not turn or hide the text around it', () => {
    expect(shownName('a\u202eb\u2066c\u200fd\u200b\ufeff\u0007e\u2028f')).toBe('abcde f');
  });

  it('has at most 40 characters, and no half of one', () => {
    expect(shownName('x'.repeat(41))).toBe('x'.repeat(40));
    expect(shownName('📺'.repeat(41))).toBe('📺'.repeat(40));
    expect(shownName(`${'x'.repeat(39)} y`)).toBe('x'.repeat(39));
  });

  it('is null if nothing is left', () => {
    for (const text of [undefined, null, '', ' \u3000\u200e\n']) expect(shownName(text)).toBe(null);
  });
});
