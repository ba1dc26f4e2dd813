/** Writes docs/rules.md from the schema: `node src/policy/reference.ts`. A test fails when the two disagree. */

import { writeFileSync } from 'node:fs';
import { DETECTIONS } from '../masking/detectors.ts';
import { EFFECT_CLASSES } from '../statements/facts.ts';
import { FUNCTION_NAMES, type Type, VARIABLES } from './expression-types.ts';
import { type RuleOutline, ruleOutline } from './json-schema.ts';
import { EFFECTS, PREDICATES } from './rule-schema.ts';

const INTRODUCTION = `# The rule language

<!-- Generated from src/policy/ by \`node src/policy/reference.ts\`; change it there. -->

Rules say which statements are allowed, held for approval, and denied. They are YAML files, listed under \`rules:\` in
sluice.yaml; all files together are one rule set, and their order, like the order of rules in a file, never matters.
\`sluice rules check FILE...\` lists everything that is wrong at once, each with line and column. A key or value that is
not in this document is an error, and nothing is put in force as long as there is one.

\`\`\`yaml
# yaml-language-server: $schema=./schema.json
version: 1
rules:
  - id: no-schema-changes
    description: Schema changes go through migrations.
    match:
      connections: [orders-*]
      identities: { groups: [agents] }
      effects: [ddl]
    action: deny
    message: Schema changes go through the migration pipeline.
    hint: Open a migration; this statement cannot pass in any form.
\`\`\`

Read it aloud: *on connections whose name begins with orders-, for members of the group agents, a statement that does DDL is
denied.* The first line lets editors complete and check the file; \`schema.json\` is beside the packs in \`rules/\`.

## How a verdict comes about

1. A statement is read as the server reads it, and everything it does is an *effect* on an object: \`update public.orders\`,
   \`call-function pg_sleep\`, \`set-session search_path\`. It has as many as it has, wherever they hide: in a CTE, in a function's
   argument, behind a view or a trigger.
2. A rule matches an effect if **every key** of \`match\` holds for it, not every key of \`unless\`, and \`if\` is true. The values of a
   list are alternatives. A rule matches a statement if it matches any of its effects.
3. **The strictest action wins:** \`deny\`, then \`hold\`, then \`allow\`. If several rules hold, all their approvals are needed.
4. What no rule matches is decided by \`default:\` of the connection. Where that is \`deny\` or \`hold\`, allow rules together have to
   match **every** effect of the statement, or the default is the verdict. A hold rule asks for approval of what is allowed; it
   allows nothing by itself.
5. A statement without effects, such as \`SELECT 1\`, is allowed.

So a rule can be read alone: adding a deny or hold rule never allows more, adding an allow rule never denies more.

### What is not known

Sluice would rather refuse than guess, so what is not known counts against the statement:

| not known | deny and hold rules | allow rules |
|---|---|---|
| the schema of a name | it matches every schema | only patterns for any schema match: \`orders\`, \`*.orders\`, \`*\` |
| the object, as in code that is run from a string | every pattern matches | only \`*\` matches |
| which columns are touched | every column of the table matches | only \`schema.table.*\` matches |
| the value of an expression: no such claim, no estimate, division by zero | it counts as true | it counts as false |

In \`unless\` it is the other way round: an exception holds only if it certainly does.

### Trying a rule out

\`mode: shadow\` on a rule, or on a file for all of it, records what the rule would have done, and does nothing. \`sluice serve
--shadow\` takes all rules and defaults in that way: to look for some days at what they would refuse before they do.

### What clients see

A refused statement is an ordinary SQL error (PostgreSQL: SQLSTATE 42501) on a connection that lives on. It has the \`message\`
and the \`hint\` of the rule, or plain words about the effect, and says whether sending it again can succeed: \`never\`,
\`after_approval\`, or \`after:\` a time.

## Examples

Updates and deletes have to name their rows; those that do not need two people of the group dba:

\`\`\`yaml
version: 1
rules:
  - id: unbounded-writes
    match: { effects: [update, delete], predicate: [none, tautology, open] }
    action: hold
    approval: { from: { groups: [dba] }, count: 2, within: 15m }
\`\`\`

Nobody writes outside of business hours, except the nightly job until the end of January:

\`\`\`yaml
version: 1
rules:
  - id: business-hours
    match: { effects: [write], outside: { days: mon-fri, hours: "08:00-18:00", zone: Europe/Berlin } }
    unless: { identities: { subjects: nightly-import }, until: 2027-01-31 }
    action: deny
    hint: Send it between 8 and 18 o'clock, Berlin time.
\`\`\`

Agents read three columns of one table and nothing else (on a connection with \`default: deny\`):

\`\`\`yaml
version: 1
rules:
  - id: agents-see-order-status
    match:
      identities: { kind: agent }
      effects: [read]
      columns: [public.orders.id, public.orders.status, public.orders.placed_at]
    action: allow
\`\`\`

Agents have to say what a write is for, and large ones are held:

\`\`\`yaml
version: 1
rules:
  - id: writes-have-an-intent
    match: { identities: { kind: agent }, effects: [write], missing: [intent] }
    action: deny
    hint: Say what it is for, by SET sluice.intent = '...' or in a comment intent='...' at the end of the statement.

  - id: large-writes
    match: { identities: { kind: agent }, effects: [update, delete] }
    if: estimate.rows > 1000 && !("bulk" in identity.groups)
    action: hold
    approval:
      stages:
        - from: { groups: [dba] }
        - from: { groups: [data-owners], subjects: [alice] }
\`\`\`

A budget per identity, and one per statement:

\`\`\`yaml
version: 1
rules:
  - id: customers-by-the-page
    match: { effects: [read], tables: [public.customers] }
    limit: { rows: 1000, per: statement }
    action: deny

  - id: daily-volume
    match: { identities: { kind: agent }, effects: [read] }
    limit: { rows: 100000, bytes: 1GiB, per: 24h }
    action: deny
\`\`\`

Sessions of agents are read-only and cannot be made otherwise:

\`\`\`yaml
version: 1
session:
  - id: agents-read-only-sessions
    match: { identities: { kind: agent } }
    read_only: true
    statement_timeout: 30s
    settings: { search_path: app }
\`\`\`

Personal data:

\`\`\`yaml
version: 1
masks:
  - id: pii
    columns: [public.customers.email, "*.*.ssn", "public.customers.profile:$.card.number"]
    with: { email: keep-domain }
    unless: { identities: { groups: [pii-readers] }, until: 2027-01-31 }
detectors:
  - id: secrets-anywhere
    find: [payment-card, private-key, jwt]
    columns: "*"
    with: redact
\`\`\`

## Packs

\`rules/\` has rule files to start from, each with its tests beside it. Name them under \`rules:\`, or copy them and change them. All of
them can be in force together, in any order; of the two for what agents may do one is enough.

| pack | for | what it does |
|---|---|---|
| \`agents-read-only\` | agents, \`default: deny\` | allows reading, and what drivers and tools do at login and ask of the catalogue; nothing is changed or locked |
| \`agents-guarded-writes\` | agents, \`default: deny\` | the same, and adding rows, and changing or removing rows that the statement names by \`=\` or \`IN\`; 10,000 in an hour |
| \`mysql-agents\` | agents on MySQL and MariaDB, beside one of the two | what drivers and ORMs set at login there, and a limit to what the server shows of itself. MySQL Connector/J needs \`characterSetResults=utf8mb4\` in its URL: without it, it asks for results in the character sets of their columns, which detectors cannot read |
| \`destructive\` | everybody, for \`default: allow\` | refuses writes without WHERE, TRUNCATE, DROP, privileges, other roles, switching protection off, files and programs of the server, what cannot be read |
| \`exfiltration\` | everybody | refuses every way out of the database but the connection, and reading password hashes, others' statements and paths |
| \`pii\` | everybody but the group \`pii-readers\` | masks columns by their usual names, and looks for cards, accounts and keys in all others. To copy from |

What agents' packs allow was tried with Django's \`inspectdb\`, Rails' schema dump, SQLAlchemy, Drizzle, Kysely, TypeORM, Sequelize, Knex
and JDBC's \`DatabaseMetaData\` on PostgreSQL, MariaDB and MySQL, with the queries of Prisma's \`db pull\` on PostgreSQL, and with
those of psql, pg_dump and DBeaver as they stand in their sources. Tools that ask MySQL about a schema do so by the name
they have connected to: name a MySQL connection as its database.

## What this version does not do yet

* What \`limit\` counts is kept in memory: a restart begins anew.
* A mask refuses a statement of which it cannot be told what it shows: those on relations that the catalogue does not have, opaque
  ones, those that call functions that are not known to be pure or procedures, and reads of the statistics the server keeps of
  values (\`pg_stats\`). On MySQL and MariaDB that includes \`CALL\`, \`HANDLER\` and joins by \`USING\` whose columns come in an order that
  the text does not tell.
* What depends on the moment (\`during\`, \`outside\`, \`missing\`, \`until\`, and expressions over \`now\`, \`claimed\`, \`session\`, \`estimate\`,
  \`statement.binds\`) is decided as strictly as it could ever be wherever the moment is not known.
`;

/** docs/rules.md as it should be. */
export function ruleReference(): string {
  const { properties } = ruleOutline;
  const item = (section: string) => properties?.[section]?.items ?? {};
  const rule = item('rules').properties!;
  return [
    INTRODUCTION,
    '## Keys\n',
    keyTable('A rule file', ruleOutline),
    keyTable('A rule', item('rules')),
    keyTable('`match` and `unless` of a rule', rule.unless!),
    '`until` is for `unless` only.\n',
    keyTable('`during` and `outside`', rule.match!.properties!.during!),
    keyTable('`approval`', rule.approval!),
    keyTable('`limit`', rule.limit!),
    keyTable('A session rule', item('session')),
    '`match` and `unless` of session rules, masks and detectors have `connections` and `identities` only, those of masks and detectors `until` as well.\n',
    keyTable('A mask', item('masks')),
    keyTable('A masker, for `with`', item('masks').properties!.with!),
    '`null`, `redact`, `year` and `month` can stand by themselves. `key` is a reference to a secret as in sluice.yaml.\n',
    keyTable('A detector', item('detectors')),
    `\`find\` knows ${DETECTIONS.map(code).join(', ')}.\n`,
    effectsSection(),
    predicatesSection(),
    patternsSection(),
    expressionsSection(),
  ].join('\n');
}

function keyTable(title: string, outline: RuleOutline): string {
  return `### ${title}\n\n| key | type | default | meaning |\n|---|---|---|---|\n${keyRows('', outline).join('\n')}\n`;
}

/** One row for each key, and for each key below one that is nothing but a group of keys. */
function keyRows(prefix: string, outline: RuleOutline): string[] {
  const { properties, required = [] } = objectIn(outline);
  return Object.entries(properties ?? {}).flatMap(([key, inner]) => {
    const name = `${prefix}${key}`;
    const fallback = required.includes(key)
      ? 'required'
      : inner.default === undefined
        ? ''
        : code(String(inner.default));
    const row = `| \`${name}\` | ${typeName(inner)} | ${fallback} | ${inner.description ?? ''} |`;
    const isGroup = key === 'identities' || key === 'from';
    return isGroup ? [row, ...keyRows(`${name}.`, inner)] : [row];
  });
}

function objectIn(outline: RuleOutline): RuleOutline {
  return outline.anyOf?.find(({ properties }) => properties !== undefined) ?? outline;
}

function typeName(outline: RuleOutline): string {
  if (outline.anyOf !== undefined) {
    const list = outline.anyOf.find(({ type }) => type === 'array');
    if (list !== undefined) return `${typeName(list.items ?? {})}, or a list`;
    const names = outline.anyOf.flatMap((one) => typeName(one).split(', '));
    return [...new Set(names)].join(' or ');
  }
  if (outline.enum !== undefined) {
    return outline.enum.length > 10 ? 'name' : outline.enum.map((value) => code(String(value))).join(', ');
  }
  if (outline.const !== undefined) return code(String(outline.const));
  const names: Readonly<Record<string, string>> = {
    array: 'list',
    object: 'keys',
    integer: 'whole number',
    number: 'number',
    boolean: '`true` or `false`',
    null: '`null`',
  };
  return names[outline.type ?? ''] ?? 'text';
}

function effectsSection(): string {
  const classes = Object.entries(EFFECT_CLASSES).map(
    ([name, effects]) => `| \`${name}\` | ${effects.map(code).join(', ')} |`,
  );
  const effects = Object.entries(EFFECTS).map(([name, means]) => `| \`${name}\` | ${means} |`);
  return `## Effects

In \`effects:\` stand names of effects, and names of classes for all effects in them. Where one name is both, it is the class.

| class | effects |
|---|---|
${classes.join('\n')}

| effect | what it is |
|---|---|
${effects.join('\n')}
`;
}

function predicatesSection(): string {
  const rows = Object.entries(PREDICATES).map(([name, means]) => `| \`${name}\` | ${means} |`);
  return `## Predicates

What a WHERE clause proves about the rows of the table that is updated, deleted from or read. What cannot be shown to be
narrower counts as the wider.

| predicate | what it says |
|---|---|
${rows.join('\n')}
`;
}

function patternsSection(): string {
  return `## Patterns

\`*\` stands for any run of characters, none included; everything else stands for itself. Names are compared as the server
resolves them: folded and unquoted, \`public.customers\` for \`"public".CUSTOMERS\`.

| pattern | matches |
|---|---|
| \`customers\` | that table in any schema |
| \`public.customers\` | that one |
| \`hr.*\` | everything in the schema hr |
| \`*\` | everything |
| \`public.customers.email\` | a column |
| \`customers.email\` | a column of that table in any schema |
| \`*.*.ssn\` | that column of any table |
`;
}

function expressionsSection(): string {
  const rows = Object.entries(VARIABLES).flatMap(([name, { type, means }]) => {
    const row = `| \`${name}\` | ${typeWords(type)} | ${means} |`;
    if (typeof type !== 'object' || !('fields' in type)) return [row];
    const fields = Object.entries(type.fields).map(
      ([field, inner]) => `| \`${name}.${field}\` | ${typeWords(inner.type)} | ${inner.means} |`,
    );
    return [row, ...fields];
  });
  return `## Expressions

\`if:\` takes one expression of the [Common Expression Language](https://cel.dev) that is true or false, for what the keys cannot
say. It is checked when the file is read: names, types, and the texts given to ${['matches', 'timestamp', 'duration'].map(code).join(', ')} and for time
zones. Arithmetic, comparisons, \`&&\`, \`||\`, \`!\`, \`? :\`, \`in\` and \`[]\` are as in CEL; functions and macros are
${FUNCTION_NAMES.map(code).join(', ')}.

A claim or setting that is not there makes the expression fail; ask with \`has(claimed.intent)\` or \`"intent" in claimed\` first. An
expression that fails counts as true for deny and hold rules and as false for allow rules. So does one that would take too
long: over a list of more than 200 items, over a text of more than 10,000 characters, or for too many effects.

| variable | type | meaning |
|---|---|---|
${rows.join('\n')}

\`estimate\` is what the planner says at the execution, with the values of its parameters: Sluice asks by EXPLAIN, on a connection of its own, in a transaction that only
reads, and waits a second at most. It asks only about statements that such a rule is about. Not estimated, so that the expression fails, are several statements in one text, statements that
do anything but read, insert, update, delete and merge (calls of functions that are not known to only compute, locks), and what the server does not answer about in time; in MySQL and MariaDB
also writes of other forms than an UPDATE or DELETE of one table. Planners guess: an estimate is for asking people, not for keeping somebody out. In tests it is
\`given.estimate\`, in \`sluice rules explain\` \`--rows\`.
`;
}

function typeWords(type: Type): string {
  if (typeof type === 'string') return type;
  if ('list' in type) return `list of ${typeWords(type.list)}`;
  return 'map' in type ? `map to ${typeWords(type.map)}` : '';
}

function code(text: string): string {
  return `\`${text}\``;
}

if (import.meta.main) {
  writeFileSync(new URL('../../docs/rules.md', import.meta.url), ruleReference());
}
