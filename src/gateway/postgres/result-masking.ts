import { decodeRowDescription } from '../../../protocols/postgres/backend.ts';
import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';
import type { MaskPlan } from '../../policy/mask-plan.ts';
import type { CatalogueLookup } from '../../statements/catalogue.ts';
import type { JudgedStatement } from '../judge.ts';
import { RecordedResults } from '../recorded-results.ts';
import { type MessageSink, RewriteBuffer, RowTooLarge } from '../rewrite-buffer.ts';
import { resultFormatsOf } from './binds.ts';
import { CopyMasker } from './masked-copy.ts';
import { type CompiledResult, compileCopy, compileResult, type ResultSettings } from './masked-results.ts';
import { RowInPieces, RowMasker } from './masked-rows.ts';
import type { Portal } from './pipeline.ts';
import { CopyRecorder } from './recorded-copy.ts';
import { RowRecorder } from './recorded-rows.ts';

/** Copied rows up to this size are put together before they are rewritten, bytes. */
const LARGEST_COPIED = 16 * 1024 * 1024;

/** Shared by all sessions: what is written to it is staged at once, and the next one writes behind it. */
const ROOM = new RewriteBuffer();

/**
 * Masks what the server returns for one execution. In the simple protocol each result is described before its rows; in the
 * extended protocol the description is that of the portal, or of its statement with the formats of the Bind.
 *
 * Methods that begin or go on with a result return why nothing of it may be sent, or `null`.
 */
export class ResultMasking {
  readonly #statements: readonly JudgedStatement[];
  readonly #portal: Portal | null;
  readonly #sink: MessageSink;
  /** Where rows go: to the client, and what is recorded of them to where that is gathered. */
  #rowSink: MessageSink;
  /** What of the results is recorded; `null` if nothing is. */
  readonly results: RecordedResults | null;
  /** The body of the RowDescription that we have asked for. */
  description: Buffer | null = null;
  /** How the rows that come in are rewritten; `null` if they stay as they are, or it is not known yet. */
  rows: RowMasker | null = null;
  /** True once it is known how the rows of the result that comes in are rewritten. */
  isReady = false;
  #copy: CopyMasker | null = null;
  /** Where copied rows go if they do not just pass: to the client, and to what is recorded. */
  #copySink: MessageSink | null = null;
  #pieces: RowInPieces | null = null;
  /** Bytes still to come of the row that came in pieces. */
  #left = 0;
  /** What has come of a copied row that comes in pieces. */
  #copied: Buffer[] | null = null;
  #copiedBytes = 0;

  private constructor(statements: readonly JudgedStatement[], portal: Portal | null, sink: MessageSink) {
    this.#statements = statements;
    this.#portal = portal;
    this.#sink = sink;
    this.#rowSink = sink;
    this.results = RecordedResults.of(statements);
  }

  /** @returns `null` if no mask and no detector is for whoever sent the statements, and no rule wants their results recorded */
  static of(statements: readonly JudgedStatement[], portal: Portal | null, sink: MessageSink): ResultMasking | null {
    return statements.some(isLookedAt) ? new ResultMasking(statements, portal, sink) : null;
  }

  /** True if what rows look like has to be asked before they come: nobody has asked, and nobody is about to. */
  needsDescription(segment: number): boolean {
    const portal = this.#portal;
    const known =
      portal !== null &&
      (portal.description !== null || portal.describedIn === segment || portal.prepared.description !== null);
    return !known && this.#statements.some(({ facts }) => facts.outputs === undefined || facts.outputs.length > 0);
  }

  #planOf(statement: number): MaskPlan | null {
    return this.#statements[Math.min(statement, this.#statements.length - 1)]!.verdict.masks;
  }

  // --- Rows --------------------------------------------------------------------------------------------------------

  /** A RowDescription of the simple protocol. @param statement position of the statement whose result it is */
  described(
    statement: number,
    description: Buffer,
    catalogue: CatalogueLookup | null,
    settings: ResultSettings,
  ): string | null {
    const plan = this.#planOf(statement);
    const failure = this.#begin(
      plan === null ? { rows: null, mismatch: null } : compileResult(plan, description, catalogue, settings),
    );
    if (failure === null && this.results !== null) this.#record(statement, description, this.results);
    return failure;
  }

  /** Has the rows pass one by one, if they are recorded. */
  #record(statement: number, description: Buffer, results: RecordedResults): void {
    const fields = decodeRowDescription(description);
    this.#rowSink = this.#sink;
    if (
      !results.begin(
        statement,
        fields.map(({ name }) => name),
      )
    )
      return;
    this.#rowSink = new RowRecorder(this.#sink, results, fields);
    this.rows ??= new RowMasker(fields.map(() => null));
  }

  /** The first row of the extended protocol. */
  firstRow(catalogue: CatalogueLookup | null, settings: ResultSettings): string | null {
    const description = this.description ?? this.#portal?.description ?? this.#withFormats();
    if (description === null) return 'rows came that nothing has described';
    return this.described(0, description, catalogue, settings);
  }

  #withFormats(): Buffer | null {
    const description = this.#portal?.prepared.description ?? null;
    if (description === null || this.#portal === null) return null;
    const { bytes, at, end } = this.#portal;
    return inFormats(description, resultFormatsOf(bytes, at, end));
  }

  #begin({ rows, mismatch }: CompiledResult): string | null {
    this.rows = rows;
    this.isReady = mismatch === null;
    return mismatch;
  }

  /** The result is complete: the next one begins with its own description. */
  completed(): void {
    this.rows = null;
    this.isReady = false;
    this.#copy = null;
    this.#copySink = null;
  }

  row(bytes: Buffer, start: number, end: number): void {
    this.rows!.dataRow(bytes, start, end, ROOM, this.#rowSink);
  }

  /** Rows as they come: the rest of one that was cut off, whole ones, the beginning of one. */
  run(bytes: Buffer, start: number, end: number): string | null {
    let at = start;
    if (this.#left > 0) {
      at = Math.min(end, start + this.#left);
      const failure = this.rowPiece(bytes, start, at, false, at - start === this.#left);
      if (failure !== null) return failure;
    }
    const masker = this.rows!;
    while (at < end) {
      const next = at + 1 + bytes.readInt32BE(at + 1);
      if (next > end) return this.rowPiece(bytes, at, end, true, false);
      masker.dataRow(bytes, at, next, ROOM, this.#rowSink);
      at = next;
    }
    return null;
  }

  rowPiece(bytes: Buffer, start: number, end: number, opens: boolean, closes: boolean): string | null {
    if (opens) this.#left = bytes.readInt32BE(start + 1) + 1;
    this.#left -= end - start;
    if (opens) this.#pieces = new RowInPieces(this.rows!, ROOM, this.#rowSink);
    try {
      this.#pieces!.piece(bytes, start, end, closes);
    } catch (error) {
      if (error instanceof RowTooLarge) return 'a row is too large to be masked';
      throw error;
    }
    return null;
  }

  // --- COPY TO STDOUT ----------------------------------------------------------------------------------------------

  /** A CopyOutResponse. @param columns how many there are */
  copyOut(
    statement: number,
    columns: number,
    catalogue: CatalogueLookup | null,
    settings: ResultSettings,
  ): string | null {
    const plan = this.#planOf(statement);
    const { copyOut: format, outputs = [] } = this.#statements[Math.min(statement, this.#statements.length - 1)]!.facts;
    this.#copySink = null;
    if (format === undefined) {
      if (plan !== null) return 'it is not known how the copy is written';
      if (this.results?.begin(statement, [])) this.results.cut();
      return null;
    }
    const names = Array.from({ length: columns }, (_, i) =>
      outputs.length === columns ? outputs[i]!.name : '?column?',
    );
    if (this.results?.begin(statement, names)) this.#copySink = new CopyRecorder(this.#sink, this.results, format);
    if (plan === null) return null;
    const { rows, mismatch } = compileCopy(plan, format, columns, catalogue, settings);
    this.#copy = rows === null ? null : new CopyMasker(format, rows, this.#copySink ?? this.#sink);
    return mismatch;
  }

  /** True if copied rows are rewritten or recorded. */
  get looksAtCopy(): boolean {
    return this.#copy !== null || this.#copySink !== null;
  }

  /** A whole CopyData message. */
  copiedRow(bytes: Buffer, start: number, end: number): void {
    if (this.#copy === null) this.#copySink!.add(bytes, start, end);
    else this.#copy.row(bytes.subarray(start + 5, end));
  }

  copiedPiece(bytes: Buffer, start: number, end: number, opens: boolean, closes: boolean): string | null {
    if (this.#copy === null) {
      this.#copySink!.add(bytes, start, end);
      return null;
    }
    const from = opens ? start + 5 : start;
    if (opens) {
      this.#copied = [];
      this.#copiedBytes = 0;
    }
    this.#copiedBytes += end - from;
    if (this.#copiedBytes > LARGEST_COPIED) return 'a copied row is too large to be masked';
    this.#copied!.push(Buffer.from(bytes.subarray(from, end)));
    if (!closes) return null;
    const body = Buffer.concat(this.#copied!);
    this.#copied = null;
    this.#copy.row(body);
    return null;
  }
}

/** True if something is done about the rows of its result. */
export function isLookedAt({ verdict }: JudgedStatement): boolean {
  return verdict.masks !== null || verdict.recordResults !== undefined;
}

/** A RowDescription's body with other formats. @param formats as a Bind has them: none is text, one holds for all */
function inFormats(description: Buffer, formats: readonly number[]): Buffer {
  const body = Buffer.from(description);
  const count = body.readUInt16BE(0);
  if (formats.length > 1 && formats.length !== count) throw new ProtocolViolation('Bind has formats for other columns');
  let at = 2;
  for (let i = 0; i < count; i++) {
    at = body.indexOf(0, at) + 1 + 16;
    body.writeInt16BE(formats.length === 1 ? formats[0]! : (formats[i] ?? 0), at);
    at += 2;
  }
  return body;
}
