import { Caster } from '@castway/client';
import { useEffect, useState } from 'react';
import { useCastway } from './useCastway.js';

const SENTENCES = {
  unknown_code: 'No TV shows this code.',
  room_full: 'Somebody else casts to this TV.',
  taken_over: 'Somebody else casts to this TV now.',
  ended_by_tv: 'The cast was ended at the TV.',
  ended_by_operator: 'The operator ended this cast.',
};

export function CasterPage({ server }) {
  const [code, setCode] = useState('');
  const [problem, setProblem] = useState(null);
  const caster = useCastway(() => new Caster({ server, username: 'A React app' }));

  useEffect(() => caster?.on('ended', (why) => setProblem(why.code)), [caster]);

  async function share(event) {
    event.preventDefault();
    setProblem(null);
    const check = await caster.check(code);
    if (!check.ok) return setProblem(check.error.code);
    try {
      const stream = await navigator.mediaDevices.getDisplayMedia({ video: true });
      // The user stops in the browser's own bar.
      stream.getVideoTracks()[0].onended = () => caster.end();
      caster.cast(check.code, stream);
      // The library leaves the capture on, since a page may use it again.
      const off = caster.on('state', (state) => {
        if (state !== 'idle') return;
        stream.getTracks().forEach((track) => track.stop());
        off();
      });
    } catch (error) {
      setProblem(error.message);
    }
  }

  if (!caster) return null;
  return (
    <main>
      {caster.active ? (
        <>
          <button onClick={() => (caster.paused ? caster.resume() : caster.pause())}>{caster.paused ? 'Continue' : 'Pause'}</button>
          <button onClick={() => caster.end()}>Stop</button>
        </>
      ) : (
        <form onSubmit={share}>
          <label>
            Code on the TV <input value={code} onChange={(event) => setCode(event.target.value.toUpperCase())} />
          </label>
          <button>Share my screen</button>
        </form>
      )}
      <p id="status">{problem ? (SENTENCES[problem] ?? problem) : caster.state}</p>
    </main>
  );
}
