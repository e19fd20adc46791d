import { fromScan } from '../lib/code';
import { byId, later, setText, show } from '../lib/dom';
import { t } from '../lib/i18n';
import type { Info } from '../lib/info';

type Detect = (video: HTMLVideoElement) => Promise<string[]>;

interface Detector {
  detect(source: HTMLVideoElement): Promise<{ rawValue: string }[]>;
}

interface DetectorClass {
  new (options: { formats: string[] }): Detector;
  getSupportedFormats(): Promise<string[]>;
}

async function detector(): Promise<Detect> {
  const native = (window as unknown as { BarcodeDetector?: DetectorClass }).BarcodeDetector;
  if (native && (await native.getSupportedFormats().catch((): string[] => [])).indexOf('qr_code') >= 0) {
    const instance = new native({ formats: ['qr_code'] });
    return async (video) => (await instance.detect(video)).map((found) => found.rawValue);
  }
  const jsQr = (await import('jsqr')).default;
  const canvas = document.createElement('canvas');
  return async (video) => {
    const scale = Math.min(1, 800 / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    if (!context || !canvas.width) return [];
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    const image = context.getImageData(0, 0, canvas.width, canvas.height);
    const found = jsQr(image.data, image.width, image.height);
    return found ? [found.data] : [];
  };
}

/** Counts the scans: the user may close the dialog and open it again before the camera is there. */
let scans = 0;

/** Opens the camera in a dialog. Resolves to the code, or to null when the user closes the dialog. */
export async function scan(rule: Info['code']): Promise<string | null> {
  const dialog = byId<HTMLDialogElement>('scanner');
  const video = byId<HTMLVideoElement>('scanner-video');
  const label = byId('scanner-label');
  const own = ++scans;
  const open = () => dialog.open && own === scans;
  setText(label, t.castScanTitle);
  show(video, true);
  dialog.showModal();
  let stream: MediaStream | null = null;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: { ideal: 'environment' } } });
    if (!open()) return null;
    video.srcObject = stream;
    await video.play();
    const detect = await detector();
    while (open()) {
      const texts = video.videoWidth ? await detect(video).catch(() => []) : [];
      for (const text of texts) {
        const code = fromScan(text, rule);
        if (code) return code;
      }
      await later(150);
    }
  } catch (error) {
    console.warn('castway: no scan', error);
    if (!open()) return null;
    setText(label, t.castScanFailed);
    show(video, false);
    while (open()) await later(150);
  } finally {
    stream?.getTracks().forEach((track) => track.stop());
    if (own === scans) {
      video.srcObject = null;
      if (dialog.open) dialog.close();
    }
  }
  return null;
}
