// A backup of a live database while other programs write to it, and its way back into a data folder.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startServer, withServer } from './support/server.mjs';
import { verify } from './support/turn.mjs';

const folder = mkdtempSync(join(tmpdir(), 'castway-backup-'));
after(() => rmSync(folder, { recursive: true, force: true }));

async function done(server, args, input) {
  const { code, stdout, stderr } = await server.cli(args, input);
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}

async function refused(server, args, why, expected = 1) {
  const { code, stderr } = await server.cli(args);
  assert.equal(code, expected, stderr);
  assert.match(stderr, why);
}

async function users(server, dataDir) {
  return JSON.parse(await done(server, ['user', 'list', '--json', '--data-dir', dataDir])).map(({ name }) => name);
}

test('a backup has the data of one moment, while the server runs and others write', () =>
  withServer({}, async (server) => {
    const added = [];
    let writing = true;
    const write = async (writer) => {
      for (let number = 0; writing; number += 1) {
        const name = `user-${writer}-${number}`;
        await done(server, ['user', 'add', name, '--generate']);
        added.push(name);
      }
    };
    const writers = [0, 1].map(write);
    const backups = [];
    for (let number = 0; number < 3; number += 1) {
      const file = join(folder, `live-${number}.db`);
      const before = [...added];
      assert.match(await done(server, ['backup', file]), /^Wrote .*live-\d\.db \(\d+ KiB\)/);
      backups.push({ file, before });
    }
    writing = false;
    await Promise.all(writers);
    for (const { file, before } of backups) {
      assert.equal(statSync(file).mode & 0o777, 0o600);
      const dataDir = join(folder, `restored-${before.length}-${Math.random()}`);
      await done(server, ['restore', file, '--data-dir', dataDir]);
      const restored = await users(server, dataDir);
      assert.deepEqual(before.filter((name) => !restored.includes(name)), [], 'what was added before the backup is in it');
      assert.deepEqual(restored.filter((name) => !added.includes(name)), []);
    }
    assert.deepEqual(readdirSync(server.dataDir).filter((name) => name.endsWith('.part')), [], 'nothing is left behind');
  }));

test('a restored server has the users, the secrets and the certificate of the backup', async () => {
  const server = await startServer({ CASTWAY_REALM: 'tv' });
  try {
    await server.addUser('alice', 'correct horse');
    const certificate = readFileSync(join(server.dataDir, 'tls/self-signed.pem'), 'utf8');
    const credentials = JSON.parse(await done(server, ['credentials', 'alice']));
    const file = join(folder, 'whole.db');
    await done(server, ['backup', file]);
    await refused(server, ['restore', file], /a server runs with this data folder: stop it/);
    await server.addUser('mallory');
    await server.stop();
    await refused(server, ['restore', file], /has been written to since then.*--force/);
    writeFileSync(join(server.dataDir, 'tls/self-signed.pem'), 'another');
    const said = await done(server, ['restore', file, '--force']);
    const aside = said.match(/The former data is in (.*)\.\n/)[1];
    assert.equal(readFileSync(join(aside, 'tls/self-signed.pem'), 'utf8'), 'another');
    assert.ok((await users(server, aside)).includes('mallory'), 'the former data can be used');
    assert.equal(readFileSync(join(server.dataDir, 'tls/self-signed.pem'), 'utf8'), certificate);
    await server.start();
    assert.deepEqual(await users(server, server.dataDir), ['alice']);
    const at = { port: server.turnPort };
    assert.equal(await verify({ ...at, username: 'alice', password: 'correct horse', realm: 'tv' }), 'allocated');
    assert.equal(await verify({ ...at, username: credentials.username, password: credentials.password }), 'allocated');
  } finally {
    await server.close();
  }
});

test('what is no backup, or one of a newer castway, is refused, and the data stays', () =>
  withServer({}, async (server) => {
    const backup = join(folder, 'plain.db');
    await done(server, ['backup', backup]);
    await refused(server, ['backup', backup], /is there already/);
    await refused(server, ['backup', join(folder, 'none/x.db')], /can't be written/);
    const dataDir = join(folder, 'kept');
    await done(server, ['restore', backup, '--data-dir', dataDir]);
    await done(server, ['user', 'add', 'bob', '--generate', '--data-dir', dataDir]);
    const copy = (name, change) => {
      const file = join(folder, name);
      writeFileSync(file, readFileSync(backup));
      change(file);
      return file;
    };
    const script = 'import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute(sys.argv[2]); d.commit(); d.close()';
    const sql = (statement) => (file) => execFileSync('python3', ['-c', script, file, statement]);
    const restoring = (file) => ['restore', file, '--data-dir', dataDir, '--force'];
    const newer = copy('newer.db', sql("INSERT INTO _sqlx_migrations SELECT 9999, 'x', installed_on, success, checksum, 0 FROM _sqlx_migrations LIMIT 1"));
    await refused(server, restoring(newer), /is of a newer castway: it has schema step 9999/);
    const ordinary = copy('ordinary.db', sql('DROP TABLE backup'));
    await refused(server, restoring(ordinary), /but no backup that castway has made/);
    const escaping = copy('escaping.db', sql("INSERT INTO backup_files VALUES ('tls/../../stolen', x'78')"));
    await refused(server, restoring(escaping), /"tls\/\.\.\/\.\.\/stolen", which can't be in a data folder/);
    const damaged = copy('damaged.db', (file) => {
      const bytes = readFileSync(file);
      bytes.fill(0x55, 4096, bytes.length);
      writeFileSync(file, bytes);
    });
    await refused(server, restoring(damaged), /damaged/);
    const text = join(folder, 'text.db');
    writeFileSync(text, 'this is not a database, whatever its name says\n'.repeat(100));
    await refused(server, restoring(text), /no backup that castway has made/);
    await refused(server, restoring(join(folder, 'nowhere.db')), /nowhere\.db can't be read/);
    await refused(server, restoring(folder), /it is no file/);
    assert.deepEqual(await users(server, dataDir), ['bob']);
    mkdirSync(join(folder, 'empty'));
    await refused(server, ['backup', join(folder, 'y.db'), '--data-dir', join(folder, 'empty')], /there is no castway database/);
  }));
