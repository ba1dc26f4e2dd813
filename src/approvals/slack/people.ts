import { z } from 'zod';
import type { Identity } from '../../identity/identity.ts';
import type { LastLogins } from '../../identity/last-logins.ts';
import type { Users } from '../../identity/users.ts';
import { currentTime } from '../../store/clock.ts';
import type { SlackChannel } from './slack-channel.ts';

/** Somebody in Slack is nobody that Sluice knows. The message is for them. */
export class UnknownPerson extends Error {
  override readonly name = 'UnknownPerson';
}

/** What of users.info says who somebody is. Names that people give themselves are not in it. */
const slackUser = z.object({
  id: z.string(),
  team_id: z.string(),
  deleted: z.boolean().default(false),
  is_bot: z.boolean().default(false),
  is_stranger: z.boolean().default(false),
  is_restricted: z.boolean().default(false),
  is_ultra_restricted: z.boolean().default(false),
  is_email_confirmed: z.boolean().default(false),
  profile: z.object({ email: z.string().optional() }),
});

/**
 * Who a user of Slack is for Sluice: by their id there as configured, or by the e-mail address that Slack has confirmed. The
 * groups are those of sluice.yaml, or those that the provider vouched for at their last login here.
 *
 * @throws UnknownPerson; what SlackWebApi throws
 */
export async function personOf(
  user: string,
  { config, api }: SlackChannel,
  { users, lastLogins }: { readonly users: Users; readonly lastLogins: LastLogins },
  signal: AbortSignal,
): Promise<Identity> {
  const since = currentTime() - config.loginWithinMs;
  const mapped = config.users.get(user);
  if (mapped !== undefined) {
    const { issuer, subject } = mapped;
    const known =
      issuer === null
        ? (users.find(subject)?.authenticated.identity ?? null)
        : await lastLogins.find(issuer, subject, since);
    return known ?? notLoggedIn(subject);
  }
  const { emailIssuer } = config;
  if (emailIssuer === null) throw new UnknownPerson('Sluice does not know who you are: an administrator can tell it.');
  const email = await emailOf(user, { config, api }, signal);
  return (await lastLogins.findByEmail(emailIssuer, email, since)) ?? notLoggedIn(email);
}

function notLoggedIn(subject: string): never {
  throw new UnknownPerson(
    `Nobody has logged in at Sluice as ${subject} lately: log in there (sluice login), then try again.`,
  );
}

async function emailOf(
  user: string,
  { config, api }: Pick<SlackChannel, 'config' | 'api'>,
  signal: AbortSignal,
): Promise<string> {
  const found = slackUser.safeParse((await api.call('users.info', { user }, signal)).user);
  if (!found.success || found.data.id !== user) throw new UnknownPerson('Slack does not say who you are.');
  const { team_id, deleted, is_bot, is_stranger, is_restricted, is_ultra_restricted, is_email_confirmed, profile } =
    found.data;
  if (team_id !== config.team || is_stranger) throw new UnknownPerson('You are from another workspace.');
  if (deleted || is_bot) throw new UnknownPerson('Only people vote.');
  // Anybody with the right to invite guests could make one with the address of an approver who has no account.
  if (is_restricted || is_ultra_restricted) throw new UnknownPerson('Guests of the workspace do not vote.');
  if (!is_email_confirmed || !profile.email) throw new UnknownPerson('Slack has not confirmed your e-mail address.');
  return profile.email;
}
