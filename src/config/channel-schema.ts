/** `approvals.channels` of sluice.yaml: where people and programs are told of requests for approval. */

import { z } from 'zod';
import { NOTICES } from './approval-notices.ts';
import { duration, receiverAddress, secret, unique, webAddress, wireName } from './schema-values.ts';

const anyChannel = {
  name: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,63}$/, 'must be 1 to 63 of letters, digits, "_" and "-"')
    .describe('Its name in metrics and log, and of what waits to be sent to it: if it changes, that is not sent.'),
  connections: z
    .array(z.string())
    .min(1, 'must not be empty')
    .optional()
    .describe('Only requests on these connections; left out, all.')
    .meta({ title: 'list of texts' }),
};

const webhook = z.strictObject({
  to: z.literal('webhook').describe('Posts to a program, signed as https://www.standardwebhooks.com has it.'),
  ...anyChannel,
  url: receiverAddress.describe('Where it is posted to: an https address.'),
  secret: secret.describe('The secret it is signed with: `whsec_` and 24 to 64 bytes in base64.'),
  previous_secret: secret.optional().describe('The one before, while receivers change over: it is signed with both.'),
  events: z
    .array(z.enum(NOTICES))
    .min(1, 'must not be empty')
    .optional()
    .describe(`Only these events; left out, all: ${NOTICES.map((name) => `\`${name}\``).join(', ')}.`)
    .meta({ title: 'list of texts' }),
  statements: z
    .boolean()
    .default(false)
    .describe(
      'With the statement, its values, and what its client says of itself. Left out, not: receivers keep logs of their own, and whoever may vote sees it at Sluice.',
    )
    .meta({ title: 'true or false' }),
});

const slackId = (letters: string, what: string) =>
  z.string().regex(new RegExp(`^[${letters}][A-Z0-9]{2,}$`), `must be Slack's id of ${what}`);

const slack = z.strictObject({
  to: z.literal('slack').describe('Posts to a conversation in Slack, where people approve and reject.'),
  ...anyChannel,
  team: slackId('T', 'a workspace, such as T024BE7LD').describe(
    "Slack's id of the workspace. Nobody of another one votes.",
  ),
  channel: slackId('CG', 'a conversation, such as C061EG9SL').describe("Slack's id of the conversation."),
  bot_token: secret.describe("The bot's token, `xoxb-...`."),
  signing_secret: secret.describe("The app's signing secret, by which it is known that something comes from Slack."),
  statements: z
    .boolean()
    .default(false)
    .describe(
      'Statements and their values are in the message, for everybody in the conversation. Left out, who may vote sees them when they press a button.',
    )
    .meta({ title: 'true or false' }),
  email_issuer: z
    .string()
    .optional()
    .describe(
      'The `issuer` of a provider whose subjects are e-mail addresses: who has that address in Slack, confirmed, is that person.',
    ),
  users: z
    .array(
      z.strictObject({
        slack: slackId('UW', 'a user, such as U023BECGF').describe("Slack's id of a user."),
        subject: wireName.describe('Who it is for Sluice.'),
        issuer: z.string().optional().describe('The provider that vouches for them; left out for users of this file.'),
      }),
    )
    .default([])
    .superRefine((list, context) =>
      unique(
        list.map(({ slack: name }) => ({ name })),
        context,
      ),
    )
    .describe('Who somebody in Slack is.'),
  login_within: duration('1h', '90d')
    .prefault('7d')
    .describe(
      'How long ago people of providers may have logged in at Sluice last: their groups are those of that login.',
    ),
  api: webAddress
    .transform((text) => text.replace(/\/$/, ''))
    .prefault('https://slack.com/api')
    .describe("Slack's Web API; another one for GovSlack."),
});

export const channelList = z
  .array(z.discriminatedUnion('to', [webhook, slack]))
  .default([])
  .superRefine((list, context) => unique(list, context));

export type ChannelFileConfig = z.output<typeof channelList>[number];

/** What of a channel does not fit the rest of the file. */
export function channelProblems(
  channel: ChannelFileConfig,
  rest: {
    readonly connections: readonly string[];
    readonly listensForApi: boolean;
    /** Of providers. */
    readonly issuers: readonly string[];
    /** Users of the file who are people. */
    readonly people: readonly string[];
  },
): { readonly path: readonly (string | number)[]; readonly message: string }[] {
  const problems: { path: (string | number)[]; message: string }[] = [];
  channel.connections?.forEach((name, index) => {
    if (!rest.connections.includes(name)) {
      problems.push({ path: ['connections', index], message: `"${name}" is no connection of this file` });
    }
  });
  if (channel.to !== 'slack') return problems;
  if (!rest.listensForApi)
    problems.push({ path: ['to'], message: 'needs listen.api: that is where Slack brings votes' });
  if (channel.email_issuer === undefined && channel.users.length === 0) {
    problems.push({ path: [], message: 'has neither email_issuer nor users: nobody could vote from there' });
  }
  const noIssuer = (issuer: string) => `"${issuer}" is no issuer of identity.oidc or identity.saml`;
  if (channel.email_issuer !== undefined && !rest.issuers.includes(channel.email_issuer)) {
    problems.push({ path: ['email_issuer'], message: noIssuer(channel.email_issuer) });
  }
  channel.users.forEach(({ subject, issuer }, index) => {
    if (issuer !== undefined && !rest.issuers.includes(issuer)) {
      problems.push({ path: ['users', index, 'issuer'], message: noIssuer(issuer) });
    }
    if (issuer === undefined && !rest.people.includes(subject)) {
      problems.push({ path: ['users', index, 'subject'], message: `"${subject}" is no human user of this file` });
    }
  });
  return problems;
}
