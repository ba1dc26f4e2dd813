/**
 * Every event that a journal can hold, with its fields: `node src/recording/record-schema.ts` writes
 * docs/records.schema.json. A test fails when the two disagree, and the tests that run a whole Sluice check every record it
 * wrote against it: what is not declared here is an error.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';

const time = z.iso.datetime();
const bytes = z.int().min(0);
const count = z.int().min(0);
const milliseconds = z.number().min(0);
const sha256 = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
const session = z
  .string()
  .regex(/^[0-9a-f]{16}$/)
  .describe('The session it belongs to.');
const connection = z.string().describe('The upstream database by its name in sluice.yaml.');
const reason = z.string().describe('Why, in words.');
const identity = z
  .strictObject({
    subject: z.string(),
    kind: z.enum(['human', 'agent', 'service']),
    groups: z.array(z.string()),
    issuer: z
      .string()
      .optional()
      .describe("The identity provider that says so; without it, Sluice's own configuration."),
    owner: z.string().optional().describe('On whose behalf it acts.'),
  })
  .meta({ id: 'identity', description: 'Who it is, verified.' });
const named = z.strictObject({ subject: z.string(), issuer: z.string().optional() });
const by = identity.describe('Who did it.');
const client = z
  .strictObject({ address: z.string(), tls: z.boolean().optional() })
  .meta({ id: 'client', description: 'Where it came from.' });
const node = z.uuid().describe('The node that wrote the journal.');
const segment = z.int().min(1).describe('Number of the segment, as in the name of its file.');

const protocol = z.enum(['postgres', 'mysql']).describe("The wire protocol; `mysql` is MariaDB's as well.");
const claimed = z.record(z.string(), z.string()).describe('What the client says of it; nobody verifies it.');
const statement = z.int().min(1).describe('Number of the statement within its session.');
/** What a statement is and what becomes of it. */
const judged = {
  session,
  identity,
  connection,
  protocol,
  client,
  text: z.string().describe('The statement; what is redacted stands there as `?`.'),
  textLength: z
    .int()
    .min(0)
    .optional()
    .describe('Of the whole text, where only its beginning is kept, UTF-16 code units.'),
  fingerprint: z.string().describe('Equal for statements that differ only in literals; empty if it could not be read.'),
  kind: z.string().describe('`SELECT`, `DELETE`, ...; `OPAQUE` if it could not be read.'),
  effects: z.array(z.string()).describe('What it does to which object.'),
  verdict: z.enum(['allow', 'hold', 'deny']),
  rules: z.array(z.string()).describe('Ids of the rules that led to the verdict.'),
  rulesVersion: z.string().describe('Of the rules it was judged by.'),
  shadow: z.array(z.string()).optional().describe('Shadow rules that would have changed the verdict.'),
  masks: z.array(z.string()).optional().describe('Ids of the masks of its result.'),
  masked: z.array(z.int().min(1)).optional().describe('Columns of the result that are masked, from 1.'),
  claimed: claimed.optional(),
};
const bind = z
  .union([
    z.string(),
    z.null(),
    z.strictObject({ hex: z.string(), bytes: bytes.optional().describe('Of the whole value, where it is longer.') }),
    z.strictObject({ long: bytes }).describe('A value that came in pieces, too long to be kept: its size.'),
    z.strictObject({ use: z.string() }).describe('`DEFAULT`, or the column as it is.'),
    z.strictObject({ masked: z.literal(true) }).describe('Left out.'),
  ])
  .meta({ id: 'bind' });

/** By event: its fields besides those of the frame. */
const EVENTS = {
  'journal.segment': z
    .strictObject({ node, segment })
    .describe('The first record of every file: whose journal it is, and which part of it.'),
  'journal.open': z
    .strictObject({ segment, pid: z.int().min(1), node })
    .describe('Sluice has started. Sessions without an end before it were lost with the process before.'),
  'journal.checkpoint': z
    .strictObject({
      node,
      segment,
      by: z.enum(['interval', 'segment', 'close']).describe('Why now: time, the end of a segment, or of Sluice.'),
      key: z.string().describe('The key that signed it: its JWK thumbprint (RFC 7638).'),
      signature: z
        .string()
        .regex(/^[A-Za-z0-9_-]{86}$/)
        .describe('Ed25519 (RFC 8032) over the bytes of its line before `,"signature":`, in base64url.'),
    })
    .describe('Signs everything before it.'),
  'journal.gap': z
    .strictObject({
      reason,
      bytes: bytes.optional().describe('Of a line that was cut off by a stop in the middle of a write.'),
      failures: count.optional().describe('Writes that failed; no statement of theirs reached a database.'),
      lost: count.optional().describe('Outcomes that could not be kept until the journal could be written again.'),
      notForwarded: z
        .strictObject({ from: z.int().min(1), to: z.int().min(1) })
        .optional()
        .describe(
          'Statements that are attempted in these records did not reach a database: the disk had not taken them.',
        ),
    })
    .describe('Something is not in the journal, or came late.'),
  'journal.removed': z
    .strictObject({
      segment,
      file: z.string(),
      firstSeq: z.int().min(1),
      lastSeq: z.int().min(1),
      reason: z.enum(['age', 'size']),
    })
    .describe('A segment is about to be removed, as the retention says.'),
  'rules.loaded': z
    .strictObject({
      version: z.string(),
      by: z.enum(['start', 'signal', 'file change', 'administrator']),
      mode: z.literal('shadow').optional(),
      was: z.string().optional().describe('The version before.'),
      added: z.array(z.string()).optional(),
      removed: z.array(z.string()).optional(),
      changed: z.array(z.string()).optional(),
    })
    .describe('Rules came into force.'),
  'rules.rejected': z
    .strictObject({
      version: z.string().describe('Stays in force.'),
      by: z.enum(['signal', 'file change', 'administrator']),
      reason,
    })
    .describe('Changed rules were not put in force.'),
  'auth.ok': z
    .strictObject({
      identity,
      connection,
      credential: z.string().optional().describe('The short-lived credential of the login.'),
      client,
    })
    .describe('A client has proved who it is. A session begins once its upstream is connected.'),
  'auth.failed': z
    .strictObject({
      user: z.string().nullable().describe('Who it said it was.'),
      via: z.enum(['api', 'saml', 'slack']).optional().describe('Left out: a client of a database.'),
      client,
      reason,
    })
    .describe('Somebody could not prove who they are, or may not log in.'),
  'protocol.violation': z
    .strictObject({
      session: session.optional().describe('Left out before there is one.'),
      identity: identity.optional(),
      connection: connection.optional(),
      protocol: protocol.optional().describe('Left out before there is a session.'),
      side: z.enum(['client', 'upstream']).describe('Who broke the protocol.'),
      client,
      reason,
    })
    .describe('Bytes that are not what the protocol allows. The connection is ended.'),
  'session.start': z
    .strictObject({
      session,
      identity,
      connection,
      credential: z.string().optional(),
      expires: time.optional().describe('When the identity ends, and the session with it.'),
      client,
      protocol,
      upstream: z
        .strictObject({ host: z.string(), port: z.int(), database: z.string(), pid: z.int().min(0) })
        .describe('The server, and the connection as it knows it.'),
      claimed,
      parameters: z.record(z.string(), z.string()).optional().describe('Start-up parameters of a PostgreSQL client.'),
    })
    .describe('A session begins.'),
  'session.end': z
    .strictObject({ session, identity, connection, protocol, client, reason, statements: count, ms: milliseconds })
    .describe('A session has ended.'),
  'session.killed': z.strictObject({ session, by, reason }).describe('Somebody has a session ended.'),
  'statement.prepare': z
    .strictObject(judged)
    .describe('A text was made ready under a name, and nothing has executed it yet.'),
  'statement.attempt': z
    .strictObject({
      ...judged,
      statement,
      via: z
        .enum(['query', 'parse', 'execute', 'fetch', 'function call', 'command'])
        .describe('The message that brought it.'),
      approval: z.int().min(1).optional().describe('The request for approval by which it may run.'),
      binds: z
        .array(z.union([bind, z.array(bind)]))
        .optional()
        .describe('Its values; of a bulk, a list for each.'),
    })
    .describe('A statement, before it is forwarded or refused.'),
  'statement.result': z
    .strictObject({
      session,
      statement,
      columns: z.array(z.string()),
      rows: z.array(z.array(z.string().nullable())).describe('As the client was sent them, as text.'),
      truncated: z.literal(true).optional().describe('There were more rows, longer ones, or another result.'),
    })
    .describe('What came of a statement, where a rule says `record: results`; before its outcome.'),
  'statement.outcome': z
    .strictObject({
      session,
      statement,
      status: z
        .enum(['ok', 'error', 'refused', 'skipped', 'lost'])
        .describe('`skipped`: the server left it out; `lost`: the session ended before the server said.'),
      sqlstate: z.string().optional(),
      errno: z.int().optional(),
      by: z.string().optional().describe('What refused it: a rule, or a word for what else did.'),
      suspended: z.literal(true).optional().describe('The client took part of the rows and may ask for more.'),
      tag: z.string().optional().describe("PostgreSQL's command tag."),
      affected: count.optional(),
      warnings: count.optional(),
      rows: count.optional(),
      bytes: bytes.optional().describe('Of its result.'),
      ms: milliseconds.optional().describe('From forwarding to its end: what the database and the way to it took.'),
      judgedMs: milliseconds
        .optional()
        .describe('What Sluice took to read and judge it; of several in one message, for all of them.'),
    })
    .describe('How a statement ended.'),
  'approval.requested': z
    .strictObject({
      request: z.int().min(1),
      session,
      identity,
      connection,
      fingerprint: z.string(),
      rules: z.array(z.string()),
      expires: time,
    })
    .describe('A statement waits for people.'),
  'approval.voted': z
    .strictObject({
      request: z.int().min(1),
      voter: named,
      onBehalfOf: z.array(z.string()),
      decision: z.enum(['approve', 'reject', 'break-glass']),
      reason: z.string(),
      channel: z.string(),
      uncounted: z.literal(true).optional().describe('Nobody knew how many rows it would change.'),
      grant: z
        .enum(['once', 'session', 'fingerprint'])
        .optional()
        .describe('How far an approval reaches by this vote, where the rules let it reach further.'),
    })
    .describe('Somebody has voted.'),
  'approval.decided': z
    .strictObject({ request: z.int().min(1), state: z.string(), reason: z.string().optional() })
    .describe('A request was approved or rejected, or has ended otherwise.'),
  'approval.collected': z
    .strictObject({ request: z.int().min(1), session })
    .describe('A grant was used: the statement runs.'),
  'approval.reviewed': z
    .strictObject({ request: z.int().min(1), by, note: z.string() })
    .describe('Somebody has looked at what was approved by breaking the glass.'),
  'approval.delegated': z
    .strictObject({ by, to: z.string(), issuer: z.string(), until: time })
    .describe('Somebody hands over their vote.'),
  'approval.slack': z
    .strictObject({
      channel: z.string(),
      request: z.int().min(1),
      slack: z.strictObject({ team: z.string(), user: z.string() }).describe('Who pressed, as Slack has them.'),
      decision: z.string(),
      outcome: z.enum(['voted', 'opened', 'refused']).describe('`opened`: they were asked for more.'),
      by: by.optional(),
      subject: z.string().optional().describe('Whom Sluice took them for.'),
      reason: reason.optional(),
    })
    .describe('Somebody has pressed a button in Slack.'),
  'approval.undelivered': z
    .strictObject({
      channel: z.string(),
      request: z.int().min(1),
      notice: z.string(),
      delivery: z.string(),
      attempts: count,
      reason,
    })
    .describe('A notice could not be delivered, and is not tried again.'),
  'approval.redelivered': z
    .strictObject({ by, delivery: z.string() })
    .describe('Somebody had a notice sent again that was given up.'),
  'credential.created': z
    .strictObject({
      credential: z.string(),
      identity,
      connections: z.array(z.string()).nullable().describe('`null`: all.'),
      expires: time,
      by,
      client,
    })
    .describe('A short-lived credential was made. Its secret is nowhere.'),
  'credential.revoked': z.strictObject({ credential: z.string(), identity, by, reason }).describe('One was ended.'),
  'identity.locked': z.strictObject({ identity, by, reason }).describe('Nothing of this identity runs any more.'),
  'identity.unlocked': z.strictObject({ identity, by, reason }).describe('A lock was taken back.'),
  'identity.retired': z.strictObject({ identity, by, reason }).describe('Locked for good.'),
  'login.created': z
    .strictObject({ login: z.string(), identity, via: z.literal('saml'), client })
    .describe('Somebody has logged in at the HTTP API.'),
  'login.ended': z.strictObject({ login: z.string(), identity, client }).describe('Somebody has logged out.'),
  'api.refused': z
    .strictObject({ by, client, method: z.string(), route: z.string(), needs: z.string() })
    .describe('Somebody asked the HTTP API for what their roles do not include.'),
} as const;

export type EventName = keyof typeof EVENTS;
/** The fields of an event, without those of the frame. */
export type EventFields<Name extends EventName> = ReadonlyInDepth<z.input<(typeof EVENTS)[Name]>>;

type ReadonlyInDepth<T> = { readonly [Key in keyof T]: ReadonlyInDepth<T[Key]> };

export const EVENT_NAMES = Object.keys(EVENTS) as readonly EventName[];

const frame = {
  v: z
    .literal(1)
    .describe('Version: another one only if what reads this one would misread it, not for further events or fields.'),
  seq: z.int().min(1).describe('Number of the record in the journal of its node: from 1, without gaps.'),
  prev: sha256
    .optional()
    .describe(
      'On the first line of every write: SHA-256, in base64url, of the lines from the one before that has it up to this one.',
    ),
  at: time.describe('When it was written down, UTC.'),
};

const recordSchema = z.discriminatedUnion(
  'event',
  // A cast, since the list is made: each of them has `event`.
  EVENT_NAMES.map((name) => {
    const { shape, description } = EVENTS[name];
    return z.strictObject({ ...frame, event: z.literal(name), ...shape }).describe(description!);
  }) as unknown as [z.ZodObject<{ event: z.ZodLiteral<string> }>],
);

/** docs/records.schema.json as it should be. */
export function recordSchemaText(): string {
  const { $schema, ...rest } = z.toJSONSchema(recordSchema) as Record<string, unknown>;
  return `${JSON.stringify({ $schema, title: 'Records of Sluice', ...rest }, null, 2)}\n`;
}

/** The table of events in docs/recording.md, and what stands around it. */
const TABLE = /(?<=<!-- events -->\n)[\s\S]*(?=<!-- \/events -->)/;

/** docs/recording.md with the table as it should be. @param text the page as it is */
export function withEvents(text: string): string {
  const rows = EVENT_NAMES.map((name) => {
    const fields = Object.entries(EVENTS[name].shape).map(([key, field]) =>
      field.safeParse(undefined).success ? `\`${key}\`?` : `\`${key}\``,
    );
    return `| \`${name}\` | ${fields.join(', ')} | ${EVENTS[name].description} |`;
  });
  return text.replace(TABLE, () => `\n| event | fields | meaning |\n|---|---|---|\n${rows.join('\n')}\n\n`);
}

if (import.meta.main) {
  const docs = new URL('../../docs/', import.meta.url);
  writeFileSync(new URL('records.schema.json', docs), recordSchemaText());
  const page = new URL('recording.md', docs);
  writeFileSync(page, withEvents(readFileSync(page, 'utf8')));
}
