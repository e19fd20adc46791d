import type { Figures } from '@castway/client';
import { t } from './i18n';

function route(figures: Figures): string {
  if (!figures.route) return t.figNone;
  const protocol = figures.protocol ? figures.protocol.toUpperCase() : null;
  if (figures.route === 'direct') return t.figDirect(protocol ?? 'UDP');
  return protocol ? t.figRelayed(protocol) : t.figRelayedOnly;
}

function bitrate(kbps: number | null): string {
  if (kbps === null) return t.figNone;
  return kbps >= 1000 ? `${(kbps / 1000).toFixed(1)} Mbit/s` : `${kbps} kbit/s`;
}

const or = (value: number | null, unit: string) => (value === null ? t.figNone : `${value}${unit}`);

/** Shows the same statistics on all pages. `into` is a `dl`, whose rows are created once. */
export function showFigures(into: HTMLElement, figures: Figures): void {
  const rows: [string, string, string][] = [
    ['route', t.figRoute, route(figures)],
    ['kbps', t.figBitrate, bitrate(figures.kbps)],
    ['size', t.figSize, figures.width ? `${figures.width} × ${figures.height}` : t.figNone],
    ['fps', t.figFps, or(figures.fps, '')],
    ['loss', t.figLoss, or(figures.loss, ' %')],
    ['rtt', t.figDelay, or(figures.rtt, ' ms')],
    ['codec', t.figCodec, figures.codec ?? t.figNone],
  ];
  rows.forEach(([name, label, value]) => {
    let cell = into.querySelector(`[data-figure="${name}"]`);
    if (!cell) {
      const row = document.createElement('div');
      const term = document.createElement('dt');
      term.textContent = label;
      cell = document.createElement('dd');
      cell.setAttribute('data-figure', name);
      row.appendChild(term);
      row.appendChild(cell);
      into.appendChild(row);
    }
    if (cell.textContent !== value) cell.textContent = value;
  });
  into.setAttribute('data-route', figures.route ?? '');
  into.setAttribute('data-protocol', figures.protocol ?? '');
}
