// A server of the operator that decides who may have a seat (CASTWAY_AUTHORIZE_URL).
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { until } from './wait.mjs';

const SECRET = 'a-secret-of-the-operator';

// `decide` gets each question and resolves to the body of the answer, or to the status of a failure.
export class Operator {
  asked = [];
  #held = [];
  decide = () => ({ allow: true });

  static async start() {
    const operator = new Operator();
    operator.http = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      const signature = createHmac('sha256', SECRET).update(`${request.headers['x-castway-timestamp']}.${body}`).digest('hex');
      assert.equal(request.headers['x-castway-signature'], `sha256=${signature}`);
      const question = JSON.parse(body);
      operator.asked.push(question);
      const answer = await operator.decide(question);
      response.writeHead(typeof answer === 'number' ? answer : 200, { 'Content-Type': 'application/json' });
      response.end(typeof answer === 'number' ? '' : JSON.stringify(answer));
    });
    operator.http.listen(0, '127.0.0.1');
    await once(operator.http, 'listening');
    return operator;
  }

  get settings() {
    return { CASTWAY_AUTHORIZE_URL: `http://127.0.0.1:${this.http.address().port}/may`, CASTWAY_WEBHOOK_SECRET: SECRET, CASTWAY_CREDENTIALS_RATE: '10000' };
  }

  of(kind) {
    return this.asked.filter((question) => question.kind === kind);
  }

  // Answers about this kind wait until `release` is called with their body; all others are allowed.
  hold(kind) {
    this.decide = (question) => (question.kind === kind ? new Promise((resolve) => this.#held.push(resolve)) : { allow: true });
  }

  async release(answer) {
    await until('a question', () => this.#held.length > 0);
    this.#held.splice(0).forEach((resolve) => resolve(answer));
  }

  close() {
    this.#held.splice(0).forEach((resolve) => resolve(500));
    this.http.closeAllConnections();
    this.http.close();
  }
}
