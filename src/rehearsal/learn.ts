import { Document, visit, type YAMLMap, type YAMLSeq } from 'yaml';
import { EFFECT_CLASSES, type Effect, type EffectName } from '../statements/facts.ts';
import { type RecordedScope, type RecordedTraffic, readStatements } from './recorded-statements.ts';
import type { SessionReading, StatementReader } from './statement-reader.ts';

export interface Learned extends RecordedTraffic {
  /** Recorded statements, and how many of them the proposed rules are made from. */
  readonly statements: number;
  readonly learned: number;
  /** What no rule is proposed for, and how often it was seen; most often first. */
  readonly left: readonly { readonly what: string; readonly count: number }[];
  /** A rule file. */
  readonly yaml: string;
}

export interface LearnOptions {
  readonly reader: StatementReader;
  readonly session: SessionReading;
  readonly progress: (statements: number) => void;
}

/** Effects without an object that a rule could name, and that reach no further than the session. */
const WITHOUT_OBJECT: readonly EffectName[] = [
  'transaction',
  'cursor',
  'explain',
  'prepare',
  'execute',
  'notify',
  'listen',
];

/** Effects that nobody should be allowed because they happened once: a person has to write such a rule. */
const NEVER: readonly EffectName[] = [
  ...EFFECT_CLASSES.opaque,
  ...EFFECT_CLASSES.exfiltration,
  ...EFFECT_CLASSES.privilege,
  ...EFFECT_CLASSES.resource,
  'admin',
  'set-role',
  'set-global',
];

const NARROWED: readonly EffectName[] = ['update', 'delete'];

/** What one identity did on one connection. */
interface Habits {
  statements: number;
  last: number;
  readonly fingerprints: Set<string>;
  /** By table: effects; for update and delete with the predicate, as `update keyed`. */
  readonly tables: Map<string, Set<string>>;
  readonly functions: Map<string, Set<EffectName>>;
  readonly settings: Set<string>;
  readonly plain: Set<EffectName>;
}

/**
 * Proposes an allow-list from what was allowed: by connection and identity, the effects, tables, functions and settings that
 * were seen, updates and deletes with the predicates they had. A statement of which any part cannot be proposed leaves no
 * trace in the list. Rejects as {@link readStatements} does.
 */
export async function learn(scope: RecordedScope, { reader, session, progress }: LearnOptions): Promise<Learned> {
  const habits = new Map<string, Habits>();
  const left = new Map<string, number>();
  let statements = 0;
  let learned = 0;
  const leave = (what: string) => {
    left.set(what, (left.get(what) ?? 0) + 1);
  };
  const traffic = await readStatements(scope, async ({ text, identity, connection, verdict, at }) => {
    statements += 1;
    progress(statements);
    if (verdict !== 'allow') return leave(`was not allowed (${verdict})`);
    const read = await reader.read(text, session);
    const effects = read.flatMap(({ facts }) => facts.effects);
    const no = isPattern(identity.subject)
      ? 'comes from an identity with * in its name'
      : effects.map(whyNot).find((why) => why !== null);
    if (typeof no === 'string') return leave(no);
    learned += 1;
    const key = JSON.stringify([connection, identity.subject]);
    let mine = habits.get(key);
    if (mine === undefined) {
      mine = newHabits();
      habits.set(key, mine);
    }
    mine.statements += 1;
    mine.last = at;
    for (const { facts } of read) mine.fingerprints.add(facts.fingerprint);
    for (const effect of effects) note(mine, effect);
  });
  const sorted = [...left].map(([what, count]) => ({ what, count })).sort((a, b) => b.count - a.count);
  return { ...traffic, statements, learned, left: sorted, yaml: yamlOf(habits, scope.since) };
}

function newHabits(): Habits {
  const sets = { fingerprints: new Set<string>(), settings: new Set<string>(), plain: new Set<EffectName>() };
  return { statements: 0, last: 0, tables: new Map(), functions: new Map(), ...sets };
}

function isPattern(name: string): boolean {
  return name.includes('*');
}

/** Why no rule is proposed for an effect, or `null`. */
function whyNot({ effect, object }: Effect): string | null {
  if (NEVER.includes(effect)) return `has the effect ${effect}`;
  if (object !== null && (isPattern(object.name) || isPattern(object.schema ?? ''))) return 'names an object with *';
  if (object?.kind === 'relation') return object.name.includes('.') ? 'names a table with a dot' : null;
  if (object?.kind === 'function') return object.name.includes('.') ? 'names a function with a dot' : null;
  if (object?.kind === 'setting') return null;
  if (WITHOUT_OBJECT.includes(effect)) return null;
  return `has the effect ${effect} on what a rule cannot name`;
}

function note(mine: Habits, { effect, object, predicate }: Effect): void {
  if (object?.kind === 'setting') {
    mine.settings.add(`${effect} ${object.name.toLowerCase()}`);
  } else if (object?.kind === 'relation') {
    const name = qualified(object.schema, object.name);
    const seen = mine.tables.get(name) ?? new Set();
    mine.tables.set(
      name,
      seen.add(NARROWED.includes(effect) && predicate !== null ? `${effect} ${predicate}` : effect),
    );
  } else if (object?.kind === 'function') {
    const name = qualified(object.schema, object.name);
    mine.functions.set(name, (mine.functions.get(name) ?? new Set()).add(effect));
  } else {
    mine.plain.add(effect);
  }
}

function qualified(schema: string | null, name: string): string {
  return schema === null ? name : `${schema}.${name}`;
}

interface ProposedMatch {
  readonly effects: readonly string[];
  readonly predicate?: readonly string[];
  readonly tables?: readonly string[];
  readonly functions?: readonly string[];
  readonly settings?: readonly string[];
}

/** The rules for one identity, without the identity. */
function matchesOf({ tables, functions, settings, plain }: Habits): ProposedMatch[] {
  const matches: ProposedMatch[] = [];
  const groups = new Map<string, string[]>();
  for (const [table, seen] of [...tables].sort()) {
    const narrowed = [...seen].filter((one) => one.includes(' ')).sort();
    const wide = [...seen].filter((one) => !one.includes(' ')).sort();
    if (wide.length > 0) add(groups, JSON.stringify([wide]), table);
    for (const effect of NARROWED) {
      const mine = narrowed.filter((one) => one.startsWith(`${effect} `)).map((one) => one.slice(effect.length + 1));
      if (mine.length > 0) add(groups, JSON.stringify([[effect], mine]), table);
    }
  }
  for (const [key, names] of groups) {
    const [effects, predicate] = JSON.parse(key) as [string[], string[]?];
    matches.push({ effects, ...(predicate === undefined ? {} : { predicate }), tables: names });
  }
  const called = new Map<string, string[]>();
  for (const [name, effects] of [...functions].sort()) add(called, JSON.stringify([...effects].sort()), name);
  for (const [key, names] of called) matches.push({ effects: JSON.parse(key), functions: names });
  const changed = new Map<string, string[]>();
  for (const one of [...settings].sort()) add(changed, one.split(' ')[0]!, one.slice(one.indexOf(' ') + 1));
  for (const [effect, names] of changed) matches.push({ effects: [effect], settings: names });
  if (plain.size > 0) matches.push({ effects: [...plain].sort() });
  return matches;
}

function add(groups: Map<string, string[]>, key: string, name: string): void {
  const list = groups.get(key);
  if (list === undefined) groups.set(key, [name]);
  else list.push(name);
}

/** Names that are written on one line. */
const LONGEST_LINE = 6;

/** Identities that did the same on the same connection share their rules. */
function yamlOf(habits: ReadonlyMap<string, Habits>, since: number): string {
  const shared = new Map<string, { connection: string; subjects: string[]; of: Habits[]; matches: ProposedMatch[] }>();
  for (const [key, mine] of [...habits].sort()) {
    const [connection, subject] = JSON.parse(key) as [string, string];
    const matches = matchesOf(mine);
    const same = JSON.stringify([connection, matches]);
    const group = shared.get(same) ?? { connection, subjects: [], of: [], matches };
    group.subjects.push(subject);
    group.of.push(mine);
    shared.set(same, group);
  }
  const groups = [...shared.values()];
  const rules = groups.flatMap(({ connection, subjects, matches }, group) =>
    matches.map((match, index) => ({
      id: `learned-${group + 1}-${index + 1}`,
      match: { connections: [connection], identities: { subjects }, ...match },
      action: 'allow',
    })),
  );
  const document = new Document({ version: 1, rules }, { aliasDuplicateObjects: false });
  const list = document.get('rules') as YAMLSeq<YAMLMap>;
  visit(document, {
    Seq: (_, node) => {
      if (node !== list && node.items.length <= LONGEST_LINE) node.flow = true;
    },
  });
  document.commentBefore =
    ` Proposed from what was allowed since ${new Date(since).toISOString()}. Read it before it is put in force, with\n` +
    ' `default: deny`: what happened is not always what should.';
  let first = 0;
  for (const { connection, subjects, of, matches } of groups) {
    const item = list.items[first];
    const statements = of.reduce((sum, one) => sum + one.statements, 0);
    const shapes = new Set(of.flatMap((one) => [...one.fingerprints])).size;
    const last = new Date(Math.max(...of.map((one) => one.last))).toISOString();
    const about = `${subjects.join(', ')} on ${connection}: ${statements} statements of ${shapes} shapes, last ${last}`;
    if (item !== undefined) item.commentBefore = ` ${about.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ' ')}`;
    first += matches.length;
  }
  return document.toString({ lineWidth: 120 });
}
