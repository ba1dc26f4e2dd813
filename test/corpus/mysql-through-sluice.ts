import { randomBytes } from 'node:crypto';
import mysql from 'mysql2/promise';
import { SERVER_STATUS } from '../../protocols/mysql/capabilities.ts';
import { encodeComStmtPrepare } from '../../protocols/mysql/commands.ts';
import { encodePackets } from '../../protocols/mysql/framing.ts';
import { encodeComStmtExecute } from '../../protocols/mysql/parameters.ts';
import { PayloadReader } from '../../protocols/mysql/payload-reader.ts';
import { decodeErr } from '../../protocols/mysql/responses.ts';
import { readRuleFiles } from '../../src/policy/load.ts';
import { compileMask } from '../../src/policy/masks.ts';
import { comQuery, RawMysqlClient } from '../raw-mysql-client.ts';
import { startMariadb } from '../servers/mariadb.ts';
import { startMysql } from '../servers/mysql.ts';
import type { MysqlFamilyServer } from '../servers/mysql-family.ts';
import { startSluice } from '../sluice.ts';
import type { Answer, LabelledStatement } from './labelled-statement.ts';
import { merged } from './merged-rules.ts';
import { AGENT, mysqlSchema } from './offline.ts';

/**
 * Sends every statement through a running Sluice, each in a session of its own: those that only MySQL has to a MySQL, all
 * others to a MariaDB. Those that have to be allowed were sent directly before, twice: what differs between these two differs
 * by itself, and everything else has to be the same through Sluice. What is refused must not be in the server's general log.
 */
export async function sendMysqlThroughSluice(
  statements: readonly LabelledStatement[],
  schema: string,
  ruleFiles: readonly string[],
): Promise<Map<string, Answer>> {
  const onMysql = statements.filter(({ server }) => server === 'mysql8');
  const onMariadb = statements.filter((one) => !onMysql.includes(one));
  const answers = new Map<string, Answer>();
  for (const [start, some] of [
    [startMariadb, onMariadb],
    [startMysql, onMysql],
  ] as const) {
    if (some.length === 0) continue;
    const server = await start();
    if (server === null) throw new Error('a server that the statements need cannot be had');
    try {
      for (const [id, answer] of await sendAll(server, some, schema, ruleFiles)) answers.set(id, answer);
    } finally {
      await server.stop();
    }
  }
  return answers;
}

async function sendAll(
  server: MysqlFamilyServer,
  statements: readonly LabelledStatement[],
  schema: string,
  ruleFiles: readonly string[],
): Promise<Map<string, Answer>> {
  const { databases, statements: ddl } = mysqlSchema(schema);
  const database = databases[0] ?? server.database;
  const refresh = () => load(server, databases, database, ddl);
  await refresh();
  const masked = await maskedValues(server, ruleFiles, databases);
  const allowed = statements.filter(({ expect, accept }) => expect === 'allow' || accept?.includes('allow'));
  const others = statements.filter((one) => !allowed.includes(one));
  /** Puts back what the statement has changed, or would have. */
  const again = (one: LabelledStatement) => (CHANGES.test(one.sql) ? refresh() : Promise.resolve());
  const { host, port, superuser: user, password } = server;
  const upstream = { host, port, database, user, password };
  const direct: Map<string, Conversation>[] = [];
  for (const _run of ['first', 'second']) {
    direct.push(await converseAll(allowed, { port, user, password, database }, again));
    await refresh();
  }
  const secret = randomBytes(12).toString('base64url');
  const sluice = await startSluice({
    connections: [{ name: database, protocol: 'mysql', upstream, default: 'deny' }],
    users: [{ name: AGENT.subject, password: secret, kind: AGENT.kind, groups: AGENT.groups }],
    rulesYaml: merged(ruleFiles),
  });
  try {
    const login = { port: sluice.mysqlPort, user: AGENT.subject, password: secret, database };
    await server.query("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON");
    const through = await converseAll(allowed, login, again);
    await refresh();
    await server.query('SET GLOBAL general_log = OFF; TRUNCATE mysql.general_log; SET GLOBAL general_log = ON');
    // What is refused changes nothing.
    for (const [id, conversation] of await converseAll(others, login, () => Promise.resolve()))
      through.set(id, conversation);
    const log = await server.query('SELECT CONVERT(argument USING utf8mb4) AS said FROM mysql.general_log');
    const reached = new Set(log.map(({ said }) => String(said)));
    return new Map(
      statements.map((one) => {
        const [a, b] = direct.map((conversations) => conversations.get(one.id));
        return [one.id, answerOf(one, through.get(one.id)!, a, b, masked, reached.has(one.sql))];
      }),
    );
  } finally {
    await sluice.stop();
  }
}

/** Words of statements that change the database; that some of the others have them too costs only time. */
const CHANGES = /\b(insert|update|delete|replace|truncate|create|drop|alter|load|call|do|rename|analyze)\b/i;

const ER_PARSE_ERROR = 1064;

async function load(
  server: MysqlFamilyServer,
  databases: readonly string[],
  database: string,
  ddl: readonly string[],
): Promise<void> {
  for (const name of databases) await server.query(`DROP DATABASE IF EXISTS ${name}; CREATE DATABASE ${name}`);
  const { host, port, superuser: user, password } = server;
  const client = await mysql.createConnection({ host, port, user, password, database });
  try {
    for (const statement of ddl) {
      // A schema for both kinds of server may have what only one of them can parse.
      await client.query(statement).catch((error: mysql.QueryError) => {
        if (error.errno !== ER_PARSE_ERROR) throw error;
      });
    }
  } finally {
    await client.end();
  }
}

/** What is in the masked columns, as text: none of it may be in anything that is sent to the agent. */
async function maskedValues(
  server: MysqlFamilyServer,
  ruleFiles: readonly string[],
  databases: readonly string[],
): Promise<string[]> {
  const patterns = readRuleFiles(ruleFiles).sections.masks.flatMap(({ mask }) =>
    compileMask(mask, false, new Map()).columns.map(({ pattern }) => pattern),
  );
  const columns = await server.query(
    `SELECT c.table_schema AS s, c.table_name AS t, c.column_name AS c FROM information_schema.columns c
     JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
     WHERE t.table_type = 'BASE TABLE' AND c.table_schema IN (${databases.map((name) => `'${name}'`).join(', ')})`,
  );
  const values = new Set<string>();
  for (const { s, t, c } of columns) {
    const [schema, relation, name] = [String(s), String(t), String(c)];
    const isMasked = patterns.some(
      ({ table, column }) => table.schema.matches(schema) && table.name.matches(relation) && column.matches(name),
    );
    if (!isMasked) continue;
    const rows = await server.query(
      `SELECT DISTINCT CAST(\`${name}\` AS CHAR) AS v FROM \`${schema}\`.\`${relation}\``,
    );
    // A short value may be anywhere by chance.
    for (const { v } of rows) if (v !== null && String(v).length > 4) values.add(String(v));
  }
  if (values.size === 0 && patterns.length > 0) throw new Error('the schema has no values in masked columns');
  return [...values];
}

interface Login {
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** What a statement's sender received. */
interface Conversation {
  readonly payloads: readonly Buffer[];
  /** The same as a prepared statement, if it is one that should show nothing, or only what masks make of it. */
  readonly prepared: readonly Buffer[];
  readonly ended: boolean;
  readonly refusal: Refusal | null;
  /** Sluice refused one of the statements before it, so that it does not come to what the label is about. */
  readonly setupRefused: Refusal | null;
}

interface Refusal {
  readonly verdict: 'hold' | 'deny';
  readonly rule: string;
  readonly message: string;
}

async function converseAll(
  statements: readonly LabelledStatement[],
  login: Login,
  after: (one: LabelledStatement) => Promise<void>,
): Promise<Map<string, Conversation>> {
  const conversations = new Map<string, Conversation>();
  for (const one of statements) {
    const client = await RawMysqlClient.login(login.port, login);
    try {
      let setupRefused: Refusal | null = null;
      for (const text of one.setup ?? []) setupRefused ??= (await converse(client, text)).refusal;
      const conversation = await converse(client, one.sql);
      const prepared = one.expect === 'allow' || conversation.ended ? [] : await conversePrepared(client, one.sql);
      conversations.set(one.id, { ...conversation, prepared, setupRefused });
    } finally {
      client.close();
    }
    await after(one);
  }
  return conversations;
}

/** Everything the server says to one COM_QUERY, and whether it was Sluice who refused it. */
async function converse(client: RawMysqlClient, sql: string): Promise<Omit<Conversation, 'setupRefused' | 'prepared'>> {
  try {
    client.send(comQuery(sql));
    const payloads = await answer(client);
    let refusal: Refusal | null = null;
    if (payloads.at(-1)![0] === 0xff) {
      client.send(comQuery('SHOW WARNINGS'));
      refusal = refusalIn(await answer(client));
    }
    return { payloads, ended: false, refusal };
  } catch (error) {
    if (!client.ended) throw error;
    return { payloads: [], ended: true, refusal: null };
  }
}

/** Everything the server says to the same text that is prepared and, if it has no parameters, executed. */
async function conversePrepared(client: RawMysqlClient, sql: string): Promise<Buffer[]> {
  try {
    client.send(encodePackets(encodeComStmtPrepare(Buffer.from(sql)), 0));
    const { payload: first } = await client.packet();
    if (first[0] === 0xff) return [first];
    const [columns, parameters] = [first.readUInt16LE(5), first.readUInt16LE(7)];
    const payloads = [first];
    for (const count of [parameters, columns]) {
      for (let i = 0; i < count + Math.min(count, 1); i++) payloads.push((await client.packet()).payload);
    }
    if (parameters > 0) return payloads;
    const execute = { statementId: first.readUInt32LE(1), flags: 0, typesSent: true, parameters: [] };
    client.send(encodePackets(encodeComStmtExecute(execute, 0, client.capabilities), 0));
    return [...payloads, ...(await answer(client))];
  } catch (error) {
    if (!client.ended) throw error;
    return [];
  }
}

/** The payloads of one answer, without CLIENT_DEPRECATE_EOF. */
async function answer(client: RawMysqlClient): Promise<Buffer[]> {
  const payloads: Buffer[] = [];
  const take = async () => {
    const { payload } = await client.packet();
    payloads.push(payload);
    return payload;
  };
  for (;;) {
    const first = await take();
    if (first[0] === 0xff) return payloads;
    let status: number;
    if (first[0] === 0) {
      const reader = new PayloadReader('OK', first);
      reader.int1();
      reader.lenencInt();
      reader.lenencInt();
      status = reader.int2();
    } else {
      for (let ends = 0; ; ) {
        const next = await take();
        if (next[0] === 0xff) return payloads;
        if (next[0] !== 0xfe || next.length >= 9) continue;
        ends += 1;
        if (ends === 2) break;
      }
      status = payloads.at(-1)!.readUInt16LE(3);
    }
    if ((status & SERVER_STATUS.moreResultsExist) === 0) return payloads;
  }
}

/** Sluice's own words among the rows of SHOW WARNINGS. */
function refusalIn(payloads: readonly Buffer[]): Refusal | null {
  const texts = payloads.map((payload) => payload.toString('utf8'));
  const found = texts.map((text) => /\{"sluice":\{.*\}\}/.exec(text)?.[0]).find((json) => json !== undefined);
  if (found === undefined) return null;
  const { verdict, rule } = JSON.parse(found).sluice;
  return { verdict, rule, message: '' };
}

function answerOf(
  { sql, expect }: LabelledStatement,
  { payloads, prepared, ended, refusal: own, setupRefused }: Conversation,
  direct: Conversation | undefined,
  again: Conversation | undefined,
  masked: readonly string[],
  reached: boolean,
): Answer {
  const received = [...payloads, ...prepared];
  // A definition may be named after what its own statement says.
  const leaked = masked.some((value) =>
    received.some((payload) => payload.includes(value) && !(sql.includes(value) && isDefinition(payload))),
  );
  // What is harmless is so without its setup too; only its answer is another one then.
  const refusal = own ?? (expect === 'allow' ? null : setupRefused);
  const said = firstError(payloads);
  if (refusal !== null) {
    const did = setupRefused === null && expect !== 'allow' && reached;
    const fault = did ? 'refused, and reached the server all the same' : null;
    return { action: refusal.verdict, by: [refusal.rule], message: said, fault, leaked };
  }
  const answer = { action: 'allow', by: [], message: said, leaked } as const;
  if (ended) return { ...answer, fault: 'the session ended' };
  if (direct === undefined || again === undefined || setupRefused !== null) return { ...answer, fault: null };
  if (LIVE.test(sql)) return { ...answer, fault: null };
  return { ...answer, fault: differenceOf(payloads, direct.payloads, again.payloads) };
}

function isDefinition(payload: Buffer): boolean {
  return payload.length > 4 && payload.toString('latin1', 0, 4) === '\x03def';
}

/** What these show are the sessions of the server, and through Sluice there are others than directly; or it is chance. */
const LIVE =
  /\brand\s*\(|processlist|connection_id|\buser\s*\(|current_user|show\s+(global\s+|session\s+)?(status|variables)|engine\b.*status/i;

function firstError(payloads: readonly Buffer[]): string {
  const error = payloads.find((payload) => payload[0] === 0xff);
  if (error === undefined) return '';
  const { code, message } = decodeErr(error);
  return `${code}: ${message}`;
}

/** Where the payloads differ from those of a direct connection, other than two direct ones differ. */
function differenceOf(through: readonly Buffer[], direct: readonly Buffer[], again: readonly Buffer[]): string | null {
  if (direct.length !== again.length) return null;
  if (through.length !== direct.length) return `answered by ${through.length} packets, directly by ${direct.length}`;
  const at = through.findIndex((payload, i) => !payload.equals(direct[i]!) && direct[i]!.equals(again[i]!));
  // Rows that nothing orders may come in any order.
  if (at < 0 || isSame(sorted(through), sorted(direct))) return null;
  return `packet ${at} is ${JSON.stringify(through[at]!.toString('latin1'))}, directly ${JSON.stringify(direct[at]!.toString('latin1'))}`;
}

function sorted(payloads: readonly Buffer[]): Buffer[] {
  return payloads.toSorted(Buffer.compare);
}

function isSame(a: readonly Buffer[], b: readonly Buffer[]): boolean {
  return a.every((payload, i) => payload.equals(b[i]!));
}
