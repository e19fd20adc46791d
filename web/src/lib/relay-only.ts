/** `?ice=relay` (AppRTC: `it=relay`): use only the relay, to test it or to isolate a failure. */
export const relayOnly = /[?&](?:ice|it)=relay\b/.test(location.search);
