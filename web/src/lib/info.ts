import { at, server } from './base';
import { showVersion } from './version';

export interface Info {
  publicUrl: string | null;
  origins: string[];
  /** The HTTPS port, if this server terminates TLS itself. */
  https: { port: number; selfSigned: boolean; fingerprint: string } | null;
  code: { length: number; alphabet: string };
  /** The ceiling of a cast's bit rate in kbit/s. */
  maxBitrate: number | null;
  /** Who may cast. */
  castAccess: 'anyone' | 'users';
}

export const DEFAULT_INFO: Info = {
  publicUrl: null,
  origins: [],
  https: null,
  code: { length: 6, alphabet: 'ABCDEFGHJKMNPQRSTWXYZ012345678' },
  maxBitrate: null,
  castAccess: 'anyone',
};

export async function loadInfo(): Promise<Info | null> {
  try {
    const response = await fetch(at('/api/info'));
    if (!response.ok) return null;
    const body = (await response.json()) as Partial<Info> & { version?: unknown };
    showVersion(body.version);
    return {
      publicUrl: body.publicUrl ? body.publicUrl.replace(/\/+$/, '') : null,
      origins: body.origins ?? [],
      https: body.https ?? null,
      code: body.code ?? DEFAULT_INFO.code,
      maxBitrate: body.maxBitrate ?? null,
      castAccess: body.castAccess === 'users' ? 'users' : 'anyone',
    };
  } catch {
    return null;
  }
}

export function isLoopback(hostname: string): boolean {
  return /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\]|::1)$/i.test(hostname);
}

/** The address at which another device reaches this server. */
export function reachableOrigin(info: Info): string {
  if (info.publicUrl) return info.publicUrl;
  if (!isLoopback(location.hostname)) return server;
  return info.origins[0] ?? server;
}

export function withoutScheme(url: string): string {
  return url.replace(/^https?:\/\//, '');
}
