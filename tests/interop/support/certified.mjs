// A server whose certificate comes from pebble.
import { pebble } from './authority.mjs';
import { excerpt } from './excerpt.mjs';
import { freePort, onFreePorts } from './ports.mjs';
import { startServer } from './server.mjs';

// The name in its certificate.
export const domain = 'cast.castway.test';

// Resolves to {authority, server}. `tls`: the port where the authority checks challenges, by default the server's; `life`: the lifetime of
// a certificate in seconds; `front`: makes the authority that the server uses from the real one.
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

// The certificate's state in /readyz.
export const certificateOf = async (server) => (await (await fetch(`${server.url}/readyz`)).json()).certificate;

// Runs `body` with the result of `startCertified` and with a function for the certificate's state. After a failure, the error has the logs.
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
