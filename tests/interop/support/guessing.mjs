// Wrong passwords and keys, as an attacker sends them.
import { once } from 'node:events';
import { request } from 'node:http';
import { TurnClient } from './turn.mjs';

// How long an attacker waits for a verdict. Later verdicts don't count, so on a slow machine an attack looks weaker.
const VERDICT_TIMEOUT_MS = 500;
const ATTEMPTS_AT_A_TIME = 25;

// Runs `attack` `times` times, ATTEMPTS_AT_A_TIME of them together. Resolves to the results.
export async function inParallel(times, attack) {
  const results = [];
  for (let done = 0; done < times; done += ATTEMPTS_AT_A_TIME) {
    const batch = Array.from({ length: Math.min(ATTEMPTS_AT_A_TIME, times - done) }, (_, i) => attack(done + i));
    results.push(...(await Promise.all(batch)));
  }
  return results;
}

// Tries one password on a connection of its own: the error code, 0 if the password is correct, null without a verdict within `limit` ms.
export async function tryPassword(options, limit = VERDICT_TIMEOUT_MS) {
  const client = new TurnClient(options);
  try {
    return await client.allocate(limit).catch(() => null);
  } finally {
    client.abandon();
  }
}

// The status of GET /turn with a key, from an address of this machine.
export async function tryKey(url, key, localAddress) {
  const asked = request(`${url}/turn?username=alice&key=${key}`, { localAddress, agent: false });
  asked.end();
  const [response] = await once(asked, 'response');
  response.resume();
  await once(response, 'end');
  return response.statusCode;
}

// How many guesses of one client the server may have checked since `start` (ms): `allowed` in a minute, and beyond these one in 3 s.
export const mostLookedAt = (allowed, start) => {
  const seconds = (Date.now() - start) / 1000;
  return allowed * (1 + Math.floor(seconds / 60)) + Math.ceil(seconds / 3);
};
