import { setText } from '../lib/dom';
import { make } from './build';
import { rate } from './format';
import { a } from './texts';

const SVG = 'http://www.w3.org/2000/svg';
const [WIDTH, HEIGHT] = [600, 100];

const shape = (name: string, attributes: Record<string, string>) => {
  const element = document.createElementNS(SVG, name);
  Object.keys(attributes).forEach((key) => element.setAttribute(key, attributes[key]!));
  return element;
};

/** The scale ends at 1, 2 or 5 times a power of ten. */
function scaleFor(most: number): number {
  const power = Math.pow(10, Math.floor(Math.log10(Math.max(most, 100))));
  return [1, 2, 5, 10].map((factor) => factor * power).filter((scale) => scale >= most)[0]!;
}

/** A plot of the kbit/s of each minute of the last hour, with the figures in words for whoever can't see it. */
export class Plot {
  readonly element: HTMLElement;
  private readonly svg = shape('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' });
  private readonly area = shape('path', { class: 'plot-area' });
  private readonly line = shape('path', { class: 'plot-line' });
  private readonly top = make('span', {});

  constructor() {
    this.svg.append(shape('path', { class: 'plot-grid', d: `M0 0H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT}H${WIDTH}` }), this.area, this.line);
    const foot = make('div', { class: 'plot-foot', 'aria-hidden': 'true' }, make('span', {}, a.nowHourAgo), make('span', {}, a.now));
    this.element = make('div', { class: 'plot' }, make('div', { class: 'plot-top', 'aria-hidden': 'true' }, this.top), this.svg, foot);
  }

  show(history: number[]): void {
    const values = history.slice(-60);
    const most = Math.max(0, ...values);
    const scale = scaleFor(most);
    const step = WIDTH / Math.max(1, values.length - 1);
    const points = values.map((value, at) => `${(at * step).toFixed(1)} ${(HEIGHT - (value / scale) * HEIGHT).toFixed(1)}`);
    const line = points.length > 1 ? `M${points.join('L')}` : '';
    this.line.setAttribute('d', line);
    this.area.setAttribute('d', line && `${line}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z`);
    this.svg.setAttribute('aria-label', a.nowHourLabel(rate(values[values.length - 1] ?? 0), rate(most)));
    setText(this.top, rate(scale));
  }
}
