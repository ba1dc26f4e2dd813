import { type Impact, unknownImpact } from '../approvals/impact.ts';
import { impactOf, reasonOf } from '../approvals/impact-preview.ts';
import type { Question } from '../approvals/request.ts';
import type { RowSample } from '../approvals/row-sample.ts';
import { type ActingAs, ReadOnlyConnections } from '../catalog/read-only-connections.ts';
import type { ConnectionConfig } from '../config/config.ts';
import { type HeldReading, whyNotOnlyReads } from '../gateway/held-reading.ts';
import type { Identity } from '../identity/identity.ts';
import type { RuleSet, Subject } from '../policy/decide.ts';
import type { HoldVerdict, Verdict } from '../policy/verdict.ts';
import { maskSample } from './mask-preview.ts';

/** Rows that approvers are shown. */
const MOST_ROWS = 5;
/** Of one connection so many samples are read at once: each takes a connection of its own. */
const MOST_AT_ONCE = 4;
/** Of one value, in characters; of one that is bytes, in bytes. */
const MOST_CHARACTERS = 200;
const MOST_SHOWN_BYTES = 16;

export interface HeldPreviewServices {
  readonly connection: (name: string) => ConnectionConfig | undefined;
  /** Reads a query about a held statement; see `readHeld`. */
  readonly read: (text: string, question: Question, connection: ConnectionConfig) => Promise<HeldReading>;
  /** The rules in force. */
  readonly rules: () => RuleSet;
}

/** Looks into held statements for who is to approve them, on connections of Sluice's own that only read. */
export class HeldPreview {
  readonly #services: HeldPreviewServices;
  readonly #connections = new ReadOnlyConnections();
  /** Samples that are being read, by the names of their connections. */
  readonly #reading = new Map<string, number>();

  constructor(services: HeldPreviewServices) {
    this.#services = services;
  }

  close(): void {
    this.#connections.close();
  }

  /** Finds out what a statement would do, without running it. Rejects with what the driver throws if the server cannot be asked. */
  async impactOf(question: Question): Promise<Impact> {
    const connection = this.#services.connection(question.binding.connection);
    if (connection === undefined) return unknownImpact('Its connection is not in the configuration any more.');
    const { counting, statement } = question.preview;
    const text = counting ?? statement;
    if (text === null) return unknownImpact('The statement is several, or its values cannot be shown here.');
    const reading = await this.#services.read(text, question, connection);
    const whyNotCounted = counting === null ? null : whyNotOnlyReads(reading);
    // It is kept for everybody who may see requests. What cannot be read may quote anything.
    const withholdsMessages = reading.facts === null || this.#services.rules().mayQuoteMasked(reading.facts, null);
    const { name, protocol, upstream } = connection;
    return this.#connections.run(name, { protocol, ...upstream }, actingAs(question), (server) =>
      impactOf({ question, whyNotCounted, withholdsMessages }, protocol, server),
    );
  }

  /**
   * The first rows that a statement is about, as `viewer` may see them: no more of them than who asks may, by the rules in force.
   * They are read when they are asked for, and kept nowhere.
   */
  async sampleFor(question: Question, viewer: Identity): Promise<RowSample> {
    const none = (why: string): RowSample => ({ columns: null, rows: null, none: why });
    const connection = this.#services.connection(question.binding.connection);
    if (connection === undefined) return none('Its connection is not in the configuration any more.');
    const { sampling = null } = question.preview;
    if (sampling === null) return none('There is no query of the rows that it is about.');
    const reading = await this.#services.read(sampling, question, connection);
    const why = whyNotOnlyReads(reading);
    if (why !== null) return none(`It is not looked at: ${why}.`);
    const facts = reading.facts!;
    const rules = this.#services.rules();
    const subjects = [question.identity, viewer].map((identity) => subjectOf(identity, connection));
    // Of no moment: what is allowed then is allowed at all moments, and no exception from a mask counts.
    const [asked, seen] = subjects.map((subject) => rules.decide(facts, subject, null)) as [Verdict, Verdict];
    // What is held is what is to be approved; who approves it has to be free to read.
    if (asked.action === 'deny') return none(`Who asks may not read them: ${messageOf(asked)}`);
    if (seen.action !== 'allow') return none(`You may not read them: ${messageOf(seen)}`);
    const { name, protocol, upstream } = connection;
    const withholdsMessages = rules.mayQuoteMasked(facts, null);
    const others = this.#reading.get(name) ?? 0;
    if (others >= MOST_AT_ONCE) return none('Too many others look at rows now: open it again.');
    this.#reading.set(name, others + 1);
    try {
      const sample = await this.#connections.run(name, { protocol, ...upstream }, actingAs(question), (server) =>
        server.sample(sampling, MOST_ROWS),
      );
      const masked = [asked, seen].map(({ masks }) => maskSample(protocol, masks, sample, reading.catalogue));
      const mismatch = masked.find((one) => one.mismatch !== null)?.mismatch;
      if (mismatch != null) return none(`The server describes them otherwise than was expected: ${mismatch}.`);
      const [forAsker, forViewer] = masked.map(({ rows }) => rows!);
      return {
        columns: sample.columns,
        rows: sample.rows.map((row, i) =>
          row.map((value, j) => shortened(seenByBoth(value, forAsker![i]![j]!, forViewer![i]![j]!))),
        ),
        none: null,
      };
    } catch (error) {
      return none(`They could not be read: ${reasonOf(error as Error, withholdsMessages)}.`);
    } finally {
      this.#reading.set(name, this.#reading.get(name)! - 1);
    }
  }
}

function subjectOf(identity: Identity, { name, protocol, default: otherwise }: ConnectionConfig): Subject {
  return { identity, connection: name, protocol, default: otherwise };
}

function actingAs({ binding: { role, path, database }, preview: { sqlMode, settings = {} } }: Question): ActingAs {
  return { role, path, database, sqlMode, settings };
}

function messageOf(verdict: Verdict): string {
  return (verdict as HoldVerdict).message;
}

type Value = Buffer | null;

/** What two people are shown of a value, for who may know no more than either: where each is shown another mask of it, NULL. */
function seenByBoth(value: Value, first: Value, second: Value): Value {
  if (isSame(first, second) || isSame(second, value)) return first;
  return isSame(first, value) ? second : null;
}

function isSame(a: Value, b: Value): boolean {
  return a === null || b === null ? a === b : a.equals(b);
}

/** Text of a value; of what is no text the first bytes, in hexadecimal digits. */
function shortened(value: Value): string | null {
  if (value === null) return null;
  const text = value.toString('utf8');
  const isText = Buffer.from(text, 'utf8').equals(value);
  if (!isText) return hexOf(value.toString('hex', 0, MOST_SHOWN_BYTES), value.length);
  // PostgreSQL's bytea.
  if (/^\\x(?:[0-9a-f]{2})*$/.test(text)) return hexOf(text.slice(2, 2 + 2 * MOST_SHOWN_BYTES), (text.length - 2) / 2);
  if (text.length <= MOST_CHARACTERS) return text;
  return `${text.slice(0, MOST_CHARACTERS).replace(/[\ud800-\udbff]$/, '')}... (${text.length} characters)`;
}

function hexOf(digits: string, bytes: number): string {
  return `0x${digits}${digits.length < 2 * bytes ? `... (${bytes} bytes)` : ''}`;
}
