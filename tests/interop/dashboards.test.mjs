// deploy/grafana and deploy/prometheus: every expression of the dashboard has data in Prometheus while a server is in use, and the alerts are
// right.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Allocations } from './support/allocations.mjs';
import { Web } from './support/apprtc.mjs';
import { closeAll, connect } from './support/clients.mjs';
import { pair } from './support/dialects.mjs';
import * as multi from './support/multi.mjs';
import { freePort, onFreePorts } from './support/ports.mjs';
import { Program, run } from './support/process.mjs';
import { withServer } from './support/server.mjs';
import { until } from './support/wait.mjs';

const deploy = fileURLToPath(new URL('../../deploy/', import.meta.url));
const alerts = join(deploy, 'prometheus/alerts.yml');

afterEach(() => Promise.all([closeAll(), multi.closeAll()]));

// Debian's Prometheus, which reads the metrics of `server` every second.
async function withPrometheus(server, body) {
  const folder = mkdtempSync(join(tmpdir(), 'castway-prometheus-'));
  const configuration = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [alerts],
    scrape_configs: [{ job_name: 'castway', static_configs: [{ targets: [server.httpAddr] }] }],
  };
  // JSON is YAML, too.
  writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify(configuration));
  let program;
  try {
    const url = await onFreePorts(async () => {
      const port = await freePort();
      program = new Program('prometheus', [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=127.0.0.1:${port}`, '--log.level=warn']);
      await program.ready(async () => (await fetch(`http://127.0.0.1:${port}/-/ready`)).ok);
      return `http://127.0.0.1:${port}`;
    });
    await body(async (path, parameters = {}) => {
      const answer = await (await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`)).json();
      assert.equal(answer.status, 'success', JSON.stringify(answer));
      return answer.data;
    });
  } finally {
    await program?.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const report = (outcome, more) => ({ outcome, servers: [], local: { host: 1 }, remote: { host: 1 }, ice: 'checking', seconds: 3, ...more });

// A cast that ended, one that failed, one that runs; a call, a room, and packets through the relay.
async function use(server, allocations) {
  const cast = async (outcome, more) => {
    const [tv, caster] = [await connect(server, { label: 'TV' }), await connect(server, { label: 'caster' })];
    await pair(tv, 'A', caster, 'A', {});
    assert.equal((await caster.ask('CAST_REPORT', report(outcome, more))).ok, true);
    return { tv, caster };
  };
  const ended = await cast('connected', { route: 'relay', protocol: 'udp', bytes: 1_000_000 });
  const { caster: failing } = await cast('failed');
  ended.caster.leave();
  assert.equal((await failing.ask('JOIN_ROOM', 'AAAAAA')).ok, false);
  const callers = [new Web(server.url), new Web(server.url)];
  for (const caller of callers) assert.ok(await caller.join('dashboard'));
  const host = await multi.connect(server, 'host');
  assert.deepEqual(await host.ask('open-room', multi.room('dashboard')), [true]);
  return allocations.pair(await (await fetch(`${server.url}/turn?username=dashboard`)).json());
}

test('every panel of the dashboard has data while the server is in use, and no alert fires', () =>
  withServer({}, (server) =>
    withPrometheus(server, async (prometheus) => {
      const allocations = new Allocations(server);
      const [sender, receiver] = await use(server, allocations);
      const traffic = setInterval(() => {
        sender.sendOn(0x4000, Buffer.alloc(500));
        receiver.sendOn(0x4000, Buffer.alloc(500));
      }, 20);
      try {
        const { panels } = JSON.parse(readFileSync(join(deploy, 'grafana/castway.json'), 'utf8'));
        const targets = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));
        assert.ok(targets.length > 30);
        for (const { title, expr } of targets) {
          const query = expr.replaceAll('$__rate_interval', '10s').replaceAll('$job', 'castway').replaceAll('$instance', '.*');
          assert.doesNotMatch(query, /\$/);
          await until(`data of ${title}: ${query}`, async () => {
            const { result } = await prometheus('query', { query });
            return result.length > 0 && result.some(({ value }) => Number.isFinite(Number(value[1])));
          });
        }
        const relayed = await prometheus('query', { query: 'sum(rate(castway_relay_bytes_total[10s]))' });
        assert.ok(Number(relayed.result[0].value[1]) > 0);
        const { groups } = await until('the rules have run', () => prometheus('rules'), ({ groups }) => groups.every(({ rules }) => rules.every(({ health }) => health !== 'unknown')));
        for (const rule of groups.flatMap(({ rules }) => rules)) assert.deepEqual([rule.name, rule.health, rule.state], [rule.name, 'ok', 'inactive']);
      } finally {
        clearInterval(traffic);
        await allocations.close();
      }
    })));

test('the alerts fire when they should, and say what to do', async () => {
  const { code, output } = await run('promtool', ['test', 'rules', join(deploy, 'prometheus/alerts.test.yml')]);
  assert.equal(code, 0, output);
  for (const [kind, file] of [['rules', 'alerts.yml'], ['config', 'prometheus.yml']]) {
    const checked = await run('promtool', ['check', kind, join(deploy, 'prometheus', file)]);
    assert.equal(checked.code, 0, checked.output);
  }
});
