import { parseDuration } from '../config/quantity.ts';
import type { ApprovalSource } from './rule-schema.ts';
import type { Approval, ApprovalStage } from './verdict.ts';

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
