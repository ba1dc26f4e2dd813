import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** What a journal is to be like that was not recorded but made up, the same for the same figures. */
export interface WrittenJournal {
  readonly directory: string;
  readonly statements: number;
  /** Statements of a session. */
  readonly perSession?: number;
}

const IDENTITIES = 200;
const TABLES = 120;
const SHAPES = 3000;
/** Of agents' statements, so many have a shape that nobody else ever sends. */
const AD_HOC = 0.2;
const SEGMENT_BYTES = 128 * 1024 * 1024;
const WRITE_BYTES = 1024 * 1024;
/** When it begins, and how long it takes, milliseconds since the epoch. */
const BEGIN = Date.UTC(2026, 5, 1);
const DURATION_MS = 7 * 24 * 3_600_000;
const CONNECTIONS = ['orders', 'stock', 'billing', 'archive'];

/**
 * Writes the journal of a week: people, services and agents, most statements of few shapes and a tail of many, some masked, refused,
 * held or failing, most agents' with a trace. Sessions overlap, and outcomes come after other attempts, as they do.
 */
export function writeJournal({ directory, statements, perSession = 50 }: WrittenJournal): void {
  mkdirSync(directory, { recursive: true });
  const random = generator(42);
  const pick = (n: number) => Math.floor(random() * n);
  // Few are frequent.
  const skewed = (n: number) => Math.floor(n * random() ** 3);
  const file = new Segments(directory);
  const hex = (length: number) =>
    Array.from({ length: length / 8 }, () =>
      Math.floor(random() * 2 ** 32)
        .toString(16)
        .padStart(8, '0'),
    ).join('');
  const identities = Array.from({ length: IDENTITIES }, (_, n) => identityOf(n));
  const shapes = Array.from({ length: SHAPES }, (_, n) => shapeOf(n, hex(16)));
  let [left, at] = [statements, BEGIN];
  const open: Session[] = [];
  file.record(at, 'journal.open', { segment: 1, pid: 1 });
  while (left > 0 || open.length > 0) {
    at += (random() * 2 * DURATION_MS) / statements;
    if (left > 0 && open.length < 100 && (open.length === 0 || random() < 2 / perSession)) {
      const identity = identities[skewed(IDENTITIES)]!;
      const session = {
        session: hex(16),
        identity,
        connection: CONNECTIONS[skewed(4)]!,
        statements: 0,
        trace: '',
        traced: 0,
      };
      const length = Math.min(left, Math.max(1, Math.floor(perSession * 2 * random())));
      left -= length;
      open.push({ ...session, length, outcome: null });
      file.record(at, 'session.start', {
        ...{ session: session.session, identity: { ...identity, first: undefined }, connection: session.connection },
        client: { address: `10.0.${pick(256)}.${pick(256)}:${1024 + pick(60000)}`, tls: true },
        claimed: { application_name: identity.kind === 'agent' ? 'agent-runner' : 'psql' },
      });
      continue;
    }
    const which = pick(open.length);
    const session = open[which]!;
    if (session.outcome !== null) {
      file.record(at, 'statement.outcome', session.outcome);
      session.outcome = null;
    }
    const { first, ...identity } = session.identity;
    const who = { session: session.session, identity, connection: session.connection };
    if (session.statements === session.length) {
      open.splice(which, 1);
      file.record(at, 'session.end', { ...who, reason: 'client closed', statements: session.statements, ms: 1000 });
      continue;
    }
    session.statements++;
    const isAgent = session.identity.kind === 'agent';
    const shape =
      isAgent && random() < AD_HOC
        ? shapeOf(first + skewed(100) * SHAPES, hex(16))
        : shapes[(first + skewed(80)) % SHAPES]!;
    if (isAgent && session.traced-- <= 0) [session.trace, session.traced] = [hex(32), pick(12)];
    const fate = random();
    const verdict = shape.write && fate < 0.04 ? 'deny' : shape.write && fate < 0.05 ? 'hold' : 'allow';
    const number = { session: session.session, statement: session.statements };
    const literal = pick(100_000);
    file.record(at, 'statement.attempt', {
      ...{ ...who, statement: session.statements, via: shape.binds ? 'execute' : 'query' },
      ...{ text: shape.text.replace('?', shape.binds ? '$1' : String(literal)), fingerprint: shape.fingerprint },
      ...{ kind: shape.kind, effects: shape.effects, verdict, rules: [shape.rule], rulesVersion: '5f1d0c2ab9e34a71' },
      ...(shape.masked && { masks: ['customer-email'], masked: [2] }),
      ...(isAgent && random() < 0.8 && { claimed: { traceparent: `00-${session.trace}-${hex(16)}-01` } }),
      ...(shape.binds && { binds: [String(literal)] }),
    });
    session.outcome =
      verdict === 'allow'
        ? random() < 0.02
          ? {
              ...number,
              status: 'error',
              sqlstate: ['23505', '40001', '57014'][skewed(3)],
              rows: 0,
              bytes: 0,
              ms: 1.25,
            }
          : {
              ...number,
              status: 'ok',
              tag: shape.write ? 'UPDATE 1' : 'SELECT 3',
              rows: 3,
              bytes: 90 + pick(4000),
              ms: 1 + pick(90_000) / 1000,
            }
        : { ...number, status: 'refused', sqlstate: '42501', by: shape.rule };
  }
  file.close();
}

interface Session {
  readonly session: string;
  readonly identity: ReturnType<typeof identityOf>;
  readonly connection: string;
  readonly length: number;
  statements: number;
  trace: string;
  traced: number;
  outcome: object | null;
}

/** `first`: of the shapes it uses. */
function identityOf(n: number) {
  const first = (n * 37) % SHAPES;
  if (n % 10 === 9) return { first, subject: `person${n}`, kind: 'human', groups: ['dba'] };
  if (n % 10 === 8) return { first, subject: `service${n}`, kind: 'service', groups: ['services'] };
  return {
    first,
    subject: `agent${n}`,
    kind: 'agent',
    groups: ['agents', 'reporting'],
    owner: `person${(n % 20) * 10 + 9}`,
  };
}

function shapeOf(n: number, fingerprint: string) {
  const write = n % 7 === 3;
  const [table, other] = [`public.table${n % TABLES}`, `public.table${(n * 7) % TABLES}`];
  const columns = `id, name, column${n % 40}, column${(n * 3) % 40}`;
  return {
    ...{ fingerprint, write, binds: n % 3 !== 0, masked: n % 11 === 0, kind: write ? 'UPDATE' : 'SELECT' },
    rule: write ? `writes-${n % 3}` : `reads-${n % 5}`,
    text: write
      ? `UPDATE ${table} SET column${n % 40} = 'changed' WHERE id = ?`
      : `SELECT ${columns} FROM ${table} AS a JOIN ${other} AS b USING (id) WHERE a.id = ? ORDER BY name LIMIT 20`,
    effects: write ? [`update ${table} (keyed)`] : [`read ${table} (keyed)`, `read ${other} (open)`],
  };
}

/** mulberry32: the same numbers for the same seed. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Segments {
  readonly #directory: string;
  #fd = -1;
  #number = 0;
  #seq = 0;
  #size = 0;
  #batch = '';

  constructor(directory: string) {
    this.#directory = directory;
  }

  record(at: number, event: string, fields: object): void {
    const time = new Date(at).toISOString();
    if (this.#fd === -1 || this.#size > SEGMENT_BYTES) this.#next(time);
    this.#batch += `{"v":1,"seq":${++this.#seq},"at":"${time}","event":"${event}",${JSON.stringify(fields).slice(1)}\n`;
    if (this.#batch.length > WRITE_BYTES) this.#write();
  }

  close(): void {
    this.#write();
    closeSync(this.#fd);
  }

  #next(time: string): void {
    if (this.#fd !== -1) this.close();
    const name = `journal-${time.replace(/[-:.]/g, '')}-${++this.#number}.jsonl`;
    this.#fd = openSync(join(this.#directory, name), 'w', 0o600);
    this.#size = 0;
  }

  #write(): void {
    this.#size += writeSync(this.#fd, this.#batch);
    this.#batch = '';
  }
}
