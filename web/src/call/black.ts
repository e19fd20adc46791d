const FRAME_INTERVAL_MS = 500;

let canvas: HTMLCanvasElement | null = null;

/**
 * A black picture, for clients that would keep showing the last frame of a camera that is off. Null where a canvas can't be captured.
 * It is drawn until the track is stopped.
 */
export function blackTrack(): MediaStreamTrack | null {
  canvas ??= Object.assign(document.createElement('canvas'), { width: 320, height: 180 });
  const context = canvas.getContext('2d');
  if (!context || !canvas.captureStream) return null;
  const [track = null] = canvas.captureStream().getVideoTracks();
  const draw = () => {
    context.fillRect(0, 0, 320, 180);
    if (!track || track.readyState === 'ended') clearInterval(timer);
  };
  // A canvas that nobody draws on gives no frames, and a late decoder needs one.
  const timer = setInterval(draw, FRAME_INTERVAL_MS);
  draw();
  return track;
}
