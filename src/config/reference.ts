/** Writes docs/configuration.md from the schema: `node src/config/reference.ts`. A test fails when the two disagree. */

import { writeFileSync } from 'node:fs';
import { configOutline, type Outline, overrideVariables } from './outline.ts';

const INTRODUCTION = `# sluice.yaml

<!-- Generated from src/config/schema.ts by \`node src/config/reference.ts\`; change it there. -->

Sluice reads one file, \`sluice serve --config sluice.yaml\`. A key that is not listed here is an error, and
\`sluice config check\` reports everything that is wrong at once, each with its line and column. Relative paths are
resolved from the directory the file is in.

\`\`\`yaml
listen: { postgres: 127.0.0.1:6432, mysql: 127.0.0.1:6306, api: 127.0.0.1:6480 }
tls: { certificate: ./tls/server.crt, key: ./tls/server.key }
connections:
  - name: orders
    protocol: postgres
    upstream: { host: db1, port: 5432, database: orders, user: app, password: { env: ORDERS_PASSWORD }, tls: verify-full }
    default: deny
  - name: stock
    protocol: mysql
    upstream: { host: db2, database: stock, user: app, password: { env: STOCK_PASSWORD } }
    default: deny
identity:
  users: [{ name: alice, kind: human, groups: [dba], scram: "SCRAM-SHA-256$4096:...", mysql: "$A$005$..." }]
rules: [./rules/agents.yaml]
recording: { directory: ./var/journal, durability: process }
store: sqlite:./var/sluice.db
limits: { sessions: 2000, handshake: 15s, idle: 0s, message: 64MiB, drain: 30s }
log: { level: info }
\`\`\`

Durations are written \`500ms\`, \`15s\`, \`5m\`, \`1h\`, \`7d\`; sizes \`512B\`, \`64KiB\`, \`64MiB\`, \`1GiB\`.

## Secrets

A secret is never written into the file, it is referred to: \`{ env: NAME }\`, \`{ file: PATH }\` or
\`{ command: [PROGRAM, ARGUMENT...] }\`. References are resolved once, when the file is read. One that cannot be resolved
is an error that names the reference and never a value.
`;

/** docs/configuration.md as it should be. */
export function configurationReference(): string {
  const sections = Object.entries(configOutline.properties ?? {}).map(([key, outline]) =>
    section(key, outline, configOutline.required?.includes(key) ?? false),
  );
  return `${INTRODUCTION}\n## Keys\n\n${sections.join('\n')}\n${overridesSection()}`;
}

function section(key: string, outline: Outline, required: boolean): string {
  const rows = keyRows(key, outline);
  const heading = `### \`${key}\`\n\n${outline.description ?? ''}${required ? ' Required.' : ''}\n`;
  if (rows.length === 0) return `${heading}\nType: ${typeName(outline)}. Default: ${defaultText(outline, required)}.\n`;
  return [heading, tableOf(rows), ...shapes(key, outline)].join('\n');
}

function tableOf(rows: readonly string[]): string {
  return `| key | type | default | meaning |\n|---|---|---|---|\n${rows.join('\n')}\n`;
}

/** A table for each shape that the items of a list below `path` can have, named by the key that tells them apart. */
function shapes(path: string, outline: Outline): string[] {
  const { properties, prefix } = fieldsOf(path, outline);
  const below = Object.entries(properties).flatMap(([key, inner]) => shapes(`${prefix}.${key}`, inner));
  const own = (outline.items?.oneOf ?? []).map((shape) => {
    const [key, { const: value, description }] = Object.entries(shape.properties ?? {}).find(
      ([, { const: only }]) => only !== undefined,
    )!;
    const rows = keyRows(`${path}[]`, shape).slice(1);
    return `#### \`${path}\`: \`${key}: ${value}\`\n\n${description}\n\n${tableOf(rows)}`;
  });
  return [...own, ...below];
}

/** One table row for every single value below an object or list. */
function keyRows(path: string, outline: Outline): string[] {
  const { properties, required, prefix } = fieldsOf(path, outline);
  return Object.entries(properties).flatMap(([key, inner]) => {
    const name = `${prefix}.${key}`;
    const isRequired = required.includes(key);
    const deeper = keyRows(name, inner);
    // A reference to a secret is one value to the reader.
    const isSecret = Object.keys(inner.properties ?? {}).join() === 'env,file,command';
    if (deeper.length > 0 && !isSecret) return deeper;
    const type = isSecret ? 'secret' : typeName(inner);
    return [`| \`${name}\` | ${type} | ${defaultText(inner, isRequired)} | ${inner.description ?? ''} |`];
  });
}

function fieldsOf(path: string, outline: Outline) {
  const list = outline.items?.properties !== undefined;
  const object = list ? outline.items! : outline;
  return { properties: object.properties ?? {}, required: object.required ?? [], prefix: list ? `${path}[]` : path };
}

function typeName(outline: Outline): string {
  if (outline.enum !== undefined) return outline.enum.map((value) => `\`${value}\``).join(', ');
  if (outline.const !== undefined) return `\`${outline.const}\``;
  if (outline.title !== undefined) return outline.title;
  if (outline.items?.oneOf !== undefined) return 'list, see below';
  if (outline.type === 'array') return `list of ${typeName(outline.items ?? {})}s`;
  return outline.type === 'integer' ? 'whole number' : 'text';
}

function defaultText(outline: Outline, required: boolean): string {
  if (required) return 'required';
  if (outline.default === undefined) return 'none';
  return `\`${Array.isArray(outline.default) ? '[]' : String(outline.default)}\``;
}

function overridesSection(): string {
  const rows = [...overrideVariables].map(([name, path]) => `| \`${name}\` | \`${path.join('.')}\` |`);
  return `## Environment variables

A single value can be replaced by an environment variable. A variable that begins with \`SLUICE_\` and is not listed here is
an error, except those that Kubernetes sets for a Service (\`SLUICE_SERVICE_HOST\`, \`SLUICE_PORT_6432_TCP\`, ...) and those
that a \`{ env: NAME }\` in the file refers to.

| variable | replaces |
|---|---|
${rows.join('\n')}
`;
}

if (import.meta.main) {
  writeFileSync(new URL('../../docs/configuration.md', import.meta.url), configurationReference());
}
