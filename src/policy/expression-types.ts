import type { parse } from '@bufbuild/cel';

/**
 * Checks the types of a CEL expression, which the library does not do. What it accepts is a part of CEL: the functions
 * and macros listed here, over the variables listed here. Both lists are what docs/rules.md prints.
 *
 * https://github.com/google/cel-spec/blob/master/doc/langdef.md
 */

export type Type =
  | 'bool'
  | 'int'
  | 'double'
  | 'string'
  | 'timestamp'
  | 'duration'
  | 'null'
  | { readonly list: Type }
  | { readonly map: Type }
  | { readonly fields: Readonly<Record<string, Field>> };

export interface Field {
  readonly type: Type;
  readonly means: string;
}

const STRINGS: Type = { list: 'string' };

/** The variables of `if:`. */
export const VARIABLES: Readonly<Record<string, Field>> = {
  statement: {
    means: 'The statement as a whole.',
    type: {
      fields: {
        kind: { type: 'string', means: 'Its kind, `SELECT`, `CREATE TABLE`.' },
        fingerprint: { type: 'string', means: 'Equal for statements that differ in literals only.' },
        effects: { type: STRINGS, means: 'The names of its effects.' },
        tables: {
          type: STRINGS,
          means: 'The tables it touches, as `schema.table`, or `table` where the schema is not known.',
        },
        functions: { type: STRINGS, means: 'The functions it calls that are not known to be pure, written likewise.' },
        binds: { type: STRINGS, means: 'The values of its parameters as text, in order; NULL is `null`.' },
      },
    },
  },
  effect: {
    means:
      'The effect that is being matched. What does not apply is the empty text; what is not known makes the expression fail.',
    type: {
      fields: {
        name: { type: 'string', means: 'Such as `update`.' },
        schema: { type: 'string', means: 'Of its object.' },
        object: { type: 'string', means: 'The name of its object.' },
        kind: {
          type: 'string',
          means: 'What the object is: `relation`, `function`, `setting`, `schema`, `database`, `role`, `other`.',
        },
        predicate: { type: 'string', means: '`none`, `tautology`, `open`, `bounded` or `keyed`.' },
        columns: { type: STRINGS, means: 'The columns it reads or writes.' },
        value: { type: 'string', means: 'What a setting is set to, where that is a constant.' },
      },
    },
  },
  identity: {
    means: 'Who is behind the session, verified.',
    type: {
      fields: {
        subject: { type: 'string', means: 'The name.' },
        kind: { type: 'string', means: '`human`, `agent` or `service`.' },
        groups: { type: STRINGS, means: 'The groups.' },
        issuer: { type: 'string', means: 'The provider that vouches for it; empty for users of `sluice.yaml`.' },
        owner: { type: 'string', means: 'Who answers for it; empty if nobody does.' },
      },
    },
  },
  connection: {
    means: 'The connection of sluice.yaml.',
    type: {
      fields: {
        name: { type: 'string', means: 'Its name.' },
        protocol: { type: 'string', means: '`postgres` or `mysql`.' },
      },
    },
  },
  session: {
    means: 'The session as it is now.',
    type: {
      fields: {
        id: { type: 'string', means: 'As in the records.' },
        address: { type: 'string', means: 'Where the client connects from.' },
        tls: { type: 'bool', means: 'Whether it does so over TLS.' },
        in_transaction: { type: 'bool', means: 'Whether a transaction block is open.' },
        settings: { type: { map: 'string' }, means: 'Settings that are known, names in lower case.' },
      },
    },
  },
  claimed: {
    means: 'What the client says about itself, not verified: `claimed.traceparent`.',
    type: { map: 'string' },
  },
  now: { means: 'The time: `now.getHours("Europe/Berlin")`.', type: 'timestamp' },
  estimate: {
    means: 'What the server expects of the statement: see below.',
    type: {
      fields: {
        rows: { type: 'int', means: 'Rows that it returns or changes.' },
        cost: { type: 'double', means: 'Cost, in the units of the server; MariaDB tells none before 11.0.' },
      },
    },
  },
};

/** Functions by name: operands (receiver first) and result. `literal` ones take a literal that is checked at load. */
interface Signature {
  readonly takes: readonly Type[];
  readonly gives: Type;
}

const TIME_PARTS = [
  'getFullYear',
  'getMonth',
  'getDate',
  'getDayOfMonth',
  'getDayOfWeek',
  'getDayOfYear',
  'getHours',
  'getMinutes',
  'getSeconds',
];

const NUMERIC: readonly Type[] = ['int', 'double'];

function arithmetic(): Signature[] {
  return NUMERIC.map((type) => ({ takes: [type, type], gives: type }));
}

const FUNCTIONS: Readonly<Record<string, readonly Signature[]>> = {
  '_&&_': [{ takes: ['bool', 'bool'], gives: 'bool' }],
  '_||_': [{ takes: ['bool', 'bool'], gives: 'bool' }],
  '!_': [{ takes: ['bool'], gives: 'bool' }],
  '-_': NUMERIC.map((type) => ({ takes: [type], gives: type })),
  '_+_': [
    ...arithmetic(),
    { takes: ['timestamp', 'duration'], gives: 'timestamp' },
    { takes: ['duration', 'duration'], gives: 'duration' },
  ],
  '_-_': [
    ...arithmetic(),
    { takes: ['timestamp', 'duration'], gives: 'timestamp' },
    { takes: ['timestamp', 'timestamp'], gives: 'duration' },
    { takes: ['duration', 'duration'], gives: 'duration' },
  ],
  '_*_': arithmetic(),
  '_/_': arithmetic(),
  '_%_': [{ takes: ['int', 'int'], gives: 'int' }],
  startsWith: [{ takes: ['string', 'string'], gives: 'bool' }],
  endsWith: [{ takes: ['string', 'string'], gives: 'bool' }],
  contains: [{ takes: ['string', 'string'], gives: 'bool' }],
  matches: [{ takes: ['string', 'string'], gives: 'bool' }],
  timestamp: [{ takes: ['string'], gives: 'timestamp' }],
  duration: [{ takes: ['string'], gives: 'duration' }],
  int: [
    { takes: ['string'], gives: 'int' },
    { takes: ['double'], gives: 'int' },
  ],
  double: [
    { takes: ['string'], gives: 'double' },
    { takes: ['int'], gives: 'double' },
  ],
  string: [
    { takes: ['int'], gives: 'string' },
    { takes: ['double'], gives: 'string' },
  ],
  ...Object.fromEntries(
    TIME_PARTS.map((name) => [
      name,
      [
        { takes: ['timestamp'], gives: 'int' },
        { takes: ['timestamp', 'string'], gives: 'int' },
      ] satisfies Signature[],
    ]),
  ),
};

/** Functions and macros, as docs/rules.md prints them. */
export const FUNCTION_NAMES: readonly string[] = [
  'size',
  ...Object.keys(FUNCTIONS).filter((name) => /^[a-z]/.test(name)),
  'exists',
  'all',
  'exists_one',
  'has',
];

/** Arguments that have to be literals, because what they can be is checked when the rule is loaded: by their place. */
const LITERALS: Readonly<Record<string, number>> = {
  matches: 1,
  timestamp: 0,
  duration: 0,
  ...Object.fromEntries(TIME_PARTS.map((name) => [name, 1])),
};

type Parsed = ReturnType<typeof parse>;
type Expr = Parsed['expr'];

/** An expression that cannot be used; `offset` counts characters from 0. */
export class ExpressionProblem extends Error {
  readonly offset: number;
  /** Words that were meant, for a suggestion, and the one that was written. */
  readonly word: string | null;
  readonly known: readonly string[];

  constructor(message: string, offset: number, word: string | null = null, known: readonly string[] = []) {
    super(message);
    this.offset = offset;
    this.word = word;
    this.known = known;
  }
}

/** What a check finds out. */
export interface CheckedExpression {
  /** `statement.binds`, `now`: the variables it uses, and of those with fields which field. */
  readonly uses: ReadonlySet<string>;
  /** Literal calls to try when the rule is loaded, each an expression by itself, with its place. */
  readonly literals: readonly { readonly source: string; readonly offset: number }[];
  /** Steps an evaluation takes at most, with lists of {@link MOST_ITEMS}. */
  readonly cost: number;
}

/** Lists longer than this make an evaluation fail. */
export const MOST_ITEMS = 200;

/** Throws an {@link ExpressionProblem} unless the expression is true or false for every value of its variables, or fails. */
export function checkExpression(parsed: Parsed): CheckedExpression {
  const uses = new Set<string>();
  const literals: { source: string; offset: number }[] = [];
  let cost = 0;
  const positions = parsed.sourceInfo?.positions ?? {};
  const macros = parsed.sourceInfo?.macroCalls ?? {};
  const at = (expr: Expr) => positions[String(expr.id)] ?? 0;

  const typeOf = (expr: Expr, scope: ReadonlyMap<string, Type>, times: number): Type => {
    cost += times;
    const macro = macros[String(expr.id)];
    if (macro?.exprKind.case === 'callExpr' && macro.exprKind.value.function !== 'has') {
      return typeOfMacro(macro.exprKind.value, expr, scope, times);
    }
    const { exprKind } = expr;
    switch (exprKind.case) {
      case 'constExpr':
        return typeOfConstant(exprKind.value.constantKind.case, at(expr));
      case 'identExpr':
        return typeOfVariable(exprKind.value.name, expr, scope);
      case 'selectExpr': {
        const { operand, field, testOnly } = exprKind.value;
        const type = typeOfField(typeOf(operand!, scope, times), field, at(expr), pathOf(operand!, scope));
        return testOnly ? 'bool' : type;
      }
      case 'listExpr': {
        const items = exprKind.value.elements.map((item) => typeOf(item, scope, times));
        const first = items[0];
        if (first === undefined) throw new ExpressionProblem('an empty list says nothing', at(expr));
        if (items.some((type) => !isSame(type, first))) {
          throw new ExpressionProblem('the items of a list must be of one type', at(expr));
        }
        return { list: first };
      }
      case 'callExpr':
        return typeOfCall(exprKind.value, expr, scope, times);
      default:
        throw new ExpressionProblem('this form is not part of the expressions of rules', at(expr));
    }
  };

  const typeOfVariable = (name: string, expr: Expr, scope: ReadonlyMap<string, Type>): Type => {
    const local = scope.get(name);
    if (local !== undefined) return local;
    const variable = Object.hasOwn(VARIABLES, name) ? VARIABLES[name] : undefined;
    if (variable === undefined) {
      throw new ExpressionProblem(`"${name}" is not a variable`, at(expr), name, Object.keys(VARIABLES));
    }
    uses.add(name);
    return variable.type;
  };

  /** `statement` for what is selected from the variable, so that its field can be noted. */
  const pathOf = (operand: Expr, scope: ReadonlyMap<string, Type>): string | null =>
    operand.exprKind.case === 'identExpr' && !scope.has(operand.exprKind.value.name)
      ? operand.exprKind.value.name
      : null;

  const typeOfField = (type: Type, field: string, offset: number, variable: string | null): Type => {
    if (typeof type === 'object' && 'map' in type) return type.map;
    if (typeof type === 'object' && 'fields' in type) {
      const found = Object.hasOwn(type.fields, field) ? type.fields[field] : undefined;
      if (found === undefined) {
        throw new ExpressionProblem(`${variable ?? 'this'} has no "${field}"`, offset, field, Object.keys(type.fields));
      }
      if (variable !== null) uses.add(`${variable}.${field}`);
      return found.type;
    }
    throw new ExpressionProblem(`${nameOf(type)} has no fields`, offset);
  };

  type Call = Extract<Expr['exprKind'], { case: 'callExpr' }>['value'];

  const typeOfCall = (call: Call, expr: Expr, scope: ReadonlyMap<string, Type>, times: number): Type => {
    const operands = call.target === undefined ? call.args : [call.target, ...call.args];
    const types = operands.map((operand) => typeOf(operand, scope, times));
    const [a, b, c] = types;
    const name = call.function;
    const wrong = () =>
      new ExpressionProblem(`${symbolOf(name)} cannot be used on ${types.map(nameOf).join(' and ')}`, at(expr));
    if (name === '_==_' || name === '_!=_') {
      if (!isComparable(a!, b!)) throw wrong();
      return 'bool';
    }
    if (/^_[<>]=?_$/.test(name)) {
      if (!isOrdered(a!) || !isComparable(a!, b!)) throw wrong();
      return 'bool';
    }
    if (name === '_?_:_') {
      if (a !== 'bool' || !isSame(b!, c!)) throw wrong();
      return b!;
    }
    if (name === '@in') {
      const inside =
        typeof b === 'object' && 'list' in b ? b.list : typeof b === 'object' && 'map' in b ? 'string' : null;
      if (inside === null || !isComparable(a!, inside)) throw wrong();
      return 'bool';
    }
    if (name === '_[_]') {
      if (typeof a === 'object' && 'list' in a && b === 'int') return a.list;
      if (typeof a === 'object' && 'map' in a && b === 'string') return a.map;
      throw wrong();
    }
    if (name === 'size' && types.length === 1) {
      if (a === 'string' || (typeof a === 'object' && ('list' in a || 'map' in a))) return 'int';
      throw wrong();
    }
    const signatures = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
    if (signatures === undefined) {
      throw new ExpressionProblem(`"${name}" is not a function`, at(expr), name, FUNCTION_NAMES);
    }
    const fitting = signatures.find(
      ({ takes }) => takes.length === types.length && takes.every((type, i) => type === types[i]),
    );
    if (fitting === undefined) throw wrong();
    const literal = LITERALS[name] === undefined ? undefined : operands[LITERALS[name]];
    if (literal !== undefined) literals.push({ source: literalCall(name, literal), offset: at(literal) });
    return fitting.gives;
  };

  const literalCall = (name: string, literal: Expr): string => {
    const kind = literal.exprKind.case === 'constExpr' ? literal.exprKind.value.constantKind : undefined;
    if (kind?.case !== 'stringValue') {
      throw new ExpressionProblem(
        `${name} needs a text in quotes here, which can be checked when the rule is loaded`,
        at(literal),
      );
    }
    const quoted = JSON.stringify(kind.value);
    if (name === 'matches') return `"".matches(${quoted}) ? true : true`;
    if (name === 'timestamp' || name === 'duration') return `${name}(${quoted}) == ${name}(${quoted})`;
    return `timestamp("2026-01-01T00:00:00Z").${name}(${quoted}) >= 0`;
  };

  const typeOfMacro = (call: Call, expr: Expr, scope: ReadonlyMap<string, Type>, times: number): Type => {
    const [variable, condition] = call.args;
    const name = call.function;
    if (!['exists', 'all', 'exists_one'].includes(name)) {
      throw new ExpressionProblem(`"${name}" is not a function`, at(expr), name, FUNCTION_NAMES);
    }
    if (call.args.length !== 2 || variable?.exprKind.case !== 'identExpr' || call.target === undefined) {
      throw new ExpressionProblem(`${name} is written LIST.${name}(ITEM, CONDITION)`, at(expr));
    }
    const range = typeOf(call.target, scope, times);
    const item = typeof range !== 'object' ? null : 'list' in range ? range.list : 'map' in range ? 'string' : null;
    if (item === null) throw new ExpressionProblem(`${name} needs a list, not ${nameOf(range)}`, at(expr));
    const inner = new Map(scope).set(variable.exprKind.value.name, item);
    if (typeOf(condition!, inner, times * MOST_ITEMS) !== 'bool') {
      throw new ExpressionProblem(`the condition of ${name} must be true or false`, at(condition!));
    }
    return 'bool';
  };

  const type = typeOf(parsed.expr, new Map(), 1);
  if (type !== 'bool') throw new ExpressionProblem(`it is ${nameOf(type)}, and must be true or false`, 0);
  return { uses, literals, cost };
}

function typeOfConstant(kind: string | undefined, offset: number): Type {
  switch (kind) {
    case 'boolValue':
      return 'bool';
    case 'int64Value':
      return 'int';
    case 'doubleValue':
      return 'double';
    case 'stringValue':
      return 'string';
    case 'nullValue':
      return 'null';
    default:
      throw new ExpressionProblem('bytes and unsigned numbers are not part of the expressions of rules', offset);
  }
}

function isSame(a: Type, b: Type): boolean {
  return (
    a === b || (typeof a === 'object' && typeof b === 'object' && 'list' in a && 'list' in b && isSame(a.list, b.list))
  );
}

function isComparable(a: Type, b: Type): boolean {
  return isSame(a, b) || a === 'null' || b === 'null' || (NUMERIC.includes(a) && NUMERIC.includes(b));
}

function isOrdered(type: Type): boolean {
  return typeof type === 'string' && type !== 'null' && type !== 'bool';
}

function nameOf(type: Type): string {
  if (typeof type === 'string') return type;
  return 'list' in type ? 'a list' : 'map' in type ? 'a map' : 'a variable with fields';
}

/** `_+_` as it is written, `+`. */
function symbolOf(name: string): string {
  return name === '@in' ? 'in' : name.replaceAll('_', '') || name;
}
