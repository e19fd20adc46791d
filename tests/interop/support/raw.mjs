// HTTP as it is on the wire: fetch sets a Host of its own, decodes bodies and drops some headers.
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:tls';

// {status, headers, body}; the body as the bytes that came. `host` is where to connect, the header comes from `headers`.
export async function rawGet(url, headers = {}, method = 'GET') {
  const asked = request(url, { method, headers, agent: false }).end();
  const [response] = await once(asked, 'response');
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) };
}

// The certificate that a server shows to a client that knows it by `servername`, or by its address alone.
export async function shown(port, { host = '127.0.0.1', servername = '' } = {}) {
  const socket = connect({ host, port, servername, rejectUnauthorized: false, checkServerIdentity: () => undefined });
  await once(socket, 'secureConnect');
  const certificate = socket.getPeerCertificate();
  socket.destroy();
  return { names: certificate.subjectaltname.split(', ').map((name) => name.replace(/^(DNS|IP Address):/, '')), fingerprint: certificate.fingerprint256, subject: certificate.subject.CN };
}
