import { type JournalRecord, parseRecord } from '../read-records.ts';
import { type Fields, object, text } from '../record-fields.ts';
import {
  type Draft,
  decisionOf,
  KnownParts,
  type KnownProfile,
  type KnownShape,
  MOST_TEXT,
  NO_OUTCOME,
  type Outcome,
  outcomeOf,
  type Profile,
  shapeOf,
  traceOf,
  whole,
  whoOf,
} from './drafts.ts';
import { ownText, Recent } from './recent.ts';

/** What a line of the journal says. */
export type ReadLine =
  | { readonly kind: 'attempt'; readonly seq: number; readonly draft: Draft; readonly who: Fields }
  | {
      readonly kind: 'outcome';
      readonly seq: number;
      readonly at: number;
      readonly session: string;
      readonly number: number;
      readonly outcome: Outcome;
    }
  | { readonly kind: 'record'; readonly seq: number; readonly record: JournalRecord };

/** Who is at work in a session. */
interface Who {
  readonly fields: Fields;
  readonly said: ReturnType<typeof whoOf>;
  readonly profiles: Map<Decision, KnownProfile>;
}

/** What was decided about a statement. */
type Decision = Pick<Profile, 'verdict' | 'rules' | 'masks'>;

interface Facts {
  readonly shape: KnownShape;
  readonly decision: Decision;
}

/** How many are kept: sessions' fields, statements' facts, decisions. */
const MOST_WHO = 10_000;
const MOST_FACTS = 10_000;
const MOST_DECISIONS = 1_000;

const FRAME = /\{"v":1,"seq":(\d{1,15}),(?:"prev":"[\w-]*",)?"at":"([^"]+)","event":"statement\.(attempt|outcome)",/y;
const SESSION = /"session":"([^"\\]+)",/y;
const BEFORE_TEXT = /,"statement":(\d{1,15}),"via":"[^"\\]*","text":"/y;
const LENGTH = /"textLength":\d+,/y;

/**
 * Reads lines of the journal. Most of them are attempts and outcomes, and most of an attempt was in others before: who it was,
 * what the statement does, what was decided. So that is not parsed again but looked up by its text. It lies between fields whose
 * places the encoder fixes; a quote within a string has a backslash before it, so `","` is nothing else than the end of a string. A
 * line that does not look like that is parsed whole.
 */
export class LineReader {
  readonly known = new KnownParts();
  readonly #who = new Recent<string, Who>(MOST_WHO);
  readonly #facts = new Recent<string, Facts>(MOST_FACTS);
  readonly #decisions = new Recent<string, Decision>(MOST_DECISIONS);
  readonly #times = new Times();

  /** `null` for a line that is no record: telling of it is for `verify`. */
  read(line: string): ReadLine | null {
    FRAME.lastIndex = 0;
    const frame = FRAME.exec(line);
    if (frame !== null) {
      const seq = Number(frame[1]);
      const at = this.#times.parse(frame[2]!);
      const begin = FRAME.lastIndex;
      if (!Number.isNaN(at)) {
        const read =
          frame[3] === 'outcome' ? readOutcome(line, begin, seq, at) : this.#readAttempt(line, begin, seq, at);
        if (read !== null) return read;
      }
    }
    const record = parseRecord(line);
    return typeof record === 'string' ? null : { kind: 'record', seq: record.seq, record };
  }

  #readAttempt(line: string, begin: number, seq: number, at: number): ReadLine | null {
    const session = matchAt(SESSION, line, begin);
    if (session === null) return null;
    const whoBegin = begin + session[0].length;
    const whoEnd = line.indexOf(',"statement":', whoBegin);
    const before = whoEnd === -1 ? null : matchAt(BEFORE_TEXT, line, whoEnd);
    if (before === null) return null;
    const textBegin = whoEnd + before[0].length;
    const textEnd = line.indexOf('","', textBegin);
    if (textEnd === -1) return null;
    const factsBegin = textEnd + 2 + (matchAt(LENGTH, line, textEnd + 2)?.[0].length ?? 0);
    if (!line.startsWith('"fingerprint":', factsBegin)) return null;
    const version = line.indexOf(',"rulesVersion":', factsBegin);
    if (version === -1) return null;
    const factsEnd = endOfFacts(line, version);
    try {
      const who = this.#whoOf(line.slice(whoBegin, whoEnd));
      const { shape, decision } = this.#factsOf(line.slice(factsBegin, factsEnd));
      let profile = who.profiles.get(decision);
      if (profile === undefined) {
        profile = this.known.profile({ event: 'statement', ...who.said, ...decision });
        who.profiles.set(decision, profile);
      }
      const isMore = line.startsWith(',"approval":', factsEnd) || line.startsWith(',"claimed":', factsEnd);
      const more = isMore ? object(JSON.parse(`{${line.slice(factsEnd + 1)}`)) : {};
      const raw = line.slice(textBegin, textEnd);
      const said = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
      const draft: Draft = {
        ...{ at, seq, profile, shape, session: session[1]!, number: Number(before[1]) },
        text: said === '' ? null : said.slice(0, MOST_TEXT),
        trace: traceOf(more.claimed),
        approval: whole(more.approval),
        outcome: NO_OUTCOME,
      };
      return { kind: 'attempt', seq, draft, who: who.fields };
    } catch {
      // Cut where it should not have been.
      return null;
    }
  }

  #whoOf(said: string): Who {
    let who = this.#who.get(said);
    if (who === undefined) {
      const fields = object(JSON.parse(`{${said}}`));
      who = { fields, said: whoOf(fields), profiles: new Map() };
      this.#who.set(ownText(said), who);
    }
    return who;
  }

  #factsOf(said: string): Facts {
    let facts = this.#facts.get(said);
    if (facts === undefined) {
      const fields = object(JSON.parse(`{${said}}`));
      facts = { shape: this.known.shape(shapeOf(fields)), decision: this.#decisionOf(decisionOf(fields)) };
      this.#facts.set(ownText(said), facts);
    }
    return facts;
  }

  /** The same object for decisions that are the same. */
  #decisionOf(decision: Decision): Decision {
    const key = JSON.stringify(decision);
    const known = this.#decisions.get(key);
    if (known !== undefined) return known;
    this.#decisions.set(key, decision);
    return decision;
  }
}

function readOutcome(line: string, begin: number, seq: number, at: number): ReadLine | null {
  try {
    const fields = object(JSON.parse(`{${line.slice(begin)}`));
    const session = text(fields.session);
    const number = whole(fields.statement);
    if (session === null || number === null) return null;
    return { kind: 'outcome', seq, at, session, number, outcome: outcomeOf(fields) };
  } catch {
    return null;
  }
}

/** Where the facts of an attempt end. @param from behind their beginning */
function endOfFacts(line: string, from: number): number {
  let end = line.length - 1;
  for (const field of [',"binds":', ',"claimed":', ',"approval":']) {
    const begin = line.indexOf(field, from);
    if (begin !== -1 && begin < end) end = begin;
  }
  return end;
}

function matchAt(pattern: RegExp, line: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(line);
}

/** Reads times, most of which are of the same second as the one before: `Date.parse` takes longer than all else in a frame. */
class Times {
  #second = '';
  #ms = Number.NaN;

  /** `NaN` for what is none. */
  parse(text: string): number {
    if (!/\.\d{3}Z$/.test(text)) return Date.parse(text);
    const second = text.slice(0, -5);
    if (second !== this.#second) [this.#second, this.#ms] = [second, Date.parse(`${second}Z`)];
    return this.#ms + Number(text.slice(-4, -1));
  }
}
