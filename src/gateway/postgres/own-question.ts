import {
  encodeBind,
  encodeClose,
  encodeExecute,
  encodeParse,
  encodeSync,
} from '../../../protocols/postgres/frontend.ts';

/**
 * A question of Sluice's own to the server, in a session of a client: a statement and a portal of our own, so that the client's
 * unnamed ones stay what they are. Ends with a Sync.
 *
 * @param name of both
 */
export function ownQuestion(
  name: string,
  text: string,
  parameter: { readonly type: number; readonly value: Buffer } | null = null,
  resultFormats: readonly number[] = [],
): Buffer {
  return Buffer.concat([
    encodeParse({ statement: name, text, parameterTypes: parameter === null ? [] : [parameter.type] }),
    encodeBind({
      portal: name,
      statement: name,
      parameterFormats: [],
      parameters: parameter === null ? [] : [parameter.value],
      resultFormats,
    }),
    encodeExecute({ portal: name, maxRows: 0 }),
    // A portal lives as long as its transaction, and in one transaction this may be asked again.
    encodeClose({ kind: 'portal', name }),
    encodeClose({ kind: 'statement', name }),
    encodeSync(),
  ]);
}
