import type { Quality } from '@castway/client';
import type { Problem } from '../lib/problem';
import { problems } from './problems';

export type Source = 'screen' | 'camera';
/** Which camera of a phone. */
export type Facing = 'environment' | 'user';

export interface Wish {
  source: Source;
  facing: Facing;
  quality: Quality;
  sound: boolean;
}

const PLAIN_SOUND = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

export function canCaptureScreen(): boolean {
  return typeof navigator.mediaDevices?.getDisplayMedia === 'function';
}

export function canCaptureCamera(): boolean {
  return typeof navigator.mediaDevices?.getUserMedia === 'function';
}

/** A window may be upright, so both sides may be as long as the longer one of the quality; what is sent is scaled further. */
function limits({ frameRate, width, height }: Quality): MediaTrackConstraints {
  const longer = Math.max(width, height);
  return { frameRate: { ideal: frameRate, max: frameRate }, width: { max: longer }, height: { max: longer } };
}

function hint(stream: MediaStream, quality: Quality): void {
  stream.getVideoTracks().forEach((track) => {
    if ('contentHint' in track) track.contentHint = quality.contentHint;
  });
}

/** Needs a click or key press. Rejects with a `Problem`. */
export async function capture(wish: Wish): Promise<MediaStream> {
  const stream = await (wish.source === 'screen' ? screen(wish) : camera(wish));
  hint(stream, wish.quality);
  return stream;
}

/** Changes a running capture, so that the browser doesn't ask again. */
export async function adapt(stream: MediaStream, quality: Quality): Promise<void> {
  hint(stream, quality);
  const track = stream.getVideoTracks()[0];
  if (!track) return;
  try {
    await track.applyConstraints(limits(quality));
  } catch {
    // The sender's limits still hold.
  }
}

async function screen({ quality, sound }: Wish): Promise<MediaStream> {
  const wishes = {
    video: limits(quality),
    audio: sound ? PLAIN_SOUND : false,
    systemAudio: sound ? 'include' : 'exclude',
    surfaceSwitching: 'include',
    selfBrowserSurface: 'exclude',
  };
  try {
    return await navigator.mediaDevices.getDisplayMedia(wishes as DisplayMediaStreamOptions);
  } catch (error) {
    const { name, message } = error as DOMException;
    if (name === 'TypeError' || name === 'OverconstrainedError') {
      // The engine rejects one of the constraints: request a plain capture. Some engines need another click for it.
      return navigator.mediaDevices.getDisplayMedia({ video: true, audio: sound }).catch((again) => {
        throw screenProblem(again as DOMException);
      });
    }
    console.warn('castway: no screen', name, message);
    throw screenProblem(error as DOMException);
  }
}

function screenProblem({ name, message }: DOMException): Problem {
  // Chrome for Android 72 to 88 has this function, but it always fails.
  if (/Android/i.test(navigator.userAgent)) return problems.captureFailed('');
  if (name === 'NotAllowedError') return /system|policy/i.test(message) ? problems.captureDenied() : problems.captureCancelled();
  if (name === 'AbortError' && !message) return problems.captureCancelled();
  return problems.captureFailed(message || name);
}

async function camera({ quality, sound, facing }: Wish): Promise<MediaStream> {
  const video = { ...limits(quality), width: { ideal: 1920 }, height: { ideal: 1080 }, facingMode: { ideal: facing } };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: sound });
  } catch (error) {
    const { name, message } = error as DOMException;
    console.warn('castway: no camera', name, message);
    throw name === 'NotAllowedError' || name === 'SecurityError' ? problems.cameraDenied() : problems.cameraMissing();
  }
}
