import { readFileSync } from 'node:fs';
import { z } from 'zod';

/**
 * A file of labelled statements, one JSON object a line.
 *
 * - `sql`: the text of one simple query; it may hold several statements.
 * - `expect`: `deny`: refused or held · `mask`: no masked value leaves in clear, refused will do · `allow`: it runs, with the
 *   result of a direct connection.
 * - `accept`: where several answers are right.
 * - `setup`: statements sent before it in the same session.
 * - `server`: `mysql8` or `mariadb`: only valid there.
 */
const labelled = z.object({
  id: z.string().min(1),
  dialect: z.enum(['postgres', 'mysql']),
  sql: z.string(),
  class: z.string().min(1),
  expect: z.enum(['deny', 'mask', 'allow']),
  why: z.string(),
  accept: z.array(z.enum(['deny', 'mask', 'allow'])).optional(),
  setup: z.array(z.string()).optional(),
  needs: z.string().optional(),
  parse: z.enum(['reject', 'any']).optional(),
  server: z.enum(['mysql8', 'mariadb']).optional(),
});

export type LabelledStatement = z.infer<typeof labelled>;

/** @throws Error naming the file and line of what is wrong */
export function readLabelled(path: string): LabelledStatement[] {
  const statements: LabelledStatement[] = [];
  const ids = new Set<string>();
  for (const [index, line] of readFileSync(path, 'utf8').split('\n').entries()) {
    if (line.trim() === '') continue;
    const where = `${path}:${index + 1}`;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw new Error(`${where}: ${(error as Error).message}`);
    }
    const shape = labelled.safeParse(value);
    if (!shape.success) {
      const [issue] = shape.error.issues;
      throw new Error(`${where}: ${issue!.path.join('.')} ${issue!.message}`);
    }
    if (ids.has(shape.data.id)) throw new Error(`${where}: ${shape.data.id} is there twice`);
    ids.add(shape.data.id);
    statements.push(shape.data);
  }
  if (statements.length === 0) throw new Error(`${path} has no statements`);
  return statements;
}

/** What became of a statement. */
export interface Answer {
  readonly action: 'allow' | 'hold' | 'deny';
  /** The rules that decided, or another word for who did. */
  readonly by: readonly string[];
  /** What its sender read; empty if it ran. */
  readonly message: string;
  /** What is wrong beside the verdict: a result that differs, a refused text that reached the server. */
  readonly fault: string | null;
  /** Whether a masked value was in what its sender received; `null` where nobody received anything. */
  readonly leaked: boolean | null;
}

/** Why an answer is not right, or `null`. */
export function wrong({ expect, accept }: LabelledStatement, { action, fault, leaked }: Answer): string | null {
  if (fault !== null) return fault;
  const answers = new Set([expect, ...(accept ?? [])]);
  if (action !== 'allow') return answers.has('deny') || answers.has('mask') ? null : `${action}, expected allow`;
  if (answers.has('allow') || (answers.has('mask') && leaked === false)) return null;
  return `allowed${leaked === true ? ' with a masked value' : ''}, expected ${[...answers].join(' or ')}`;
}
