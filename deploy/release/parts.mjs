// Adds the npm packages in the pages to the list of crates: node deploy/release/parts.mjs CRATES.json PACKAGES.json
// cargo-cyclonedx makes the first file, the build of the pages (web/licences.ts) the second.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const read = (path) => readFileSync(path, 'utf8');
const [crates, pages] = process.argv.slice(2);
const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
// The folder of this machine is no part of the list.
const bom = JSON.parse(read(crates).replaceAll(root, ''));
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
