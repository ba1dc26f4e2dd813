import type { EffectName, ObjectName } from '../facts.ts';
import type { ExpressionParser } from './expression-parser.ts';
import { NotUnderstood, type TokenReader } from './token-reader.ts';
import type { Action, Expression, Plain } from './tree.ts';

/**
 * Statements that are known by their complete form. What is not a whole form of this list, or of the parser's, is opaque.
 *
 * In a form, words are themselves, `A|B` is one of them, `[ ]` may be left out, and `< >` is:
 * name, index, table, tables, routine, database, other, account, accounts (objects of the effects), number, value (an
 * expression), filter (LIKE or WHERE, if any), limit, own (a name that is no object of the effects), any (whatever follows,
 * parentheses paired, no query in it).
 */
const FORMS: readonly (readonly [form: string, effects: string, via?: string])[] = [
  ['BEGIN [WORK]', 'transaction'],
  ['COMMIT [WORK] [AND [NO] CHAIN] [NO] RELEASE', 'transaction', 'release'],
  ['COMMIT [WORK] [AND [NO] CHAIN]', 'transaction'],
  ['ROLLBACK [WORK] TO [SAVEPOINT] <name>', 'transaction'],
  ['ROLLBACK [WORK] [AND [NO] CHAIN] [NO] RELEASE', 'transaction', 'release'],
  ['ROLLBACK [WORK] [AND [NO] CHAIN]', 'transaction'],
  ['SAVEPOINT <name>', 'transaction'],
  ['RELEASE SAVEPOINT <name>', 'transaction'],
  // Outlives the session, so it is no mere transaction.
  ['XA START|BEGIN|END|PREPARE|COMMIT|ROLLBACK <any>', 'transaction admin', 'xa'],
  ['XA RECOVER <any>', 'read:xa recover'],

  ['LOCK TABLES|TABLE <any>', 'lock'],
  ['LOCK INSTANCE FOR BACKUP', 'lock'],
  ['UNLOCK TABLES|TABLE|INSTANCE', 'lock'],
  ['BACKUP STAGE|LOCK|UNLOCK <any>', 'lock'],
  ['CHECK TABLE|TABLES|VIEW <tables> <any>', 'maintenance'],
  ['REPAIR [NO_WRITE_TO_BINLOG|LOCAL] TABLE|TABLES|VIEW <tables> <any>', 'maintenance'],
  ['OPTIMIZE [NO_WRITE_TO_BINLOG|LOCAL] TABLE|TABLES <tables> <any>', 'maintenance'],
  ['ANALYZE [NO_WRITE_TO_BINLOG|LOCAL] TABLE|TABLES <tables> <any>', 'maintenance'],
  ['CHECKSUM TABLE|TABLES <tables> [QUICK|EXTENDED]', 'read maintenance'],
  ['CACHE INDEX <table> <any>', 'maintenance'],
  ['LOAD INDEX INTO CACHE <tables> <any>', 'maintenance'],
  ['FLUSH [NO_WRITE_TO_BINLOG|LOCAL] TABLES|TABLE [WITH READ LOCK]', 'maintenance lock'],
  ['FLUSH [NO_WRITE_TO_BINLOG|LOCAL] TABLES|TABLE <tables> <any>', 'maintenance lock'],
  ['FLUSH <any>', 'maintenance'],
  ['RESET QUERY CACHE', 'maintenance'],
  ['RESET PERSIST <any>', 'set-global'],
  ['RESET <any>', 'admin'],

  ['KILL [HARD|SOFT] [CONNECTION|QUERY] USER <account>', 'admin'],
  ['KILL [HARD|SOFT] [CONNECTION|QUERY] [ID] <value>', 'admin'],
  ['SHUTDOWN <any>', 'admin'],
  ['RESTART', 'admin'],
  ['PURGE BINARY|MASTER LOGS <any>', 'admin'],
  ['CHANGE MASTER|REPLICATION <any>', 'admin network'],
  ['START|STOP SLAVE|REPLICA|GROUP_REPLICATION <any>', 'admin network'],
  ['START|STOP ALL SLAVES|REPLICAS <any>', 'admin network'],
  ['INSTALL|UNINSTALL PLUGIN|SONAME|COMPONENT <any>', 'admin program'],
  ['BINLOG <any>', 'admin opaque', 'binary log events'],
  ['CLONE LOCAL <any>', 'admin file'],
  ['CLONE INSTANCE <any>', 'admin network file'],
  ['IMPORT TABLE FROM <any>', 'create file'],
  ['HELP <any>', 'read:help'],

  ['HANDLER <table> OPEN [AS] [<name>]', 'read cursor', 'handler'],
  ['HANDLER <table> CLOSE', 'cursor', 'handler'],

  ['GRANT PROXY ON <account> TO <any>', 'grant'],
  ['REVOKE PROXY ON <account> FROM <any>', 'revoke'],
  ['RENAME USER <any>', 'role'],
  ['DROP USER|ROLE [IF EXISTS] <accounts>', 'role'],

  ['DROP DATABASE|SCHEMA [IF EXISTS] <database>', 'drop'],
  ['DROP [TEMPORARY] TABLE|TABLES [IF EXISTS] <tables> [RESTRICT|CASCADE] [NOWAIT] [WAIT <number>]', 'drop'],
  ['DROP [TEMPORARY] VIEW|SEQUENCE [IF EXISTS] <tables> [RESTRICT|CASCADE]', 'drop'],
  ['DROP [ONLINE|OFFLINE] INDEX [IF EXISTS] <index> ON <table> <any>', 'drop'],
  ['DROP FUNCTION|PROCEDURE [IF EXISTS] <routine>', 'drop'],
  ['DROP PACKAGE [BODY] [IF EXISTS] <routine>', 'drop'],
  ['DROP TRIGGER|EVENT [IF EXISTS] <other>', 'drop'],
  ['DROP SERVER [IF EXISTS] <other>', 'drop network'],
  ['DROP [UNDO] TABLESPACE <other> <any>', 'drop file'],
  ['DROP LOGFILE GROUP <other> <any>', 'drop file'],
  ['DROP RESOURCE GROUP <other> [FORCE]', 'admin'],
  ['DROP SPATIAL REFERENCE SYSTEM <any>', 'drop'],
  ['TRUNCATE [TABLE] <table> [NOWAIT] [WAIT <number>]', 'truncate'],

  ['SHOW BINARY|MASTER|BINLOG LOGS|STATUS', 'read:show binary logs'],
  ['SHOW BINARY LOG STATUS', 'read:show binary logs'],
  ['SHOW BINLOG|RELAYLOG EVENTS <any>', 'read:show binlog events'],
  ['SHOW CHARACTER SET <filter>', 'read:show character set'],
  ['SHOW CHARSET <filter>', 'read:show character set'],
  ['SHOW COLLATION <filter>', 'read:show collation'],
  ['SHOW [EXTENDED] [FULL] COLUMNS|FIELDS FROM|IN <own> [FROM|IN <own>] <filter>', 'read:show columns'],
  ['SHOW CREATE DATABASE|SCHEMA [IF NOT EXISTS] <own>', 'read:show create database'],
  ['SHOW CREATE TABLE|VIEW|SEQUENCE <own>', 'read:show create table'],
  ['SHOW CREATE EVENT|FUNCTION|PROCEDURE|TRIGGER <own>', 'read:show create routine'],
  ['SHOW CREATE PACKAGE [BODY] <own>', 'read:show create routine'],
  ['SHOW CREATE USER <any>', 'read:show create user'],
  ['SHOW CREATE SERVER <own>', 'read:show create server'],
  ['SHOW CONTRIBUTORS|AUTHORS', 'read:show contributors'],
  ['SHOW USER_STATISTICS|CLIENT_STATISTICS|INDEX_STATISTICS|TABLE_STATISTICS', 'read:show statistics'],
  ['SHOW DATABASES|SCHEMAS <filter>', 'read:show databases'],
  ['SHOW ENGINE <own> STATUS|MUTEX|LOGS', 'read:show engine'],
  ['SHOW [STORAGE] ENGINES', 'read:show engines'],
  ['SHOW ERRORS|WARNINGS <limit>', 'read:show warnings'],
  ['SHOW COUNT ( * ) ERRORS|WARNINGS', 'read:show warnings'],
  ['SHOW EVENTS [FROM|IN <own>] <filter>', 'read:show events'],
  ['SHOW FUNCTION|PROCEDURE STATUS <filter>', 'read:show routine status'],
  ['SHOW PACKAGE [BODY] STATUS <filter>', 'read:show routine status'],
  ['SHOW FUNCTION|PROCEDURE CODE <own>', 'read:show create routine'],
  ['SHOW GRANTS <any>', 'read:show grants'],
  ['SHOW [EXTENDED] INDEX|INDEXES|KEYS FROM|IN <own> [FROM|IN <own>] <filter>', 'read:show index'],
  ['SHOW OPEN TABLES [FROM|IN <own>] <filter>', 'read:show open tables'],
  ['SHOW PLUGINS <any>', 'read:show plugins'],
  ['SHOW PRIVILEGES', 'read:show privileges'],
  ['SHOW [FULL] PROCESSLIST', 'read:show processlist'],
  ['SHOW PROFILE <any>', 'read:show profile'],
  ['SHOW PROFILES', 'read:show profile'],
  ['SHOW SLAVE|REPLICA HOSTS|STATUS <any>', 'read:show replica status'],
  ['SHOW REPLICAS', 'read:show replica status'],
  ['SHOW ALL SLAVES|REPLICAS STATUS', 'read:show replica status'],
  ['SHOW [GLOBAL|SESSION|LOCAL] STATUS <filter>', 'read:show status'],
  ['SHOW [GLOBAL|SESSION|LOCAL] VARIABLES <filter>', 'read:show variables'],
  ['SHOW TABLE STATUS [FROM|IN <own>] <filter>', 'read:show table status'],
  ['SHOW [EXTENDED] [FULL] TABLES [FROM|IN <own>] <filter>', 'read:show tables'],
  ['SHOW [FULL] TRIGGERS [FROM|IN <own>] <filter>', 'read:show triggers'],
  ['SHOW EXPLAIN|ANALYZE <any>', 'read:show processlist'],
];

type Element =
  | { readonly is: 'words'; readonly words: readonly string[] }
  | { readonly is: 'optional'; readonly elements: readonly Element[] }
  | { readonly is: 'part'; readonly name: string }
  | { readonly is: 'operator'; readonly value: string };

interface Form {
  readonly elements: readonly Element[];
  readonly effects: readonly EffectName[];
  /** The object of a `read:` effect. */
  readonly shows: string | null;
  readonly via: string | null;
}

const BY_FIRST_WORD = compile();

function compile(): ReadonlyMap<string, readonly Form[]> {
  const found = new Map<string, Form[]>();
  for (const [form, effect, via = null] of FORMS) {
    const shows = effect.startsWith('read:') ? effect.slice('read:'.length) : null;
    const effects = shows === null ? (effect.split(' ') as EffectName[]) : (['read'] as const);
    const elements = elementsOf(form.match(/[[\]()*]|<\w+>|[\w|]+/g) ?? []);
    const first = elements[0];
    if (first?.is !== 'words') throw new Error(`a form begins with a word: ${form}`);
    for (const word of first.words) {
      found.set(word, [...(found.get(word) ?? []), { elements, effects, shows, via }]);
    }
  }
  return found;
}

/** Consumes `pieces` up to the end or a closing bracket. */
function elementsOf(pieces: string[]): Element[] {
  const elements: Element[] = [];
  for (let piece = pieces.shift(); piece !== undefined && piece !== ']'; piece = pieces.shift()) {
    if (piece === '[') elements.push({ is: 'optional', elements: elementsOf(pieces) });
    else if (piece.startsWith('<')) elements.push({ is: 'part', name: piece.slice(1, -1) });
    else if (/^\W$/.test(piece)) elements.push({ is: 'operator', value: piece });
    else elements.push({ is: 'words', words: piece.split('|') });
  }
  return elements;
}

/** The statement that comes next, if it is wholly one of the forms; `null` if its first word begins none of them. */
export function knownForm(parser: ExpressionParser): Plain | null {
  const { tokens } = parser;
  const forms = BY_FIRST_WORD.get(tokens.peek().keyword);
  if (forms === undefined) return null;
  const start = tokens.position;
  let reason: NotUnderstood | null = null;
  for (const form of forms) {
    try {
      const match = new FormMatch(parser, form);
      match.elements(form.elements);
      if (tokens.isAtEnd) return match.statement();
      tokens.fail('the end of the statement');
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      reason = error;
    }
    tokens.goTo(start);
  }
  // The word may begin other statements as well: CREATE, DROP PREPARE, ANALYZE FORMAT.
  if (tokens.isWord('DROP', 'ANALYZE', 'LOAD', 'START', 'XA', 'GRANT', 'REVOKE', 'HANDLER', 'RENAME')) return null;
  throw reason ?? new NotUnderstood('unknown form');
}

class FormMatch {
  readonly #parser: ExpressionParser;
  readonly #tokens: TokenReader;
  readonly #form: Form;
  readonly #objects: ObjectName[] = [];
  readonly #expressions: Expression[] = [];
  readonly #words: string[] = [];
  #isOptional = false;

  constructor(parser: ExpressionParser, form: Form) {
    this.#parser = parser;
    this.#tokens = parser.tokens;
    this.#form = form;
  }

  statement(): Plain {
    const { effects, shows, via } = this.#form;
    const actions: Action[] = [];
    const shown: ObjectName | null = shows === null ? null : { kind: 'other', schema: null, name: shows };
    for (const effect of effects) {
      const objects = shown === null ? this.#objects : [shown];
      for (const object of objects) actions.push({ effect, object, via });
      if (objects.length === 0) actions.push({ effect, object: null, via });
    }
    return {
      type: 'plain',
      kind: this.#words.slice(0, 2).join(' '),
      actions,
      expressions: this.#expressions,
      inner: [],
      executes: null,
      deallocates: null,
      refuses: null,
      changesLexing: effects.includes('opaque'),
    };
  }

  elements(elements: readonly Element[]): void {
    for (const element of elements) this.#element(element);
  }

  #element(element: Element): void {
    const tokens = this.#tokens;
    switch (element.is) {
      case 'words':
        tokens.expectWord(...element.words);
        if (!this.#isOptional) this.#words.push(tokens.previous().keyword);
        return;
      case 'operator':
        tokens.expectOperator(element.value);
        return;
      case 'optional': {
        const first = element.elements[0];
        const comes = first?.is === 'words' ? tokens.isWord(...first.words) : !tokens.isAtEnd;
        if (!comes) return;
        const around = this.#isOptional;
        this.#isOptional = true;
        this.elements(element.elements);
        this.#isOptional = around;
        return;
      }
      case 'part':
        this.#part(element.name);
    }
  }

  #part(name: string): void {
    const tokens = this.#tokens;
    const add = (kind: ObjectName['kind'], { schema, name: own }: { schema: string | null; name: string }) => {
      this.#objects.push({ kind, schema, name: own });
    };
    switch (name) {
      case 'name':
      case 'index':
        if (name === 'index' && tokens.takeWord('PRIMARY')) return;
        tokens.name();
        return;
      // A name that is not the object of the effects.
      case 'own':
        tokens.qualifiedName();
        return;
      case 'table':
        add('relation', tokens.qualifiedName());
        return;
      case 'tables':
        for (const table of tokens.list(() => tokens.qualifiedName())) add('relation', table);
        return;
      case 'routine':
        add('function', tokens.qualifiedName());
        return;
      case 'other':
        add('other', tokens.qualifiedName());
        return;
      case 'database':
        add('schema', { schema: null, name: tokens.name() });
        return;
      case 'account':
        add('role', { schema: null, name: readAccount(tokens) });
        return;
      case 'accounts':
        for (const account of tokens.list(() => readAccount(tokens))) add('role', { schema: null, name: account });
        return;
      case 'number':
        if (tokens.peek().type !== 'number') tokens.fail('a number');
        tokens.next();
        return;
      case 'value':
        this.#expressions.push(this.#parser.expression());
        return;
      case 'filter':
        if (tokens.takeWord('LIKE')) tokens.string();
        else if (tokens.takeWord('WHERE')) this.#expressions.push(this.#parser.expression());
        return;
      case 'limit':
        if (!tokens.takeWord('LIMIT')) return;
        do this.#expressions.push(this.#parser.arithmetic());
        while (tokens.takeOperator(',') || tokens.takeWord('OFFSET'));
        return;
      case 'any':
        for (const { keyword } of tokens.rest()) {
          if (keyword === 'SELECT') throw new NotUnderstood('a query where none is known');
        }
        return;
      default:
        throw new Error(`unknown part of a form: ${name}`);
    }
  }
}

/** `'app'@'%'`, `app`, `CURRENT_USER()`: the name and host as `app@%`; without host, as written. */
export function readAccount(tokens: TokenReader): string {
  const { type, keyword } = tokens.peek();
  let name: string;
  if (keyword === 'CURRENT_USER' || keyword === 'CURRENT_ROLE') {
    tokens.next();
    if (tokens.takeOperator('(')) tokens.expectOperator(')');
    return keyword.toLowerCase();
  }
  if (type === 'string') name = tokens.next().value;
  else name = tokens.name();
  return tokens.peek().type === 'variable' ? `${name}@${tokens.next().value}` : name;
}
