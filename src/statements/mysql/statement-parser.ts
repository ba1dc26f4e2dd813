import type { EffectName, ObjectName } from '../facts.ts';
import { isSafeCharacterSet } from './character-sets.ts';
import { knownForm, readAccount } from './forms.ts';
import type { Token } from './lexer.ts';
import { QueryParser } from './query-parser.ts';
import { NotUnderstood } from './token-reader.ts';
import type { Action, Expression, Name, Plain, Statement } from './tree.ts';

/** Whole statements. What is neither a known form nor read here is {@link NotUnderstood}. */
export class StatementParser extends QueryParser {
  /** The statement that comes next, to its end (a semicolon or the end of the text). */
  statement(): Statement {
    const statement = this.tokens.deeper(() => this.#statement());
    if (!this.tokens.isAtEnd) this.tokens.fail('the end of the statement');
    return statement;
  }

  #statement(): Statement {
    const { tokens } = this;
    if (tokens.isOperator('(')) return { type: 'query', query: this.queryOrParenthesised() };
    if (tokens.peek().type !== 'word') tokens.fail('a statement');
    const { keyword } = tokens.peek();
    switch (keyword) {
      case 'SELECT':
      case 'VALUES':
      case 'TABLE':
        if (!this.startsQuery()) tokens.fail('a statement');
        return { type: 'query', query: this.query() };
      case 'WITH':
        return this.#with();
      case 'INSERT':
      case 'REPLACE':
        return this.insert();
      case 'UPDATE':
        return this.update();
      case 'DELETE':
        return this.delete();
      case 'EXPLAIN':
      case 'DESCRIBE':
      case 'DESC':
        return this.#explain();
    }
    const form = knownForm(this);
    if (form !== null) return form;
    const read = READERS[keyword];
    if (read === undefined) throw new NotUnderstood(`statement not known: ${keyword}`);
    return read.call(this);
  }

  /** WITH stands before SELECT, UPDATE and DELETE: which one shows after it. */
  #with(): Statement {
    const { tokens } = this;
    const start = tokens.position;
    this.withClause();
    const isUpdate = tokens.isWord('UPDATE');
    const isDelete = tokens.isWord('DELETE');
    tokens.goTo(start);
    if (isUpdate) return this.update();
    if (isDelete) return this.delete();
    return { type: 'query', query: this.query() };
  }

  #explain(): Statement {
    const { tokens } = this;
    tokens.next();
    let executes = false;
    let format = '';
    const more: string[] = [];
    const actions: Action[] = [];
    if (tokens.takeWords('FOR', 'CONNECTION')) {
      const value = this.expression();
      return plain('EXPLAIN', [does('read', other('show processlist'))], { expressions: [value] });
    }
    for (;;) {
      if (tokens.takeWord('ANALYZE')) executes = true;
      else if (tokens.isWord('FORMAT') && tokens.isOperator('=', 1)) format = this.#planFormat();
      else if (tokens.isWord('EXTENDED', 'PARTITIONS') && !this.#describesTable()) more.push(tokens.next().keyword);
      else if (tokens.isWord('INTO') && tokens.peek(1).type === 'variable') {
        tokens.next();
        actions.push(does('set-session', setting(`@${tokens.next().value.toLowerCase()}`), 'explain'));
      } else if (tokens.isWord('FOR') && tokens.wordAt(1, 'SCHEMA', 'DATABASE')) {
        tokens.next();
        tokens.next();
        tokens.name();
      } else break;
    }
    if (this.#describesTable()) {
      tokens.qualifiedName();
      if (tokens.peek().type === 'string' || tokens.isName()) tokens.next();
      return plain('DESCRIBE', [does('read', other('show columns'))]);
    }
    const statement = this.statement();
    if (!EXPLAINED.has(statement.type)) throw new NotUnderstood('EXPLAIN of what cannot be explained');
    const columns = this.#planColumns(format, executes, more);
    const explain: Statement = { type: 'explain', executes, columns, statement };
    return actions.length === 0
      ? explain
      : plain('EXPLAIN', actions, { inner: [{ statement: explain, via: 'explain' }] });
  }

  /** In DESCRIBE: a table's name comes next, and at most a column after it. */
  #describesTable(): boolean {
    const { tokens } = this;
    if (!tokens.isName() && !tokens.isOperator('.')) return false;
    let ahead = tokens.isOperator('.') ? 2 : 1;
    if (tokens.isOperator('.', ahead)) ahead += 2;
    const column = tokens.peek(ahead);
    if (column.type === 'string' || tokens.isName(ahead)) ahead += 1;
    return tokens.peek(ahead).type === 'end' || tokens.isOperator(';', ahead);
  }

  /** MariaDB's ANALYZE [FORMAT=JSON] statement: EXPLAIN that runs it. */
  analyze(): Statement {
    const { tokens } = this;
    tokens.expectWord('ANALYZE');
    const format = tokens.isWord('FORMAT') ? this.#planFormat() : '';
    const statement = this.statement();
    if (!EXPLAINED.has(statement.type)) throw new NotUnderstood('ANALYZE of what cannot be analyzed');
    return { type: 'explain', executes: true, columns: this.#planColumns(format, true, []), statement };
  }

  /** FORMAT = a word or string; in upper case. */
  #planFormat(): string {
    const { tokens } = this;
    tokens.expectWord('FORMAT');
    tokens.expectOperator('=');
    return tokens.next().value.toUpperCase();
  }

  /** The columns of a plan ("EXPLAIN Output Columns" in the manuals), where no one has changed `explain_format`. */
  #planColumns(format: string, executes: boolean, more: readonly string[]): readonly string[] {
    const { isMaria } = this.tokens;
    if (format === '' ? executes && !isMaria : format !== 'TRADITIONAL')
      return [executes && isMaria ? 'ANALYZE' : 'EXPLAIN'];
    const partitions = !isMaria || more.includes('PARTITIONS') ? ['partitions'] : [];
    const rows = executes && isMaria ? ['rows', 'r_rows'] : ['rows'];
    const filtered =
      executes && isMaria ? ['filtered', 'r_filtered'] : !isMaria || more.includes('EXTENDED') ? ['filtered'] : [];
    const keys = ['type', 'possible_keys', 'key', 'key_len', 'ref'];
    return ['id', 'select_type', 'table', ...partitions, ...keys, ...rows, ...filtered, 'Extra'];
  }

  do(): Statement {
    this.tokens.expectWord('DO');
    const expressions = this.tokens.list(() => this.selectItem());
    return plain('DO', [], { expressions });
  }

  call(): Statement {
    const { tokens } = this;
    tokens.expectWord('CALL');
    const name = tokens.qualifiedName();
    let expressions: Expression[] = [];
    if (tokens.isOperator('(')) {
      expressions = tokens.parenthesised(() => (tokens.isOperator(')') ? [] : this.expressions()));
    }
    return plain('CALL', [does('call-procedure', named('function', name))], { expressions, changesLexing: true });
  }

  handler(): Statement {
    const { tokens } = this;
    tokens.expectWord('HANDLER');
    const table = tokens.qualifiedName();
    tokens.expectWord('READ');
    const expressions: Expression[] = [];
    if (!tokens.takeWord('FIRST', 'NEXT')) {
      if (tokens.isWord('PRIMARY')) tokens.next();
      else tokens.name();
      if (!tokens.takeWord('FIRST', 'NEXT', 'PREV', 'LAST')) {
        const operator = tokens.next().value;
        if (!['=', '<=', '>=', '<', '>'].includes(operator)) tokens.fail('an index condition');
        expressions.push(...tokens.parenthesised(() => this.expressions()));
      }
    }
    if (tokens.takeWord('WHERE')) expressions.push(this.expression());
    if (tokens.takeWord('LIMIT')) {
      expressions.push(this.arithmetic());
      if (tokens.takeOperator(',') || tokens.takeWord('OFFSET')) expressions.push(this.arithmetic());
    }
    return plain('HANDLER', [does('read', named('relation', table), 'handler'), does('cursor', null, 'handler')], {
      expressions,
    });
  }

  prepare(): Statement {
    const { tokens } = this;
    tokens.expectWord('PREPARE');
    const name = tokens.name().toLowerCase();
    tokens.expectWord('FROM');
    return { type: 'prepare', name, text: this.#textAsCode(), using: [] };
  }

  /** A single string literal; other text would only be known to the server. */
  #textAsCode(): string {
    const { tokens } = this;
    if (tokens.peek().type !== 'string') throw new NotUnderstood('text that is computed is run');
    return tokens.string();
  }

  execute(): Statement {
    const { tokens } = this;
    tokens.expectWord('EXECUTE');
    if (tokens.takeWord('IMMEDIATE')) {
      const text = this.#textAsCode();
      return { type: 'prepare', name: null, text, using: tokens.takeWord('USING') ? this.expressions() : [] };
    }
    const name = tokens.name().toLowerCase();
    const expressions = tokens.takeWord('USING') ? this.expressions() : [];
    return plain('EXECUTE', [does('execute', other(name))], { expressions, executes: name });
  }

  deallocate(): Statement {
    const { tokens } = this;
    tokens.expectWord('DEALLOCATE', 'DROP');
    tokens.expectWord('PREPARE');
    const name = tokens.name().toLowerCase();
    return plain('DEALLOCATE', [does('prepare', other(name))], { deallocates: name });
  }

  startTransaction(): Statement {
    const { tokens } = this;
    tokens.expectWord('START');
    tokens.expectWord('TRANSACTION');
    const actions = [does('transaction', null)];
    if (!tokens.isAtEnd) {
      tokens.list(() => {
        if (tokens.takeWords('WITH', 'CONSISTENT', 'SNAPSHOT') || tokens.takeWords('READ', 'ONLY')) return;
        if (!tokens.takeWords('READ', 'WRITE')) tokens.fail('a kind of transaction');
        actions.push(does('set-session', setting('transaction_read_only')));
      });
    }
    return plain('START TRANSACTION', actions);
  }

  use(): Statement {
    const { tokens } = this;
    tokens.expectWord('USE');
    // The database is where rules and the gateway look for it: the part before the setting's name.
    const object: ObjectName = { kind: 'setting', schema: tokens.name(), name: 'database' };
    return plain('USE', [does('set-session', object)], { changesLexing: true });
  }

  load(): Statement {
    const { tokens } = this;
    tokens.expectWord('LOAD');
    tokens.expectWord('DATA', 'XML');
    tokens.takeWord('LOW_PRIORITY', 'CONCURRENT');
    const isLocal = tokens.takeWord('LOCAL');
    tokens.expectWord('INFILE');
    const path = tokens.string();
    const replaces = tokens.takeWord('REPLACE');
    tokens.takeWord('IGNORE');
    tokens.expectWord('INTO');
    tokens.expectWord('TABLE');
    const table = named('relation', tokens.qualifiedName());
    const actions = [
      does('file', other(path), isLocal ? 'load data local' : 'load data'),
      does('copy-in', table),
      does('insert', table),
    ];
    if (replaces) actions.push(does('delete', table, 'replace'));
    const expressions: Expression[] = [];
    while (!tokens.isAtEnd) {
      if (tokens.isOperator('(')) tokens.skipParentheses();
      else if (tokens.takeWords('CHARACTER', 'SET')) tokens.next();
      else if (tokens.takeWord('SET')) expressions.push(...this.assignments().map((one) => one.value));
      else if (tokens.isWord('SELECT')) tokens.fail('an option of LOAD');
      else tokens.next();
    }
    return plain('LOAD DATA', actions, { expressions });
  }

  diagnostics(): Statement {
    const { tokens } = this;
    tokens.expectWord('GET');
    tokens.takeWord('CURRENT', 'STACKED');
    tokens.expectWord('DIAGNOSTICS');
    const actions = [does('read', other('diagnostics'))];
    if (tokens.takeWord('CONDITION')) this.arithmetic();
    tokens.list(() => {
      if (tokens.peek().type !== 'variable') tokens.fail('a variable');
      actions.push(does('set-session', setting(`@${tokens.next().value.toLowerCase()}`), 'get diagnostics'));
      tokens.expectOperator('=');
      tokens.name();
    });
    return plain('GET DIAGNOSTICS', actions);
  }

  set(): Statement {
    const { tokens } = this;
    tokens.expectWord('SET');
    if (tokens.isWord('STATEMENT') && !tokens.isOperator('=', 1) && !tokens.isOperator(':=', 1)) {
      return this.#setStatement();
    }
    const reader = new SettingReader();
    if (tokens.isWord('ROLE') && !tokens.isOperator('=', 1)) {
      tokens.rest();
      return plain('SET ROLE', [does('set-role', null)]);
    }
    if (tokens.isWord('DEFAULT') && tokens.wordAt(1, 'ROLE')) {
      tokens.rest();
      return plain('SET DEFAULT ROLE', [does('role', null)]);
    }
    if (tokens.isWord('RESOURCE') && tokens.wordAt(1, 'GROUP')) {
      tokens.rest();
      return plain('SET RESOURCE GROUP', [does('admin', null)]);
    }
    const scopeAhead = tokens.isWord('GLOBAL', 'SESSION', 'LOCAL') ? 1 : 0;
    if (tokens.wordAt(scopeAhead, 'TRANSACTION') && tokens.peek(scopeAhead + 1).type === 'word') {
      return this.#setTransaction();
    }
    tokens.list(() => this.#setItem(reader));
    return reader.statement();
  }

  /** SET STATEMENT a = 1, b = 2 FOR statement. */
  #setStatement(): Statement {
    const { tokens } = this;
    tokens.expectWord('STATEMENT');
    const reader = new SettingReader();
    tokens.list(() => this.#setItem(reader));
    tokens.expectWord('FOR');
    if (reader.changesLexing) throw new NotUnderstood('SET STATEMENT that changes how text is read');
    const statement = this.statement();
    return reader.statement([{ statement, via: 'set statement' }]);
  }

  #setTransaction(): Statement {
    const { tokens } = this;
    const scope = tokens.takeWord('GLOBAL') ? 'set-global' : tokens.takeWord('SESSION', 'LOCAL') ? 'set-session' : null;
    tokens.expectWord('TRANSACTION');
    const actions: Action[] = scope === null ? [does('transaction', null)] : [];
    tokens.list(() => {
      if (tokens.takeWords('ISOLATION', 'LEVEL')) {
        if (!tokens.takeWords('REPEATABLE', 'READ') && !tokens.takeWord('SERIALIZABLE')) {
          tokens.expectWord('READ');
          tokens.expectWord('COMMITTED', 'UNCOMMITTED');
        }
        if (scope !== null) actions.push(does(scope, setting('transaction_isolation')));
        return;
      }
      tokens.expectWord('READ');
      const writes = tokens.takeWord('WRITE');
      if (!writes) tokens.expectWord('ONLY');
      if (scope !== null || writes)
        actions.push({
          ...does(scope ?? 'set-session', setting('transaction_read_only')),
          value: writes ? 'OFF' : 'ON',
        });
    });
    return plain('SET TRANSACTION', actions);
  }

  #setItem(reader: SettingReader): void {
    const { tokens } = this;
    if (tokens.peek().type === 'variable') {
      const name = tokens.next().value.toLowerCase();
      this.#takeEquals();
      reader.variable(name, this.expression());
      return;
    }
    if (tokens.isWord('NAMES') && !tokens.isOperator('=', 1) && !tokens.isOperator(':=', 1)) {
      tokens.next();
      reader.characterSet('names', this.#characterSetValue());
      if (tokens.takeWord('COLLATE')) this.#characterSetValue();
      return;
    }
    if (tokens.isWord('CHARSET') || (tokens.isWord('CHARACTER') && tokens.wordAt(1, 'SET'))) {
      if (!tokens.takeWord('CHARSET')) {
        tokens.next();
        tokens.next();
      }
      reader.characterSet('character set', this.#characterSetValue());
      return;
    }
    if (tokens.isWord('PASSWORD')) {
      tokens.rest();
      reader.does(does('role', null, 'set password'));
      return;
    }
    let scope: string | null = null;
    let name: string;
    if (tokens.isOperator('@@')) ({ scope, name } = this.settingName());
    else {
      if (
        tokens.isWord('GLOBAL', 'SESSION', 'LOCAL', 'PERSIST', 'PERSIST_ONLY') &&
        tokens.peek(1).type !== 'operator'
      ) {
        scope = tokens.next().keyword.toLowerCase();
      }
      const parts = [this.#settingWord()];
      while (tokens.takeOperator('.')) parts.push(this.#settingWord());
      name = parts.join('.').toLowerCase();
    }
    this.#takeEquals();
    // ON, ALL, BINARY and the like are words here; names of values are not columns.
    const next = tokens.peek();
    const isWord = next.type === 'word' || next.type === 'name';
    const endsItem =
      tokens.isOperator(',', 1) ||
      tokens.isOperator(';', 1) ||
      tokens.peek(1).type === 'end' ||
      tokens.wordAt(1, 'FOR');
    let value: Expression;
    if (isWord && endsItem) {
      tokens.next();
      value =
        next.keyword === 'NULL' || next.keyword === 'DEFAULT'
          ? { type: 'literal', kind: next.keyword === 'NULL' ? 'null' : 'default', value: '' }
          : { type: 'literal', kind: 'text', value: next.value };
      if (CALLED_WITHOUT_PARENTHESES.has(next.keyword)) value = { type: 'operation', operands: [value] };
    } else value = this.expression();
    reader.setting(scope, name, value);
  }

  #settingWord(): string {
    const { tokens } = this;
    if (tokens.isWord('DEFAULT')) return tokens.next().value;
    return tokens.name();
  }

  #takeEquals(): void {
    if (!this.tokens.takeOperator('=')) this.tokens.expectOperator(':=');
  }

  /** A character set or collation: a word or a string; `null` for DEFAULT. */
  #characterSetValue(): string | null {
    const { tokens } = this;
    if (tokens.takeWord('DEFAULT')) return null;
    if (tokens.peek().type === 'string' || tokens.isWord('BINARY')) return tokens.next().value;
    return tokens.name();
  }

  grant(): Statement {
    const { tokens } = this;
    const effect = tokens.takeWord('GRANT') ? 'grant' : 'revoke';
    if (effect === 'revoke') tokens.expectWord('REVOKE');
    const granted: Token[] = [];
    while (!tokens.isWord('ON', 'TO', 'FROM') && !tokens.isAtEnd) granted.push(...this.#grantPart());
    const kind = effect.toUpperCase();
    if (!tokens.takeWord('ON')) {
      if (tokens.isAtEnd) tokens.fail('TO or FROM');
      this.#noQueryIn(tokens.rest());
      return plain(`${kind} ROLE`, [does(effect, null)]);
    }
    const isRoutine = tokens.takeWord('FUNCTION', 'PROCEDURE');
    if (!isRoutine) tokens.takeWord('TABLE');
    const object = this.#privilegeLevel(isRoutine);
    if (!tokens.isWord('TO', 'FROM')) tokens.fail('TO or FROM');
    this.#noQueryIn(tokens.rest());
    return plain(kind, [does(effect, object)]);
  }

  #grantPart(): readonly Token[] {
    const { tokens } = this;
    return tokens.isOperator('(') ? tokens.skipParentheses() : [tokens.next()];
  }

  /** `*.*`, `*`, `db.*`, `db.t`, `t`. */
  #privilegeLevel(isRoutine: boolean): ObjectName | null {
    const { tokens } = this;
    if (tokens.takeOperator('*')) {
      if (tokens.takeOperator('.')) tokens.expectOperator('*');
      return null;
    }
    const first = tokens.name();
    if (!tokens.takeOperator('.')) return named(isRoutine ? 'function' : 'relation', { schema: null, name: first });
    if (tokens.takeOperator('*')) return { kind: 'schema', schema: null, name: first };
    return named(isRoutine ? 'function' : 'relation', { schema: first, name: tokens.name() });
  }

  #noQueryIn(tokens: readonly Token[]): void {
    if (tokens.some(({ keyword }) => keyword === 'SELECT')) throw new NotUnderstood('a query where none is known');
  }

  rename(): Statement {
    const { tokens } = this;
    tokens.expectWord('RENAME');
    tokens.expectWord('TABLE', 'TABLES');
    this.#ifExists();
    const actions: Action[] = [];
    tokens.list(() => {
      actions.push(does('rename', named('relation', tokens.qualifiedName())));
      if (tokens.takeWord('WAIT')) tokens.next();
      else tokens.takeWord('NOWAIT');
      tokens.expectWord('TO');
      actions.push(does('rename', named('relation', tokens.qualifiedName())));
    });
    return plain('RENAME TABLE', actions);
  }

  #ifExists(): void {
    const { tokens } = this;
    if (!tokens.takeWords('IF', 'NOT', 'EXISTS')) tokens.takeWords('IF', 'EXISTS');
  }

  create(): Statement {
    const { tokens } = this;
    tokens.expectWord('CREATE');
    const replaces = tokens.takeWords('OR', 'REPLACE');
    this.#definerAndAlgorithm();
    const isTemporary = tokens.takeWord('TEMPORARY');
    const { keyword } = tokens.next();
    switch (keyword) {
      case 'TABLE':
        return this.#createTable(replaces, isTemporary);
      case 'VIEW': {
        this.#ifExists();
        return this.#view('CREATE VIEW', replaces ? ['create', 'drop'] : ['create']);
      }
      case 'UNIQUE':
      case 'FULLTEXT':
      case 'INDEX':
        return this.#createIndex(keyword);
      case 'SPATIAL':
        if (tokens.takeWords('REFERENCE', 'SYSTEM')) return this.#tail('CREATE', ['create'], null);
        return this.#createIndex(keyword);
      case 'DATABASE':
      case 'SCHEMA':
        this.#ifExists();
        return this.#tail('CREATE DATABASE', replaces ? ['create', 'drop'] : ['create'], {
          kind: 'schema',
          schema: null,
          name: tokens.name(),
        });
      case 'USER':
      case 'ROLE':
        return this.#roles('CREATE');
      case 'SEQUENCE':
        this.#ifExists();
        return this.#tail('CREATE SEQUENCE', ['create'], named('relation', tokens.qualifiedName()));
      case 'SERVER':
        this.#ifExists();
        return this.#tail('CREATE SERVER', ['create', 'network'], other(this.#nameOrString()));
      case 'TABLESPACE':
        return this.#tail('CREATE TABLESPACE', ['create', 'file'], other(tokens.name()));
      case 'UNDO':
      case 'LOGFILE':
        return this.#tail('CREATE TABLESPACE', ['create', 'file'], null);
      case 'RESOURCE':
        return this.#tail('CREATE RESOURCE GROUP', ['admin'], null);
      case 'AGGREGATE':
        tokens.expectWord('FUNCTION');
        return this.#routine('CREATE', 'FUNCTION');
      case 'FUNCTION':
      case 'PROCEDURE':
      case 'TRIGGER':
      case 'EVENT':
      case 'PACKAGE':
        return this.#routine('CREATE', keyword);
      default:
        throw new NotUnderstood(`CREATE ${keyword} not known`);
    }
  }

  #definerAndAlgorithm(): void {
    const { tokens } = this;
    for (;;) {
      if (tokens.takeWord('ALGORITHM')) {
        tokens.expectOperator('=');
        tokens.expectWord('UNDEFINED', 'MERGE', 'TEMPTABLE');
      } else if (tokens.takeWord('DEFINER')) {
        tokens.expectOperator('=');
        readAccount(tokens);
      } else if (tokens.takeWords('SQL', 'SECURITY')) tokens.expectWord('DEFINER', 'INVOKER');
      else return;
    }
  }

  #nameOrString(): string {
    return this.tokens.peek().type === 'string' ? this.tokens.string() : this.tokens.name();
  }

  /** A statement whose rest holds options only. */
  #tail(kind: string, effects: readonly EffectName[], object: ObjectName | null): Plain {
    this.#noQueryIn(this.tokens.rest());
    return plain(
      kind,
      effects.map((effect) => does(effect, object)),
    );
  }

  #roles(verb: string): Plain {
    const { tokens } = this;
    const kind = `${verb} ${tokens.previous().keyword}`;
    this.#ifExists();
    const object: ObjectName = { kind: 'role', schema: null, name: readAccount(tokens) };
    return this.#tail(kind, ['role'], object);
  }

  #createIndex(keyword: string): Plain {
    const { tokens } = this;
    if (keyword !== 'INDEX') tokens.expectWord('INDEX');
    this.#ifExists();
    tokens.name();
    if (tokens.takeWord('USING')) tokens.expectWord('BTREE', 'HASH', 'RTREE');
    tokens.expectWord('ON');
    return this.#tail('CREATE INDEX', ['create'], named('relation', tokens.qualifiedName()));
  }

  #view(kind: string, effects: readonly EffectName[]): Plain {
    const { tokens } = this;
    const view = named('relation', tokens.qualifiedName());
    if (tokens.isOperator('(')) tokens.skipParentheses();
    tokens.expectWord('AS');
    const query = this.queryOrParenthesised();
    if (tokens.takeWord('WITH')) {
      tokens.takeWord('CASCADED', 'LOCAL');
      tokens.expectWord('CHECK');
      tokens.expectWord('OPTION');
    }
    return plain(
      kind,
      effects.map((effect) => does(effect, view)),
      { inner: [{ statement: { type: 'query', query }, via: 'view' }] },
    );
  }

  #createTable(replaces: boolean, isTemporary: boolean): Plain {
    const { tokens } = this;
    this.#ifExists();
    const table = named('relation', tokens.qualifiedName());
    const actions = [does('create', table, isTemporary ? 'temporary' : null)];
    if (replaces) actions.push(does('drop', table, 'or replace'));
    const isLike = tokens.isWord('LIKE') || (tokens.isOperator('(') && tokens.wordAt(1, 'LIKE'));
    if (isLike) {
      const hasParenthesis = tokens.takeOperator('(');
      tokens.expectWord('LIKE');
      actions.push(does('read', named('relation', tokens.qualifiedName()), 'create table like'));
      if (hasParenthesis) tokens.expectOperator(')');
      return plain('CREATE TABLE', actions);
    }
    while (!tokens.isAtEnd) {
      const isQuery =
        tokens.isWord('SELECT', 'TABLE', 'VALUES') ||
        (tokens.isWord('WITH') && !tokens.wordAt(1, 'SYSTEM')) ||
        (tokens.isOperator('(') &&
          (tokens.isOperator('(', 1) || tokens.wordAt(1, 'SELECT', 'WITH', 'VALUES', 'TABLE')));
      if (isQuery) {
        const query = this.queryOrParenthesised();
        return plain('CREATE TABLE AS', actions, {
          inner: [{ statement: { type: 'query', query }, via: 'create table as' }],
        });
      }
      this.#tableOption(actions);
    }
    return plain('CREATE TABLE', actions);
  }

  /** Takes one word, value or parenthesis of a table's definition, and notes what reaches out of the database. */
  #tableOption(actions: Action[]): void {
    const { tokens } = this;
    if (tokens.takeWord('UNION')) {
      tokens.takeOperator('=');
      for (const table of tokens.parenthesised(() => tokens.list(() => tokens.qualifiedName()))) {
        actions.push(does('read', named('relation', table), 'merge table'), does('alter', named('relation', table)));
      }
      return;
    }
    if (tokens.isOperator('(')) {
      this.#noQueryIn(tokens.skipParentheses());
      return;
    }
    const { keyword } = tokens.peek();
    if ((keyword === 'DATA' || keyword === 'INDEX') && tokens.wordAt(1, 'DIRECTORY'))
      actions.push(does('file', null, 'directory'));
    else if (keyword === 'CONNECTION') actions.push(does('network', null, 'connection'));
    else if (keyword === 'ENGINE' || keyword === 'TYPE') {
      const engine = tokens.peek(tokens.isOperator('=', 1) ? 2 : 1).value.toUpperCase();
      for (const effect of ENGINES_REACHING_OUT[engine] ?? []) actions.push(does(effect, other(engine), 'engine'));
    }
    tokens.next();
  }

  alter(): Statement {
    const { tokens } = this;
    tokens.expectWord('ALTER');
    this.#definerAndAlgorithm();
    while (tokens.takeWord('ONLINE', 'OFFLINE', 'IGNORE'));
    const { keyword } = tokens.next();
    switch (keyword) {
      case 'TABLE':
        return this.#alterTable();
      case 'VIEW':
        return this.#view('ALTER VIEW', ['alter']);
      case 'DATABASE':
      case 'SCHEMA': {
        const name =
          tokens.isName() && !tokens.isWord('CHARACTER', 'CHARSET', 'COLLATE', 'COMMENT') ? tokens.name() : null;
        return this.#tail('ALTER DATABASE', ['alter'], name === null ? null : { kind: 'schema', schema: null, name });
      }
      case 'USER':
      case 'ROLE':
        return this.#roles('ALTER');
      case 'FUNCTION':
      case 'PROCEDURE':
        return this.#tail(`ALTER ${keyword}`, ['alter'], named('function', tokens.qualifiedName()));
      case 'EVENT':
        return this.#routine('ALTER', keyword);
      case 'SEQUENCE':
        this.#ifExists();
        return this.#tail('ALTER SEQUENCE', ['alter'], named('relation', tokens.qualifiedName()));
      case 'SERVER':
        return this.#tail('ALTER SERVER', ['alter', 'network'], other(this.#nameOrString()));
      case 'TABLESPACE':
      case 'UNDO':
      case 'LOGFILE':
        return this.#tail('ALTER TABLESPACE', ['alter', 'file'], null);
      case 'INSTANCE':
      case 'RESOURCE':
        return this.#tail(`ALTER ${keyword}`, ['admin'], null);
      default:
        throw new NotUnderstood(`ALTER ${keyword} not known`);
    }
  }

  #alterTable(): Plain {
    const { tokens } = this;
    this.#ifExists();
    const table = named('relation', tokens.qualifiedName());
    const actions = [does('alter', table)];
    while (!tokens.isAtEnd) {
      if (tokens.takeWord('RENAME')) {
        if (tokens.isWord('COLUMN', 'INDEX', 'KEY')) {
          actions.push(does('rename', table));
          continue;
        }
        if (!tokens.takeWord('TO', 'AS')) tokens.takeOperator('=');
        actions.push(does('rename', table), does('rename', named('relation', tokens.qualifiedName())));
      } else if (tokens.isWord('TRUNCATE', 'DROP') && tokens.wordAt(1, 'PARTITION')) {
        actions.push(does('truncate', table, 'partition'));
        tokens.next();
      } else if (tokens.isWord('DISCARD') && tokens.wordAt(1, 'TABLESPACE', 'PARTITION')) {
        actions.push(does('truncate', table, 'tablespace'));
        tokens.next();
      } else if (tokens.isWord('IMPORT') && tokens.wordAt(1, 'TABLESPACE', 'PARTITION')) {
        actions.push(does('file', null, 'tablespace'));
        tokens.next();
      } else if (tokens.takeWord('TABLE')) {
        // EXCHANGE PARTITION ... WITH TABLE, CONVERT TABLE ... TO PARTITION, CONVERT PARTITION ... TO TABLE.
        actions.push(does('alter', named('relation', tokens.qualifiedName()), 'partition'));
      } else this.#tableOption(actions);
    }
    return plain('ALTER TABLE', actions);
  }

  /**
   * Stored code. It does nothing yet but be there. Where it ends can only be told by reading all of it: if it may be the
   * rest of the text only in part, what comes after is not known.
   */
  #routine(verb: string, keyword: string): Plain {
    const { tokens } = this;
    if (keyword === 'PACKAGE') tokens.takeWord('BODY');
    this.#ifExists();
    const name = tokens.qualifiedName();
    const kind = `${verb} ${keyword}`;
    const effect: EffectName = verb === 'ALTER' ? 'alter' : 'create';
    const isCode = keyword === 'FUNCTION' || keyword === 'PROCEDURE';
    const actions = [does(effect, named(isCode ? 'function' : 'other', name), keyword.toLowerCase())];
    let rest = tokens.rest();
    if (rest.some((token) => token.keyword === 'SONAME')) actions.push(does('program', other(name.name), 'soname'));
    const table = keyword === 'TRIGGER' ? triggerTable(rest) : null;
    if (table !== null) actions.push(does(effect, named('relation', table), 'trigger'));
    let changesLexing = false;
    while (tokens.takeOperator(';')) {
      rest = tokens.rest();
      if (rest.length === 0) continue;
      changesLexing = true;
      actions.push(does('opaque', null, 'code with semicolons in it'));
    }
    return plain(kind, actions, { changesLexing });
  }
}

/** The table of a trigger: after ON. */
function triggerTable(tokens: readonly Token[]): Name | null {
  const on = tokens.findIndex(({ keyword }) => keyword === 'ON');
  const first = tokens[on + 1];
  if (on < 0 || first === undefined) return null;
  const isQualified = tokens[on + 2]?.value === '.' && tokens[on + 3] !== undefined;
  return isQualified ? { schema: first.value, name: tokens[on + 3]!.value } : { schema: null, name: first.value };
}

const EXPLAINED = new Set<Statement['type']>(['query', 'insert', 'update', 'delete']);

/** In `SET x = CURRENT_USER` the word is a call. */
const CALLED_WITHOUT_PARENTHESES = new Set(
  `CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURRENT_ROLE LOCALTIME LOCALTIMESTAMP UTC_DATE UTC_TIME
   UTC_TIMESTAMP`.split(/\s+/),
);

const ENGINES_REACHING_OUT: Readonly<Record<string, readonly EffectName[]>> = {
  FEDERATED: ['network'],
  SPIDER: ['network'],
  CONNECT: ['network', 'file'],
  S3: ['network'],
  // Throws its rows away.
  BLACKHOLE: ['truncate'],
};

const READERS: Readonly<Record<string, (this: StatementParser) => Statement>> = {
  ALTER: StatementParser.prototype.alter,
  ANALYZE: StatementParser.prototype.analyze,
  CALL: StatementParser.prototype.call,
  CREATE: StatementParser.prototype.create,
  DEALLOCATE: StatementParser.prototype.deallocate,
  DO: StatementParser.prototype.do,
  DROP: StatementParser.prototype.deallocate,
  EXECUTE: StatementParser.prototype.execute,
  GET: StatementParser.prototype.diagnostics,
  GRANT: StatementParser.prototype.grant,
  HANDLER: StatementParser.prototype.handler,
  LOAD: StatementParser.prototype.load,
  PREPARE: StatementParser.prototype.prepare,
  RENAME: StatementParser.prototype.rename,
  REVOKE: StatementParser.prototype.grant,
  SET: StatementParser.prototype.set,
  START: StatementParser.prototype.startTransaction,
  USE: StatementParser.prototype.use,
};

/** Collects the items of SET. */
class SettingReader {
  readonly #actions: Action[] = [];
  readonly #expressions: Expression[] = [];
  #wasGlobal = false;
  #changesLexing = false;
  #refuses: string | null = null;

  get changesLexing(): boolean {
    return this.#changesLexing;
  }

  does(action: Action): void {
    this.#actions.push(action);
  }

  variable(name: string, value: Expression): void {
    const action = does('set-session', setting(`@${name}`));
    const isClaim = name.startsWith('sluice_') && value.type === 'literal' && value.kind === 'text';
    this.#actions.push(isClaim ? { ...action, value: value.value } : action);
    this.#expressions.push(value);
  }

  characterSet(name: string, value: string | null): void {
    const action = does('set-session', setting(name));
    this.#actions.push(value === null ? action : { ...action, value });
    this.#client(value);
  }

  setting(scope: string | null, name: string, value: Expression): void {
    const isGlobal = scope === 'global' || scope === 'persist' || scope === 'persist_only';
    // Without a word of its own, an item may have the scope of the one before: then it counts as both.
    const effects: EffectName[] = [isGlobal ? 'set-global' : 'set-session'];
    if (scope === null && this.#wasGlobal) effects.push('set-global');
    this.#wasGlobal ||= isGlobal;
    const constant = constantOf(value, name);
    for (const effect of effects) {
      const action = does(effect, setting(name));
      this.#actions.push(constant === null ? action : { ...action, value: constant });
    }
    this.#expressions.push(value);
    if (isGlobal) return;
    if (name === 'character_set_client') {
      const isText = value.type === 'literal' && (value.kind === 'text' || value.kind === 'default');
      this.#client(isText ? value.value || null : null);
    } else if (CHANGE_LEXING.has(name)) this.#changesLexing = true;
  }

  /**
   * @param value `null` for the server's default, and for what only the server knows: dumps put back what they found, from
   * a variable. It is known once the server has said it.
   */
  #client(value: string | null): void {
    if (value !== null && UTF8.has(value.toLowerCase())) return;
    this.#changesLexing = true;
    if (value === null || isSafeCharacterSet(value.toLowerCase())) return;
    this.#refuses = `sets the client character set ${value}, in which text cannot be read safely`;
  }

  statement(inner: Plain['inner'] = []): Plain {
    return plain(inner.length === 0 ? 'SET' : 'SET STATEMENT', this.#actions, {
      expressions: this.#expressions,
      inner,
      changesLexing: this.#changesLexing,
      refuses: this.#refuses,
    });
  }
}

/**
 * What a setting is set to, as text; `null` if it is not constant. Drivers add to lists: in `CONCAT(@@sql_mode, ',X')` the
 * setting itself stands for what it was, `@@sql_mode,X`.
 */
function constantOf(value: Expression, name: string): string | null {
  if (value.type === 'literal') return value.kind === 'default' || value.kind === 'bits' ? null : value.value;
  if (value.type === 'setting') return value.name === name ? `@@${name}` : null;
  if (value.type !== 'call' || value.name.schema !== null || value.name.name !== 'concat') return null;
  const parts = value.arguments.map((one) => constantOf(one, name));
  return parts.includes(null) ? null : parts.join('');
}

/** Texts are read as UTF-8 anyway. */
const UTF8 = new Set(['utf8', 'utf8mb3', 'utf8mb4']);

const CHANGE_LEXING = new Set(['sql_mode']);

function does(effect: EffectName, object: ObjectName | null, via: string | null = null): Action {
  return { effect, object, via };
}

function named(kind: ObjectName['kind'], { schema, name }: Name): ObjectName {
  return { kind, schema, name };
}

function other(name: string): ObjectName {
  return { kind: 'other', schema: null, name };
}

function setting(name: string): ObjectName {
  return { kind: 'setting', schema: null, name };
}

function plain(kind: string, actions: readonly Action[], more: Partial<Plain> = {}): Plain {
  return {
    type: 'plain',
    kind,
    actions,
    expressions: [],
    inner: [],
    executes: null,
    deallocates: null,
    refuses: null,
    changesLexing: false,
    ...more,
  };
}
