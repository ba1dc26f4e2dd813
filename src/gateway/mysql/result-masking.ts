import type { Capabilities } from '../../../protocols/mysql/capabilities.ts';
import {
  COLUMN_FLAG,
  type ColumnDefinition,
  decodeColumnDefinition,
  FIELD_TYPE,
} from '../../../protocols/mysql/responses.ts';
import type { Cell } from '../../masking/cells.ts';
import { compileMysqlCell } from '../../masking/mysql-cells.ts';
import type { MaskPlan } from '../../policy/mask-plan.ts';
import type { CatalogueLookup } from '../../statements/catalogue.ts';
import type { ColumnName, OutputColumn } from '../../statements/facts.ts';
import type { JudgedStatement } from '../judge.ts';
import { type DescribedColumn, plannedColumns } from '../planned-columns.ts';
import { RecordedResults } from '../recorded-results.ts';
import { type MessageSink, RewriteBuffer } from '../rewrite-buffer.ts';
import { RowMasker, RowStream } from './masked-rows.ts';
import { RowRecorder } from './recorded-rows.ts';

/** Definitions of columns as the server sent them: the packets, one after the other. */
export type Definitions = Buffer;

/** How the rows of a result are masked, and what the client is told of its columns; or why nothing of it may be sent. */
export type CompiledResult =
  | {
      /** `null`: all of it stays as it is. */
      readonly masker: RowMasker | null;
      readonly definitions: Definitions;
      /** As the server has them. */
      readonly described: Definitions;
      readonly types: readonly number[];
      readonly isBinary: boolean;
      readonly mismatch: null;
    }
  | { readonly mismatch: string };

function refused(mismatch: string): CompiledResult {
  return { mismatch };
}

/** What a result depends on besides its definitions. */
export interface ResultContext {
  readonly catalogue: CatalogueLookup | null;
  readonly capabilities: Capabilities;
  /** Rows are in the binary protocol. */
  readonly isBinary: boolean;
  /** MariaDB may answer with what became of each row: COM_STMT_BULK_EXECUTE. */
  readonly isBulk: boolean;
}

interface Kept extends ResultContext {
  readonly described: Definitions;
  readonly result: CompiledResult;
}

/** As many results of one plan are kept: a statement has one for each format and numbering of packets. */
const MOST_KEPT_RESULTS = 8;

const keptByPlan = new WeakMap<MaskPlan, Kept[]>();

/** How a result with these definitions is masked. The definitions are compared with the plan, see {@link plannedColumns}. */
export function compileResult(plan: MaskPlan, described: Definitions, context: ResultContext): CompiledResult {
  let kept = keptByPlan.get(plan);
  if (kept === undefined) {
    kept = [];
    keptByPlan.set(plan, kept);
  }
  for (const one of kept) {
    if (
      one.isBinary === context.isBinary &&
      one.isBulk === context.isBulk &&
      one.catalogue === context.catalogue &&
      one.capabilities.mariadb === context.capabilities.mariadb &&
      one.described.equals(described)
    ) {
      return one.result;
    }
  }
  const copy = Buffer.from(described);
  const result = compile(plan, copy, context);
  if (kept.length === MOST_KEPT_RESULTS) kept.shift();
  kept.push({ ...context, described: copy, result });
  return result;
}

function compile(
  plan: MaskPlan,
  described: Definitions,
  { catalogue, capabilities, isBinary, isBulk }: ResultContext,
): CompiledResult {
  const packets = packetsIn(described);
  const definitions = columnsIn(described, { capabilities });
  const types = definitions.map(({ type }) => type);
  const unmasked: CompiledResult = { masker: null, definitions: described, described, types, isBinary, mismatch: null };
  if (isBulk && plan.outputs?.length === 0 && isUnitResult(definitions)) return unmasked;
  const shown = definitions.map((one) => describe(one, plan.hasMasks ? catalogue : null));
  const unexpected =
    plan.outputs?.findIndex((output, i) => isOfOtherView(shown[i]?.shows?.[0], output, catalogue)) ?? -1;
  if (unexpected >= 0) return refused(`column ${unexpected + 1} is of a view that was not expected`);
  const { columns, mismatch } = plannedColumns(plan, shown);
  if (columns === null) return refused(mismatch);
  const cells = definitions.map((one, i): Cell | null => {
    const planned = columns[i]!;
    return planned === null ? null : compileMysqlCell(planned, one, isBinary);
  });
  if (cells.every((cell) => cell === null)) return unmasked;
  return { ...unmasked, masker: new RowMasker(cells, types, isBinary), definitions: withNulls(packets, cells) };
}

const HEADER = 4;

function columnsIn(
  definitions: Definitions,
  { capabilities }: Pick<ResultContext, 'capabilities'>,
): ColumnDefinition[] {
  return packetsIn(definitions).map((packet) => decodeColumnDefinition(packet.subarray(HEADER), capabilities));
}

function packetsIn(definitions: Definitions): Buffer[] {
  const packets: Buffer[] = [];
  for (let at = 0; at < definitions.length; ) {
    const end = at + HEADER + definitions.readUIntLE(at, 3);
    packets.push(definitions.subarray(at, end));
    at = end;
  }
  return packets;
}

/**
 * The definitions with every column that is masked as one that may be NULL: masks make NULL of what they do not fit. Where
 * something is only looked for, and replaced by a text, the definition stays as the server has it.
 */
function withNulls(packets: readonly Buffer[], cells: readonly (Cell | null)[]): Definitions {
  return Buffer.concat(
    packets.map((packet, i) => {
      const cell = cells[i] ?? null;
      return cell === null || cell.makesNoNulls === true ? packet : mayBeNull(packet);
    }),
  );
}

/** The fields at the end of a definition: flags are behind the character set, length and type, before decimals and filler. */
const FLAGS_FROM_END = 5;

/** @param packet of a column definition without a default value */
export function mayBeNull(packet: Buffer): Buffer {
  const copy = Buffer.from(packet);
  const at = copy.length - FLAGS_FROM_END;
  copy.writeUInt16LE(copy.readUInt16LE(at) & ~COLUMN_FLAG.notNull, at);
  return copy;
}

/** The identifier each row was given, and how many rows it has changed. */
function isUnitResult(definitions: readonly ColumnDefinition[]): boolean {
  const isNumber = ({ orgTable, type }: ColumnDefinition) => orgTable === '' && type === FIELD_TYPE.longlong;
  return definitions.length === 2 && definitions.every(isNumber);
}

/**
 * What a definition shows. It names a stored column where one is shown as it is; of derived tables the servers say this and
 * that, so that only names count which the catalogue has.
 */
function describe(
  { schema, orgTable, orgName, name }: ColumnDefinition,
  catalogue: CatalogueLookup | null,
): DescribedColumn {
  if (schema === '' || orgTable === '' || catalogue === null) return { name, shows: null };
  const relation = catalogue.relation(schema, orgTable);
  const column = orgName.toLowerCase();
  if (relation?.columns.some((one) => one.name.toLowerCase() === column) !== true) return { name, shows: null };
  const fold = (text: string) => (catalogue.data.foldsNames ? text.toLowerCase() : text);
  return { name, shows: [{ schema: fold(relation.schema), relation: fold(relation.name), column }] };
}

/** True if the server says that it is a column of a view, and the plan takes the output for something else. */
function isOfOtherView(
  shows: ColumnName | undefined,
  output: OutputColumn,
  catalogue: CatalogueLookup | null,
): boolean {
  if (shows === undefined || catalogue?.relation(shows.schema!, shows.relation)?.kind !== 'view') return false;
  const isShown = (one: ColumnName) =>
    one.schema === shows.schema && one.relation === shows.relation && one.column === shows.column;
  return !output.columns.some(isShown);
}

/**
 * Masks what the server returns for one execution. What describes a result is held back until all of it is there and has been
 * compared with the plan; then its rows pass through {@link rows}, or in runs as they come if nothing is masked.
 */
export class ResultMasking {
  readonly #statements: readonly JudgedStatement[];
  readonly #sink: MessageSink;
  readonly #room = new RewriteBuffer();
  /** What of the results is recorded; `null` if nothing is. */
  readonly results: RecordedResults | null;
  /** What is held: the packet with the number of columns, from `#definitionsAt` on definitions, from `#afterAt` on an EOF packet. */
  #bytes: Buffer | null = null;
  #start = 0;
  #definitionsAt = 0;
  #afterAt = 0;
  #end = 0;
  /** How the rows that come in are rewritten; `null` if they stay as they are. */
  rows: RowStream | null = null;
  #shift = 0;

  private constructor(statements: readonly JudgedStatement[], sink: MessageSink) {
    this.#statements = statements;
    this.#sink = sink;
    this.results = RecordedResults.of(statements);
  }

  /** @returns `null` if no mask and no detector is for whoever sent the statements, and no rule wants their results recorded */
  static of(statements: readonly JudgedStatement[], sink: MessageSink): ResultMasking | null {
    const isLookedAt = ({ verdict: { masks, recordResults } }: JudgedStatement) =>
      masks !== null || recordResults !== undefined;
    return statements.some(isLookedAt) ? new ResultMasking(statements, sink) : null;
  }

  /** By how much the numbers of the client's packets are ahead of the server's, modulo 256: a masked row may be fewer packets. */
  get shift(): number {
    return this.rows?.shift ?? this.#shift;
  }

  /** True if what describes the result is not sent yet. */
  get isHolding(): boolean {
    return this.#bytes !== null;
  }

  /** The number of the first packet that is held, as the client counts. */
  get heldSequence(): number {
    return (this.#bytes![this.#start + 3]! + this.#shift) & 0xff;
  }

  /** A packet of what describes the result. */
  hold(bytes: Buffer, start: number, end: number, isDefinition: boolean): void {
    if (this.#bytes === null) {
      this.#bytes = bytes;
      this.#start = start;
      this.#definitionsAt = end;
      this.#afterAt = end;
    } else if (bytes !== this.#bytes || start !== this.#end) {
      const held = this.#bytes.subarray(this.#start, this.#end);
      this.#definitionsAt -= this.#start;
      this.#afterAt -= this.#start;
      this.#start = 0;
      this.#bytes = Buffer.concat([held, bytes.subarray(start, end)]);
      this.#end = this.#bytes.length;
      if (isDefinition) this.#afterAt = this.#end;
      return;
    }
    this.#end = end;
    if (isDefinition) this.#afterAt = end;
  }

  /**
   * The result is described: what was held is sent, or dropped if nothing of the result may be.
   *
   * @param statement position of the statement whose result it is
   * @param known what describes the result where the server leaves that out
   */
  described(statement: number, known: Definitions | null, context: ResultContext): CompiledResult {
    const bytes = this.#bytes!;
    const sent = bytes.subarray(this.#definitionsAt, this.#afterAt);
    const definitions = sent.length > 0 ? sent : known;
    const result =
      definitions === null ? refused('nothing describes it') : this.#compiled(statement, definitions, context);
    this.#bytes = null;
    if (result.mismatch !== null) return result;
    if (result.masker === null && this.#shift === 0) this.#sink.add(bytes, this.#start, this.#end);
    else {
      this.#send(bytes.subarray(this.#start, this.#definitionsAt));
      if (sent.length > 0) this.#send(result.definitions);
      this.#send(bytes.subarray(this.#afterAt, this.#end));
    }
    this.#begin(statement, result, context);
    return result;
  }

  /** Rows of a result that was described when its cursor was opened come next. */
  fetching(known: Definitions | null, context: ResultContext): CompiledResult {
    const result = known === null ? refused('nothing describes it') : this.#compiled(0, known, context);
    if (result.mismatch === null) this.#begin(0, result, context);
    return result;
  }

  #compiled(statement: number, definitions: Definitions, context: ResultContext): CompiledResult {
    const { masks } = this.#statements[Math.min(statement, this.#statements.length - 1)]!.verdict;
    if (masks !== null) return compileResult(masks, definitions, context);
    const types = columnsIn(definitions, context).map(({ type }) => type);
    const { isBinary } = context;
    return { masker: null, definitions, described: definitions, types, isBinary, mismatch: null };
  }

  #begin(
    statement: number,
    { masker, types, isBinary, described }: Extract<CompiledResult, { readonly mismatch: null }>,
    context: ResultContext,
  ): void {
    const columns = this.results === null ? [] : columnsIn(described, context);
    const isRecorded =
      this.results?.begin(
        statement,
        columns.map(({ name }) => name),
      ) === true;
    // Packets have to be numbered anew all the same.
    const passing =
      this.#shift === 0 && !isRecorded
        ? null
        : new RowMasker(
            types.map(() => null),
            types,
            isBinary,
          );
    const rewriting = masker ?? passing;
    const sink = isRecorded ? new RowRecorder(this.#sink, this.results!, columns, isBinary) : this.#sink;
    this.rows = rewriting === null ? null : new RowStream(rewriting, this.#shift, this.#room, sink);
  }

  #send(packets: Buffer): void {
    if (packets.length === 0) return;
    const shifted = this.#shift === 0 ? packets : renumbered(packets, this.#shift);
    this.#sink.add(shifted, 0, shifted.length);
  }

  /** The result is complete: the next one begins with its own description. */
  completed(): void {
    this.#shift = this.shift;
    this.rows = null;
    this.#bytes = null;
  }
}

/** Packets with other numbers. */
export function renumbered(packets: Buffer, shift: number): Buffer {
  const copy = Buffer.from(packets);
  for (let at = 0; at < copy.length; at += HEADER + copy.readUIntLE(at, 3)) copy[at + 3]! += shift;
  return copy;
}
