import { useEffect, useState, useSyncExternalStore } from 'react';

// Makes a caster or a TV for as long as the component is shown, and renders it again after each of its changes.
export function useCastway(make) {
  const [made, setMade] = useState(null);
  useEffect(() => {
    const one = { castway: make(), version: 0 };
    setMade(one);
    return () => {
      setMade(null);
      one.castway.close();
    };
  }, []);
  useSyncExternalStore(
    (changed) => {
      if (!made) return () => undefined;
      return made.castway.on('change', () => {
        made.version += 1;
        changed();
      });
    },
    () => (made ? made.version : -1),
  );
  return made ? made.castway : null;
}
