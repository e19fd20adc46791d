// A server whose certificate comes from pebble.
import { pebble } from './authority.mjs';
import { excerpt } from './excerpt.mjs';
import { freePort, onFreePorts } from './ports.mjs';
import { startServer } from './server.mjs';

// What its certificate is for.
export const domain = 'cast.castway.test';

// Resolves to {authority, server}. `tls`: where the authority looks for proofs instead of at the server; `life`: of a certificate,
// in seconds; `front`: what makes of the authority the one that the server is to ask.
export const startCertified = ({ tls, life, front = async (authority) => authority }, settings = {}) =>
  onFreePorts(async () => {
    const [tlsPort, httpPort] = [await freePort(), await freePort()];
    const authority = await front(await pebble({ tlsPort: tls ?? tlsPort, httpPort, life }));
    const addresses = { CASTWAY_HTTP_ADDR: `127.0.0.1:${httpPort}`, CASTWAY_HTTPS_ADDR: `127.0.0.1:${tlsPort}` };
    try {
      return { authority, server: await startServer({ ...addresses, CASTWAY_DOMAIN: domain, ...authority.settings, ...settings }) };
    } catch (error) {
      await authority.close();
      throw error;
    }
  });

// As /readyz tells it.
export const certificateOf = async (server) => (await (await fetch(`${server.url}/readyz`)).json()).certificate;

// Gives `body` what `startCertified` resolves to and the certificate's state at any time; the logs are in the error of a failure.
export async function withCertified(wishes, settings, body) {
  const { authority, server } = await startCertified(wishes, settings);
  try {
    await body({ authority, server, certificate: () => certificateOf(server) });
  } catch (error) {
    error.message += `\n${excerpt(server.log)}\n${excerpt(authority.log())}`;
    throw error;
  } finally {
    await server.close();
    await authority.close();
  }
}
