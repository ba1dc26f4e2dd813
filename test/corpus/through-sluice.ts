import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { decodeDataRow, decodeErrorResponse } from '../../protocols/postgres/backend.ts';
import { encodeCopyDone, encodeQuery, encodeTerminate } from '../../protocols/postgres/frontend.ts';
import { readRuleFiles } from '../../src/policy/load.ts';
import { compileMask } from '../../src/policy/masks.ts';
import { type Login, type Message, RawClient } from '../raw-client.ts';
import { type PostgresServer, startPostgres } from '../servers/postgres.ts';
import { startSluice } from '../sluice.ts';
import type { Answer, LabelledStatement } from './labelled-statement.ts';
import { merged } from './merged-rules.ts';
import { AGENT, loadPostgres } from './offline.ts';

/** The account of the application, which schema files make; where they do not, the superuser stands in. */
const APPLICATION = 'app_user';

const ANSWER_MS = 20_000;

/** What a statement's sender received. */
interface Conversation {
  readonly messages: readonly Message[];
  /** Sluice refused one of the statements before it, so that it does not come to what the label is about. */
  readonly setupRefused: Refusal | null;
}

/**
 * Sends every statement through a running Sluice, each in a session of its own. Those that have to be allowed were sent
 * directly before, twice, on databases with the same content: what differs between these two differs by itself, and
 * everything else has to be the same through Sluice.
 */
export async function sendThroughSluice(
  statements: readonly LabelledStatement[],
  schema: string,
  ruleFiles: readonly string[],
  database: string,
): Promise<Map<string, Answer>> {
  const server = await startPostgres({ config: { log_statement: 'all', log_line_prefix: '[%a] ', timezone: 'UTC' } });
  try {
    const upstream = await prepare(server, schema, database);
    const masked = await maskedValues(server, ruleFiles);
    const allowed = statements.filter(({ expect, accept }) => expect === 'allow' || accept?.includes('allow'));
    const others = statements.filter((one) => !allowed.includes(one));
    /** Puts back what the statement has changed, or would have. */
    const again = (one: LabelledStatement) => (CHANGES.test(one.sql) ? refresh(server, database) : Promise.resolve());
    const direct: Map<string, Conversation>[] = [];
    for (const run of ['first', 'second']) {
      await refresh(server, database);
      direct.push(await converseAll(allowed, upstream, `${run} direct`, again));
    }
    await refresh(server, database);
    const password = randomBytes(12).toString('base64url');
    const sluice = await startSluice({
      connections: [{ name: database, upstream, default: 'deny' }],
      users: [{ name: AGENT.subject, password, kind: AGENT.kind, groups: AGENT.groups }],
      rulesYaml: merged(ruleFiles),
    });
    try {
      const { host, port } = sluice;
      const login = { host, port, user: AGENT.subject, password, database };
      const through = await converseAll(allowed, login, LABEL, again);
      // What is refused changes nothing.
      const refused = await converseAll(others, login, LABEL, () => Promise.resolve());
      for (const [id, conversation] of refused) through.set(id, conversation);
      const reached = entriesByName(server.log());
      return new Map(
        statements.map((one) => {
          const [a, b] = direct.map((conversations) => conversations.get(one.id));
          return [one.id, answerOf(one, through.get(one.id)!, a, b, masked, reached.get(`${LABEL} ${one.id}`) ?? [])];
        }),
      );
    } finally {
      await sluice.stop();
    }
  } finally {
    await server.stop();
  }
}

/** Begins the names of the sessions through Sluice. */
const LABEL = 'through Sluice';

/** Words of statements that change the database; that some of the others have them too costs only time. */
const CHANGES = /\b(insert|update|delete|merge|nextval|setval|truncate|create|drop|alter|copy|call|do)\b/i;

const TEMPLATE = 'labelled_statements_template';

async function prepare(server: PostgresServer, schema: string, database: string): Promise<Login> {
  const { host, port, superuser, password } = server;
  await server.query(`CREATE DATABASE ${TEMPLATE}`);
  await loadPostgres({ host, port, user: superuser, password, database: TEMPLATE }, schema);
  const [role] = await server.query(`SELECT 1 FROM pg_roles WHERE rolname = '${APPLICATION}'`);
  if (role === undefined) return { host, port, user: superuser, password, database };
  const own = randomBytes(12).toString('base64url');
  // A statement that would run for ever and should have been refused must not stop the others.
  await server.query(`ALTER ROLE ${APPLICATION} LOGIN PASSWORD '${own}'`);
  await server.query(`ALTER ROLE ${APPLICATION} SET statement_timeout = '10s'`);
  return { host, port, user: APPLICATION, password: own, database };
}

/** What is in the masked columns, as text: none of it may be in anything that is sent to the agent. */
async function maskedValues(server: PostgresServer, ruleFiles: readonly string[]): Promise<string[]> {
  const patterns = readRuleFiles(ruleFiles).sections.masks.flatMap(({ mask }) =>
    compileMask(mask, false, new Map()).columns.map(({ pattern }) => pattern),
  );
  const { host, port, superuser: user, password } = server;
  const client = new pg.Client({ host, port, user, password, database: TEMPLATE });
  await client.connect();
  try {
    const { rows } = await client.query<{ schema: string; relation: string; name: string }>(
      `SELECT table_schema AS schema, table_name AS relation, column_name AS name FROM information_schema.columns
       JOIN information_schema.tables USING (table_schema, table_name)
       WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')`,
    );
    const values = new Set<string>();
    for (const { schema, relation, name } of rows) {
      const isMasked = patterns.some(
        ({ table, column }) => table.schema.matches(schema) && table.name.matches(relation) && column.matches(name),
      );
      if (!isMasked) continue;
      const [column, from] = [pg.escapeIdentifier(name), [schema, relation].map(pg.escapeIdentifier).join('.')];
      const found = await client.query<{ value: string }>(`SELECT DISTINCT ${column}::text AS value FROM ${from}`);
      // A short value may be anywhere by chance.
      for (const { value } of found.rows) if (value !== null && value.length > 4) values.add(value);
    }
    if (values.size === 0 && patterns.length > 0) throw new Error('the schema has no values in masked columns');
    return [...values];
  } finally {
    await client.end();
  }
}

async function refresh(server: PostgresServer, database: string): Promise<void> {
  const name = pg.escapeIdentifier(database);
  await server.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  await server.query(`CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}`);
}

async function converseAll(
  statements: readonly LabelledStatement[],
  login: Login,
  label: string,
  after: (one: LabelledStatement) => Promise<void>,
): Promise<Map<string, Conversation>> {
  const conversations = new Map<string, Conversation>();
  for (const one of statements) {
    const client = await RawClient.login(login, { application_name: `${label} ${one.id}` });
    try {
      let setupRefused: Refusal | null = null;
      for (const text of one.setup ?? []) setupRefused ??= refusalIn(await converse(client, text));
      conversations.set(one.id, { messages: await converse(client, one.sql), setupRefused });
    } finally {
      client.send(encodeTerminate());
      client.destroy();
    }
    await after(one);
  }
  return conversations;
}

/** Everything the server says to one Query, up to ReadyForQuery or the end of the session. A COPY in gets no rows. */
async function converse(client: RawClient, sql: string): Promise<Message[]> {
  const messages: Message[] = [];
  client.send(encodeQuery(sql));
  while (messages.at(-1)?.type !== 'Z') {
    try {
      messages.push(await client.next(ANSWER_MS));
    } catch (error) {
      if (!client.closed) throw error;
      return messages;
    }
    if (messages.at(-1)?.type === 'G') client.send(encodeCopyDone());
  }
  return messages;
}

interface Refusal {
  readonly verdict: 'hold' | 'deny';
  readonly rule: string;
  readonly message: string;
}

/** Sluice's own error among the messages. */
function refusalIn(messages: readonly Message[]): Refusal | null {
  for (const { type, body } of messages) {
    if (type !== 'E') continue;
    const { message, detail } = decodeErrorResponse(body);
    if (detail?.startsWith('{"sluice":') !== true) continue;
    const { verdict, rule } = JSON.parse(detail).sluice;
    return { verdict, rule, message };
  }
  return null;
}

function answerOf(
  { sql, expect }: LabelledStatement,
  { messages, setupRefused }: Conversation,
  direct: Conversation | undefined,
  again: Conversation | undefined,
  masked: readonly string[],
  reached: readonly string[],
): Answer {
  const received = Buffer.concat(messages.map(({ body }) => body));
  const leaked = masked.some((value) => received.includes(value));
  // What is harmless is so without its setup too; only its answer is another one then.
  const refusal = refusalIn(messages) ?? (expect === 'allow' ? null : setupRefused);
  if (refusal !== null) {
    const did = setupRefused === null && reached.some((entry) => entry.endsWith(sql));
    const fault = did ? 'refused, and reached the server all the same' : null;
    return { action: refusal.verdict, by: [refusal.rule], message: refusal.message, fault, leaked };
  }
  const answer = { action: 'allow', by: [], message: firstError(messages), leaked } as const;
  if (messages.at(-1)?.type !== 'Z') return { ...answer, fault: 'the session ended' };
  if (direct === undefined || again === undefined || setupRefused !== null) return { ...answer, fault: null };
  const [through, a, b] = [messages, direct.messages, again.messages].map((one) =>
    LIVE.test(sql) ? withoutRows(one) : one,
  );
  return { ...answer, fault: differenceOf(through!, a!, b!) };
}

/** What these show are the sessions of the server, and through Sluice there are others than directly. */
const LIVE = /\bpg_(stat_|locks)/i;

function withoutRows(messages: readonly Message[]): Message[] {
  return messages.filter(({ type }) => type !== 'D' && type !== 'C');
}

function firstError(messages: readonly Message[]): string {
  const error = messages.find(({ type }) => type === 'E');
  if (error === undefined) return '';
  const { code, message } = decodeErrorResponse(error.body);
  return `${code}: ${message}`;
}

/** Where the messages differ from those of a direct connection, other than two direct ones differ. */
function differenceOf(
  through: readonly Message[],
  direct: readonly Message[],
  again: readonly Message[],
): string | null {
  const types = (messages: readonly Message[]) => messages.map(({ type }) => type).join('');
  if (types(direct) !== types(again)) return null;
  if (types(through) !== types(direct)) return `answered by ${types(through)}, directly by ${types(direct)}`;
  for (const [index, { type, body }] of through.entries()) {
    const [a, b] = [direct[index]!.body, again[index]!.body];
    if (body.equals(a) || (type !== 'D' && !a.equals(b))) continue;
    if (type !== 'D') return `message ${index} (${type}) is not what it is directly`;
    const [row, rowA, rowB] = [body, a, b].map((bytes) =>
      decodeDataRow(bytes).map((value) => value?.toString() ?? null),
    );
    const differs = row!.findIndex((value, column) => value !== rowA![column] && rowA![column] === rowB![column]);
    if (differs >= 0) return `column ${differs + 1} of a row is ${row![differs]}, directly ${rowA![differs]}`;
  }
  return null;
}

/** What the server logged, by the name of the application. */
function entriesByName(log: string): Map<string, string[]> {
  const entries = new Map<string, string[]>();
  for (const entry of log.split(/^(?=\[)/m)) {
    const [, name, text] = /^\[([^\]]*)\] ([\s\S]*)$/.exec(entry) ?? [];
    if (name === undefined || text === undefined) continue;
    // Lines after the first of a text are indented by a tab.
    const whole = text.replaceAll('\n\t', '\n').trimEnd();
    entries.set(name, [...(entries.get(name) ?? []), whole]);
  }
  return entries;
}
