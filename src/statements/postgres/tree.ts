import type { TreeNode } from './parser.ts';

/** Reading the syntax tree as libpg-query serialises it: wrapped nodes (`{ A_Const: {...} }`), lists of them, bare fields. */

/** The type and the fields of a wrapped node; an empty type for anything else. */
export function only(value: unknown): [string, TreeNode] {
  if (typeof value === 'object' && value !== null) {
    for (const type in value) return [type, (value as TreeNode)[type] as TreeNode];
  }
  return ['', {}];
}

/** A wrapped node's only key is its type, and types start with a capital; the fields of a bare one do not. */
export function isWrapped(value: object): boolean {
  for (const key in value) {
    const first = key.charCodeAt(0);
    return first >= 65 && first <= 90;
  }
  return false;
}

export function isEmpty(value: object): boolean {
  for (const _ in value) return false;
  return true;
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The bodies of the nodes of one type in a list. */
export function nodesIn(list: unknown, type: string): TreeNode[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((item: TreeNode) => (item[type] === undefined ? [] : [item[type] as TreeNode]));
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** The text of a literal, through casts: `'a'`, `'a'::text`, `1`, `on`. `null` if the expression is not one literal. */
export function literal(value: unknown): string | null {
  const [type, body] = only(value);
  if (type === 'TypeCast') return literal(body.arg);
  if (type !== 'A_Const' || body.isnull === true) return null;
  if (body.sval !== undefined) return text((body.sval as TreeNode).sval);
  if (body.ival !== undefined) return String((body.ival as TreeNode).ival ?? 0);
  if (body.fval !== undefined) return text((body.fval as TreeNode).fval);
  if (body.boolval !== undefined) return String((body.boolval as TreeNode).boolval ?? false);
  return null;
}

/** The parts of a dotted name: a list of String nodes, a List node of them, a String, a TypeName, an ObjectWithArgs or a RangeVar. */
export function nameParts(value: unknown): string[] {
  if (Array.isArray(value)) {
    const parts: string[] = [];
    for (const item of value) parts.push(...nameParts(item));
    return parts;
  }
  const [type, body] = only(value);
  switch (type) {
    case 'String':
      return [text(body.sval)];
    case 'List':
      return nameParts(body.items);
    case 'TypeName':
      return nameParts(body.names);
    case 'ObjectWithArgs':
      return nameParts(body.objname);
    case 'RangeVar':
      return [body.schemaname, body.relname].filter((part) => typeof part === 'string');
    default:
      return [];
  }
}
