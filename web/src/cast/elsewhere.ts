import { byId, copyText, setText, show } from '../lib/dom';
import { t } from '../lib/i18n';

interface Sharing {
  share?: (what: { title: string; url: string }) => Promise<void>;
}

let link = '';

const canSend = typeof (navigator as Sharing).share === 'function';

/** Offers the link to this page, for a computer whose screen is to be shared. It contains the code if that is complete. */
export function offerElsewhere(visible: boolean, address: string, code: string): void {
  show(byId('elsewhere'), visible);
  if (!visible) return;
  const url = code ? `${address}?code=${code}` : address;
  setText(byId('elsewhere-hint'), code ? t.elsewhereHint : t.elsewhereHintBare);
  if (url === link) return;
  link = url;
  setText(byId('elsewhere-link'), url);
  setText(byId('elsewhere-done'), '');
  if (byId<HTMLDetailsElement>('elsewhere-more').open) void draw();
}

async function draw(): Promise<void> {
  const { drawQr } = await import('../lib/qr');
  drawQr(byId('elsewhere-qr'), link, t.elsewhereQrLabel);
}

show(byId('elsewhere-send'), canSend);
byId('elsewhere-send').addEventListener('click', () => {
  // The user may close the share sheet again.
  void (navigator as Sharing).share!({ title: t.castHeading, url: link }).catch(() => undefined);
});
byId('elsewhere-copy').addEventListener('click', async () => {
  setText(byId('elsewhere-done'), (await copyText(byId('elsewhere-link'))) ? t.elsewhereCopied : t.elsewhereNotCopied);
});
byId('elsewhere-more').addEventListener('toggle', () => void draw());
