import { createRequire } from 'node:module';
import { suggestion } from '../config/suggestion.ts';
import type { Identity } from '../identity/identity.ts';
import type { ColumnUse, Effect, ObjectName } from '../statements/facts.ts';
import { checkExpression, ExpressionProblem, MOST_ITEMS } from './expression-types.ts';
import type { Moment } from './moment.ts';
import { ON_RELATIONS, ON_SETTINGS } from './object-pattern.ts';

/** The part of facts and subject that expressions can see. */
export interface Visible {
  readonly facts: {
    readonly effects: readonly Effect[];
    readonly kind?: string;
    readonly fingerprint?: string;
    readonly uses?: readonly ColumnUse[];
  };
  readonly identity: Identity;
  readonly connection: string;
  readonly protocol?: 'postgres' | 'mysql';
}

export interface Expression {
  /** True if it reads the time, claims, binds, the session or the estimate. */
  readonly needsMoment: boolean;
  /** True if it reads what the server expects the statement to cost. */
  readonly needsEstimate: boolean;
  /** `null` if it fails: something it asks for is not there, is too long, or the moment is not known. */
  evaluate(visible: Visible, effect: Effect, moment: Moment | null): boolean | null;
  /** True if the answer can differ between the effects of a statement. */
  readonly readsEffect: boolean;
  /** How often it may be evaluated for one statement. */
  readonly mostEvaluations: number;
}

/** Steps one rule may take for one statement; a step is about 0.1 microseconds. */
const MOST_STEPS = 20_000;

/** Longest text an expression may look at. */
const MOST_CHARACTERS = 10_000;

const VOLATILE = ['now', 'claimed', 'session', 'estimate', 'statement.binds'];

const require = createRequire(import.meta.url);

/** CEL takes 5 to 8 MB, and the time to load it: only who needs it pays for it. */
function loadCel() {
  const { celEnv, isCelError, parse, plan } = require('@bufbuild/cel') as typeof import('@bufbuild/cel');
  const { timestampFromMs } = require('@bufbuild/protobuf/wkt') as typeof import('@bufbuild/protobuf/wkt');
  const environment = celEnv();
  return { isCelError, parse, plan: (parsed: ReturnType<typeof parse>) => plan(environment, parsed), timestampFromMs };
}

type Cel = ReturnType<typeof loadCel>;

let loaded: Cel | null = null;

/** Where and why an expression cannot be used; line and column count from 1, within the expression. */
export interface ExpressionFault {
  readonly message: string;
  readonly line: number;
  readonly column: number;
}

/** Compiles `if:`. What it means is checked here, so that at run time it can only fail for want of a value. */
export function compileExpression(source: string): Expression | ExpressionFault {
  loaded ??= loadCel();
  const cel = loaded;
  try {
    const parsed = cel.parse(source);
    const { uses, literals, cost } = checkExpression(parsed);
    for (const literal of literals) {
      const result = cel.plan(cel.parse(literal.source))();
      if (cel.isCelError(result)) throw new ExpressionProblem(result.message, literal.offset);
    }
    if (cost > MOST_STEPS) {
      throw new ExpressionProblem(
        'it could take too long: fewer lists inside of lists, or shorter conditions, please',
        0,
      );
    }
    const evaluate = cel.plan(parsed);
    const asks = (name: string) => uses.has(name);
    return {
      needsMoment: VOLATILE.some(asks),
      needsEstimate: asks('estimate'),
      readsEffect: asks('effect'),
      mostEvaluations: Math.max(1, Math.floor(MOST_STEPS / cost)),
      evaluate(visible, effect, moment) {
        const variables = variablesOf(visible, effect, moment, uses, cel);
        if (variables === null) return null;
        try {
          const result: unknown = evaluate(variables as never);
          return typeof result === 'boolean' ? result : null;
        } catch {
          return null;
        }
      },
    };
  } catch (error) {
    return faultOf(error, source);
  }
}

/**
 * An expression that is compiled when a statement first is what its rule is about: until then, and where it never is, nothing of CEL is
 * loaded. @param source that {@link compileExpression} takes: rule files are checked before
 */
export class DeferredExpression implements Expression {
  readonly #source: string;
  #compiled: Expression | null = null;

  constructor(source: string) {
    this.#source = source;
  }

  get needsMoment(): boolean {
    return this.#expression().needsMoment;
  }

  get needsEstimate(): boolean {
    return this.#expression().needsEstimate;
  }

  get readsEffect(): boolean {
    return this.#expression().readsEffect;
  }

  get mostEvaluations(): number {
    return this.#expression().mostEvaluations;
  }

  evaluate(visible: Visible, effect: Effect, moment: Moment | null): boolean | null {
    return this.#expression().evaluate(visible, effect, moment);
  }

  #expression(): Expression {
    if (this.#compiled !== null) return this.#compiled;
    const compiled = compileExpression(this.#source);
    if (isFault(compiled)) throw new Error(`if: ${compiled.message}`);
    this.#compiled = compiled;
    return compiled;
  }
}

export function isFault(compiled: Expression | ExpressionFault): compiled is ExpressionFault {
  return 'message' in compiled;
}

function faultOf(error: unknown, source: string): ExpressionFault {
  if (error instanceof ExpressionProblem) {
    const meant = error.word === null ? '' : suggestion(error.word, error.known);
    return { message: `${error.message}${meant === '' ? '' : `.${meant}`}`, ...placeIn(source, error.offset) };
  }
  if (error instanceof RangeError) return { message: 'it is nested too deep', line: 1, column: 1 };
  // The parser's own error.
  const { rawMessage, location } = error as { rawMessage?: string; location?: { start: { offset: number } } };
  return { message: rawMessage ?? (error as Error).message, ...placeIn(source, location?.start.offset ?? 0) };
}

function placeIn(source: string, offset: number): { line: number; column: number } {
  const before = source.slice(0, offset).split('\n');
  return { line: before.length, column: before.at(-1)!.length + 1 };
}

/** Only the variables that are used; `null` if one of them is not known or too large to look at. */
function variablesOf(
  visible: Visible,
  effect: Effect,
  moment: Moment | null,
  uses: ReadonlySet<string>,
  { timestampFromMs }: Cel,
): Record<string, unknown> | null {
  const { facts, identity, connection } = visible;
  const variables: Record<string, unknown> = {};
  if (VOLATILE.some((name) => uses.has(name)) && moment === null) return null;
  if (uses.has('statement')) {
    if (facts.effects.length > MOST_ITEMS) return null;
    const asksForNames = uses.has('statement.tables') || uses.has('statement.functions');
    if (asksForNames && facts.effects.some((one) => one.effect === 'opaque')) return null;
    const binds = uses.has('statement.binds') ? moment!.binds : [];
    if (binds.length > MOST_ITEMS || binds.some((bind) => bind !== null && bind.length > MOST_CHARACTERS)) return null;
    variables.statement = {
      kind: facts.kind ?? '',
      fingerprint: facts.fingerprint ?? '',
      effects: facts.effects.map((one) => one.effect),
      tables: namesOf(facts.effects, 'relation'),
      functions: namesOf(facts.effects, 'function'),
      binds,
    };
  }
  if (uses.has('effect')) {
    if (isUnknown(effect, uses) || (effect.columns?.length ?? 0) > MOST_ITEMS) return null;
    variables.effect = {
      name: effect.effect,
      schema: effect.object?.schema ?? '',
      object: effect.object?.name ?? '',
      kind: effect.object?.kind ?? '',
      predicate: effect.predicate ?? '',
      columns: effect.columns ?? [],
      value: effect.value ?? '',
    };
  }
  if (uses.has('identity')) {
    if (identity.groups.length > MOST_ITEMS) return null;
    const { subject, kind, groups, issuer = '', owner = '' } = identity;
    variables.identity = { subject, kind, groups, issuer, owner };
  }
  if (uses.has('connection')) {
    if (uses.has('connection.protocol') && visible.protocol === undefined) return null;
    variables.connection = { name: connection, protocol: visible.protocol ?? '' };
  }
  if (moment === null) return variables;
  if (uses.has('now')) variables.now = timestampFromMs(moment.now);
  if (uses.has('claimed')) {
    if (!isSmall(moment.claimed)) return null;
    variables.claimed = moment.claimed;
  }
  if (uses.has('session')) {
    const { id, address, tls, inTransaction, settings } = moment.session;
    if (!isSmall(settings)) return null;
    variables.session = { id, address, tls, in_transaction: inTransaction, settings };
  }
  if (uses.has('estimate')) {
    if (moment.estimate === null) return null;
    const { rows, cost } = moment.estimate;
    if (cost === undefined && uses.has('estimate.cost')) return null;
    variables.estimate = { rows: BigInt(Math.round(rows)), cost: cost ?? 0 };
  }
  return variables;
}

/** Whether the expression asks for something about the effect that cannot be told: it is not the same as empty. */
function isUnknown(effect: Effect, uses: ReadonlySet<string>): boolean {
  const { object } = effect;
  if (object === null) {
    const asks = ['object', 'schema', 'kind', 'columns'].some((field) => uses.has(`effect.${field}`));
    return asks && (ON_RELATIONS.has(effect.effect) || ON_SETTINGS.has(effect.effect));
  }
  if (object.kind === 'relation' || object.kind === 'function') {
    if (object.schema === null && uses.has('effect.schema')) return true;
    return object.kind === 'relation' && effect.columns === undefined && uses.has('effect.columns');
  }
  return object.kind === 'setting' && effect.value === undefined && uses.has('effect.value');
}

function isSmall(map: ReadonlyMap<string, string>): boolean {
  if (map.size > MOST_ITEMS) return false;
  for (const value of map.values()) if (value.length > MOST_CHARACTERS) return false;
  return true;
}

function namesOf(effects: readonly Effect[], kind: ObjectName['kind']): string[] {
  const names = new Set<string>();
  for (const { object } of effects) {
    if (object?.kind === kind) names.add(object.schema === null ? object.name : `${object.schema}.${object.name}`);
  }
  return [...names];
}
