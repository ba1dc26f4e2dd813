import type { CatalogueLookup } from '../catalogue.ts';
import { opaqueText, type StatementFacts, type TextFacts } from '../facts.ts';
import { factsOfOwn } from '../own-statement.ts';
import { isTooMuch, MANY_STEPS, STEPS_PER_CHARACTER, WorkBudget } from '../work-budget.ts';
import { type AnalysisContext, analyseStatement } from './effects.ts';
import { fingerprint } from './fingerprint.ts';
import type { KnownFunctions } from './functions.ts';
import { effectsOfHint } from './hints.ts';
import { type Hint, lex, type Token } from './lexer.ts';
import { lineageOf } from './lineage.ts';
import { ownStatement } from './own-statements.ts';
import type { MysqlLexingState, MysqlServer } from './server.ts';
import { StatementParser } from './statement-parser.ts';
import { NotUnderstood, TokenReader } from './token-reader.ts';
import type { Statement } from './tree.ts';
import { contradiction } from './witness.ts';

export interface TextContext {
  readonly server: MysqlServer;
  readonly state: MysqlLexingState;
  readonly catalogue: CatalogueLookup | null;
  /** Default `null`. */
  readonly known?: KnownFunctions;
}

/** What reading a text shares with the texts in it. */
type Reading = TextContext & { readonly budget: WorkBudget };

/** The facts of a text, whatever it is; what cannot be read is opaque. Never throws. */
export function analyseText(text: string, context: TextContext): TextFacts {
  return analyseTextWithin(MANY_STEPS, text, context) ?? opaqueText(text.length, 'too complex');
}

/**
 * The same, for a thread that others wait for.
 *
 * @param steps of work it may cause, besides those its length allows for
 * @returns `null` if it was too much for the steps or the stack at hand: with more of them it may be understood
 */
export function analyseTextWithin(steps: number, text: string, context: TextContext): TextFacts | null {
  const budget = new WorkBudget(steps + STEPS_PER_CHARACTER * text.length);
  try {
    return readText(text, { ...context, budget }, 0);
  } catch (error) {
    if (isTooMuch(error)) return null;
    throw error;
  }
}

/** Most statements of a text. */
const MOST_STATEMENTS = 256;
/** Texts in texts: a PREPARE in a PREPARE is not understood anyway. */
const MOST_TEXTS = 2;

function readText(text: string, context: Reading, depth: number): TextFacts {
  if (context.state.oracle) return opaqueText(text.length, 'sql_mode ORACLE');
  if (depth > MOST_TEXTS) return opaqueText(text.length, 'too deep');
  const lexed = lex(text, context.server, context.state);
  if (lexed.outcome === 'rejected') return opaqueText(text.length, `unparsed: ${lexed.message}`);
  return { statements: new TextReader(text, lexed.tokens, lexed.hints, context, depth).statements() };
}

class TextReader {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  readonly #hints: readonly Hint[];
  #context: Reading;
  readonly #depth: number;
  readonly #reader: TokenReader;

  constructor(text: string, tokens: readonly Token[], hints: readonly Hint[], context: Reading, depth: number) {
    this.#text = text;
    this.#tokens = tokens;
    this.#hints = hints;
    this.#context = context;
    this.#depth = depth;
    this.#reader = new TokenReader(tokens, context.server, context.state);
  }

  statements(): StatementFacts[] {
    const found: StatementFacts[] = [];
    const reader = this.#reader;
    while (reader.peek().type !== 'end') {
      const start = found.length === 0 ? 0 : reader.peek().start;
      // What is read differently from here on is not known.
      if (found.at(-1)?.changesLexing === true && !this.#follows(found.at(-1)!)) {
        found.push(this.#opaque(start, 'text after a statement that may change how text is read'));
        break;
      }
      if (found.length >= MOST_STATEMENTS) {
        found.push(this.#opaque(start, 'too many statements'));
        break;
      }
      const one = this.#statement(start);
      found.push(one);
      if (one.kind === 'OPAQUE') break;
      if (!reader.takeOperator(';')) break;
    }
    return found;
  }

  #statement(start: number): StatementFacts {
    const own = this.#depth === 0 ? ownStatement(this.#reader) : null;
    if (own !== null) return { ...factsOfOwn(own), start, end: this.#endBefore() };
    const first = this.#reader.position;
    try {
      const statement = new StatementParser(this.#reader).statement();
      const last = this.#reader.position;
      const tokens = this.#tokens.slice(first, last);
      const context = this.#analysis();
      const analysed = analyseStatement(statement, context);
      const doubt = contradiction(tokens, statement, analysed.effects);
      if (doubt !== null) return this.#opaque(start, doubt);
      const hints = this.#hints.filter(({ before }) => before >= first && before <= last);
      return {
        kind: kindOf(statement),
        ...analysed,
        ...lineageOf(statement, context),
        effects: [...analysed.effects, ...hints.flatMap((hint) => effectsOfHint(hint.text))],
        fingerprint: fingerprint(tokens),
        start,
        end: this.#endBefore(),
      };
    } catch (error) {
      if (error instanceof NotUnderstood) return this.#opaque(start, `unparsed: ${error.message}`);
      throw error;
    }
  }

  /** Where the statement ends that was read last. */
  #endBefore(): number {
    const next = this.#reader.peek();
    return next.type === 'end' ? this.#text.length : next.start;
  }

  /** Takes over a change of the default database, the one change that is known whole. */
  #follows(statement: StatementFacts): boolean {
    const database = statement.effects[0]?.object?.schema ?? null;
    if (statement.kind !== 'USE' || database === null) return false;
    this.#context = { ...this.#context, state: { ...this.#context.state, database } };
    return true;
  }

  #analysis(): AnalysisContext {
    const { catalogue, state, known = null, budget } = this.#context;
    return {
      catalogue,
      known,
      budget,
      foldsNames: this.#context.server.foldsNames || catalogue?.data.foldsNames === true,
      isMaria: this.#context.server.flavour === 'mariadb',
      database: state.database,
      read: (text) => readText(text, this.#context, this.#depth + 1).statements,
      parse: (text) => parseOnly(text, this.#context),
    };
  }

  /** Everything from here to the end of the text. */
  #opaque(start: number, why: string): StatementFacts {
    const [opaque] = opaqueText(this.#text.length, why).statements;
    return { ...opaque!, start };
  }
}

/** The statements of stored text: a view's definition, a trigger's body. `null` if it is not understood. */
function parseOnly(text: string, context: Reading): readonly Statement[] | null {
  context.budget.spend(STEPS_PER_CHARACTER * text.length);
  const lexed = lex(text, context.server, context.state);
  if (lexed.outcome === 'rejected') return null;
  const reader = new TokenReader(lexed.tokens, context.server, context.state);
  const found: Statement[] = [];
  try {
    while (reader.peek().type !== 'end') {
      found.push(new StatementParser(reader).statement());
      if (!reader.takeOperator(';')) break;
    }
  } catch (error) {
    if (error instanceof NotUnderstood) return null;
    throw error;
  }
  return found;
}

function kindOf(statement: Statement): string {
  switch (statement.type) {
    case 'query':
      return 'SELECT';
    case 'insert':
      return statement.replaces ? 'REPLACE' : 'INSERT';
    case 'prepare':
      return statement.name === null ? 'EXECUTE IMMEDIATE' : 'PREPARE';
    case 'plain':
      return statement.kind;
    default:
      return statement.type.toUpperCase();
  }
}
