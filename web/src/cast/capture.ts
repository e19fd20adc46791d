import { PRESETS, type Preset } from '@castway/client';
import type { Problem } from '../lib/problem';
import { problems } from './problems';

export type Source = 'screen' | 'camera';

const PLAIN_SOUND = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

export function canCaptureScreen(): boolean {
  return typeof navigator.mediaDevices?.getDisplayMedia === 'function';
}

export function canCaptureCamera(): boolean {
  return typeof navigator.mediaDevices?.getUserMedia === 'function';
}

function limits(preset: Preset): MediaTrackConstraints {
  const { frameRate, width, height } = PRESETS[preset];
  return { frameRate: { ideal: frameRate, max: frameRate }, width: { max: width }, height: { max: height } };
}

function hint(stream: MediaStream, preset: Preset): void {
  stream.getVideoTracks().forEach((track) => {
    if ('contentHint' in track) track.contentHint = PRESETS[preset].contentHint;
  });
}

/** Needs a click or key press. Rejects with a `Problem`. */
export async function capture(source: Source, preset: Preset, sound: boolean): Promise<MediaStream> {
  const stream = await (source === 'screen' ? screen(preset, sound) : camera(preset, sound));
  hint(stream, preset);
  return stream;
}

/** Changes a running capture, so that the browser doesn't ask again. */
export async function switchPreset(stream: MediaStream, preset: Preset): Promise<void> {
  hint(stream, preset);
  const track = stream.getVideoTracks()[0];
  if (!track) return;
  try {
    await track.applyConstraints(limits(preset));
  } catch {
    // The sender's limits still hold.
  }
}

async function screen(preset: Preset, sound: boolean): Promise<MediaStream> {
  const wishes = {
    video: limits(preset),
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

async function camera(preset: Preset, sound: boolean): Promise<MediaStream> {
  const video = { ...limits(preset), width: { ideal: 1920 }, height: { ideal: 1080 }, facingMode: { ideal: 'environment' } };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: sound });
  } catch (error) {
    const { name, message } = error as DOMException;
    console.warn('castway: no camera', name, message);
    throw name === 'NotAllowedError' || name === 'SecurityError' ? problems.cameraDenied() : problems.cameraMissing();
  }
}
