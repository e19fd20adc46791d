import { receive } from '@castway/client';
import { useRef } from 'react';
import { useCastway } from './useCastway.js';

export function TvPage({ server }) {
  const video = useRef(null);
  const tv = useCastway(() => receive(video.current, { server, name: 'React' }));
  const playing = tv?.state === 'playing';
  return (
    <main>
      <video ref={video} playsInline hidden={!playing} style={{ width: '100%' }} />
      {!playing && <h1 id="code">{tv?.code}</h1>}
      <p id="status">{tv && !tv.online ? 'The server can’t be reached.' : tv?.state}</p>
      {playing && tv.silenced && <button onClick={() => tv.unmute()}>Turn the sound on</button>}
      {playing && <button onClick={() => tv.endCast()}>End the cast</button>}
    </main>
  );
}
