import { hash } from 'node:crypto';
import type { TreeNode } from './parser.ts';

/**
 * A hash that is equal for statements that differ only in literals, parameters and the lengths of literal lists.
 *
 * Not libpg_query's own fingerprint: once V8 has optimised that function it takes about 30 kB of stack per level of the
 * tree, and traps on ten nested sub-selects or fourteen NOTs (docs/decisions/0006-own-fingerprints.md). This one is computed from
 * the tree that was parsed anyway. SHA-256, because an allow-list by fingerprint must not be open to made-up collisions.
 */

/** Where the text stands and how it was spelt; nothing of what it does. */
const LEFT_OUT = new Set([
  'location',
  'stmt_location',
  'stmt_len',
  'list_start',
  'list_end',
  'rexpr_list_start',
  'rexpr_list_end',
  'name_location',
]);

/** Names that applications make up afresh for each use, by `NodeType.field` (bare nodes: by field alone). */
const MADE_UP_NAMES = new Set([
  'PrepareStmt.name',
  'ExecuteStmt.name',
  'DeallocateStmt.name',
  'DeclareCursorStmt.portalname',
  'FetchStmt.portalname',
  'ClosePortalStmt.portalname',
  'TransactionStmt.savepoint_name',
  'TransactionStmt.gid',
  'NotifyStmt.payload',
  'CommentStmt.comment',
  'FetchStmt.howMany',
]);

/** Lists in which equal neighbours count once: `VALUES (1),(2)` is `VALUES (1)`, `IN (1,2,3)` is `IN (1)`. */
const REPEATING_LISTS = new Set(['valuesLists', 'items', 'elements']);

/** 16 hex digits for one statement's tree. */
export function fingerprint(statement: TreeNode): string {
  return hash('sha256', shape(statement, ''), 'hex').slice(0, 16);
}

function shape(value: unknown, type: string): string {
  if (typeof value === 'string') return `${value.length}:${value}`;
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) return listShape(value, false);
  let text = '(';
  for (const key in value) {
    if (LEFT_OUT.has(key)) continue;
    const field = (value as TreeNode)[key];
    if (key === 'A_Const') text += (field as TreeNode).isnull === true ? 'null' : '?';
    else if (key === 'ParamRef') text += '?';
    else if (MADE_UP_NAMES.has(`${type}.${key}`)) text += '';
    else if (key === 'DefElem' && (field as TreeNode).defname === 'password') text += 'password';
    else if (Array.isArray(field)) text += `${key}${listShape(field, REPEATING_LISTS.has(key))}`;
    else text += `${key}${shape(field, isNodeType(key) ? key : type)}`;
  }
  return `${text})`;
}

function listShape(list: readonly unknown[], repeats: boolean): string {
  let text = '[';
  let before = '';
  for (const item of list) {
    const one = shape(item, '');
    if (repeats && one === before) continue;
    text += one;
    before = one;
  }
  return `${text}]`;
}

function isNodeType(key: string): boolean {
  const first = key.charCodeAt(0);
  return first >= 65 && first <= 90;
}
