// Receives Castway's webhooks at /events, and decides at /authorize who may cast:
// CASTWAY_WEBHOOK_SECRET=… node receiver.mjs 9000
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const seen = new Set();

function isSigned({ headers }, body) {
  const timestamp = headers['x-castway-timestamp'];
  const hmac = createHmac('sha256', process.env.CASTWAY_WEBHOOK_SECRET).update(`${timestamp}.`).update(body);
  const [expected, given] = [`sha256=${hmac.digest('hex')}`, headers['x-castway-signature'] ?? ''].map((text) => Buffer.from(text));
  const isFresh = Math.abs(Date.now() / 1000 - timestamp) < 300;
  return isFresh && given.length === expected.length && timingSafeEqual(given, expected);
}

createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  if (!isSigned(request, body)) return response.writeHead(401).end();
  const message = JSON.parse(body);
  if (request.url === '/authorize') {
    const allow = message.token === 'a token that your site gave out';
    return response.end(JSON.stringify(allow ? { allow } : { allow, reason: 'Please sign in first.' }));
  }
  // An event may come twice.
  if (!seen.has(message.id)) console.log(JSON.stringify(message));
  seen.add(message.id);
  response.writeHead(204).end();
}).listen(Number(process.argv[2]), '127.0.0.1');
