// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { CastwayTvElement, defineElement } from '../src/element';
import { FakeServer } from './support/server';
import { installWebRtc } from './support/webrtc';

const hoisted = vi.hoisted(() => ({ io: (..._: unknown[]): unknown => undefined }));
vi.mock('socket.io-client', () => ({ io: (...args: unknown[]) => hoisted.io(...args) }));

let server: FakeServer;
const pass = (milliseconds = 0) => vi.advanceTimersByTimeAsync(milliseconds);

beforeEach(() => {
  vi.useFakeTimers();
  localStorage.clear();
  server = new FakeServer();
  hoisted.io = server.io as never;
  installWebRtc();
  defineElement();
});

afterEach(() => {
  document.body.textContent = '';
  vi.useRealTimers();
});

it('shows its code in groups, and a sentence in the language of the page', async () => {
  document.body.innerHTML = '<castway-tv server="https://example.org/cast" name="Kitchen" lang="zh-CN"></castway-tv>';
  const element = document.querySelector('castway-tv') as CastwayTvElement;
  const states: unknown[] = [];
  element.addEventListener('castway-state', (event) => states.push((event as CustomEvent).detail));
  await pass();
  expect(server.io).toHaveBeenCalledWith('https://example.org/', expect.objectContaining({ path: '/cast/socket.io/' }));
  expect(server.socket.last('TV_INIT')![0]).toMatchObject({ name: 'Kitchen' });
  const shadow = element.shadowRoot!;
  expect(shadow.querySelector('[part=code]')!.textContent).toBe('ABC 123');
  expect(shadow.querySelector('[part=status]')!.textContent).toMatch(/投屏码/);
  expect(states).toEqual(['waiting']);
});

it('gives its code up when it is removed, and can be put back', async () => {
  document.body.innerHTML = '<castway-tv></castway-tv>';
  const element = document.querySelector('castway-tv') as CastwayTvElement;
  await pass();
  element.remove();
  expect(server.socket.disconnected).toBe(true);
  expect(element.tv).toBeNull();
  await pass(5000);
  expect(vi.getTimerCount()).toBe(0);
  document.body.appendChild(element);
  await pass();
  expect(server.sockets).toHaveLength(2);
  expect(element.shadowRoot!.querySelectorAll('video')).toHaveLength(1);
});
