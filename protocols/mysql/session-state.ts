/**
 * What changed in a session's state: the last field of an OK packet under CLIENT_SESSION_TRACK (MySQL internals
 * documentation, "OK_Packet", section "Session State Information").
 */
import { int1, lenencBytes } from './payload-fields.ts';
import { PayloadReader } from './payload-reader.ts';

export type StateChange =
  /** MariaDB puts several of them into one entry; they come as several changes here. */
  | { readonly kind: 'system-variable'; readonly name: string; readonly value: Buffer }
  /** The default database, by `USE` or otherwise. */
  | { readonly kind: 'schema'; readonly name: string }
  /** Something of the session's state changed that a client could not carry to another connection. */
  | { readonly kind: 'state'; readonly changed: boolean }
  /** The server's GTIDs after a commit; `encoding` says how they are written. */
  | { readonly kind: 'gtids'; readonly encoding: number; readonly gtids: Buffer }
  /** Statements that start the same transaction again: `START TRANSACTION READ ONLY;`. */
  | { readonly kind: 'transaction-characteristics'; readonly statements: string }
  /** 8 letters or `_`, see "Session Trackers". */
  | { readonly kind: 'transaction-state'; readonly state: string }
  | { readonly kind: 'unknown'; readonly type: number; readonly data: Buffer };

const TYPE = {
  systemVariables: 0,
  schema: 1,
  stateChange: 2,
  gtids: 3,
  transactionCharacteristics: 4,
  transactionState: 5,
} as const;

export function encodeSessionState(changes: readonly StateChange[]): Buffer {
  return Buffer.concat(changes.map(encodeChange));
}

function encodeChange(change: StateChange): Buffer {
  const entry = (type: number, ...fields: Buffer[]) => Buffer.concat([int1(type), lenencBytes(Buffer.concat(fields))]);
  switch (change.kind) {
    case 'system-variable':
      return entry(TYPE.systemVariables, lenencBytes(change.name), lenencBytes(change.value));
    case 'schema':
      return entry(TYPE.schema, lenencBytes(change.name));
    case 'state':
      return entry(TYPE.stateChange, lenencBytes(change.changed ? '1' : '0'));
    case 'gtids':
      return entry(TYPE.gtids, int1(change.encoding), lenencBytes(change.gtids));
    case 'transaction-characteristics':
      return entry(TYPE.transactionCharacteristics, lenencBytes(change.statements));
    case 'transaction-state':
      return entry(TYPE.transactionState, lenencBytes(change.state));
    case 'unknown':
      return entry(change.type, change.data);
  }
}

/** @param bytes `sessionState` of an OK packet */
export function decodeSessionState(bytes: Buffer): StateChange[] {
  const reader = new PayloadReader('session state', bytes);
  const changes: StateChange[] = [];
  while (!reader.atEnd) {
    const type = reader.int1();
    decodeEntry(type, reader.lenencBytes(), changes);
  }
  return changes;
}

function decodeEntry(type: number, data: Buffer, changes: StateChange[]): void {
  const reader = new PayloadReader('session state entry', data);
  const text = () => reader.text(reader.lenencBytes());
  switch (type) {
    case TYPE.systemVariables:
      do changes.push({ kind: 'system-variable', name: text(), value: reader.lenencBytes() });
      while (!reader.atEnd);
      break;
    case TYPE.schema:
      changes.push({ kind: 'schema', name: text() });
      break;
    case TYPE.stateChange: {
      const value = text();
      if (value !== '0' && value !== '1') throw reader.violation('says neither 0 nor 1');
      changes.push({ kind: 'state', changed: value === '1' });
      break;
    }
    case TYPE.gtids:
      changes.push({ kind: 'gtids', encoding: reader.int1(), gtids: reader.lenencBytes() });
      break;
    case TYPE.transactionCharacteristics:
      changes.push({ kind: 'transaction-characteristics', statements: text() });
      break;
    case TYPE.transactionState:
      changes.push({ kind: 'transaction-state', state: text() });
      break;
    default:
      changes.push({ kind: 'unknown', type, data: reader.rest() });
  }
  reader.end();
}
