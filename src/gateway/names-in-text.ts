import type { NameContext } from '../statements/catalogue.ts';
import { type ColumnUse, opaqueText, type StatementFacts } from '../statements/facts.ts';
import { changesSearchPath } from '../statements/postgres/search-path.ts';
import type { Judge, JudgedStatement, Judgement } from './judge.ts';

/** Deeper than prepared statements run each other without a circle. */
const DEEPEST = 8;

/** A statement that a name stands for. */
export interface NamedStatement {
  readonly judgement: Judgement;
  /** What names mean to it, where that is not what they mean to the text that runs it. */
  readonly names?: NameContext;
}

/**
 * Judges a text whose statements define prepared statements or cursors, or use them by name, in the order of the text: what
 * a statement runs or fetches from counts as its own.
 *
 * @param named what the session has prepared under a name
 * @param cursor what the session has declared under a name
 */
export function judgeWithNames(
  judgement: Judgement,
  judge: Judge,
  names: NameContext,
  named: (name: string) => NamedStatement | null,
  cursor: (name: string) => NamedStatement | null = () => null,
): JudgedStatement[] {
  const defined = new Map<string, readonly StatementFacts[]>();
  const declared = new Map<string, readonly StatementFacts[]>();

  // A statement of the text may have changed where names are looked for: that of the text itself, or one that it runs by name.
  let pathChanged = false;
  let pathChangedWithin = false;

  const factsOf = (name: string): readonly StatementFacts[] => {
    const here = defined.get(name);
    if (here !== undefined) return pathChanged ? [] : here;
    return factsNow(named(name));
  };
  const factsNow = (prepared: NamedStatement | null): readonly StatementFacts[] => {
    if (prepared === null) return [];
    const current = judge.again(
      prepared.judgement,
      prepared.names ?? (pathChanged ? { ...names, searchPath: [] } : names),
    );
    // A long text that has to be read anew takes another thread, and the statement is needed now.
    return current instanceof Promise ? [] : current.statements.map(({ facts }) => facts);
  };
  /** Nothing, if the cursor is not known: the columns of its rows stay unknown then. */
  const fetchedBy = ({ fetches }: StatementFacts): readonly StatementFacts[] =>
    fetches === undefined ? [] : (declared.get(fetches) ?? factsNow(cursor(fetches)));
  const runBy = (facts: StatementFacts, depth: number): StatementFacts[] =>
    facts.executes.flatMap((name) => {
      const inner = depth > DEEPEST ? [] : factsOf(name);
      if (inner.length === 0) return opaqueText(0, `unknown prepared statement ${JSON.stringify(name)}`).statements;
      return inner.flatMap((f) => [f, ...valuesUnknown(f), ...runBy(f, depth + 1)]);
    });

  return judgement.statements.map((statement) => {
    const { reading, text } = statement;
    const facts = pathChangedWithin ? unsure(statement.facts) : statement.facts;
    const inner = [...runBy(facts, 0), ...fetchedBy(facts)];
    pathChangedWithin ||= inner.some(changesSearchPath);
    pathChanged ||= pathChangedWithin || changesSearchPath(facts);
    const isAsRead = inner.length === 0 && facts === statement.facts;
    const judged = isAsRead
      ? statement
      : judge.judgeStatement(text, together(facts, inner), reading, statement.claimed);
    const change = facts.nameChange;
    if (change?.op === 'prepare') defined.set(change.name, [change.inner]);
    else if (change?.op === 'declare') declared.set(change.name, [change.inner]);
    else if (change?.op === 'deallocate') defined.set(change.name, []);
    return judged;
  });
}

/** What follows on a statement that has changed the search path unseen: the names in it were read with the one before. */
function unsure(facts: StatementFacts): StatementFacts {
  const { uses: _uses, outputs: _outputs, ...rest } = facts;
  const [opaque] = opaqueText(0, 'names after a change of the search path').statements;
  return { ...rest, executes: [], effects: [...facts.effects, ...opaque!.effects] };
}

/** The values of EXECUTE ... USING are the server's. */
export function valuesUnknown({ textParameters }: StatementFacts): readonly StatementFacts[] {
  if (textParameters === undefined) return [];
  return opaqueText(0, 'a value that is compared with text may be a number').statements;
}

/** The facts of a statement with those of what it runs by name. What cannot be told of one cannot be told of all. */
export function together(facts: StatementFacts, inner: readonly StatementFacts[]): StatementFacts {
  const { uses: own, outputs: _outputs, ...rest } = facts;
  const uses: ColumnUse[] = [];
  for (const f of [facts, ...inner]) if (f.uses !== undefined) uses.push(...f.uses);
  const outputs = inner.length === 1 ? inner[0]!.outputs : undefined;
  return {
    ...rest,
    effects: [...facts.effects, ...inner.flatMap(({ effects }) => effects)],
    ...(own !== undefined && inner.every((f) => f.uses !== undefined) && { uses }),
    ...(outputs !== undefined && { outputs }),
  };
}
