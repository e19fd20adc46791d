import { byId, setText } from './dom';

export type Tone = 'good' | 'busy' | 'bad';

/** One sentence about the state of the page, for its `#status`. */
export interface Status {
  text: string;
  tone: Tone;
}

export function showStatus({ text, tone }: Status): void {
  byId('status').setAttribute('data-tone', tone);
  setText(byId('status-text'), text);
}
