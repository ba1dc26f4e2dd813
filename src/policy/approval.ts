import { parseDuration } from '../config/quantity.ts';
import type { ApprovalSource } from './rule-schema.ts';

/** Who has to approve before a held statement runs, with every default filled in. */
export interface Approval {
  /** The rule that asks for it; `default` when the connection's default holds. */
  readonly rule: string;
  /** All stages are needed. */
  readonly stages: readonly ApprovalStage[];
  /** How long the request can be voted on, milliseconds. */
  readonly withinMs: number;
  /** How long the client waits on its open connection, milliseconds; 0 gives it a ticket at once. */
  readonly waitMs: number;
  /** The furthest a grant may reach. */
  readonly grant: 'once' | 'session' | 'fingerprint';
  /** How long a `fingerprint` grant lasts, milliseconds; `null` for others. */
  readonly grantForMs: number | null;
  /** By how many percent an update or delete may exceed the number of rows that was approved. */
  readonly tolerancePercent: number;
}

export interface ApprovalStage {
  /** Members of one of these groups, or these subjects. Both empty: anyone who has the role of an approver. */
  readonly groups: readonly string[];
  readonly subjects: readonly string[];
  readonly count: number;
}

const HOUR = 3_600_000;
const MINUTE = 60_000;

/** What a rule asks for, with defaults filled in. */
export function compileApproval(rule: string, source: ApprovalSource): Approval {
  const stages = source.stages ?? [{ from: source.from ?? {}, count: source.count }];
  return {
    rule,
    stages: stages.map(
      ({ from, count }): ApprovalStage => ({
        groups: from.groups ?? [],
        subjects: from.subjects ?? [],
        count: count ?? 1,
      }),
    ),
    withinMs: milliseconds(source.within, HOUR),
    waitMs: milliseconds(source.wait, MINUTE),
    grant: source.grant ?? 'once',
    grantForMs: source.grant_for === undefined ? null : milliseconds(source.grant_for, HOUR),
    tolerancePercent: source.tolerance ?? 0,
  };
}

/** What a connection whose default is `hold` asks for: one approver, whoever has that role. */
export const DEFAULT_APPROVAL: Approval = {
  ...compileApproval('default', {}),
  stages: [{ groups: [], subjects: [], count: 1 }],
};

function milliseconds(duration: string | undefined, fallback: number): number {
  return duration === undefined ? fallback : (parseDuration(duration) ?? fallback);
}
