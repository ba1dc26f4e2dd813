import { z } from 'zod';
import { parseDuration, parseSize } from '../config/quantity.ts';
import { compilePattern, DETECTIONS } from '../masking/detectors.ts';
import { EFFECT_CLASSES, type EffectName, type Predicate } from '../statements/facts.ts';
import { isDate, isDays, isHours, isZone } from './time-window.ts';

/**
 * The shape of a rule file, version 1, with what each key means: editors, docs/rules.md and error messages take it from
 * here. How the keys decide is in decide.ts and condition.ts.
 */

/** Every effect and what it is, to be written in `effects:`. A type error here means facts.ts has an effect this lacks. */
export const EFFECTS: Readonly<Record<EffectName, string>> = {
  read: 'Reads rows of a table or view, or the value of a setting.',
  insert: 'Adds rows.',
  update: 'Changes rows; also the next value of a sequence.',
  delete: 'Removes rows.',
  merge: 'MERGE; its parts count as `insert`, `update` and `delete` as well.',
  truncate: 'Removes all rows at once.',
  'copy-in': 'COPY ... FROM, LOAD DATA: adds rows in bulk.',
  'copy-out': 'COPY ... TO: reads rows in bulk.',
  create: 'Creates an object, CREATE TABLE AS and SELECT INTO included.',
  alter: 'Changes the definition of an object.',
  drop: 'Removes an object.',
  rename: 'Gives an object another name.',
  comment: 'Comments on an object.',
  grant: 'Gives a privilege or a membership.',
  revoke: 'Takes a privilege or a membership.',
  role: 'Creates, changes or drops a role or user.',
  'set-session': 'Changes a setting of the session; the object is the setting.',
  'set-role': 'SET ROLE, SET SESSION AUTHORIZATION: acts as somebody else.',
  'set-global': 'Changes a setting for other or later sessions.',
  'call-function': 'Calls a function that is not known to be pure.',
  'call-procedure': 'CALL of a procedure.',
  file: "Reads or writes files on the database's machine.",
  program: "Runs a program on the database's machine.",
  network: 'Makes the database connect to something else.',
  'large-object': 'Reads or writes large objects.',
  lock: 'Takes locks: LOCK TABLE, SELECT ... FOR UPDATE, advisory locks.',
  maintenance: 'VACUUM, ANALYZE, REINDEX, OPTIMIZE and the like.',
  admin: 'Acts on the server: ends sessions, reloads, replicates, loads libraries.',
  transaction: 'BEGIN, COMMIT, ROLLBACK, SAVEPOINT.',
  cursor: 'DECLARE, FETCH, MOVE, CLOSE.',
  notify: 'NOTIFY: sends to other sessions.',
  listen: 'LISTEN, UNLISTEN.',
  prepare: 'PREPARE in SQL; the statement inside counts as well.',
  execute: 'EXECUTE in SQL; the statement it runs counts as well.',
  explain: 'EXPLAIN; with ANALYZE the statement inside counts as well.',
  resource: 'Can take time or memory out of all proportion: sleeping, results without end.',
  opaque: 'What it does cannot be read from its text: it does not parse, or runs code in a string.',
};

/** What each predicate says, from wide to narrow; `present` is any but `none`. */
export const PREDICATES: Readonly<Record<Predicate | 'present', string>> = {
  none: 'There is no WHERE.',
  tautology:
    'There is one, and it keeps every or nearly every row: `1=1`, `id = id`, or only another table is constrained.',
  open: "Ranges, LIKE, inequalities, sub-selects: how many rows is anybody's guess.",
  bounded:
    'A column of the table equals, or is IN, constants or parameters (on MySQL not a column of text a number: that keeps all other texts).',
  keyed: 'Bounded on all columns of a unique key: at most one row per value.',
  present: 'Any of the above but `none`.',
};

/** Names of single effects and of classes; where one name is both, it means the class. */
export const EFFECT_NAMES = [...new Set([...Object.keys(EFFECTS), ...Object.keys(EFFECT_CLASSES)])] as [
  string,
  ...string[],
];

const text = z.string().min(1);

function checked(isRight: (value: string) => boolean, message: string) {
  return z.string().refine(isRight, { message });
}

const duration = checked(
  (value) => parseDuration(value) !== null,
  'must be a duration such as 500ms, 30s, 15m, 2h or 7d',
);

/** One value or a list of them; a list that is there has something in it, or the rule could never match. */
function oneOrMore<Item extends z.ZodType>(item: Item) {
  return z
    .preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(item).min(1))
    .meta({ oneOrMore: true });
}

/** A pattern of `most` parts at most and `least` at least, none of them empty. */
function named(least: number, most: number, message: string) {
  return checked((pattern) => {
    const parts = pattern.split('.');
    return parts.length >= least && parts.length <= most && !parts.includes('');
  }, message);
}

const objectPattern = named(1, 2, 'must be a name or schema.name, with * for anything');
const columnPattern = named(2, 3, 'must be table.column or schema.table.column, with * for anything');

/** A column and where in its JSON, `public.customers.profile:$.card.number`. */
const maskedColumn = checked((value) => {
  const [column = '', path, ...more] = value.split(':');
  return (
    columnPattern.safeParse(column).success &&
    more.length === 0 &&
    (path === undefined || /^\$(\.[A-Za-z_]\w*|\[(\d+|\*)\])+$/.test(path))
  );
}, 'must be table.column or schema.table.column, and for a part of JSON the path after a colon, as in t.profile:$.card.number');

/** A condition without keys always holds; where that is never meant, it is a mistake. */
function notEmpty<Shape extends z.ZodObject>(object: Shape) {
  return object.refine((value) => Object.keys(value).length > 0, {
    message: 'must have at least one key',
    when: ({ issues }) => issues.length === 0,
  });
}

const identities = z.strictObject({
  subjects: oneOrMore(text).optional().describe('Names of identities, with `*` for anything.'),
  groups: oneOrMore(text).optional().describe("Groups, with `*` for anything; one of the identity's has to match."),
  kind: oneOrMore(z.enum(['human', 'agent', 'service']))
    .optional()
    .describe('What the identity is.'),
});

const timeWindow = z.strictObject({
  days: oneOrMore(checked(isDays, 'must be a day such as mon, or days such as mon-fri'))
    .optional()
    .describe('Days, `mon` to `sun`, and ranges such as `mon-fri`. Every day if left out.'),
  hours: oneOrMore(checked(isHours, 'must be hours such as 08:00-18:00, in quotes'))
    .optional()
    .describe('From, and up to but not including; `22:00-06:00` ends on the next day. All day if left out.'),
  zone: checked(isZone, 'must be a time zone such as Europe/Berlin or UTC').describe(
    'The time zone the days and hours are in; daylight saving is observed.',
  ),
});

/** Keys that depend on nothing but who is connected to what. */
const who = {
  connections: oneOrMore(text).optional().describe('Names of connections, with `*` for anything.'),
  identities: notEmpty(identities).optional().describe('Who sends the statement: all keys in it have to hold.'),
};

const whoCondition = z.strictObject(who);

const condition = z.strictObject({
  ...who,
  effects: oneOrMore(z.enum(EFFECT_NAMES)).optional().describe('Effects, or classes of them.'),
  tables: oneOrMore(objectPattern)
    .optional()
    .describe('Tables and views: `schema.table`, or `table` for that name in any schema, with `*` for anything.'),
  columns: oneOrMore(columnPattern)
    .optional()
    .describe(
      'Columns that are read, written or used in any way: `schema.table.column`, or `table.column` for any schema. An allow rule needs all of them to match, other rules one.',
    ),
  functions: oneOrMore(objectPattern).optional().describe('Functions and procedures, written like tables.'),
  settings: oneOrMore(text).optional().describe('Settings that are changed, in any case, with `*` for anything.'),
  predicate: oneOrMore(z.enum(Object.keys(PREDICATES) as [keyof typeof PREDICATES]))
    .optional()
    .describe('What the WHERE proves about the rows of an update, delete or read.'),
  during: timeWindow.optional().describe('It is then now.'),
  outside: timeWindow.optional().describe('It is not then now.'),
  missing: oneOrMore(checked((name) => /^[a-z_][a-z0-9_.-]*$/.test(name), 'must be the name of a claim, in lower case'))
    .optional()
    .describe(
      'What the client does not claim: `traceparent`, `intent`, whatever else it says by `SET sluice.NAME`, in a sqlcommenter comment or in a query attribute of MySQL. One that is missing is enough.',
    ),
});

const exception = condition.extend({
  until: checked(isDate, 'must be a date such as 2027-01-31')
    .optional()
    .describe('The exception ends with this day, UTC.'),
});

const mode = z.enum(['enforce', 'shadow']);

const ruleId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, { message: 'must be letters, digits, - _ and .' })
  .refine((id) => id !== 'default', { message: 'must not be default: that is what decides when no rule does' })
  .describe('Names the rule in errors, records and metrics. One id stands once in all files together.');

const about = {
  id: ruleId,
  description: z.string().optional().describe('For the reader of the file.'),
};

const voters = notEmpty(
  z.strictObject({
    groups: oneOrMore(text).optional().describe('Members of one of these groups.'),
    subjects: oneOrMore(text).optional().describe('These identities.'),
  }),
);

const count = z.int().min(1).max(100).optional().describe('How many of them have to approve.').meta({ default: 1 });

const approval = z
  .strictObject({
    from: voters.optional().describe('Who may approve. Never the requester, nor the owner of an agent.'),
    count,
    stages: z
      .array(z.strictObject({ from: voters.describe('Who may approve in this stage.'), count }))
      .min(1)
      .optional()
      .describe('Instead of `from` and `count`: several groups of approvers, all of which are needed.'),
    within: duration.optional().describe('How long the request can be voted on.').meta({ default: '1h' }),
    wait: duration
      .optional()
      .describe('How long the client waits on its open connection; `0s` gives it a ticket at once.')
      .meta({ default: '60s' }),
    grant: z
      .enum(['once', 'session', 'fingerprint'])
      .optional()
      .describe('The furthest an approval may reach: one execution, the session, or every statement of the same shape.')
      .meta({ default: 'once' }),
    grant_for: duration.optional().describe('How long a `fingerprint` grant lasts; needed with it.'),
    tolerance: z
      .int()
      .min(0)
      .max(1000)
      .optional()
      .describe('By how many percent an update or delete may exceed the number of rows that was approved.')
      .meta({ default: 0 }),
  })
  .superRefine((value, context) => {
    if ((value.from === undefined) === (value.stages === undefined)) {
      context.addIssue({ code: 'custom', message: 'must have either from or stages' });
    }
    if (value.count !== undefined && value.stages !== undefined) {
      context.addIssue({ code: 'custom', path: ['count'], message: 'belongs into each of the stages' });
    }
    if ((value.grant === 'fingerprint') !== (value.grant_for !== undefined)) {
      context.addIssue({ code: 'custom', message: 'must have grant_for with grant: fingerprint, and only with it' });
    }
  });

const amount = z.int().min(1);
/** A record is one line, and is in memory while it is made. */
const MOST_RESULT_BYTES = 1024 * 1024;

const limit = z
  .strictObject({
    rows: amount.optional().describe('Rows of results, or rows changed.'),
    bytes: z
      .union([amount, z.string()], { error: 'must be a number of bytes, or a size such as 64MiB' })
      .refine((value) => typeof value === 'number' || (parseSize(value) ?? 0) > 0, {
        message: 'must be a number of bytes, or a size such as 64MiB',
      })
      .optional()
      .describe('Bytes of results as the server sends them, such as `64MiB`.'),
    statements: amount.optional().describe('Statements that ran.'),
    seconds: amount.optional().describe('Time the server took, in seconds.'),
    per: checked(
      (value) => value === 'statement' || value === 'session' || (parseDuration(value) ?? 0) >= 60_000,
      'must be statement, session, or a window of one minute or more such as 1h or 24h',
    ).describe('`statement`, `session`, or a rolling window such as `1h` or `24h`, counted per identity.'),
  })
  .superRefine((value, context) => {
    const given = [value.rows, value.bytes, value.statements, value.seconds].filter((one) => one !== undefined);
    if (given.length === 0)
      context.addIssue({ code: 'custom', message: 'must have rows, bytes, statements or seconds' });
    if (value.statements !== undefined && value.per === 'statement') {
      context.addIssue({ code: 'custom', path: ['statements'], message: 'cannot be per statement' });
    }
  });

const recordedResults = z.union(
  [
    z.literal('results'),
    z.strictObject({
      results: z
        .strictObject({
          rows: z.int().min(1).max(10_000).optional().describe('Rows of a statement.').meta({ default: 100 }),
          bytes: z
            .union([z.int().min(1).max(MOST_RESULT_BYTES), z.string()])
            .refine(
              (value) => {
                const bytes = typeof value === 'number' ? value : parseSize(value);
                return bytes !== null && bytes > 0 && bytes <= MOST_RESULT_BYTES;
              },
              { message: 'must be a number of bytes, or a size such as 64KiB, up to 1MiB' },
            )
            .optional()
            .describe('Bytes of the values of a statement, up to `1MiB`.')
            .meta({ default: '64KiB' }),
        })
        .describe('How much of them.'),
    }),
  ],
  { error: 'must be `results`, or `{ results: { rows: 100, bytes: 64KiB } }`' },
);

const rule = z
  .strictObject({
    ...about,
    match: condition.describe(
      'What the rule is about: all keys have to hold, for the same effect. `{}` is everything.',
    ),
    unless: notEmpty(exception).optional().describe('What it is not about: effects for which all these keys hold.'),
    if: text
      .max(2000, 'must be at most 2000 characters')
      .optional()
      .describe('A CEL expression that has to be true as well.'),
    action: z
      .enum(['allow', 'hold', 'deny'])
      .describe('What happens to a statement that matches. With `limit`: what happens over the limit.'),
    approval: approval.optional().describe('Who has to approve, for `action: hold`.'),
    limit: limit.optional().describe('The action is for what goes over this budget, not for every statement.'),
    record: recordedResults
      .optional()
      .describe(
        'Record the results of what matches as well, as the client is sent them: what is masked is masked there.',
      ),
    mode: mode
      .optional()
      .describe('`shadow` records what the rule would have done, and does nothing.')
      .meta({ default: 'enforce' }),
    message: text.optional().describe('One sentence for who is refused: what was refused.'),
    hint: text.optional().describe('One sentence for who is refused: what to do instead.'),
  })
  .superRefine((value, context) => {
    if (value.action === 'hold' && value.approval === undefined) {
      context.addIssue({ code: 'custom', path: ['action'], message: 'hold needs approval, or nobody could approve' });
    }
    if (value.action !== 'hold' && value.approval !== undefined) {
      context.addIssue({ code: 'custom', path: ['approval'], message: 'is only for action: hold' });
    }
    if (value.action === 'deny' && value.record !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['record'],
        message: 'needs action: allow or hold, for there to be results',
      });
    }
    if (value.action === 'allow' && value.limit !== undefined) {
      context.addIssue({ code: 'custom', path: ['limit'], message: 'needs action: deny or hold, for what is over it' });
    }
  });

const sessionRule = z
  .strictObject({
    ...about,
    match: whoCondition.describe("Whose sessions; `{}` is everybody's."),
    unless: notEmpty(whoCondition).optional().describe('Whose sessions not.'),
    read_only: z.literal(true).optional().describe('Transactions are read-only, and cannot be made writable.'),
    statement_timeout: duration.optional().describe('The server ends statements after this time.'),
    role: text.optional().describe('The session acts as this role of the database.'),
    settings: z
      .record(
        z.string().regex(/^[A-Za-z_][\w.]*$/, 'must be the name of a setting'),
        z.union([z.string(), z.number(), z.boolean()]),
      )
      .optional()
      .describe('Further settings and their values.'),
  })
  .refine(
    ({ read_only, statement_timeout, role, settings }) =>
      [read_only, statement_timeout, role, settings].some((one) => one !== undefined),
    {
      message: 'must have read_only, statement_timeout, role or settings',
      when: ({ issues }) => issues.length === 0,
    },
  );

const secret = z.union(
  [z.strictObject({ env: text }), z.strictObject({ file: text }), z.strictObject({ command: z.array(text).min(1) })],
  { error: 'must be { env: NAME }, { file: PATH } or { command: [PROGRAM, ARGUMENT...] }' },
);

const kept = z.int().min(0).max(100).optional();

const maskers = z.strictObject({
  null: z.literal(true).optional().describe('NULL.'),
  redact: z
    .union([z.literal(true), text])
    .optional()
    .describe('A fixed text, `[redacted]` or the one given.'),
  partial: z
    .strictObject({ first: kept, last: kept })
    .optional()
    .describe('Keeps the first and last characters: `{ first: 0, last: 4 }`.'),
  email: z.literal('keep-domain').optional().describe('`keep-domain`: the name goes, the domain stays.'),
  hash: z.strictObject({ key: secret }).optional().describe('A keyed hash: a pseudonym that still joins.'),
  fpe: z.strictObject({ key: secret }).optional().describe('Format-preserving encryption (NIST FF1).'),
  year: z.literal(true).optional().describe('A date, cut to its year.'),
  month: z.literal(true).optional().describe('A date, cut to its month.'),
  bucket: z.number().positive().optional().describe('A number, rounded down to a multiple of this.'),
  constant: z.union([z.string(), z.number(), z.boolean()]).optional().describe('Always this value.'),
});

/** `redact` and `null` by themselves, or one masker with its options. */
const masker = z
  .preprocess((value) => {
    if (value === null) return { null: true };
    return typeof value === 'string' ? { [value]: true } : value;
  }, maskers)
  .refine((value) => Object.keys(value).length === 1, {
    message: 'must be one masker, with its options if it has any',
    when: ({ issues }) => issues.length === 0,
  })
  .meta({ masker: true });

/** Of a mask and of a detector: who is left out, and whether it does anything. */
const whenMasked = {
  unless: notEmpty(whoCondition.extend({ until: exception.shape.until }))
    .optional()
    .describe('Who sees the value itself.'),
  mode: mode
    .optional()
    .meta({ default: 'enforce' })
    .describe('`shadow` records what it would have done, and does nothing.'),
};

const mask = z.strictObject({
  ...about,
  match: whoCondition.optional().describe("Whose results; everybody's if left out."),
  columns: oneOrMore(maskedColumn).describe(
    'Columns, written as in `match`; for a part of JSON the path after a colon.',
  ),
  with: masker.describe('What the value becomes.'),
  derived: z
    .enum(['redact', 'deny', 'allow'])
    .optional()
    .describe('What happens to an expression over a masked column.')
    .meta({ default: 'redact' }),
  predicates: z
    .enum(['equality', 'deny', 'allow'])
    .optional()
    .describe(
      'Masked columns in WHERE, JOIN, ORDER BY, GROUP BY: only compared for equality (joined with columns of the same mask), not at all, or freely.',
    )
    .meta({ default: 'equality' }),
  copies: z
    .enum(['deny', 'hold', 'allow'])
    .optional()
    .describe('Masked columns that are written somewhere else.')
    .meta({ default: 'deny' }),
  ...whenMasked,
});

function isPattern(pattern: string): boolean {
  try {
    compilePattern(pattern);
    return pattern !== '';
  } catch {
    return false;
  }
}

const detector = z
  .strictObject({
    ...about,
    match: whoCondition.optional().describe("Whose results; everybody's if left out."),
    find: oneOrMore(z.enum(DETECTIONS)).optional().describe('What to look for in the values.'),
    patterns: oneOrMore(
      checked(isPattern, 'must be a regular expression as RE2 reads it: without look-around and back-references'),
    )
      .optional()
      .describe('Regular expressions of your own to look for (RE2 syntax), in linear time.'),
    columns: oneOrMore(
      checked(
        (value) => value === '*' || columnPattern.safeParse(value).success,
        'must be *, table.column or schema.table.column',
      ),
    ).describe('In which columns; `*` for all.'),
    with: masker.describe('What a value becomes in which it was found.'),
    ...whenMasked,
  })
  .refine(({ find, patterns }) => find !== undefined || patterns !== undefined, {
    message: 'must have find or patterns',
    when: ({ issues }) => issues.length === 0,
  });

const SECTIONS = ['rules', 'session', 'masks', 'detectors'] as const;

export const ruleFileSchema = z
  .strictObject({
    version: z.literal(1).describe('Of the language. 1.'),
    mode: mode
      .optional()
      .meta({ default: 'enforce' })
      .describe('For all rules, masks and detectors of the file that do not say otherwise.'),
    rules: z.array(rule).optional().describe('Statements: what is allowed, held and denied.'),
    session: z
      .array(sessionRule)
      .optional()
      .describe('Settings that are forced at login, and that no statement may change.'),
    masks: z.array(mask).optional().describe('Columns whose values do not leave in clear.'),
    detectors: z.array(detector).optional().describe('Values that do not leave in clear, whatever their column.'),
  })
  .refine((file) => SECTIONS.some((section) => file[section] !== undefined), {
    message: 'must have rules, session, masks or detectors',
    when: ({ issues }) => issues.length === 0,
  })
  .superRefine((file, context) => {
    const shadowed = (mode: string | undefined) => (mode ?? file.mode) === 'shadow';
    if (file.mode === 'shadow' && file.session !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['session'],
        message: 'cannot be in a file with mode: shadow: a setting is forced or it is not',
      });
    }
    for (const [index, rule] of (file.rules ?? []).entries()) {
      if (
        rule.limit !== undefined &&
        rule.action === 'hold' &&
        rule.limit.per === 'statement' &&
        !shadowed(rule.mode)
      ) {
        context.addIssue({
          code: 'custom',
          path: ['rules', index, 'limit', 'per'],
          message:
            'cannot be statement with action: hold: what is over the limit is known when the statement is under way',
        });
      }
    }
  });

export type RuleFile = z.infer<typeof ruleFileSchema>;
export type RuleSource = z.infer<typeof rule>;
export type Condition = z.infer<typeof condition>;
export type Exception = z.infer<typeof exception>;
export type WhoCondition = z.infer<typeof whoCondition>;
export type ApprovalSource = z.infer<typeof approval>;
export type LimitSource = z.infer<typeof limit>;
export type SessionRuleSource = z.infer<typeof sessionRule>;
export type MaskSource = z.infer<typeof mask>;
export type DetectorSource = z.infer<typeof detector>;
export type MaskerSource = z.infer<typeof maskers>;
export type SecretReference = z.infer<typeof secret>;
