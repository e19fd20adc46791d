import type { Socket } from 'socket.io-client';
import { describe, expectTypeOf, it } from 'vitest';
import type { ClientToServerEventsA, ClientToServerEventsB, ServerToClientEventsA, ServerToClientEventsB } from '../src/index';

type A = Socket<ServerToClientEventsA, ClientToServerEventsA>;
type B = Socket<ServerToClientEventsB, ClientToServerEventsB>;

// Never called: it has to compile.
export function front(a: A, b: B): void {
  a.emit('TV_INIT', null);
  a.emit('TV_INIT', { resumeToken: 't', name: 'Kitchen' });
  a.emit('JOIN_ROOM', 'ABC123', (answer) => answer.ok && answer.tv?.name);
  a.emit('CHECK_CODE', 'ABC123', { resumeToken: 't' }, (answer) => (answer.ok ? answer.caster?.username : answer.error.retryAfter));
  a.on('CLIENT_OFFER_TO_TV', (offer) => offer.sdp);
  a.on('CAST_ENDED', ({ by }) => by === 'tv' || by === 'operator');
  b.emit('CONNECT_TO_TV', { username: 'Anna', projCode: 'ABC123' });
  b.on('RTC_Client_Offer_To_TV', ({ offer }) => offer.sdp);
  // @ts-expect-error: this is an event of dialect B.
  a.emit('CONNECT_TO_TV', { projCode: 'ABC123' });
  // @ts-expect-error: the code is a string.
  a.emit('JOIN_ROOM', 123456);
  // @ts-expect-error: the server reads names in dialect A alone.
  b.emit('TV_GETINFO', { token: null, name: 'Kitchen' });
  // @ts-expect-error: dialect B wraps the offer.
  b.emit('RTC_Client_Offer_To_Server', { sdp: 'v=0' });
}

describe('the types of the events', () => {
  it('name the payloads of both dialects', () => {
    expectTypeOf<Parameters<ServerToClientEventsA['TV_INIT_OK']>>().toEqualTypeOf<[code: string]>();
    expectTypeOf<Parameters<ServerToClientEventsB['TV_REGISTER_SUCCESS']>[0]>().toEqualTypeOf<{ projCode: string }>();
  });
});
