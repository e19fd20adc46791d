// What the descriptions of the APIs in docs/api say, to compare answers and events with it.
import { readFileSync } from 'node:fs';

export const committed = (name) => JSON.parse(readFileSync(new URL(`../../../docs/api/${name}.json`, import.meta.url)));

const ANNOTATIONS = new Set(['description', 'example', 'examples', 'format', 'title', 'propertyNames', 'default']);
const typeOf = (value) => {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value;
};
const isOf = (type, value) => (type === 'integer' ? Number.isInteger(value) : typeOf(value) === type);

// What is wrong with a value by a schema of a document: sentences, none if it conforms. A member that the schema doesn't name is wrong, too;
// so is a keyword that this function doesn't know.
export function problems(document, schema, value, at = 'it') {
  const deeper = (inner, one, name) => problems(document, inner, one, name);
  const bound = (is, limit, sign) => (is ? [] : [`${at} is not ${sign} ${limit}`]);
  const members = () => (typeOf(value) === 'object' ? Object.entries(value) : []);
  const matching = (all) => all.filter((one) => deeper(one, value, at).length === 0).length;
  const rules = {
    $ref: (path) => deeper(path.split('/').slice(1).reduce((part, name) => part[name], document), value, at),
    type: (types) => ([types].flat().some((type) => isOf(type, value)) ? [] : [`${at} is ${typeOf(value)}, not ${types}`]),
    const: (expected) => (value === expected ? [] : [`${at} is not ${expected}`]),
    enum: (all) => (all.includes(value) ? [] : [`${at} is none of ${all}`]),
    allOf: (all) => all.flatMap((one) => deeper(one, value, at)),
    oneOf: (all) => (matching(all) === 1 ? [] : [`${at} matches ${matching(all)} of ${all.length} schemas: ${JSON.stringify(value)?.slice(0, 200)}`]),
    required: (names) => names.filter((name) => typeOf(value) === 'object' && !(name in value)).map((name) => `${at}.${name} is missing`),
    properties: (named) => members().flatMap(([name, one]) => (named[name] ? deeper(named[name], one, `${at}.${name}`) : [`${at}.${name} is not described`])),
    additionalProperties: (inner) => members().flatMap(([name, one]) => deeper(inner, one, `${at}.${name}`)),
    items: (inner) => {
      if (!Array.isArray(value)) return [];
      return value.flatMap((one, index) => {
        if (!Array.isArray(inner)) return deeper(inner, one, `${at}[${index}]`);
        return inner[index] ? deeper(inner[index], one, `${at}[${index}]`) : [`${at}[${index}] is not described`];
      });
    },
    minItems: (least) => bound(!Array.isArray(value) || value.length >= least, least, 'as long as'),
    maxItems: (most) => bound(!Array.isArray(value) || value.length <= most, most, 'as short as'),
    minLength: (least) => bound(typeof value !== 'string' || value.length >= least, least, 'as long as'),
    maxLength: (most) => bound(typeof value !== 'string' || value.length <= most, most, 'as short as'),
    pattern: (text) => bound(typeof value !== 'string' || new RegExp(text, 'u').test(value), text, 'of the form'),
    minimum: (least) => bound(typeof value !== 'number' || value >= least, least, 'at least'),
    maximum: (most) => bound(typeof value !== 'number' || value <= most, most, 'at most'),
  };
  return Object.entries(schema).flatMap(([keyword, expected]) => {
    if (ANNOTATIONS.has(keyword)) return [];
    return rules[keyword] ? rules[keyword](expected) : [`${keyword} is a keyword that this test does not know`];
  });
}

// What is wrong with an answer, `{status, type, body}`, by the operation of a path's template.
export function problemsOfAnswer(document, method, template, { status, type, body }) {
  const answer = document.paths[template]?.[method.toLowerCase()]?.responses[status];
  if (!answer) return [`${method} ${template} has no answer ${status}: ${JSON.stringify(body)?.slice(0, 200)}`];
  if (!answer.content) return body === '' ? [] : [`${method} ${template}, ${status}: there should be no body`];
  const media = answer.content[type] ?? answer.content[type?.split(';')[0]];
  if (!media) return [`${method} ${template}, ${status}: ${type} is none of ${Object.keys(answer.content)}`];
  return problems(document, media.schema, body).map((problem) => `${method} ${template}, ${status}: ${problem}`);
}

// What is wrong with an event of Socket.IO, in one direction of a channel: its name and arguments, and the acknowledgement if there is one.
export function problemsOfEvent(document, channel, action, name, args, acknowledgement) {
  const named = (reference) => document.components.messages[reference.$ref.split('/').at(-1)];
  const of = Object.values(document.operations).filter((one) => one.channel.$ref === `#/channels/${channel}` && one.action === action);
  const operation = of.find((one) => named(one.messages[0]).name === name);
  if (!operation) return [`${name} is not described`];
  const found = problems(document, named(operation.messages[0]).payload, args, name);
  if (acknowledgement === undefined) return found;
  const replies = (operation.reply?.messages ?? []).map((reply) => problems(document, named(reply).payload, acknowledgement, `the acknowledgement of ${name}`));
  return replies.some((reply) => reply.length === 0) ? found : [...found, ...replies.flat(), `${name}: ${JSON.stringify(acknowledgement).slice(0, 200)}`];
}
