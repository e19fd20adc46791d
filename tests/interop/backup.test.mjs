// A backup of a live database while other programs write to it, and its way back into a data folder.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { binary, startServer, withServer } from './support/server.mjs';
import { verify } from './support/turn.mjs';
import { until } from './support/wait.mjs';

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

// A copy of a backup that somebody has changed.
function changed(backup, name, change) {
  const file = join(folder, name);
  writeFileSync(file, readFileSync(backup));
  change(file);
  return file;
}

function sql(...statements) {
  const script = 'import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); [d.execute(s) for s in sys.argv[2:]]; d.commit(); d.close()';
  return (file) => execFileSync('python3', ['-c', script, file, ...statements]);
}

function bytes(change) {
  return (file) => writeFileSync(file, change(readFileSync(file)));
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
    const copy = (name, change) => changed(backup, name, change);
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

test('a backup of a stranger that has more than data is refused by name, and nothing of it runs', () =>
  withServer({}, async (server) => {
    const backup = join(folder, 'own.db');
    await done(server, ['backup', backup]);
    const dataDir = join(folder, 'stays');
    await done(server, ['restore', backup, '--data-dir', dataDir]);
    await done(server, ['user', 'add', 'bob', '--generate', '--data-dir', dataDir]);
    const before = readFileSync(join(dataDir, 'castway.db'));
    const many = (count, blob) => `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) INSERT INTO backup_files SELECT 'tls/a' || i || '/account.json', ${blob} FROM n`;
    const file = (name, content) => sql(`INSERT INTO backup_files VALUES (${name}, ${content})`);
    const schema = (set) => sql('PRAGMA writable_schema = ON', `UPDATE sqlite_master SET ${set}`);
    const header = (at, ...values) => bytes((all) => (all.set(values, at), all));
    const hostile = {
      'a trigger': [sql("CREATE TRIGGER spy AFTER UPDATE ON server BEGIN DELETE FROM users; END"), /it has the trigger "spy", which castway does not make/],
      'a view': [sql('ALTER TABLE users RENAME TO kept', 'CREATE VIEW users AS SELECT * FROM kept'), /it has the view "users"/],
      'a view of the steps': [sql('ALTER TABLE _sqlx_migrations RENAME TO kept', 'CREATE VIEW _sqlx_migrations AS SELECT * FROM kept'), /it has the view "_sqlx_migrations"/],
      'a table': [sql('CREATE TABLE more (x)'), /it has the table "more"/],
      'a virtual table': [sql('CREATE VIRTUAL TABLE words USING fts5(x)'), /it has the table "words/],
      'an index': [sql('CREATE INDEX fast ON users (created_at)'), /it has the index "fast"/],
      'a column': [sql('ALTER TABLE users ADD COLUMN spy INTEGER AS (id * 2)'), /its table "users" is not the one that castway makes/],
      'other conditions': [schema("sql = replace(sql, 'enabled IN (0, 1)', 'enabled') WHERE name = 'users'"), /its table "users" is not the one/],
      'no table': [sql('DROP TABLE bans'), /it has no table "bans"/],
      'a gap in the steps': [sql('DELETE FROM _sqlx_migrations WHERE version = 3'), /its schema step 3 is missing/],
      'another step': [sql("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 3"), /schema step 3 of the backup differs/],
      'many files': [sql(many(1001, "x'78'")), /more than 1000 files beside the database/],
      'a long file': [file("'tls/self-signed.pem'", 'zeroblob(1048577)'), /"tls\/self-signed\.pem" has more than 1048576 bytes/, 'DELETE FROM backup_files'],
      'long files': [sql('DELETE FROM backup_files', many(65, 'zeroblob(1048576)')), /the files beside the database have more than 67108864 bytes/],
      'a long name': [file("'tls/' || hex(zeroblob(200)) || '/account.json'", "x'78'"), /a name of more than 300 bytes/],
      'a way out': [file("'tls/../../stolen/account.json'", "x'78'"), /"tls\/\.\.\/\.\.\/stolen\/account\.json", which can't be in a data folder/],
      'an absolute path': [file("'/tmp/account.json'", "x'78'"), /"\/tmp\/account\.json", which can't be/],
      'a foreign file': [file("'tls/.bashrc'", "x'78'"), /"tls\/\.bashrc", which can't be/],
      'a file as folder': [file("'tls/self-signed.pem/account.json'", "x'78'"), /which can't be in a data folder/],
      'a NUL in the schema': [schema("sql = replace(sql, 'STRICT', '/* ' || char(0) || '*/ STRICT') WHERE name = 'users'"), /its schema has a NUL character/],
      'a long schema': [schema("sql = sql || '/*' || hex(zeroblob(5000000)) || '*/' WHERE name = 'keys'"), /whose SQL or name has more than 65536 bytes/],
      'many objects': [sql(...Array.from({ length: 200 }, (_, number) => `CREATE TABLE t${number} (x)`)), /its schema has more than 200 objects/],
      'a long version': [sql("UPDATE backup SET version = hex(zeroblob(1500000))"), /its version is none of castway: one has .* 64 bytes at most/],
      'a version of two lines': [sql("UPDATE backup SET version = '1' || char(10) || 'Restored'"), /its version is none of castway/],
      'a time to come': [sql('UPDATE backup SET made_at = 9223372036854775807'), /was made more than a day after now: set the clock/],
      'a time before all': [sql('UPDATE backup SET made_at = -9223372036854775808'), /was made before 1970/],
      'no number left': [sql('UPDATE sqlite_sequence SET seq = 9223372036854775807'), /no server could run with the backup: it has a last number of a table that leaves none/],
      'an empty key': [sql("UPDATE keys SET value = x''"), /it has a key of the server that has not 32 bytes/],
      'an empty secret': [sql("UPDATE secrets SET value = ''"), /it has a secret of fewer than 16/],
      'a secret of no time': [sql('UPDATE secrets SET created_at = 9223372036854775807'), /it has a time that no clock has shown/],
      'long settings': [sql('UPDATE server SET settings = hex(zeroblob(1000000))'), /it has settings of more than 1 MiB/],
      'a step below 1': [sql('UPDATE _sqlx_migrations SET version = -5 WHERE version = 9'), /a schema step with the number -5, and castway numbers them from 1/],
      'two of a name': [schema("sql = 'CREATE TABLE backup_files (name TEXT, content BLOB NOT NULL) STRICT' WHERE name = 'backup_files'"), /castway does not make|"backup_files" is not the one|damaged/],
      'no end': [bytes((all) => all.subarray(0, all.length - 4096)), /ends early: it has \d+ bytes, and its header says \d+/],
      'only a header': [bytes((all) => all.subarray(0, 100)), /ends early: it has 100 bytes/],
      'half a header': [bytes((all) => all.subarray(0, 60)), /no backup that castway has made/],
      'more bytes': [bytes((all) => Buffer.concat([all, Buffer.alloc(4096)])), /but its header says \d+: it has been changed/],
      'another length': [header(28, 0, 0, 0, 1), /but its header says 4096/],
      'a great length': [header(28, 0xff, 0xff, 0xff, 0xfe), /has 17592186036224 bytes, and the disk of the data folder has \d+ bytes free/],
      'no length': [header(24, 0, 0, 0, 99), /its header does not say how long it is/],
      'another beginning': [header(0, 0x58), /no backup that castway has made/],
    };
    for (const [name, [change, why, first]] of Object.entries(hostile)) {
      const file = changed(backup, 'hostile.db', (path) => {
        if (first) sql(first)(path);
        change(path);
      });
      const { code, stderr } = await server.cli(['restore', file, '--data-dir', dataDir, '--force']);
      assert.equal(code, 1, `${name}: ${stderr}`);
      assert.match(stderr, why, name);
    }
    assert.deepEqual(readFileSync(join(dataDir, 'castway.db')), before, 'the data stays');
    assert.deepEqual(readdirSync(dataDir).filter((name) => /part|restore/.test(name)), [], 'nothing is left behind');
    assert.deepEqual(await users(server, dataDir), ['bob']);
  }));

test('a backup of an older castway is restored', () =>
  withServer({}, async (server) => {
    const backup = join(folder, 'new.db');
    await done(server, ['backup', backup]);
    const script = `
import pathlib, sqlite3, sys
backup, old, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
new, d = sqlite3.connect(backup), sqlite3.connect(old)
sql = lambda name: new.execute('SELECT sql FROM sqlite_master WHERE name = ?', (name,)).fetchone()[0]
d.execute(sql('_sqlx_migrations'))
for path in sorted(pathlib.Path('migrations').glob('*.sql'))[:last]:
    d.executescript(path.read_text())
d.executemany('INSERT INTO _sqlx_migrations VALUES (?, ?, ?, ?, ?, ?)', new.execute('SELECT * FROM _sqlx_migrations WHERE version <= ?', (last,)).fetchall())
for name in ('backup', 'backup_files'):
    d.execute(sql(name))
d.execute("INSERT INTO backup VALUES (1, '0.0.9', 1000000)")
d.execute("INSERT INTO backup_files VALUES ('tls/ca.example.org/account.json', x'7b7d')")
d.execute("INSERT INTO users (name, password_hash, realm, h_a1_md5, h_a1_sha256, created_at, updated_at) VALUES ('old', 'x', 'tv', zeroblob(16), zeroblob(32), 0, 0)")
d.commit()
`;
    const root = join(import.meta.dirname, '../..');
    for (const last of [1, 5, 8]) {
      const old = join(folder, `old-${last}.db`);
      execFileSync('python3', ['-c', script, backup, old, String(last)], { cwd: root });
      const dataDir = join(folder, `from-${last}`);
      assert.match(await done(server, ['restore', old, '--data-dir', dataDir]), /Restored the backup of .* \(castway 0\.0\.9\)/);
      assert.deepEqual(await users(server, dataDir), ['old']);
      assert.equal(readFileSync(join(dataDir, 'tls/ca.example.org/account.json'), 'utf8'), '{}');
      assert.equal(statSync(join(dataDir, 'tls/ca.example.org/account.json')).mode & 0o777, 0o600);
    }
  }));

test('only files of castway are in a backup, and those of somebody else stay where they are', () =>
  withServer({}, async (server) => {
    const mine = join(folder, 'mine.db.part');
    writeFileSync(mine, 'mine');
    await refused(server, ['backup', join(folder, 'mine.db')], /mine\.db\.part can't be made/);
    assert.equal(readFileSync(mine, 'utf8'), 'mine');

    writeFileSync(join(server.dataDir, 'tls/other.pem'), 'of the operator');
    mkdirSync(join(server.dataDir, 'tls/ca.example.org'));
    symlinkSync('/etc/passwd', join(server.dataDir, 'tls/ca.example.org/account.json'));
    writeFileSync(join(server.dataDir, 'tls/ca.example.org/certificate.pem'), 'kept');
    const backup = join(folder, 'files.db');
    await done(server, ['backup', backup]);
    const dataDir = join(folder, 'files');
    mkdirSync(join(dataDir, 'restore.part'), { recursive: true });
    writeFileSync(join(dataDir, 'restore.part/mine'), 'mine');
    await done(server, ['restore', backup, '--data-dir', dataDir]);
    assert.equal(readFileSync(join(dataDir, 'restore.part/mine'), 'utf8'), 'mine');
    assert.equal(readFileSync(join(dataDir, 'tls/ca.example.org/certificate.pem'), 'utf8'), 'kept');
    for (const name of ['tls/other.pem', 'tls/ca.example.org/account.json']) assert.ok(!existsSync(join(dataDir, name)), name);

    sql('CREATE VIEW report AS SELECT name FROM users')(join(server.dataDir, 'castway.db'));
    const unrestorable = join(folder, 'unrestorable.db');
    await refused(server, ['backup', unrestorable], /it has the view "report", which castway does not make/);
    assert.ok(!existsSync(unrestorable), 'a backup that can not be restored is not made');
  }));

test('a restore waits for a lock of somebody else for a while, and what a killed one leaves goes with the next command', () =>
  withServer({}, async (server) => {
    const backup = join(folder, 'locked.db');
    await done(server, ['backup', backup]);
    const dataDir = join(folder, 'locked');
    await done(server, ['restore', backup, '--data-dir', dataDir]);
    const restoring = ['restore', backup, '--data-dir', dataDir, '--force'];
    const hold = 'import fcntl, os, sys; f = os.open(sys.argv[1], 0); fcntl.flock(f, fcntl.LOCK_EX); print("locked", flush=True); sys.stdin.read()';
    const stranger = spawn('python3', ['-c', hold, dataDir], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      await once(stranger.stdout, 'data');
      await refused(server, restoring, /another program holds a lock on the data folder: end it/);
      const parts = () => readdirSync(dataDir).filter((name) => name.endsWith('.part'));
      assert.deepEqual(parts(), []);
      const killed = spawn(binary, restoring, { stdio: 'ignore' });
      await until('the restore has begun', () => parts().length === 1);
      killed.kill('SIGKILL');
      await once(killed, 'exit');
      assert.equal(parts().length, 1, 'nobody was left to remove it');
      // Waits for the end of the process that had the part.
      execFileSync('python3', ['-c', 'import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], 0), fcntl.LOCK_EX)', join(dataDir, parts()[0])]);
      await done(server, ['backup', join(folder, 'after-the-kill.db'), '--data-dir', dataDir]);
      assert.deepEqual(parts(), []);
    } finally {
      stranger.stdin.end();
      await once(stranger, 'close');
    }
    await done(server, restoring);
  }));

test('a new data folder is made where no link leads, and goes where the backup is refused', () =>
  withServer({}, async (server) => {
    const text = join(folder, 'no-backup.db');
    writeFileSync(text, 'this is not a database, whatever its name says\n'.repeat(100));
    const fresh = join(folder, 'fresh');
    await refused(server, ['restore', text, '--data-dir', fresh], /no backup that castway has made/);
    assert.ok(!existsSync(fresh));
    await refused(server, ['restore', text, '--data-dir', join(folder, 'not/there')], /there is no folder .*not: make it/);
    assert.ok(!existsSync(join(folder, 'not')));
    const long = join(folder, `${'x'.repeat(252)}`);
    await done(server, ['backup', long]);
    await done(server, ['restore', long, '--data-dir', fresh]);
    assert.equal(statSync(fresh).mode & 0o777, 0o700);
  }));
