// The messages of STUN and TURN (RFC 8489, RFC 8656, RFC 6062, RFC 8016), which share no code with any server that the tests test.
//
// An attribute is [type, value]. A value that depends on the transaction, as an XOR address of IPv6 does, is a function of its identifier.
import { createHash, createHmac } from 'node:crypto';
import { isIPv4 } from 'node:net';

export const METHOD = { binding: 0x001, allocate: 0x003, refresh: 0x004, createPermission: 0x008, channelBind: 0x009, connect: 0x00a };
export const SEND_INDICATION = 0x016;
export const DATA_INDICATION = 0x017;
export const SUCCESS = 0x100;
export const ATTRIBUTE = {
  username: 0x0006, integrity: 0x0008, errorCode: 0x0009, channelNumber: 0x000c, lifetime: 0x000d, xorPeer: 0x0012, data: 0x0013,
  realm: 0x0014, nonce: 0x0015, xorRelayed: 0x0016, family: 0x0017, evenPort: 0x0018, transport: 0x0019, xorMapped: 0x0020,
  reservationToken: 0x0022, mobilityTicket: 0x8030,
};
export const [UDP, TCP] = [17, 6].map((protocol) => [ATTRIBUTE.transport, Buffer.from([protocol, 0, 0, 0])]);
export const HEADER_BYTES = 20;
export const CHANNEL_HEADER_BYTES = 4;
const COOKIE = 0x2112a442;
const [IPV4, IPV6] = [1, 2];

export const padded = (length) => Math.ceil(length / 4) * 4;

export function word(number) {
  const value = Buffer.alloc(4);
  value.writeUInt32BE(number);
  return value;
}

function encoded([type, value], id) {
  const content = typeof value === 'function' ? value(id) : value;
  const bytes = Buffer.alloc(4 + padded(content.length));
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(content.length, 2);
  content.copy(bytes, 4);
  return bytes;
}

export function message(type, id, attributes) {
  const body = Buffer.concat(attributes.map((attribute) => encoded(attribute, id)));
  const header = Buffer.alloc(8);
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(body.length, 2);
  header.writeUInt32BE(COOKIE, 4);
  return Buffer.concat([header, id, body]);
}

export function withIntegrity(type, id, attributes, key) {
  const unsigned = message(type, id, attributes);
  unsigned.writeUInt16BE(unsigned.length - HEADER_BYTES + 24, 2);
  const mac = createHmac('sha1', key).update(unsigned).digest();
  return Buffer.concat([unsigned, encoded([ATTRIBUTE.integrity, mac], id)]);
}

export const longTermKey = (username, realm, password) => createHash('md5').update(`${username}:${realm}:${password}`).digest();

export const isMessage = (bytes) => bytes.length >= HEADER_BYTES && bytes[0] < 0x40 && bytes.readUInt32BE(4) === COOKIE;

export const isChannelData = (bytes) => bytes.length >= CHANNEL_HEADER_BYTES && bytes[0] >= 0x40 && bytes[0] < 0x50;

export function parse(bytes) {
  const attributes = new Map();
  let at = HEADER_BYTES;
  while (at + 4 <= bytes.length) {
    const length = bytes.readUInt16BE(at + 2);
    const type = bytes.readUInt16BE(at);
    if (!attributes.has(type)) attributes.set(type, bytes.subarray(at + 4, at + 4 + length));
    at += 4 + padded(length);
  }
  return { type: bytes.readUInt16BE(0), id: bytes.subarray(8, HEADER_BYTES), attributes };
}

export function channelData(channel, data) {
  const header = Buffer.alloc(CHANNEL_HEADER_BYTES);
  header.writeUInt16BE(channel, 0);
  header.writeUInt16BE(data.length, 2);
  return Buffer.concat([header, data]);
}

// The bytes of the frame that a stream's bytes begin with, with its padding; null if not even its length has arrived.
export function frameBytes(bytes) {
  if (bytes.length < CHANNEL_HEADER_BYTES) return null;
  const length = bytes.readUInt16BE(2);
  return bytes[0] < 0x40 ? HEADER_BYTES + length : CHANNEL_HEADER_BYTES + padded(length);
}

function ipv6Bytes(address) {
  // A URL writes IPv4 inside IPv6 as hexadecimal groups, too.
  const [front, back] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::').map((part) => part.split(':').filter(Boolean));
  const groups = back === undefined ? front : [...front, ...Array(8 - front.length - back.length).fill('0'), ...back];
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

const addressBytes = (address) => (isIPv4(address) ? Buffer.from(address.split('.').map(Number)) : ipv6Bytes(address));

const mask = (id) => Buffer.concat([word(COOKIE), id]);
const xored = (bytes, id) => bytes.map((byte, at) => byte ^ mask(id)[at]);

// The value of an attribute such as XOR-PEER-ADDRESS.
export const xorAddress = ({ address, port }) => (id) => {
  const ip = addressBytes(address);
  const head = Buffer.from([0, ip.length === 4 ? IPV4 : IPV6, 0, 0]);
  head.writeUInt16BE(port ^ (COOKIE >>> 16), 2);
  return Buffer.concat([head, xored(ip, id)]);
};

export function unxorAddress(value, id) {
  const ip = xored(value.subarray(4), id);
  const groups = () => Array.from({ length: 8 }, (_, at) => Buffer.from(ip).readUInt16BE(2 * at).toString(16)).join(':');
  const address = value[1] === IPV4 ? [...ip].join('.') : new URL(`http://[${groups()}]`).hostname.slice(1, -1);
  return { address, port: value.readUInt16BE(2) ^ (COOKIE >>> 16) };
}

// The error code of an answer; 0 if it is a success.
export function errorOf({ attributes }) {
  const value = attributes.get(ATTRIBUTE.errorCode);
  return value ? value[2] * 100 + value[3] : 0;
}

// What a server that shares this secret signs: the password of a time-limited username, for each scope.
export const passwords = {
  anyone: (secret, username) => createHmac('sha1', secret).update(username).digest('base64'),
  clients: (secret, username) => createHmac('sha1', createHmac('sha256', secret).update('castway/scope/clients/1').digest()).update(username).digest('base64'),
};
