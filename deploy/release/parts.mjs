// Makes the list of parts from the list of crates and that of the npm packages in the pages:
// node deploy/release/parts.mjs CRATES.json PACKAGES.json TARGET
// cargo-cyclonedx makes the first file, the build of the pages (web/licences.ts) the second.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { linked } from './crates.mjs';

const read = (path) => readFileSync(path, 'utf8');
const [crates, pages, target] = process.argv.slice(2);
const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
// The folder of this machine is no part of the list.
const bom = JSON.parse(read(crates).replaceAll(root, ''));
// cargo-cyclonedx lists crates that no feature turns on, and those that only the compiler runs.
const inProgram = linked(target);
const dropped = new Set(bom.components.filter(({ name, version }) => !inProgram.has(`${name} ${version}`)).map((part) => part['bom-ref']));
bom.components = bom.components.filter((part) => !dropped.has(part['bom-ref']));
bom.dependencies = bom.dependencies.filter(({ ref }) => !dropped.has(ref));
for (const each of bom.dependencies) each.dependsOn = each.dependsOn?.filter((ref) => !dropped.has(ref));
// purl-spec: the @ of a scope is encoded, and the slash behind it is not.
const purl = ({ name, version }) => `pkg:npm/${name.replace('@', '%40')}@${version}`;
const packages = JSON.parse(read(pages)).map((part) => ({
  type: 'library', 'bom-ref': purl(part), name: part.name, version: part.version, scope: 'required', licenses: [{ expression: part.licence }], purl: purl(part),
}));
bom.components.push(...packages);
const program = bom.dependencies.find(({ ref }) => ref === bom.metadata.component['bom-ref']);
program.dependsOn.push(...packages.map((part) => part['bom-ref']));
bom.dependencies.push(...packages.map((part) => ({ ref: part['bom-ref'] })));
console.log(JSON.stringify(bom, null, 2));
