import type { CatalogueData, CatalogueFunction, CatalogueRelation, NameContext } from '../catalogue.ts';
import { CatalogueIndex } from '../catalogue-index.ts';
import type { FunctionClass, KnownNames } from './functions.ts';

/** A library and its members: the catalogue that tests of this folder read names with. */

/** `title text! by:...`: names and types, `!` for NOT NULL, `=` before the expression of a generated column. */
function columns(text: string): CatalogueRelation['columns'] {
  return text.split(', ').map((one) => {
    const [, name, type, mark, generated] = /^(\w+) ([\w[\] .]+?)(!?)(?: = (.*))?$/.exec(one)!;
    return { name: name!, type: type!, notNull: mark === '!', generated: generated ?? null };
  });
}

function relation(name: string, about: string, more: Partial<CatalogueRelation> = {}): CatalogueRelation {
  const [schema, bare] = name.split('.') as [string, string];
  return {
    schema,
    name: bare,
    kind: 'table',
    columns: columns(about),
    keys: [],
    foreignKeys: [],
    parents: [],
    definition: null,
    triggers: [],
    rules: [],
    rowSecurity: false,
    ...more,
  };
}

function view(name: string, about: string, definition: string): CatalogueRelation {
  return relation(name, about, { kind: 'view', definition });
}

function userFunction(name: string, about: Partial<CatalogueFunction> = {}): CatalogueFunction {
  const [schema, bare] = name.split('.') as [string, string];
  return {
    schema,
    name: bare,
    kind: 'function',
    arguments: [],
    returns: 'integer',
    volatility: 'volatile',
    language: 'plpgsql',
    securityDefiner: false,
    calls: [],
    body: null,
    extension: null,
    ...about,
  };
}

function trigger(
  name: string,
  on: string,
  timing: 'before' | 'after' | 'instead of',
  event: 'insert' | 'update' | 'delete',
) {
  return {
    name,
    timing,
    events: [event],
    function: { schema: 'public', name: `do_${name}` },
    body: `CREATE TRIGGER ${name} ${timing.toUpperCase()} ${event.toUpperCase()} ON ${on} FOR EACH ROW EXECUTE FUNCTION public.do_${name}()`,
  };
}

const books = { schema: 'public', name: 'books' };
const members = { schema: 'public', name: 'members' };

const data: CatalogueData = {
  version: 1,
  dialect: 'postgres',
  serverVersion: '18.0',
  database: 'library',
  foldsNames: false,
  unseen: [],
  relations: [
    relation('public.shelved', 'id integer!, place public.shelf'),
    relation(
      'public.books',
      'id integer!, title text!, author text, shelf integer, price numeric, short text = "left"(title,3)',
      {
        keys: [['id'], ['title', 'author']],
      },
    ),
    relation('public.members', 'id integer!, name text!, pin text, born date', {
      keys: [['id']],
      triggers: [trigger('keep', 'public.members', 'after', 'update')],
    }),
    relation('public.loans', 'book integer!, member integer!, due date', {
      keys: [['book', 'member']],
      foreignKeys: [
        {
          columns: ['book'],
          references: books,
          referencedColumns: ['id'],
          onDelete: 'cascade',
          onUpdate: 'cascade',
        },
        {
          columns: ['member'],
          references: members,
          referencedColumns: ['id'],
          onDelete: 'no action',
          onUpdate: 'no action',
        },
      ],
    }),
    relation('public.fines', 'id integer!, loan_book integer, loan_member integer, amount numeric', {
      keys: [['id']],
      foreignKeys: [
        {
          columns: ['loan_book', 'loan_member'],
          references: { schema: 'public', name: 'loans' },
          referencedColumns: ['book', 'member'],
          onDelete: 'set null',
          onUpdate: 'no action',
        },
      ],
    }),
    relation('public.history', 'at date, what text'),
    relation('public.visits', 'member integer!, day date!', { kind: 'partitioned' }),
    relation('public.visits_old', 'member integer!, day date!', { parents: [{ schema: 'public', name: 'visits' }] }),
    relation('public.errands', 'id integer!, command text', {
      triggers: [trigger('obey', 'public.errands', 'before', 'insert')],
    }),
    relation('public.bells', 'n integer', {
      rules: [
        {
          name: 'toll',
          event: 'insert',
          definition: 'CREATE RULE toll AS ON INSERT TO public.bells DO ALSO DELETE FROM public.history',
        },
      ],
    }),
    relation(
      'public.parcels',
      'id integer!, code text, sender integer, size numeric, big boolean = public.is_word(code)',
      {
        rowSecurity: true,
        expressions: [
          { kind: 'default', column: 'id', expression: 'public.burn(1)' },
          { kind: 'default', column: 'code', expression: "upper('a.b('::text)" },
          { kind: 'default', column: 'sender', expression: 'public.pin_of(1)' },
          { kind: 'check', column: null, expression: '(size > (0)::numeric)' },
          { kind: 'index', column: null, expression: 'lower(code), public.doubled(size)' },
          {
            kind: 'policy',
            column: null,
            expression: 'sender IN (SELECT id FROM staff.members WHERE pg_read_file(code) IS NULL)',
          },
        ],
      },
    ),
    relation('public.words', 'id integer, said public.word, many public.word[], feels public.mood'),
    relation('staff.members', 'id integer!, salary numeric', { keys: [['id']] }),
    view(
      'public.catalogue',
      'book integer, name text, kind text',
      "SELECT books.id AS book, books.title AS name, 'book'::text AS kind FROM public.books",
    ),
    view(
      'public.shown',
      'book integer, shelf_name text',
      'SELECT catalogue.book, lower(catalogue.name) AS shelf_name FROM public.catalogue',
    ),
    view(
      'public.cards',
      'member integer, doc jsonb',
      'SELECT m.id AS member, to_jsonb(m.*) AS doc FROM public.members m',
    ),
    view('public.shorts', 'id integer, short text', 'SELECT books.id, books.short FROM public.books'),
    view(
      'public.readers',
      'name text, n bigint',
      'SELECT m.name, count(*) AS n FROM public.members m JOIN public.loans l ON l.member = m.id GROUP BY m.name',
    ),
    relation('public.bin', 'id integer', {
      kind: 'view',
      definition: 'SELECT books.id FROM public.books WHERE false',
      triggers: [trigger('shred', 'public.bin', 'instead of', 'insert')],
    }),
    relation('public.pins', 'pin text', {
      kind: 'materialized view',
      definition: 'SELECT members.pin FROM public.members',
    }),
  ],
  functions: [
    userFunction('public.do_keep', {
      returns: 'trigger',
      body: 'BEGIN INSERT INTO history (at, what) VALUES (now(), NEW.name); IF NEW.pin IS NULL THEN RETURN OLD; END IF; RETURN NEW; END',
    }),
    userFunction('public.do_obey', { returns: 'trigger', body: 'BEGIN EXECUTE NEW.command; RETURN NEW; END' }),
    userFunction('public.do_shred', { returns: 'trigger', body: 'BEGIN DELETE FROM books; RETURN NEW; END' }),
    userFunction('public.burn', { arguments: ['integer'] }),
    userFunction('public.tax', { arguments: ['numeric'], volatility: 'immutable', language: 'sql' }),
    userFunction('public.label', {
      arguments: ['public.books'],
      signature: 'b public.books',
      returns: 'text',
      volatility: 'stable',
      language: 'sql',
      body: 'SELECT m.name FROM public.members m WHERE m.id = b.shelf',
    }),
    userFunction('public.pin_of', {
      arguments: ['integer'],
      signature: 'm integer',
      returns: 'text',
      language: 'sql',
      body: 'SELECT pin FROM members WHERE id = m',
    }),
    userFunction('public.doubled', {
      arguments: ['numeric', 'numeric'],
      signature: 'x numeric, y numeric DEFAULT 2',
      language: 'sql',
      body: 'BEGIN ATOMIC\n SELECT (x * y);\nEND',
    }),
    userFunction('public.everybody', {
      signature: '',
      returns: 'SETOF public.members',
      language: 'sql',
      body: 'SELECT * FROM members',
    }),
    userFunction('public.cried', {
      arguments: ['integer'],
      signature: 'm integer',
      returns: 'text',
      body: "DECLARE p text; BEGIN SELECT pin INTO p FROM members WHERE id = m; RAISE NOTICE '%', p; RETURN 'x'; END",
    }),
    userFunction('public.cleared', {
      arguments: ['integer'],
      signature: 'm integer',
      language: 'sql',
      settings: ['search_path=staff, pg_temp'],
      body: 'DELETE FROM members WHERE id = $1 RETURNING id',
    }),
    userFunction('public.endless', { signature: '', language: 'sql', body: 'SELECT endless()' }),
    userFunction('public.lower', {
      arguments: ['citext'],
      volatility: 'immutable',
      language: 'internal',
      extension: 'citext',
    }),
    userFunction('public.gen_salt', {
      arguments: ['text', 'integer'],
      returns: 'text',
      language: 'c',
      extension: 'pgcrypto',
    }),
    userFunction('public.crypt', {
      arguments: ['text', 'text'],
      returns: 'text',
      volatility: 'immutable',
      language: 'c',
      extension: 'pgcrypto',
    }),
    userFunction('public.shelf_of', { arguments: ['text'], returns: 'public.shelf' }),
    userFunction('public.count_of', { arguments: ['public.shelf'], returns: 'integer' }),
    userFunction('public.is_full', {
      arguments: ['public.shelf'],
      signature: 's shelf',
      returns: 'boolean',
      volatility: 'immutable',
      language: 'sql',
      body: 'SELECT true',
    }),
    userFunction('public.is_word', { arguments: ['text'], volatility: 'volatile' }),
  ],
  operators: [
    { schema: 'public', name: '!!!', left: null, right: 'integer', function: { schema: 'public', name: 'burn' } },
    {
      schema: 'public',
      name: '+',
      left: 'public.word',
      right: 'public.word',
      function: { schema: 'public', name: 'burn' },
    },
  ],
  casts: [
    { source: 'text', target: 'public.shelf', function: { schema: 'public', name: 'shelf_of' }, context: 'implicit' },
    {
      source: 'public.shelf',
      target: 'integer',
      function: { schema: 'public', name: 'count_of' },
      context: 'assignment',
    },
  ],
  types: [
    { schema: 'public', name: 'word', kind: 'domain', checks: ['public.is_word(VALUE)'], functions: [] },
    { schema: 'public', name: 'mood', kind: 'enum', checks: [], functions: [] },
    { schema: 'public', name: 'shelf', kind: 'composite', checks: [], functions: [] },
  ],
};

export const LIBRARY: NameContext = { catalogue: new CatalogueIndex(data, 'library'), searchPath: ['public'] };

function classed(found: FunctionClass, names: string): [string, FunctionClass][] {
  return names.split(' ').map((name) => [name, found]);
}

/** A few of the names that rules/data/ lists; the lists themselves are tested where they are read. */
export const FEW_NAMES: KnownNames = {
  functions: new Map([
    ...classed(
      'pure',
      'lower upper left count sum min max to_jsonb jsonb_each_text row_to_json now coalesce length unnest',
    ),
    ...classed(
      'pure',
      'rank row_number mode similar_to_escape array_length regexp_replace like_escape concat string_agg',
    ),
    ...classed('volatile', 'random gen_random_uuid'),
    ...classed('resource', 'generate_series repeat lpad format pg_sleep power'),
    ...classed('other', 'currval nextval setval set_config pg_notify pg_read_file pg_stat_get_activity query_to_xml'),
    ['public.declared', 'pure'],
  ]),
  rowFunctions: new Map([['jsonb_each_text', ['key', 'value']]]),
  setFunctions: new Set(['jsonb_each_text', 'unnest', 'generate_series']),
  extensions: new Map([
    ['citext', new Set()],
    ['pgcrypto', new Set(['gen_salt'])],
  ]),
  operators: new Set('= <> < > <= >= + - * / % ^ || -> ->> @> && ~ ~* !~ ~~ !~~ ~~*'.split(' ')),
};
