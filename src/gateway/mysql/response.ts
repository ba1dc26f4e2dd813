import { type Capabilities, CLIENT, MARIADB_CLIENT, SERVER_STATUS } from '../../../protocols/mysql/capabilities.ts';
import { RESPONSE } from '../../../protocols/mysql/responses.ts';
import { ProtocolViolation } from '../../../protocols/mysql/violation.ts';

/** What a command is answered with. */
export const ANSWER = {
  /** OK or ERR. */
  ok: 0,
  /** Results, one or more: COM_QUERY, COM_STMT_EXECUTE. */
  results: 1,
  /** COM_STMT_PREPARE_OK with the definitions it announces, or ERR. */
  prepared: 2,
  /** Rows alone: COM_STMT_FETCH. */
  rows: 3,
  /** Column definitions alone: COM_FIELD_LIST. */
  definitions: 4,
  /** Text alone: COM_STATISTICS. */
  text: 5,
} as const;
export type Answer = (typeof ANSWER)[keyof typeof ANSWER];

/** What one payload of an answer is. */
export const PART = {
  /** OK, or what ends the rows of a result: a result is complete. */
  completed: 0,
  error: 1,
  /** What says how many columns follow; and what else says nothing of its own. */
  header: 2,
  definition: 3,
  row: 4,
  prepared: 5,
  /** The server asks for a file of the client. */
  localInfile: 6,
} as const;
export type Part = (typeof PART)[keyof typeof PART];

const BEGIN = 0;
const DEFINITIONS = 1;
const END_OF_DEFINITIONS = 2;
const ROWS = 3;
const OVER = 4;

/**
 * Where in the server's answer to one command the next payload stands. No bytes are kept.
 *
 * Sources: MySQL internals documentation, "Text Resultset", "Multi-Resultset", "COM_STMT_PREPARE Response"; MariaDB
 * knowledge base, "Result Set Packets".
 */
export class Response {
  readonly #deprecatesEof: boolean;
  readonly #cachesMetadata: boolean;
  #answer: Answer = ANSWER.ok;
  #mayOpenCursor = false;
  #stage = OVER;
  /** Definitions still to come, and those of columns after those of parameters. */
  #definitions = 0;
  #further = 0;
  /** SERVER_STATUS flags of the last OK or EOF packet. */
  status = SERVER_STATUS.autocommit;
  /** Affected rows and warnings of the last OK packet. */
  affectedRows = 0;
  warnings = 0;
  /** Where the last payload says how many warnings there are; -1 if it does not. */
  warningsAt = -1;
  /** Of the last payload that completed a result: true if it ended rows, false if it stood alone. */
  endedRows = false;

  constructor({ client, mariadb }: Capabilities) {
    this.#deprecatesEof = (client & CLIENT.deprecateEof) !== 0;
    this.#cachesMetadata = (mariadb & MARIADB_CLIENT.cacheMetadata) !== 0;
  }

  /** @param mayOpenCursor the command is a COM_STMT_EXECUTE that asks for a cursor */
  begin(answer: Answer, mayOpenCursor = false): void {
    this.#answer = answer;
    this.#mayOpenCursor = mayOpenCursor;
    this.#stage = answer === ANSWER.rows ? ROWS : answer === ANSWER.definitions ? DEFINITIONS : BEGIN;
    this.#definitions = answer === ANSWER.definitions ? Number.POSITIVE_INFINITY : 0;
    this.#further = 0;
  }

  /** The answer that was begun will not come. */
  abandon(): void {
    this.#stage = OVER;
  }

  /** True if nothing more of the answer comes. */
  get isOver(): boolean {
    return this.#stage === OVER;
  }

  /** True if rows come next, or their end. */
  get isInRows(): boolean {
    return this.#stage === ROWS;
  }

  get rowsEnd(): 'OK' | 'EOF' {
    return this.#deprecatesEof ? 'OK' : 'EOF';
  }

  get isInTransaction(): boolean {
    return (this.status & SERVER_STATUS.inTransaction) !== 0;
  }

  /** @throws ProtocolViolation for what the server was not asked for */
  take(bytes: Buffer, start: number, end: number): Part {
    const first = start === end ? -1 : bytes[start]!;
    this.warningsAt = -1;
    if (this.#stage === OVER) throw new ProtocolViolation('the upstream answered what it was not asked');
    if (first === -1) throw new ProtocolViolation('the upstream sent an empty packet');
    if (first === RESPONSE.err && this.#answer !== ANSWER.text) {
      this.#stage = OVER;
      return PART.error;
    }
    switch (this.#stage) {
      case BEGIN:
        return this.#first(first, bytes, start, end);
      case DEFINITIONS:
        if (this.#answer === ANSWER.definitions && first === RESPONSE.eof) return this.#end(bytes, start, end);
        this.#definitions -= 1;
        if (this.#definitions === 0) this.#definitionsDone();
        return PART.definition;
      case END_OF_DEFINITIONS:
        if (first !== RESPONSE.eof) throw new ProtocolViolation('definitions end without an EOF packet');
        return this.#endOfDefinitions(bytes, start, end);
      default:
        if (first === RESPONSE.eof && end - start < 0xffffff) return this.#end(bytes, start, end);
        return PART.row;
    }
  }

  #first(first: number, bytes: Buffer, start: number, end: number): Part {
    switch (this.#answer) {
      case ANSWER.text:
        this.#stage = OVER;
        return PART.header;
      case ANSWER.prepared:
        if (first !== RESPONSE.ok || end - start < 12) throw new ProtocolViolation('not an answer to COM_STMT_PREPARE');
        this.#further = bytes.readUInt16LE(start + 5);
        this.#definitions = bytes.readUInt16LE(start + 7);
        if (this.#definitions > 0) this.#stage = DEFINITIONS;
        else this.#nextDefinitions();
        return PART.prepared;
      case ANSWER.results:
        if (first === RESPONSE.localInfile) return PART.localInfile;
        if (first !== RESPONSE.ok && first !== RESPONSE.eof) return this.#resultSet(first, bytes, start, end);
        return this.#end(bytes, start, end);
      default:
        if (first !== RESPONSE.ok && first !== RESPONSE.eof)
          throw new ProtocolViolation('neither an OK nor an ERR packet');
        return this.#end(bytes, start, end);
    }
  }

  #resultSet(first: number, bytes: Buffer, start: number, end: number): Part {
    const columns = first < 0xfb ? first : first === 0xfc && end - start >= 3 ? bytes.readUInt16LE(start + 1) : 0;
    if (columns === 0) throw new ProtocolViolation('a result set without columns');
    const known = this.#cachesMetadata && bytes[end - 1] === 0;
    this.#definitions = known ? 0 : columns;
    this.#stage = DEFINITIONS;
    if (known) this.#definitionsDone();
    return PART.header;
  }

  /** What comes after the last definition. */
  #definitionsDone(): void {
    if (!this.#deprecatesEof) this.#stage = END_OF_DEFINITIONS;
    else if (this.#answer === ANSWER.prepared) this.#nextDefinitions();
    else this.#stage = ROWS;
  }

  /** Definitions of columns come after those of parameters. */
  #nextDefinitions(): void {
    this.#definitions = this.#further;
    this.#further = 0;
    this.#stage = this.#definitions > 0 ? DEFINITIONS : OVER;
  }

  #endOfDefinitions(bytes: Buffer, start: number, end: number): Part {
    if (this.#answer === ANSWER.prepared) {
      this.#nextDefinitions();
      return PART.header;
    }
    if (end - start < 5) throw new ProtocolViolation('an EOF packet that is too short');
    this.warningsAt = start + 1;
    const status = bytes.readUInt16LE(start + 3);
    // A cursor that a procedure or function has open sets the flag, too: its results have their rows, and in a procedure
    // more results follow.
    const flags = status & (SERVER_STATUS.cursorExists | SERVER_STATUS.moreResultsExist);
    if (!this.#mayOpenCursor || flags !== SERVER_STATUS.cursorExists) {
      this.#stage = ROWS;
      return PART.header;
    }
    // The rows are fetched later.
    this.status = status;
    this.#stage = OVER;
    this.endedRows = true;
    return PART.completed;
  }

  /** An OK packet, or an EOF packet in the place of one. */
  #end(bytes: Buffer, start: number, end: number): Part {
    this.endedRows = this.#stage === ROWS;
    // An EOF packet has five bytes, an OK packet at least seven.
    if (bytes[start] === RESPONSE.eof && end - start < 7) {
      if (end - start < 5) throw new ProtocolViolation('an EOF packet that is too short');
      this.warningsAt = start + 1;
      this.warnings = bytes.readUInt16LE(this.warningsAt);
      this.status = bytes.readUInt16LE(start + 3);
    } else this.#readOk(bytes, start, end);
    const more = this.#answer === ANSWER.results && (this.status & SERVER_STATUS.moreResultsExist) !== 0;
    this.#stage = more ? BEGIN : OVER;
    return PART.completed;
  }

  #readOk(bytes: Buffer, start: number, end: number): void {
    let at = start + 1;
    this.affectedRows = lenencAt(bytes, at, end);
    at = skipLenenc(bytes, at, end);
    at = skipLenenc(bytes, at, end);
    if (at + 4 > end) throw new ProtocolViolation('an OK packet that is too short');
    this.status = bytes.readUInt16LE(at);
    this.warningsAt = at + 2;
    this.warnings = bytes.readUInt16LE(this.warningsAt);
  }
}

/** int<lenenc>; above 2^53 not exact. */
function lenencAt(bytes: Buffer, at: number, end: number): number {
  const next = skipLenenc(bytes, at, end);
  const first = bytes[at]!;
  if (first < 0xfb) return first;
  if (first === 0xfc) return bytes.readUInt16LE(at + 1);
  if (first === 0xfd) return bytes.readUIntLE(at + 1, 3);
  return Number(bytes.readBigUInt64LE(next - 8));
}

function skipLenenc(bytes: Buffer, at: number, end: number): number {
  if (at >= end) throw new ProtocolViolation('an OK packet that is too short');
  const first = bytes[at]!;
  const next = at + (first < 0xfb ? 1 : first === 0xfc ? 3 : first === 0xfd ? 4 : 9);
  if (next > end) throw new ProtocolViolation('an OK packet that is too short');
  return next;
}
